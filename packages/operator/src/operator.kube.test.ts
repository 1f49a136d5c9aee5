/**
 * The operator against a real API server and its controllers. Nothing runs pods here: the test plays kubelet by their status, and a
 * broker behind a control port.
 */
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { ControlPlane, eventually } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { customResourceDefinitions } from './api/crd.ts';
import { StubBroker } from './brokers/stub-broker-fixture.ts';
import { operatorConfigSchema } from './config.ts';
import { kubeconfigAccess } from './kube/index.ts';
import { startOperator, type RunningOperator } from './operator.ts';

const namespace = 'shop';
const second = 1_000;
const waitMs = 60 * second;
const pauseMs = 200;

let plane: ControlPlane;
let broker: StubBroker;
let operator: RunningOperator;

const find = async (kind: string, name: string) => plane.kubectl.find(kind, name, namespace);

interface Seen {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly spec: { readonly replicas: number; readonly brokers: { readonly replicas: number } };
  readonly status?: {
    readonly phase?: string;
    readonly brokers?: { readonly replicas: number; readonly ready: number };
  };
}
const seen = (kind: string, name: string) => plane.kubectl.get<Seen>(kind, name, namespace);
interface SeenPod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status: { readonly podIP?: string };
}
const pods = () => plane.kubectl.list<SeenPod>('pods', namespace);

/** Every pod runs, is ready, and has its broker at the one control port of this test. */
async function playKubelet(): Promise<void> {
  for (const { metadata, status } of await pods()) {
    if (metadata.deletionTimestamp !== undefined) {
      const force = ['delete', 'pod', metadata.name, '-n', namespace, '--force', '--grace-period=0'];
      await plane.kubectl.run(force).catch(() => '');
    } else if (status.podIP === undefined) {
      const now = new Date().toISOString();
      const condition = (type: string) => ({ type, status: 'True', lastTransitionTime: now });
      const patch = {
        status: {
          ...{ phase: 'Running', podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] },
          conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map(condition),
        },
      };
      const flags = ['--subresource=status', '--type=merge', '-p', JSON.stringify(patch)];
      await plane.kubectl.run(['patch', 'pod', metadata.name, '-n', namespace, ...flags]).catch(() => '');
    }
  }
}

const until = (what: string, isSo: () => Promise<boolean>) =>
  eventually(
    what,
    async () => {
      await playKubelet();
      return isSo();
    },
    waitMs,
    pauseMs,
  );

const readyWith = (count: number) => async () => {
  const { status } = await seen('kfs', 'kafscale');
  return status?.phase === 'Ready' && status.brokers?.ready === count && status.brokers.replicas === count;
};

async function start(): Promise<RunningOperator> {
  const kubeconfig = await readFile(plane.kubeconfig, 'utf8');
  const config = operatorConfigSchema.parse({
    ...{ namespace: 'default', watchNamespaces: [namespace], leaderKey: 'kafscale-operator' },
    ...{ metricsAddress: '127.0.0.1:0', streamAddress: '127.0.0.1:0' },
  });
  return startOperator(config, {
    ...{ clock: systemClock, random: cryptoRandom, logger: silentLogger },
    access: await kubeconfigAccess(kubeconfig),
    controlPort: Number(broker.address.split(':')[1]),
  });
}

beforeAll(async () => {
  plane = await ControlPlane.start({ controllers: true });
  broker = await StubBroker.start();
  let cordoned = false;
  broker.answer = ({ method, request }) => {
    if (method === 'SetCordon') ({ cordoned } = request as { cordoned: boolean });
    if (method === 'DrainPartitions') cordoned = true;
    return {
      response:
        method === 'DrainPartitions'
          ? { drained: [], pending: [], pendingCoordinatorShards: 0 }
          : {
              ...{ brokerId: 1, version: '0.1.0', ready: true, incarnation: 'x', cordoned, partitions: [] },
              ...{ coordinatorShards: [], objectStoreState: 'healthy', metadataStoreReachable: true },
            },
    };
  };
  await plane.kubectl.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
  await plane.kubectl.apply(customResourceDefinitions());
  await plane.kubectl.run(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  operator = await start();
  await plane.kubectl.apply([
    {
      ...{ apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleCluster', metadata: { name: 'kafscale', namespace } },
      spec: {
        brokers: { replicas: 2 },
        ...{ s3: { bucket: 'records', region: 'eu-west-1' }, etcd: { endpoints: ['http://etcd:2379'] } },
      },
    },
  ]);
}, 600_000);
afterAll(async () => {
  await operator.close();
  broker.close();
  await plane.close();
}, 60_000);

describe('a cluster on a real API server', () => {
  it('is made, and says when its pods are ready', async () => {
    await until('two brokers', readyWith(2));
    for (const [kind, name] of [
      ['service', 'kafscale-broker'],
      ['service', 'kafscale-broker-headless'],
      ['pdb', 'kafscale-broker'],
      ['networkpolicy', 'kafscale-broker'],
      ['serviceaccount', 'kafscale-broker'],
      ['secret', 'kafscale-control'],
    ] as const) {
      expect(await find(kind, name)).toBeDefined();
    }
  }, 120_000);

  it('is left alone while nothing changes, by the next operator too', async () => {
    const versions = async () =>
      (
        await plane.kubectl.run([
          ...['get', 'kfs,deployment,service,configmap,pdb,networkpolicy,serviceaccount,secret', '-n', namespace],
          ...['-o', 'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}'],
        ])
      ).trim();
    await until('settled', readyWith(2));
    // Kubernetes counts a pod as available a few seconds after it is ready, and writes that down.
    await plane.kubectl.run(['rollout', 'status', 'deployment/kafscale-broker', '-n', namespace, '--timeout=60s']);
    const before = await versions();
    await operator.close();
    operator = await start();
    await eventually('it leads', () => operator.isLeading(), waitMs, pauseMs);
    await new Promise((resolve) => setTimeout(resolve, 5 * second));
    expect(await versions()).toBe(before);
  }, 120_000);

  it('goes the same road whoever scales it: kubectl scale on the resource', async () => {
    await plane.kubectl.run(['scale', 'kfs/kafscale', '-n', namespace, '--replicas=3']);
    await until('three brokers', readyWith(3));
    await plane.kubectl.run(['scale', 'kfs/kafscale', '-n', namespace, '--replicas=1']);
    await until('one broker', readyWith(1));
    expect(broker.calls.some(({ method }) => method === 'DrainPartitions')).toBe(true);
    const events = await plane.kubectl.run(['get', 'events.events.k8s.io', '-n', namespace, '-o', 'json']);
    expect(events).toContain('BrokerDraining');
    expect(events).toContain('ScaledDown');
  }, 180_000);

  it('takes a count over that somebody set on the Deployment', async () => {
    await plane.kubectl.run(['scale', 'deployment/kafscale-broker', '-n', namespace, '--replicas=2']);
    await until(
      'the count is in the resource',
      async () => (await seen('kfs', 'kafscale')).spec.brokers.replicas === 2,
    );
    await until('two brokers', readyWith(2));
  }, 120_000);

  it('has an autoscaler that the API server takes, and that scales the resource', async () => {
    const autoscaling = { maxReplicas: 4, targetBytesInPerSecond: '10M', targetCPUUtilizationPercentage: 70 };
    const patch = JSON.stringify({ spec: { brokers: { autoscaling } } });
    await plane.kubectl.run(['patch', 'kfs', 'kafscale', '-n', namespace, '--type=merge', '-p', patch]);
    await until('the autoscaler is there', async () => (await find('hpa', 'kafscale-broker')) !== undefined);
    await until('it finds what it scales', async () => {
      interface Autoscaler {
        readonly status?: { readonly conditions?: readonly object[] };
      }
      const { status } = await plane.kubectl.get<Autoscaler>('hpa', 'kafscale-broker', namespace);
      return JSON.stringify(status?.conditions ?? []).includes('SucceededGetScale');
    });
    await plane.kubectl.run(['scale', 'deployment/kafscale-broker', '-n', namespace, '--replicas=3']);
    await until('the count is set back', async () => (await seen('deployment', 'kafscale-broker')).spec.replicas === 2);
  }, 180_000);

  it('takes all its objects with it', async () => {
    await plane.kubectl.run(['delete', 'kfs', 'kafscale', '-n', namespace, '--wait=false']);
    await until('nothing is left', async () => {
      const left = await plane.kubectl.run([
        ...['get', 'deployment,service,configmap,pdb,networkpolicy,hpa,secret,pods', '-n', namespace, '-o', 'name'],
        ...['-l', 'app.kubernetes.io/managed-by=kafscale-operator'],
      ]);
      return left.trim() === '';
    });
  }, 120_000);
});
