/** The operator looking after a real etcd, whose pods are processes: it is filled until it refuses writes and gets well, and loses a volume. */
import { jest } from '@jest/globals';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeKubeApi } from '@kafscale/testkit';
import { MemberProcesses } from '../../etcd/member-fixture.ts';
import { MemorySnapshotStore } from '../../etcd/memory-store-fixture.ts';
import { Children, type KubeObject, type WatchedKind } from '../../kube/index.ts';
import { StoreClient } from '../../kube/store-client-fixture.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { planOf } from '../../resources/plan-fixture.ts';
import { clusterResource, topicResource } from '../resource-kinds.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { ManagedEtcd } from './managed-etcd.ts';

jest.setTimeout(300_000);

const namespace = 'shop';
const quotaBytes = 16 * 2 ** 20;
const minute = 60_000;

let api: FakeKubeApi;
let world: WatchedWorld;
let etcd: MemberProcesses;
let reconciler: ManagedEtcd;

beforeEach(async () => {
  api = await FakeKubeApi.start({ kinds: [clusterResource, topicResource] });
  const client = new StoreClient(api);
  const common = { client, clock: systemClock, logger: silentLogger };
  world = watchWorld({ ...common, random: seededRandom(1) });
  api.create('KafScaleCluster', { metadata: { name: 'kafscale', namespace }, spec: {} });
  for (const watched of world.all) watched.start();
  await Promise.all(world.all.map((watched) => watched.whenSynced()));
  etcd = await MemberProcesses.create(new MemorySnapshotStore());
  etcd.plan = { ...etcd.plan, quotaBackendBytes: quotaBytes };
  const caches = Object.values(world.children) as readonly WatchedKind<KubeObject>[];
  reconciler = new ManagedEtcd(
    {
      ...common,
      world,
      children: new Children({ client, caches, logger: silentLogger }),
      metrics: createOperatorMetrics(),
    },
    { connect: etcd.connect, addresses: () => etcd.addresses },
  );
  await etcd.startAll();
});

afterEach(async () => {
  await etcd.close();
  await Promise.all(world.all.map((watched) => watched.stop()));
  await api.stop();
});

async function reconcile() {
  const object = api.get('KafScaleCluster', 'kafscale', namespace) as never;
  const plan = planOf({ etcd: { managed: { quotaBackendBytes: quotaBytes } } });
  return reconciler.reconcile({ kind: clusterResource, object }, plan, {
    ...{ signal: new AbortController().signal, brokers: [] },
  });
}

const until = (reason: string, ready = 3) =>
  eventually(
    `${reason} with ${ready}`,
    async () => {
      const { state } = await reconcile();
      return state.reason === reason && state.ready === ready;
    },
    2 * minute,
    200,
  );

test('an etcd that is full gets well once its history is cut', async () => {
  await until('Answering');
  const value = 'x'.repeat(100_000);
  const fill = async () => {
    for (;;) await etcd.put('a', value);
  };
  await expect(fill()).rejects.toThrow('database space exceeded');
  // As brokers do.
  await etcd.etcdctl('compact', String(await etcd.client(0).revision()));
  await until('OutOfSpace');
  await until('Answering');
  for (const ordinal of [0, 1, 2]) expect((await etcd.client(ordinal).status()).sizeBytes).toBeLessThan(quotaBytes / 2);
  await etcd.put('a', 'again');
  expect(await etcd.get('a')).toBe('again');
});

test('a member whose volume is lost comes back, and votes', async () => {
  await until('Answering');
  await etcd.put('a', '1');
  etcd.plan = { ...etcd.plan, isInitialized: true };
  await etcd.lose(2);
  await until('Answering', 2);
  await etcd.start(2);
  await until('Answering', 3);
  await etcd.kill(0);
  expect(await etcd.get('a')).toBe('1');
});
