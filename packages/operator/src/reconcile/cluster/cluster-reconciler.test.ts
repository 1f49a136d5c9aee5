import { ControlCallError } from '../../brokers/control-client.ts';
import { KubeError } from '../../kube/index.ts';
import { forceAnnotation } from './cluster-reconciler.ts';
import { namespace, SimulatedCluster } from './simulated-cluster-fixture.ts';

let cluster: SimulatedCluster;
afterEach(() => cluster.stop());

const isReady = (count: number) => () =>
  cluster.condition('Ready')?.status === 'True' &&
  cluster.pods().length === count &&
  cluster.condition('Progressing')?.status === 'False';

const reasons = () => cluster.events.map(({ reason }) => reason);

async function start(replicas: number, spec: Parameters<typeof SimulatedCluster.start>[0] = {}): Promise<void> {
  cluster = await SimulatedCluster.start({ brokers: { replicas }, ...spec });
}

async function running(replicas: number, spec: Parameters<typeof SimulatedCluster.start>[0] = {}): Promise<void> {
  await start(replicas, spec);
  await cluster.until('ready', isReady(replicas));
}

const setOnDeployment = (replicas: number) =>
  cluster.api.update(
    'Deployment',
    'kafscale-broker',
    (object) => void ((object['spec'] as { replicas: number }).replicas = replicas),
    namespace,
  );

describe('a cluster', () => {
  it('gets all its objects, and says when it is ready', async () => {
    await running(3);
    const kinds = ['Deployment', 'Service', 'ConfigMap', 'ServiceAccount', 'PodDisruptionBudget', 'NetworkPolicy'];
    expect(kinds.map((kind) => cluster.api.list(kind, namespace).length)).toEqual([1, 2, 1, 1, 1, 1]);
    expect(cluster.api.list('HorizontalPodAutoscaler', namespace)).toEqual([]);
    expect(cluster.resource.status).toMatchObject({
      ...{ phase: 'Ready', version: '0.1.0', bootstrapServers: 'kafscale-broker.shop.svc:9092' },
      brokers: {
        replicas: 3,
        ready: 3,
        selector: expect.stringContaining('app.kubernetes.io/instance=kafscale') as string,
      },
    });
    for (const kind of kinds) {
      for (const { metadata } of cluster.api.list(kind, namespace)) {
        expect(metadata?.ownerReferences).toMatchObject([
          { kind: 'KafScaleCluster', name: 'kafscale', controller: true },
        ]);
      }
    }
  });

  it('is written nothing about when nothing changed, also by an operator that starts anew', async () => {
    await running(3);
    cluster.client.writes.length = 0;
    for (let round = 0; round < 3; round += 1) {
      await cluster.reconcile();
      await cluster.clock.advanceAsync(60_000);
    }
    cluster.startOperator();
    await cluster.reconcile();
    expect(cluster.client.writes).toEqual([]);
  });

  it('keeps the token of its control ports, which nobody else is told', async () => {
    await running(1);
    const secret = () =>
      cluster.api.get('Secret', 'kafscale-control', namespace) as unknown as { data: { token: string } };
    const token = Buffer.from(secret().data.token, 'base64').toString();
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(cluster.token.value).toBe(token);
    cluster.startOperator();
    await cluster.reconcile();
    expect(Buffer.from(secret().data.token, 'base64').toString()).toBe(token);
    expect(JSON.stringify([cluster.resource, cluster.deployment, cluster.events])).not.toContain(token);
  });

  it('whose spec cannot be says why, and what runs goes on', async () => {
    await running(2);
    cluster.api.update(
      'KafScaleCluster',
      'kafscale',
      (object) => void (object['spec'] = { s3: { bucket: 7 } }),
      namespace,
    );
    await cluster.reconcile();
    expect(cluster.condition('Ready')).toMatchObject({ status: 'False', reason: 'InvalidSpec' });
    expect(cluster.condition('Ready')?.message).toContain('spec.s3.bucket');
    expect(cluster.deployment.spec.replicas).toBe(2);
    expect(reasons()).toContain('InvalidSpec');
  });

  it('waits for a secret that it names, and names the key that is missing', async () => {
    await start(1, { s3: { bucket: 'records', region: 'eu', credentialsSecretRef: { name: 'keys' } } });
    await cluster.reconcile();
    expect(cluster.condition('Ready')).toMatchObject({ reason: 'MissingSecret' });
    expect(cluster.condition('Ready')?.message).toContain(
      'the secret keys of spec.s3.credentialsSecretRef does not exist',
    );
    const value = Buffer.from('x').toString('base64');
    cluster.api.create('Secret', { metadata: { name: 'keys', namespace }, data: { AWS_ACCESS_KEY_ID: value } });
    await cluster.reconcile();
    expect(cluster.condition('Ready')?.message).toContain(
      'lacks the key KAFSCALE_S3_ACCESS_KEY and KAFSCALE_S3_SECRET_KEY',
    );
    const data = { AWS_ACCESS_KEY_ID: value, AWS_SECRET_ACCESS_KEY: value };
    cluster.api.update('Secret', 'keys', (secret) => void (secret['data'] = data), namespace);
    await cluster.until('ready', isReady(1));
  });

  it('replaces its pods when a secret that they read at their start changed', async () => {
    const data = { KAFSCALE_S3_ACCESS_KEY: 'eA==', KAFSCALE_S3_SECRET_KEY: 'eA==' };
    await start(2, { s3: { bucket: 'records', region: 'eu', credentialsSecretRef: { name: 'keys' } } });
    cluster.api.create('Secret', { metadata: { name: 'keys', namespace }, data });
    await cluster.until('ready', isReady(2));
    const before = cluster.pods().map(({ metadata }) => metadata.name);
    const change = { ...data, KAFSCALE_S3_SECRET_KEY: 'eQ==' };
    cluster.api.update('Secret', 'keys', (secret) => void (secret['data'] = change), namespace);
    await cluster.reconcile();
    await cluster.until(
      'replaced',
      () => isReady(2)() && cluster.pods().every((pod) => !before.includes(pod.metadata.name)),
    );
  });

  it('whose objects the API server refuses says so, and tries again', async () => {
    await start(1);
    cluster.client.onWrite = (what) => {
      if (what.startsWith('apply Deployment')) throw new KubeError('forbidden', 'exceeded quota: deployments');
      return undefined;
    };
    const { requeueAfterMs } = await cluster.reconcile();
    expect(requeueAfterMs).toBeLessThanOrEqual(15_000);
    expect(cluster.condition('Ready')).toMatchObject({ reason: 'Denied', message: 'exceeded quota: deployments' });
    expect(reasons()).toContain('Denied');
    cluster.client.onWrite = () => undefined;
    await cluster.until('ready', isReady(1));
  });

  it('does not touch what was there before under a name of its own', async () => {
    await start(1);
    cluster.api.create('Service', {
      metadata: { name: 'kafscale-broker', namespace },
      spec: { ports: [{ port: 80 }] },
    });
    await cluster.reconcile();
    expect(cluster.condition('Ready')).toMatchObject({ reason: 'Denied' });
    expect(cluster.condition('Ready')?.message).toContain('was not made by the operator');
  });

  it('shows an image that cannot be pulled, in words that do not change with each attempt', async () => {
    await start(1);
    await cluster.reconcile();
    cluster.tick();
    const [pod] = cluster.pods();
    const waiting = (reason: string) => ({
      phase: 'Pending',
      containerStatuses: [
        { name: 'broker', restartCount: 0, state: { waiting: { reason, message: `back-off ${reason}` } } },
      ],
    });
    cluster.api.setStatus('Pod', pod!.metadata.name, waiting('ErrImagePull'), namespace);
    await cluster.reconcile();
    expect(cluster.condition('Degraded')).toMatchObject({ status: 'True', reason: 'ImageUnavailable' });
    cluster.client.writes.length = 0;
    cluster.api.setStatus('Pod', pod!.metadata.name, waiting('ImagePullBackOff'), namespace);
    await cluster.reconcile();
    expect(cluster.client.writes).toEqual([]);
    expect(reasons().filter((reason) => reason === 'ImageUnavailable')).toHaveLength(1);
  });
});

describe('the number of brokers', () => {
  it('grows at once', async () => {
    await running(1);
    cluster.scale(4);
    await cluster.reconcile();
    expect(cluster.deployment.spec.replicas).toBe(4);
    await cluster.until('ready', isReady(4));
    expect(reasons()).toContain('ScaledUp');
  });

  it('shrinks by one drained broker after another', async () => {
    await running(4);
    cluster.scale(1);
    await cluster.until('one broker', isReady(1));
    expect(cluster.removals.map(({ owned, by }) => [owned, by])).toEqual(Array(3).fill([0, 'scale-down']));
    expect(reasons().filter((reason) => reason === 'ScaledDown')).toHaveLength(3);
    expect(cluster.leftovers()).toEqual([]);
    const { text } = await cluster.metrics.scrape();
    expect(text).toContain('kafscale_operator_scale_down_total{result="removed"} 3');
  });

  it('does not shrink while another broker sees the one that is to go as an owner', async () => {
    await running(3);
    cluster.isWitnessLate = true;
    cluster.scale(2);
    for (let round = 0; round < 12; round += 1) {
      await cluster.reconcile();
      cluster.tick();
      await cluster.clock.advanceAsync(1_000);
    }
    expect([...cluster.brokers.values()].some(({ draining, owned }) => draining && owned.size === 0)).toBe(true);
    expect(cluster.deployment.spec.replicas).toBe(3);
    cluster.isWitnessLate = false;
    await cluster.until('two', isReady(2));
    expect(cluster.removals).toMatchObject([{ owned: 0 }]);
  });

  it('goes to none and back', async () => {
    await running(2);
    cluster.scale(0);
    await cluster.until('none', () => cluster.pods().length === 0);
    await cluster.reconcile();
    expect(cluster.condition('Ready')).toMatchObject({ status: 'True', reason: 'ScaledToZero' });
    cluster.scale(2);
    await cluster.until('two', isReady(2));
  });

  it('may be wanted again in the middle: the broker that was to go takes partitions again', async () => {
    await running(3);
    cluster.scale(2);
    await cluster.until('a drain began', () => [...cluster.brokers.values()].some(({ draining }) => draining));
    cluster.scale(3);
    await cluster.until('all stay', () => isReady(3)() && cluster.leftovers().length === 0);
    expect(cluster.removals).toEqual([]);
    expect(reasons()).toContain('BrokerStays');
  });

  it('does not shrink when a broker cannot hand over, and says so until it can', async () => {
    await running(3, { brokers: { replicas: 3, drainTimeoutSeconds: 10 } });
    let isStuck = true;
    cluster.onCall = (call) => {
      if (call === 'drain' && isStuck) throw new ControlCallError('unreachable', 'stuck');
    };
    cluster.scale(2);
    await cluster.until('blocked', () => cluster.condition('ScaleDownBlocked')?.status === 'True');
    expect(cluster.condition('ScaleDownBlocked')).toMatchObject({ reason: 'DrainTimedOut' });
    for (let round = 0; round < 5; round += 1) {
      await cluster.reconcile();
      cluster.tick();
    }
    expect(cluster.condition('ScaleDownBlocked')).toMatchObject({ status: 'True', reason: 'DrainTimedOut' });
    expect(cluster.leftovers()).toEqual([]);
    expect(cluster.deployment.spec.replicas).toBe(3);
    isStuck = false;
    await cluster.until('two', isReady(2), 150);
    expect(cluster.removals).toMatchObject([{ owned: 0 }]);
    expect(reasons()).toContain('DrainTimedOut');
  });

  it('shrinks all the same when somebody insists', async () => {
    await running(3, { brokers: { replicas: 3, drainTimeoutSeconds: 10 } });
    cluster.onCall = (call) => {
      if (call === 'drain') throw new ControlCallError('unreachable', 'stuck');
    };
    cluster.api.update(
      'KafScaleCluster',
      'kafscale',
      (object) => void (object.metadata!.annotations = { [forceAnnotation]: 'true' }),
      namespace,
    );
    cluster.scale(2);
    await cluster.until('two', isReady(2));
    expect(reasons()).toContain('ScaleDownForced');
  });

  it('is taken over from the Deployment when nobody else decides on it', async () => {
    await running(2);
    setOnDeployment(4);
    await cluster.until('four', isReady(4));
    expect(cluster.resource.spec.brokers).toMatchObject({ replicas: 4 });
    expect(reasons().filter((reason) => reason === 'ReplicasAdopted')).toHaveLength(1);
    setOnDeployment(3);
    await cluster.until('three', isReady(3));
    expect(cluster.resource.spec.brokers).toMatchObject({ replicas: 3 });
  });

  it('is set back on the Deployment where an autoscaler decides on the resource', async () => {
    const autoscaling = { maxReplicas: 5, targetBytesInPerSecond: '1M' };
    await running(3, { brokers: { replicas: 3, autoscaling } });
    expect(cluster.api.list('HorizontalPodAutoscaler', namespace)).toHaveLength(1);
    setOnDeployment(1);
    await cluster.until('three', () => isReady(3)() && cluster.deployment.spec.replicas === 3);
    expect(reasons()).toContain('ReplicasRestored');
    setOnDeployment(5);
    await cluster.until('three again', () => isReady(3)() && cluster.deployment.spec.replicas === 3);
    expect(cluster.resource.spec.brokers).toMatchObject({ replicas: 3 });
  });

  it('does not shrink while brokers are replaced', async () => {
    await running(3);
    cluster.api.update(
      'KafScaleCluster',
      'kafscale',
      (object) => void ((object['spec'] as { brokers: object }).brokers = { replicas: 2, image: { tag: '2' } }),
      namespace,
    );
    await cluster.until('two of the new ones', isReady(2), 150);
    const kinds = cluster.removals.map(({ by }) => by);
    expect(kinds.lastIndexOf('rollout')).toBeLessThan(kinds.indexOf('scale-down'));
    expect(cluster.removals.filter(({ by }) => by === 'scale-down')).toMatchObject([{ owned: 0 }]);
  });

  it('lets the autoscaler go when the resource no longer asks for one', async () => {
    const autoscaling = { maxReplicas: 5, targetBytesInPerSecond: '1M' };
    await running(1, { brokers: { replicas: 1, autoscaling } });
    cluster.api.update(
      'KafScaleCluster',
      'kafscale',
      (object) => void ((object['spec'] as { brokers: object }).brokers = { replicas: 1 }),
      namespace,
    );
    await cluster.reconcile();
    expect(cluster.api.list('HorizontalPodAutoscaler', namespace)).toEqual([]);
  });
});
