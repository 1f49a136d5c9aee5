import { silentLogger, type Clock } from '@kafscale/runtime';
import { settled } from '@kafscale/testkit';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { FaultyObjectStore } from '../storage/faulty-object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { writeIdentity, type IdentityMismatch } from './bucket-identity.ts';
import { listCheckpoints } from './checkpoint-reader.ts';
import { Keeper, type KeeperSettings } from './keeper.ts';
import { KeeperFixture, type Writer } from './keeper-fixture.ts';

const minuteMs = 60_000;
const settings: KeeperSettings = {
  checkpointIntervalMs: 5 * minuteMs,
  garbageCollection: 'on',
  garbageIntervalMs: 10 * minuteMs,
  garbageGraceMs: 60 * minuteMs,
  garbageReaderGraceMs: 5 * minuteMs,
  garbageDeletesPerSecond: 1_000,
};

type Wrap = (store: ObjectStore, clock: Clock) => ObjectStore;

async function world(changes: Partial<KeeperSettings> = {}, wrap: Wrap = (store) => store) {
  const fixture = await KeeperFixture.create();
  const controller = await fixture.writer();
  const state = { isController: true };
  const mismatches: IdentityMismatch[] = [];
  const metrics = createMetrics();
  const topics = new Map<string, { readonly topicId: string; readonly modRevision: number }>();
  const listeners = new Set<(change: { readonly topicIds: ReadonlySet<string> | undefined }) => void>();
  const image = {
    topicById: (topicId: string) => topics.get(topicId) as TopicImage | undefined,
    topics: () => [...topics.values()] as TopicImage[],
    onChange(listener: (change: { readonly topicIds: ReadonlySet<string> | undefined }) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const changeTopic = (topicId: string, modRevision: number | undefined) => {
    if (modRevision === undefined) topics.delete(topicId);
    else topics.set(topicId, { topicId, modRevision });
    for (const listener of listeners) listener({ topicIds: new Set([topicId]) });
  };
  const { clock, random, names, identity } = fixture;
  const keeper = Keeper.start({
    ...fixture.access,
    objectStore: wrap(fixture.objectStore, clock),
    random,
    names,
    identity,
    logger: silentLogger,
    metrics,
    incarnation: controller.incarnation,
    image,
    lane: controller.upkeep,
    isController: () => state.isController,
    onMismatch: (mismatch) => mismatches.push(mismatch),
    settings: { ...settings, ...changes },
  });
  const pass = async (ms: number): Promise<void> => {
    // What is under way between two timers takes several turns of the event loop.
    for (let passed = 0; passed < ms; passed += 1_000) {
      await clock.advanceAsync(1_000);
      for (let turn = 0; turn < 20; turn += 1) await settled();
    }
  };
  const checkpointCount = async () => (await listCheckpoints(fixture.access, names)).length;
  return { fixture, controller, keeper, state, mismatches, metrics, pass, checkpointCount, changeTopic };
}

async function garbageOf(fixture: KeeperFixture): Promise<string> {
  const dead: Writer = await fixture.writer();
  const key = await dead.orphan('flush', 0);
  await dead.die();
  return key;
}

describe('Keeper', () => {
  it('writes a checkpoint once it is the controller, and one in each interval', async () => {
    const { state, pass, checkpointCount, keeper } = await world();
    state.isController = false;
    await pass(10 * minuteMs);
    expect(await checkpointCount()).toBe(0);
    state.isController = true;
    await pass(2_000);
    expect(await checkpointCount()).toBe(1);
    await pass(5 * minuteMs);
    expect(await checkpointCount()).toBe(2);
    await keeper.close();
  });

  it('writes one soon after a topic was created, changed or deleted, and not for changes of partitions', async () => {
    const { pass, checkpointCount, changeTopic, keeper } = await world();
    await pass(2_000);
    let expected = 1;
    for (const modRevision of [7, 8, undefined]) {
      changeTopic('t', modRevision);
      changeTopic('t', modRevision);
      await pass(35_000);
      expected += 1;
      expect(await checkpointCount()).toBe(expected);
      changeTopic('t', modRevision);
      await pass(35_000);
      expect(await checkpointCount()).toBe(expected);
    }
    await keeper.close();
  });

  it('deletes garbage in its time, and counts it', async () => {
    const { fixture, pass, metrics, keeper } = await world();
    const key = await garbageOf(fixture);
    await pass(60 * minuteMs);
    expect(await fixture.objectKeys()).toEqual([key]);
    await pass(60 * minuteMs);
    expect(await fixture.objectKeys()).toEqual([]);
    const { text } = await metrics.scrape();
    expect(text).toContain('kafscale_gc_deleted_objects_total 1');
    expect(text).toContain('kafscale_gc_deleted_bytes_total 6');
    await keeper.close();
  });

  it.each(['off', 'dry-run'] as const)('deletes and marks nothing when it is %s', async (garbageCollection) => {
    const { fixture, pass, keeper } = await world({ garbageCollection });
    const key = await garbageOf(fixture);
    await pass(3 * 60 * minuteMs);
    expect(await fixture.objectKeys()).toEqual([key]);
    expect((await fixture.metadataStore.range({ key: 'garbage/', end: 'garbage0' })).items).toEqual([]);
    await keeper.close();
  });

  it('counts what fails, and tries again soon', async () => {
    let fails = true;
    const { pass, metrics, keeper, checkpointCount } = await world({}, (store, clock) => {
      return new FaultyObjectStore(store, {
        clock,
        plan: ({ operation }) => (fails && operation === 'create' ? 'fail-before' : 'ok'),
      });
    });
    await pass(2_000);
    expect((await metrics.scrape()).text).toContain('kafscale_checkpoint_failures_total 1');
    fails = false;
    await pass(35_000);
    expect(await checkpointCount()).toBe(1);
    await keeper.close();
  });

  it('says on every broker that the stores part, once it is sure', async () => {
    const { fixture, state, mismatches, pass, keeper } = await world();
    state.isController = false;
    await pass(2 * minuteMs);
    const other = { clusterId: fixture.identity.clusterId, generation: 1n };
    await writeIdentity(other, { ...fixture.access, names: fixture.names });
    await pass(minuteMs + 3_000);
    expect(mismatches).toEqual([]);
    await pass(15_000);
    expect(mismatches[0]?.message).toContain('thing of the past');
    await keeper.close();
  });

  it('forgets a mismatch that was none', async () => {
    const { fixture, mismatches, pass, keeper } = await world();
    await pass(30_000);
    const { names, identity, objectStore } = fixture;
    const key = names.identity(identity);
    const body = await objectStore.read(key);
    await objectStore.delete([key]);
    await pass(35_000);
    await objectStore.create(key, [body]);
    await pass(5 * minuteMs);
    expect(mismatches).toEqual([]);
    await keeper.close();
  });

  it('does nothing more once it is closed', async () => {
    const { fixture, keeper, pass, checkpointCount } = await world();
    await keeper.close();
    await pass(20 * minuteMs);
    expect(await checkpointCount()).toBe(0);
    expect(fixture.clock.pendingTimers).toBeGreaterThan(0); // those of the session alone
  });
});
