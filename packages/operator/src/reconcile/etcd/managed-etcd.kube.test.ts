/** What only a real API server can show of a managed etcd: that it takes every object, in a restricted namespace, and that a second look writes nothing. */
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { ControlPlane, eventually } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { customResourceDefinitions } from '../../api/crd.ts';
import {
  Children,
  createKubeClient,
  kinds,
  kubeconfigAccess,
  type KubeClient,
  type KubeObject,
  type Pod,
  type WatchedKind,
} from '../../kube/index.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { planOf, type SpecInput } from '../../resources/plan-fixture.ts';
import { clusterResource } from '../resource-kinds.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { ManagedEtcd } from './managed-etcd.ts';
import { SimulatedEtcd } from './simulated-etcd-fixture.ts';

const namespace = 'shop';
const minute = 60_000;
const name = 'kafscale-etcd';

let plane: ControlPlane;
let client: KubeClient;
let world: WatchedWorld;
let etcd: SimulatedEtcd;
let reconciler: ManagedEtcd;
const writes: string[] = [];

beforeAll(async () => {
  plane = await ControlPlane.start();
  const { kubectl } = plane;
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await kubectl.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }]);
  await kubectl.apply(customResourceDefinitions());
  await kubectl.wait('crd/kafscaleclusters.kafscale.io', 'condition=Established');
  const spec = { s3: { bucket: 'records', region: 'eu-west-1' } };
  await kubectl.apply([
    { apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleCluster', metadata: { name: 'kafscale', namespace }, spec },
  ]);
  const access = await kubeconfigAccess(await readFile(plane.kubeconfig, 'utf8'));
  client = createKubeClient({ access, clock: systemClock });
  world = watchWorld({ client, clock: systemClock, random: seededRandom(1), logger: silentLogger });
  for (const watched of world.all) watched.start();
  await Promise.all(world.all.map((watched) => watched.whenSynced()));
  const write = client.apply.bind(client);
  const apply: KubeClient['apply'] = (kind, object, options) => {
    writes.push(`${kind.kind}/${object.metadata.name}`);
    return write(kind, object, options);
  };
  Object.assign(client, { apply });
  const caches = Object.values(world.children) as readonly WatchedKind<KubeObject>[];
  const children = new Children({ client, caches, logger: silentLogger });
  etcd = new SimulatedEtcd();
  reconciler = new ManagedEtcd(
    { client, world, children, clock: systemClock, metrics: createOperatorMetrics(), logger: silentLogger },
    { connect: etcd.connect },
  );
}, 20 * minute);

afterAll(async () => {
  await Promise.all(world.all.map((watched) => watched.stop()));
  await client.close();
  await plane.close();
}, minute);

async function reconcile(spec: Partial<SpecInput> = {}) {
  const object = await client.get(clusterResource, { namespace, name: 'kafscale' });
  const context = { signal: new AbortController().signal, brokers: [] };
  const outcome = await reconciler.reconcile({ kind: clusterResource, object }, planOf(spec), context);
  // Until caches have heard of it.
  for (const { kind } of [kinds.StatefulSet, kinds.CronJob].map((one) => ({ kind: one }))) {
    await eventually(`${kind.kind} is known`, () => listed(kind.kind) > 0, minute, 50);
  }
  return outcome;
}

const listed = (kind: string): number =>
  ({ StatefulSet: world.children.statefulSets, CronJob: world.children.cronJobs })[kind]!.list(namespace).length;

async function writtenBy(act: () => Promise<unknown>): Promise<readonly string[]> {
  writes.length = 0;
  await act();
  return [...writes];
}

test(
  'every object is taken, and nothing is written a second time',
  async () => {
    const first = await writtenBy(() => reconcile());
    expect([...first].sort()).toEqual(
      [
        ...['StatefulSet', 'Service', 'ServiceAccount', 'PodDisruptionBudget', 'NetworkPolicy'].map(
          (kind) => `${kind}/${name}`,
        ),
        ...['ConfigMap/kafscale-etcd-members', 'Service/kafscale-etcd-client', 'CronJob/kafscale-etcd-snapshot'],
      ].sort(),
    );
    expect(await writtenBy(() => reconcile())).toEqual([]);
    etcd.run(3);
    expect(await writtenBy(() => reconcile())).toEqual(['ConfigMap/kafscale-etcd-members']);
    expect(await writtenBy(() => reconcile())).toEqual([]);
  },
  5 * minute,
);

test(
  'a restricted namespace takes its pods',
  async () => {
    const statefulSet = await client.get(kinds.StatefulSet, { namespace, name });
    const cronJob = await client.get(kinds.CronJob, { namespace, name: 'kafscale-etcd-snapshot' });
    const templates = [statefulSet.spec?.template.spec, cronJob.spec?.jobTemplate.spec?.template.spec];
    for (const [index, spec] of templates.entries()) {
      const data = index === 0 ? [{ name: 'data', emptyDir: {} }] : [];
      const volumes = [...(spec?.volumes ?? []), ...data];
      const pod = { metadata: { name: `pod-${index}`, namespace }, spec: { ...spec, volumes } } as Pod;
      await client.create(kinds.Pod, pod as never, { dryRun: true });
    }
  },
  minute,
);

test(
  'a larger volume is no reason to be refused',
  async () => {
    await reconcile({ etcd: { managed: { storage: { size: '20Gi' } } } });
    const { spec } = await client.get(kinds.StatefulSet, { namespace, name });
    expect(spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests).toEqual({ storage: '10Gi' });
  },
  minute,
);
