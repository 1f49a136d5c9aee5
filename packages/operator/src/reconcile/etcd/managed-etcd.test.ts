import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, FakeKubeApi, settled, type FakeObject } from '@kafscale/testkit';
import { memberPlanSchema } from '../../etcd/member-plan.ts';
import { Children, type KubeObject, type WatchedKind } from '../../kube/index.ts';
import { StoreClient } from '../../kube/store-client-fixture.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { planOf, type SpecInput } from '../../resources/plan-fixture.ts';
import { clusterResource, topicResource } from '../resource-kinds.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { etcdAnnotation, ManagedEtcd } from './managed-etcd.ts';
import { SimulatedEtcd } from './simulated-etcd-fixture.ts';

const namespace = 'shop';
const clock = new FakeClock();

let api: FakeKubeApi;
let client: StoreClient;
let world: WatchedWorld;
let etcd: SimulatedEtcd;
let reconciler: ManagedEtcd;
let spec: Partial<SpecInput>;

const metrics = createOperatorMetrics();

/** Another process: nothing is left of what the last one had in memory. */
function startOperator(): void {
  const caches = Object.values(world.children) as readonly WatchedKind<KubeObject>[];
  const children = new Children({ client, caches, logger: silentLogger });
  const deps = { client, world, children, clock, metrics, logger: silentLogger };
  reconciler = new ManagedEtcd(deps, { connect: etcd.connect });
}

beforeEach(async () => {
  api = await FakeKubeApi.start({ kinds: [clusterResource, topicResource] });
  client = new StoreClient(api);
  world = watchWorld({ client, clock, random: seededRandom(1), logger: silentLogger });
  etcd = new SimulatedEtcd();
  spec = {};
  api.create('KafScaleCluster', { metadata: { name: 'kafscale', namespace }, spec: {} });
  for (const watched of world.all) watched.start();
  await Promise.all(world.all.map((watched) => watched.whenSynced()));
  startOperator();
});

afterEach(async () => {
  await Promise.all(world.all.map((watched) => watched.stop()));
  await api.stop();
});

const heard = async () => {
  for (let turn = 0; turn < 3; turn += 1) await settled();
};

async function reconcile() {
  await heard();
  const object = api.get('KafScaleCluster', 'kafscale', namespace) as never;
  const context = { signal: new AbortController().signal, brokers: [] };
  const outcome = await reconciler.reconcile({ kind: clusterResource, object }, planOf(spec), context);
  await heard();
  return outcome;
}

const statefulSet = () =>
  api.get('StatefulSet', 'kafscale-etcd', namespace) as FakeObject & { spec: { replicas: number } };
const members = () => {
  const map = api.get('ConfigMap', 'kafscale-etcd-members', namespace) as FakeObject & { data: Record<string, string> };
  return memberPlanSchema.parse(JSON.parse(map.data['plan.json']!));
};
const annotate = (annotations: Record<string, string>) =>
  api.update('KafScaleCluster', 'kafscale', (object) => void (object.metadata!.annotations = annotations), namespace);

async function living(count = 3): Promise<void> {
  spec = { etcd: { managed: { replicas: count } } };
  await reconcile();
  etcd.run(count);
  expect((await reconcile()).state.reason).toBe('Answering');
}

test('everything is made before anybody answers, and nothing begins anew once a quorum was seen', async () => {
  const first = await reconcile();
  expect(first.state).toMatchObject({ reason: 'Starting', isManaged: true, isRestoring: false });
  expect(statefulSet().spec.replicas).toBe(3);
  expect(members()).toMatchObject({ members: 3, life: 1, isInitialized: false });
  const kinds = ['Service', 'NetworkPolicy', 'PodDisruptionBudget', 'ServiceAccount', 'CronJob'];
  expect(kinds.map((kind) => api.list(kind, namespace).length)).toEqual([2, 1, 1, 1, 1]);
  etcd.run(3);
  etcd.running.delete(1);
  etcd.running.delete(2);
  expect((await reconcile()).state.reason).toBe('Starting');
  expect(members().isInitialized).toBe(false);
  etcd.running.add(1).add(2);
  expect((await reconcile()).state).toMatchObject({ reason: 'Answering', members: 3, ready: 3 });
  expect(members().isInitialized).toBe(true);
});

test('nothing is written when nothing changed, also by an operator that starts anew', async () => {
  await living();
  await reconcile();
  client.writes.length = 0;
  await reconcile();
  startOperator();
  await reconcile();
  expect(client.writes).toEqual([]);
  expect(etcd.calls).toEqual([]);
});

test('a learner becomes a voter, and is asked for again when it has not caught up', async () => {
  await living();
  etcd.add(2);
  etcd.refusal = 'can only promote a learner member which is in sync with leader';
  expect((await reconcile()).requeueAfterMs).toBeLessThan(10_000);
  etcd.refusal = undefined;
  startOperator();
  await reconcile();
  expect(etcd.calls).toEqual(['promote @0', 'promote @0']);
  expect((await reconcile()).state).toMatchObject({ reason: 'Answering', ready: 3 });
});

test('members come and go one at a time, whoever operates', async () => {
  await living(1);
  spec = { etcd: { managed: { replicas: 3 } } };
  for (const ordinal of [1, 2]) {
    await reconcile();
    expect(statefulSet().spec.replicas).toBe(ordinal + 1);
    startOperator();
    await reconcile();
    expect(statefulSet().spec.replicas).toBe(ordinal + 1);
    etcd.add(ordinal);
    etcd.running.add(ordinal);
    await reconcile();
  }
  spec = { etcd: { managed: { replicas: 1 } } };
  etcd.leader = 2;
  for (let round = 0; round < 8; round += 1) {
    startOperator();
    await reconcile();
    expect(etcd.places.size).toBeLessThanOrEqual(statefulSet().spec.replicas);
  }
  expect(etcd.calls.filter((call) => !call.startsWith('promote'))).toEqual([
    'move-leader @2',
    'remove @0',
    'remove @0',
  ]);
  expect(statefulSet().spec.replicas).toBe(1);
});

test('a full etcd says so, is made smaller member by member, and takes writes again', async () => {
  await living();
  spec = { etcd: { managed: { quotaBackendBytes: 100 * 2 ** 20 } } };
  for (const ordinal of [0, 1, 2]) etcd.sizes.set(ordinal, { sizeMb: 100, inUseMb: 20 });
  etcd.alarms = [{ memberId: etcd.places.get(1)!.id, alarm: 'NOSPACE' }];
  expect((await reconcile()).state.reason).toBe('OutOfSpace');
  for (let round = 0; round < 3; round += 1) await reconcile();
  expect(etcd.calls).toEqual(['defragment @1', 'defragment @2', 'defragment @0', 'disarm @0']);
  expect((await reconcile()).state.reason).toBe('Answering');
});

test('it says whether a quorum is missing or everything', async () => {
  await living();
  etcd.running.delete(1);
  expect((await reconcile()).state).toMatchObject({ reason: 'Answering', ready: 2, members: 3 });
  etcd.running.delete(2);
  expect((await reconcile()).state.reason).toBe('NoQuorum');
  etcd.running.delete(0);
  expect((await reconcile()).state.reason).toBe('NotAnswering');
  expect(members().isInitialized).toBe(true);
});

test('a new life begins when it was stopped on purpose and no pod is left, once', async () => {
  await living();
  const { token } = members();
  annotate({ [etcdAnnotation]: 'stopped' });
  const pod = {
    metadata: { name: 'kafscale-etcd-0', namespace, labels: { ...statefulSet().metadata!.labels } },
  };
  api.create('Pod', pod);
  await reconcile();
  expect(statefulSet().spec.replicas).toBe(0);
  await reconcile();
  expect(members()).toMatchObject({ life: 1, isInitialized: true });
  api.delete('Pod', 'kafscale-etcd-0', namespace);
  spec = { etcd: { managed: { restoreFrom: 'etcd-snapshots/x/snapshot.json' } } };
  for (let round = 0; round < 3; round += 1) await reconcile();
  expect(members()).toMatchObject({ life: 2, isInitialized: false, restoreFrom: 'etcd-snapshots/x/snapshot.json' });
  expect(members().token).not.toBe(token);
  etcd.running.clear();
  annotate({});
  expect((await reconcile()).state).toMatchObject({ reason: 'Starting', isRestoring: true });
  expect(statefulSet().spec.replicas).toBe(3);
  etcd.run(3);
  await reconcile();
  expect(members().restoreFrom).toBeUndefined();
});

test('where what members were told is lost and members are not, nobody begins anew', async () => {
  await living();
  etcd.running.clear();
  api.delete('ConfigMap', 'kafscale-etcd-members', namespace);
  startOperator();
  await reconcile();
  expect(members().isInitialized).toBe(true);
});

test('a pod that runs without a place is made anew, not before it had time', async () => {
  await living();
  etcd.places.delete(2);
  const status = {
    startTime: new Date(clock.wallMs()).toISOString(),
    initContainerStatuses: [{ state: { terminated: { exitCode: 0 } } }],
  };
  const labels = { ...statefulSet().metadata!.labels };
  api.create('Pod', { metadata: { name: 'kafscale-etcd-2', namespace, labels }, status });
  await reconcile();
  expect(api.list('Pod', namespace)).toHaveLength(1);
  await clock.advanceAsync(61_000);
  await reconcile();
  expect(api.list('Pod', namespace)).toHaveLength(0);
});

test('an etcd of somebody else gets no objects', async () => {
  spec = { etcd: { endpoints: ['http://etcd:2379'] } };
  expect((await reconcile()).state).toMatchObject({ isManaged: false, reason: 'Unknown' });
  expect(client.writes).toEqual([]);
});
