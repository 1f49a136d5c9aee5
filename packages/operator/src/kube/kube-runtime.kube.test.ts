/** What only a real API server can show: schemas, defaulting, merging, field managers, bookmarks, and a connection of its own making. */
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { ControlPlane, eventually, FaultyProxy } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { createOperatorMetrics } from '../metrics/metrics.ts';
import { child, Children, type Child, type ChildCache, type Owner } from './apply/children.ts';
import { StatusWriter } from './apply/status-writer.ts';
import { kubeconfigAccess } from './cluster-access.ts';
import { createKubeClient } from './create-kube-client.ts';
import { EventRecorder } from './events.ts';
import { Informer } from './informer.ts';
import type { KubeClient } from './kube-client.ts';
import { kinds, type ConfigMap } from './kinds.ts';
import { defineKind, type KubeObject } from './kube-object.ts';
import { LeaderElection } from './leader-election.ts';
import { fencedClient } from './write-fence.ts';

interface Widget extends KubeObject {
  readonly spec?: { readonly size?: number; readonly colour?: string };
  readonly status?: { readonly size?: number; readonly selector?: string; readonly text?: string };
}

const widgetKind = defineKind<Widget>({
  apiVersion: 'test.kafscale.io/v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
});

const integer = { type: 'integer' };
const text = { type: 'string' };
const widgetSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: { size: { ...integer, default: 1 }, colour: text },
      'x-kubernetes-validations': [{ rule: 'self.size < 100', message: 'size must stay below 100' }],
    },
    status: { type: 'object', properties: { size: integer, selector: text, text } },
  },
};

const namespace = 'kube-runtime';
const labels = { app: 'broker' };

/** As much of what the operator makes as servers like to rewrite. */
function wanted(image: string): readonly Child[] {
  const resources = {
    limits: { cpu: '1000m', memory: '1024Mi' },
    requests: { cpu: 0.5 as unknown as string, memory: '512Mi' },
  };
  const container = {
    ...{ name: 'broker', image, resources, args: ['broker'], ports: [{ containerPort: 9092, name: 'kafka' }] },
    env: [
      { name: 'A', value: '1' },
      { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    ],
    readinessProbe: { httpGet: { path: '/readyz', port: 9093 } },
    lifecycle: { preStop: { sleep: { seconds: 5 } } },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
  };
  const pod = {
    containers: [container],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1024Mi' } }],
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: labels },
      },
    ],
    affinity: {},
    tolerations: [],
    terminationGracePeriodSeconds: 60,
  };
  const template = { metadata: { labels }, spec: pod };
  const metric = {
    type: 'Resource',
    resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } },
  };
  const external = {
    type: 'External',
    external: { metric: { name: 'bytes' }, target: { type: 'AverageValue', averageValue: '1000k' } },
  };
  return [
    child(kinds.ConfigMap, { metadata: { name: 'shop-config' }, data: { a: '1', b: image } }),
    child(kinds.Service, {
      metadata: { name: 'shop-broker' },
      spec: {
        selector: labels,
        ports: [
          { name: 'kafka', port: 9092 },
          { name: 'metrics', port: 9093, targetPort: 'metrics' },
        ],
      },
    }),
    child(kinds.Service, {
      metadata: { name: 'shop-headless' },
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: labels,
        ports: [{ name: 'kafka', port: 9092 }],
      },
    }),
    child(kinds.Deployment, {
      metadata: { name: 'shop-broker' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      },
    }),
    child(kinds.StatefulSet, {
      metadata: { name: 'shop-etcd' },
      spec: {
        ...{ serviceName: 'shop-headless', replicas: 3, selector: { matchLabels: labels }, template },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1024Mi' } } },
          },
        ],
      },
    }),
    child(kinds.PodDisruptionBudget, {
      metadata: { name: 'shop-broker' },
      spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: labels } },
    }),
    child(kinds.HorizontalPodAutoscaler, {
      metadata: { name: 'shop-broker' },
      spec: {
        scaleTargetRef: { apiVersion: widgetKind.apiVersion, kind: widgetKind.kind, name: 'shop' },
        ...{ minReplicas: 1, maxReplicas: 4, metrics: [metric, external] },
        behavior: {
          scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
        },
      },
    }),
    child(kinds.NetworkPolicy, {
      metadata: { name: 'shop-broker' },
      spec: {
        podSelector: { matchLabels: labels },
        policyTypes: ['Ingress'],
        ingress: [{ ports: [{ port: 9092 }], from: [{ podSelector: {} }] }],
      },
    }),
    child(kinds.ServiceAccount, { metadata: { name: 'shop-broker' }, automountServiceAccountToken: false }),
    child(kinds.Secret, {
      metadata: { name: 'shop-token' },
      data: { token: Buffer.from('secret').toString('base64') },
    }),
    child(kinds.CronJob, {
      metadata: { name: 'shop-etcd-snapshot' },
      spec: {
        schedule: '0 * * * *',
        jobTemplate: {
          spec: { template: { spec: { ...pod, restartPolicy: 'Never', topologySpreadConstraints: [] } } },
        },
      },
    }),
  ];
}

const childKinds = [
  ...[kinds.ConfigMap, kinds.Service, kinds.Deployment, kinds.StatefulSet, kinds.PodDisruptionBudget],
  ...[kinds.HorizontalPodAutoscaler, kinds.NetworkPolicy, kinds.ServiceAccount, kinds.Secret, kinds.CronJob],
] as const;

/** Counts the calls that write. */
function counting(client: KubeClient): { readonly client: KubeClient; writes: number } {
  const counted = { writes: 0, client };
  counted.client = new Proxy(client, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (
          ['create', 'replace', 'apply', 'applyStatus', 'patch', 'delete', 'setScale', 'evict'].includes(String(name))
        )
          counted.writes += 1;
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return counted;
}

describe('the runtime on a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  let kubeconfig: string;
  const informers: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    plane = await ControlPlane.start();
    kubeconfig = await readFile(plane.kubeconfig, 'utf8');
    client = createKubeClient({ access: await kubeconfigAccess(kubeconfig), clock: systemClock });
    await client.create(kinds.Namespace, { metadata: { name: namespace } });
    await client.create(kinds.CustomResourceDefinition, {
      metadata: { name: 'widgets.test.kafscale.io' },
      spec: {
        ...{
          group: 'test.kafscale.io',
          scope: 'Namespaced',
          names: { kind: 'Widget', plural: 'widgets', singular: 'widget', listKind: 'WidgetList' },
        },
        versions: [
          {
            ...{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: widgetSchema } },
            subresources: {
              status: {},
              scale: {
                specReplicasPath: '.spec.size',
                statusReplicasPath: '.status.size',
                labelSelectorPath: '.status.selector',
              },
            },
          },
        ],
      },
    });
    await eventually('the kind is served', async () =>
      client.list(widgetKind).then(
        () => true,
        () => false,
      ),
    );
  }, 240_000);
  afterAll(async () => {
    for (const informer of informers) await informer.stop();
    await client.close();
    await plane.close();
  }, 60_000);

  async function follow<T extends KubeObject>(
    kind: Parameters<KubeClient['list']>[0] & { readonly kind: string },
    through = client,
  ) {
    const informer = new Informer({
      ...{ kind: kind, client: through, clock: systemClock, random: seededRandom(1), logger: silentLogger },
      namespace,
    });
    informers.push(informer);
    informer.start();
    await informer.whenSynced();
    return informer as unknown as Informer<T>;
  }

  it('says its version, over HTTP/2', async () => {
    expect(await client.serverVersion()).toMatch(/^v1\./);
  });

  it('refuses what breaks a rule, with the rule in the message', async () => {
    const object = { metadata: { name: 'big', namespace }, spec: { size: 100 } };
    await expect(client.apply(widgetKind, object, { force: true })).rejects.toMatchObject({
      ...{ kind: 'invalid', status: 422, message: expect.stringContaining('size must stay below 100') as string },
    });
  });

  it('writes children once, whatever the server makes of them, and sets drift right', async () => {
    const widget = await client.apply<Widget>(widgetKind, {
      metadata: { name: 'shop', namespace },
      spec: { colour: 'red' },
    });
    const owner: Owner = { kind: widgetKind, object: widget };
    const caches: ChildCache[] = [];
    for (const kind of childKinds) caches.push((await follow(kind)).cache);
    const counted = counting(client);
    const children = new Children({ client: counted.client, caches, logger: silentLogger });
    const first = await children.sync(owner, wanted('kafscale:1'));
    expect(new Set(first.values())).toEqual(new Set(['created']));
    expect(counted.writes).toBe(wanted('').length);

    const known = () => caches.reduce((sum, cache) => sum + cache.ownedBy(widget.metadata.uid).length, 0);
    await eventually('the caches know', () => known() === wanted('').length);
    counted.writes = 0;
    const afresh = new Children({ client: counted.client, caches, logger: silentLogger });
    for (const who of [children, afresh]) {
      const again = await who.sync(owner, wanted('kafscale:1'));
      expect([...again].filter(([, outcome]) => outcome !== 'unchanged')).toEqual([]);
    }
    expect(counted.writes).toBe(0);

    await client.patch(kinds.Deployment, { namespace, name: 'shop-broker' }, { spec: { replicas: 5 } });
    const deployments = caches.find(({ kind }) => kind.kind === 'Deployment')!;
    const replicas = () =>
      (deployments.get({ namespace, name: 'shop-broker' }) as { spec?: { replicas?: number } }).spec?.replicas;
    await eventually('the drift is known', () => replicas() === 5);
    expect((await children.sync(owner, wanted('kafscale:1'))).get('Deployment/shop-broker')).toBe('updated');
    await eventually('it is right again', () => replicas() === 2);

    await children.sync(owner, wanted('kafscale:1').slice(0, 4));
    await eventually('the others are gone', () => known() === 4);
  }, 60_000);

  it('applies to this very object only: a successor of its name is left alone', async () => {
    const made = await client.apply(kinds.ConfigMap, { metadata: { name: 'uid', namespace } });
    const stale = { name: 'uid', namespace, uid: '00000000-0000-0000-0000-000000000000' };
    await expect(
      client.apply(kinds.ConfigMap, { metadata: stale, data: { a: '1' } }, { force: true }),
    ).rejects.toMatchObject({ kind: 'conflict' });
    await client.apply(
      kinds.ConfigMap,
      { metadata: { ...stale, uid: made.metadata.uid }, data: { a: '1' } },
      { force: true },
    );
    await client.delete(kinds.ConfigMap, { name: 'uid', namespace });
    await expect(
      client.apply(kinds.ConfigMap, { metadata: { ...stale, uid: made.metadata.uid } }, { force: true }),
    ).rejects.toMatchObject({ kind: expect.stringMatching(/conflict|not-found/) as string });
  });

  it('takes a status, tells when it is unchanged, and scales by the subresource', async () => {
    await client.apply(widgetKind, { metadata: { name: 'scaled', namespace }, spec: { colour: 'blue' } });
    const widgets = await follow<Widget>(widgetKind);
    const cached = () => widgets.cache.get({ namespace, name: 'scaled' })!;
    await eventually('it is known', () => widgets.cache.get({ namespace, name: 'scaled' }) !== undefined);
    const statuses = new StatusWriter(client);
    const status = { size: 1, selector: 'app=broker', text: 'x' };
    expect(await statuses.write(widgetKind, cached(), status)).toBe(true);
    expect(await statuses.write(widgetKind, cached(), status)).toBe(false);
    expect(await statuses.write(widgetKind, cached(), { size: 1, selector: 'app=broker' })).toBe(true);
    await eventually('the cache knows', () => cached().status?.size === 1 && cached().status?.text === undefined);
    const scale = await client.scale(widgetKind, { namespace, name: 'scaled' });
    expect(scale).toMatchObject({ replicas: 1, statusReplicas: 1, selector: 'app=broker' });
    expect(await client.setScale(widgetKind, { namespace, name: 'scaled' }, 3)).toMatchObject({ replicas: 3 });
    const late = client.setScale(widgetKind, { namespace, name: 'scaled' }, 4, {
      resourceVersion: scale.resourceVersion,
    });
    await expect(late).rejects.toMatchObject({ kind: 'conflict' });
  });

  it('follows through a kill of the server and its restart', async () => {
    const maps = await follow<ConfigMap>(kinds.ConfigMap);
    await client.create(kinds.ConfigMap, { metadata: { name: 'before', namespace } });
    await eventually('it is heard', () => maps.cache.get({ namespace, name: 'before' }) !== undefined);
    await plane.apiServer.kill();
    await plane.startApiServer();
    await eventually('writes work again', async () =>
      client.delete(kinds.ConfigMap, { namespace, name: 'before' }).then(
        () => true,
        () => false,
      ),
    );
    await client.create(kinds.ConfigMap, { metadata: { name: 'after', namespace } });
    await eventually('it follows again', () => maps.cache.get({ namespace, name: 'after' }) !== undefined, 20_000);
    await eventually('what went is gone', () => maps.cache.get({ namespace, name: 'before' }) === undefined);
  }, 120_000);

  it('is back within 10 s when a connection falls silent', async () => {
    const url = new URL(plane.url);
    const proxy = await FaultyProxy.start({ host: url.hostname, port: Number(url.port) });
    const access = { ...(await kubeconfigAccess(kubeconfig)), server: `https://${proxy.endpoint}` };
    const behind = createKubeClient({ access, clock: systemClock });
    const maps = await follow<ConfigMap>(kinds.ConfigMap, behind);
    await client.create(kinds.ConfigMap, { metadata: { name: 'loud', namespace } });
    await eventually('it is heard', () => maps.cache.get({ namespace, name: 'loud' }) !== undefined);
    proxy.freeze();
    await client.create(kinds.ConfigMap, { metadata: { name: 'silent', namespace } });
    await eventually('it is heard again', () => maps.cache.get({ namespace, name: 'silent' }) !== undefined, 10_000);
    await behind.close();
    await proxy.close();
  }, 60_000);

  it('elects one leader, whose writes end with its term', async () => {
    const election = new LeaderElection({
      ...{
        client,
        clock: systemClock,
        random: seededRandom(1),
        logger: silentLogger,
        metrics: createOperatorMetrics(),
      },
      ...{ lease: { namespace, name: 'kafscale-operator' }, identity: 'first', onElected: () => undefined },
    });
    const fenced = fencedClient(client, election.fence);
    const object = { metadata: { name: 'fenced', namespace } };
    await expect(fenced.apply(kinds.ConfigMap, object)).rejects.toMatchObject({ kind: 'not-leader' });
    election.start();
    await eventually('it leads', () => election.leads);
    await fenced.apply(kinds.ConfigMap, object);
    await election.stop();
    await expect(fenced.apply(kinds.ConfigMap, object)).rejects.toMatchObject({ kind: 'not-leader' });
    const lease = await client.get(kinds.Lease, { namespace, name: 'kafscale-operator' });
    expect(lease.spec?.holderIdentity ?? '').toBe('');
  });

  it('takes events and their counts', async () => {
    const about = await client.get(widgetKind, { namespace, name: 'scaled' });
    const recorder = new EventRecorder({
      ...{ client, clock: systemClock, random: seededRandom(1), logger: silentLogger },
      ...{ controller: 'kafscale.io/operator', instance: 'operator-0' },
    });
    const note = { type: 'Normal', reason: 'Tested', action: 'Test', note: 'it was tested' } as const;
    recorder.record(widgetKind, about, note);
    recorder.record(widgetKind, about, note);
    await recorder.flush();
    const { items } = await client.list(kinds.Event, { namespace, fieldSelector: 'reason=Tested' });
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ note: 'it was tested', series: { count: 2 }, regarding: { name: 'scaled' } });
  });

  it('tells who may not', async () => {
    const text = await readFile(await plane.kubeconfigFor({ name: 'nobody' }), 'utf8');
    const nobody = createKubeClient({ access: await kubeconfigAccess(text), clock: systemClock });
    await expect(nobody.list(kinds.Secret, { namespace })).rejects.toMatchObject({ kind: 'forbidden' });
    await nobody.close();
  });
});
