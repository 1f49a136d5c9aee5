import { metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { ImageChange } from '../metadata/metadata-image.ts';
import type { Transaction } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import type { AcquiredPartition, HeldPartition, OwnedTopic } from './owned-kind.ts';
import { Ownership } from './ownership.ts';
import { nextRecord } from './stored-ownership.ts';

const topicId = Buffer.alloc(16, 7).toString('base64url');
const recordKey = (partition: number) => metadataKeys.partition(topicId, partition);

const topicRecord = (deleting = false) =>
  metadata.TopicRecord.encode({
    topicId: Buffer.from(topicId, 'base64url'),
    partitionCount: 1,
    replicationFactor: 1,
    configs: new Map(),
    createdMs: 0n,
    deleting,
  }).finish();

/** Brokers that know each other's assignments and deaths when a test says so, and the truth from the store. */
async function setUp({ partitionCount = 2 } = {}) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 };
  const put = (key: string, value: Uint8Array) =>
    store.transact({ compare: [], success: [{ type: 'put', key, value }] });
  await put(metadataKeys.topic('orders'), topicRecord());
  let topics: OwnedTopic[] = [{ name: 'orders', topicId, partitionCount, modRevision: 1 }];
  let deleting: OwnedTopic[] = [];
  /** By partition; all that is not in here goes to whoever looks. */
  const assigned = new Map<number, string>();
  const brokerIds = new Map<string, number>();
  const events: string[] = [];

  const broker = async (incarnation: string, brokerId = 1) => {
    const session = await Session.open(incarnation, { store, clock, settings });
    const opened: { readonly acquired: readonly AcquiredPartition[]; readonly revision: number }[] = [];
    const givenUp: HeldPartition[] = [];
    const failures: Error[] = [];
    const listeners: ((change: ImageChange) => void)[] = [];
    const world = { barrier: () => Promise.resolve(), nextOffset: undefined as bigint | undefined };
    brokerIds.set(incarnation, brokerId);
    const ownership = new Ownership({
      store,
      lane: session.lane('data'),
      upkeepLane: session.lane('upkeep'),
      kind: {
        open: async (acquired, revision) => {
          for (const { partition, record } of acquired) {
            events.push(`${incarnation} opens ${partition} in ${record.leaderEpoch}`);
          }
          const failure = failures.shift();
          if (failure !== undefined) throw failure;
          opened.push({ acquired, revision });
        },
        giveUp: async (partitions) => {
          for (const { partition } of partitions) events.push(`${incarnation} closes ${partition}`);
          await world.barrier();
          givenUp.push(...partitions);
          return partitions.map(() => world.nextOffset);
        },
      },
      view: {
        topics: () => topics,
        topic: (id) => topics.find((topic) => topic.topicId === id),
        deletingTopics: () => deleting,
        partition: () => undefined,
        assigned: (_, partition) => assigned.get(partition) ?? incarnation,
        brokerOf: (other) => {
          const id = brokerIds.get(other);
          return id === undefined ? undefined : { brokerId: id };
        },
        onChange: (listener) => {
          listeners.push(listener);
          return () => listeners.splice(listeners.indexOf(listener), 1);
        },
      },
      clock,
      random: seededRandom(1),
      logger: silentLogger,
      incarnation,
      brokerId,
      callDeadlineMs: 1_000,
    });
    const changed = () => listeners.forEach((listener) => listener({ topicIds: undefined }));
    const live = { incarnation, session, ownership, opened, givenUp, failures, changed, world };
    return live;
  };

  const record = async (partition = 0) => {
    const [item] = (await store.range({ key: recordKey(partition) })).items;
    return item && metadata.PartitionRecord.decode(item.value);
  };
  return {
    ...{ clock, store, put, broker, record, assigned, brokerIds, events },
    setTopics: (next: OwnedTopic[], nextDeleting: OwnedTopic[] = []) => {
      topics = next;
      deleting = nextDeleting;
    },
  };
}

const orders = (partitionCount: number): OwnedTopic => ({ name: 'orders', topicId, partitionCount, modRevision: 1 });

const partitionsOf = (opened: readonly { readonly acquired: readonly AcquiredPartition[] }[]) =>
  opened.flatMap(({ acquired }) => acquired.map(({ partition, record }) => [partition, record.leaderEpoch]));

/** A promise that a test settles. */
function gate() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

describe('Ownership', () => {
  it('takes a partition without a record in epoch 0, as one that holds nothing yet', async () => {
    const { broker, record } = await setUp();
    const { ownership, opened } = await broker('a', 4);
    await ownership.start();
    expect(opened).toHaveLength(1);
    expect(opened[0]!.acquired).toMatchObject([
      { topicId, topicName: 'orders', partition: 0, isNew: true },
      { topicId, topicName: 'orders', partition: 1, isNew: true },
    ]);
    expect(await record()).toMatchObject({ owner: 'a', brokerId: 4, leaderEpoch: 0 });
    expect(ownership.owns(topicId, 1)).toBe(true);
  });

  it('takes what a dead owner left, in the next epoch and with everything else as it was', async () => {
    const { broker, record, put } = await setUp({ partitionCount: 1 });
    const left: metadata.PartitionRecord = {
      ...{ owner: 'dead', brokerId: 7, leaderEpoch: 5 },
      logStartOffset: 40n,
      foldedOffset: 30n,
      epochStarts: [{ leaderEpoch: 2, startOffset: 10n }],
      nextOffset: 20n,
      chunks: [],
      segments: [],
      producerSnapshot: undefined,
    };
    await put(recordKey(0), metadata.PartitionRecord.encode(left).finish());
    const { ownership, opened } = await broker('b', 4);
    await ownership.start();
    expect(await record()).toEqual({ ...left, owner: 'b', brokerId: 4, leaderEpoch: 6 });
    expect(opened[0]!.acquired).toMatchObject([{ isNew: false, record: { leaderEpoch: 6 } }]);
  });

  it('leaves a living owner alone, and takes over when it hears that the session has gone', async () => {
    const { broker, record, store } = await setUp();
    const [first, second] = [await broker('a'), await broker('b')];
    await first.ownership.start();
    await second.ownership.start();
    expect(second.opened).toEqual([]);
    await store.revokeLease(first.session.leaseId);
    second.changed();
    await settled();
    expect(partitionsOf(second.opened)).toEqual([
      [0, 1],
      [1, 1],
    ]);
    expect(await record(1)).toMatchObject({ owner: 'b' });
  });

  it('leaves a living owner alone that has the same broker id', async () => {
    const { broker, record } = await setUp();
    const [first, second] = [await broker('a', 4), await broker('b', 4)];
    await first.ownership.start();
    await second.ownership.start();
    expect(second.opened).toEqual([]);
    expect(await record()).toMatchObject({ owner: 'a', leaderEpoch: 0 });
  });

  it('opens what it took at a revision that is not before the takeover', async () => {
    const { broker, store } = await setUp();
    const { ownership, opened } = await broker('a');
    await ownership.start();
    const { items } = await store.range({ key: recordKey(1) });
    expect(opened[0]!.revision).toBeGreaterThanOrEqual(items[0]!.modRevision);
  });

  it('opens what it took also when it could not take the rest, and then not at an earlier revision', async () => {
    const { broker, put, store, clock } = await setUp();
    const chunks = [{ list: undefined, baseOffset: 0n, nextOffset: 0n, segmentCount: 1, length: 0n, maxTimestamp: 0n }];
    const list = { objectKey: 'k'.repeat(300_000), position: 0n, length: 1, crc32c: 1 };
    const large = nextRecord(undefined, { incarnation: 'dead', brokerId: 9 });
    const value = metadata.PartitionRecord.encode({ ...large, chunks: [{ ...chunks[0]!, list }] }).finish();
    for (const partition of [0, 1]) await put(recordKey(partition), value);
    const { ownership, opened } = await broker('a');
    let takeovers = 0;
    const transact = store.transact.bind(store);
    store.transact = async (transaction: Transaction) => {
      const isTakeover = transaction.success.some(({ type, key }) => type === 'put' && key.startsWith('partitions/'));
      if (isTakeover && (takeovers += 1) === 2) await put(recordKey(1), value);
      return transact(transaction);
    };
    await clock.runUntilSettled(ownership.start());
    expect(partitionsOf(opened)).toEqual([
      [0, 1],
      [1, 1],
    ]);
    const { items } = await store.range({ key: recordKey(0) });
    expect(opened[0]!.revision).toBeGreaterThanOrEqual(items[0]!.modRevision);
  });

  it('gives way to another taker and looks again', async () => {
    const { broker, store, clock, record } = await setUp({ partitionCount: 1 });
    const [first, second] = [await broker('a'), await broker('b')];
    const transact = store.transact.bind(store);
    store.transact = async (transaction: Transaction) => {
      if (transaction.compare.length === 0) return transact(transaction);
      store.transact = transact;
      await second.ownership.start();
      return transact(transaction);
    };
    const started = first.ownership.start();
    await clock.runUntilSettled(started);
    expect(first.opened).toEqual([]);
    expect(first.ownership.owns(topicId, 0)).toBe(false);
    expect(await record()).toMatchObject({ owner: 'b', leaderEpoch: 0 });
  });

  it('takes a partition again, in a newer epoch, when opening it failed', async () => {
    const { broker, clock } = await setUp({ partitionCount: 1 });
    const { ownership, opened, failures } = await broker('a');
    failures.push(new Error('the store does not answer'));
    await clock.runUntilSettled(ownership.start());
    expect(partitionsOf(opened)).toEqual([[0, 1]]);
    expect(opened[0]!.acquired[0]!.isNew).toBe(false);
  });

  it('tries again when a read is not answered', async () => {
    const { broker, clock, store } = await setUp({ partitionCount: 1 });
    const { ownership, opened } = await broker('a');
    const transact = store.transact.bind(store);
    store.transact = (_, signal) => {
      store.transact = transact;
      return new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      });
    };
    await clock.runUntilSettled(ownership.start());
    expect(partitionsOf(opened)).toEqual([[0, 0]]);
  });

  it('takes more partitions than one transaction holds', async () => {
    const { broker, record } = await setUp({ partitionCount: 95 });
    const { ownership, opened } = await broker('a');
    await ownership.start();
    expect(partitionsOf(opened)).toHaveLength(95);
    expect(await record(94)).toMatchObject({ owner: 'a' });
  });

  it('takes nothing of a topic that is being deleted', async () => {
    const { broker, put, record } = await setUp();
    await put(metadataKeys.topic('orders'), topicRecord(true));
    const { ownership, opened } = await broker('a');
    await ownership.start();
    expect(opened).toEqual([]);
    expect(await record()).toBeUndefined();
  });

  it('stops when its session is over', async () => {
    const { broker, store, clock, setTopics } = await setUp({ partitionCount: 1 });
    const { ownership, opened, session, changed } = await broker('a');
    await ownership.start();
    await store.revokeLease(session.leaseId);
    setTopics([orders(2)]);
    changed();
    await clock.advanceAsync(10_000);
    expect(partitionsOf(opened)).toEqual([[0, 0]]);
  });
});

describe('a hand-over', () => {
  it('goes to the heir behind the last write, in the next epoch and with the end of the log', async () => {
    const { broker, assigned, record, events } = await setUp();
    const [giver, heir] = [await broker('a', 1), await broker('b', 2)];
    await giver.ownership.start();
    assigned.set(0, 'b');
    await heir.ownership.start();
    const barrier = gate();
    giver.world.barrier = () => barrier.passed;
    giver.world.nextOffset = 120n;
    giver.changed();
    await settled();
    heir.changed();
    await settled();
    expect([giver.ownership.owns(topicId, 0), await record()]).toMatchObject([true, { owner: 'a', leaderEpoch: 0 }]);

    barrier.open();
    await settled();
    expect(await record()).toMatchObject({ owner: 'b', brokerId: 2, leaderEpoch: 1, nextOffset: 120n });
    expect(giver.ownership.owns(topicId, 0)).toBe(false);
    heir.changed();
    await settled();
    expect(partitionsOf(heir.opened)).toEqual([[0, 1]]);
    expect(heir.ownership.owns(topicId, 0)).toBe(true);
    expect(giver.ownership.owns(topicId, 1)).toBe(true);
    expect(events).toEqual(['a opens 0 in 0', 'a opens 1 in 0', 'a closes 0', 'b opens 0 in 1']);
  });

  it('comes back in an epoch of its own, and what was known before is opened anew', async () => {
    const { broker, assigned, events, record } = await setUp({ partitionCount: 1 });
    const [first, second] = [await broker('a'), await broker('b')];
    await first.ownership.start();
    assigned.set(0, 'b');
    first.changed();
    await settled();
    await second.ownership.start();
    assigned.set(0, 'a');
    second.changed();
    await settled();
    first.changed();
    await settled();
    expect(events).toEqual(['a opens 0 in 0', 'a closes 0', 'b opens 0 in 1', 'b closes 0', 'a opens 0 in 2']);
    expect(await record()).toMatchObject({ owner: 'a', leaderEpoch: 2 });
  });

  it('comes back even before the giver has learnt that it took place', async () => {
    const { broker, assigned, store, events } = await setUp({ partitionCount: 1 });
    const [first, second] = [await broker('a'), await broker('b')];
    await first.ownership.start();
    assigned.set(0, 'b');
    const answer = gate();
    const transact = store.transact.bind(store);
    store.transact = async (transaction: Transaction) => {
      store.transact = transact;
      const result = await transact(transaction);
      await answer.passed;
      return result;
    };
    first.changed();
    await settled();
    await second.ownership.start();
    assigned.set(0, 'a');
    second.changed();
    await settled();
    first.changed();
    await settled();
    expect(first.ownership.owns(topicId, 0)).toBe(true); // as far as it knows it is still giving it up
    answer.open();
    await settled();
    expect(events.slice(1)).toEqual(['a closes 0', 'b opens 0 in 1', 'b closes 0', 'a opens 0 in 2']);
  });

  it('does not take place when the heir has died: the owner serves again, in a newer epoch', async () => {
    const { broker, assigned, store, record, brokerIds, events } = await setUp({ partitionCount: 1 });
    const [giver, heir] = [await broker('a'), await broker('b')];
    await giver.ownership.start();
    assigned.set(0, 'b');
    await store.revokeLease(heir.session.leaseId);
    giver.world.barrier = () => {
      brokerIds.delete('b');
      return Promise.resolve();
    };
    giver.changed();
    await settled();
    expect(await record()).toMatchObject({ owner: 'a', leaderEpoch: 1 });
    expect(events).toEqual(['a opens 0 in 0', 'a closes 0', 'a opens 0 in 1']);
  });

  it('is not tried again and again while the heir only seems to live', async () => {
    const { broker, assigned, store, clock, events } = await setUp({ partitionCount: 1 });
    const [giver, heir] = [await broker('a'), await broker('b')];
    await giver.ownership.start();
    assigned.set(0, 'b');
    await store.revokeLease(heir.session.leaseId);
    giver.changed();
    await clock.advanceAsync(20_000);
    const attempts = events.filter((event) => event === 'a closes 0').length;
    expect(attempts).toBeGreaterThan(2);
    expect(attempts).toBeLessThan(30);
    expect(giver.ownership.owns(topicId, 0)).toBe(true);
  });

  it('shares one barrier between many partitions', async () => {
    const { broker, assigned, record } = await setUp({ partitionCount: 95 });
    const [giver, heir] = [await broker('a'), await broker('b')];
    await giver.ownership.start();
    for (let partition = 0; partition < 90; partition += 1) assigned.set(partition, 'b');
    let barriers = 0;
    giver.world.barrier = () => {
      barriers += 1;
      return Promise.resolve();
    };
    giver.changed();
    await settled();
    await heir.ownership.start();
    expect(barriers).toBe(1);
    expect([giver.ownership.count, heir.ownership.count]).toEqual([5, 90]);
    expect(await record(89)).toMatchObject({ owner: 'b' });
  });

  it('waits for a partition that is just being opened', async () => {
    const { broker, assigned, events } = await setUp({ partitionCount: 1 });
    const giver = await broker('a');
    const opening = gate();
    giver.failures.push(new Error('the store does not answer'));
    giver.world.barrier = () => opening.passed;
    void giver.ownership.start();
    await settled();
    assigned.set(0, 'b');
    await broker('b');
    giver.changed();
    await settled();
    expect(events).toEqual(['a opens 0 in 0', 'a closes 0']);
    expect(giver.ownership.count).toBe(1);
  });

  it('is tried again when it is refused service by its own side', async () => {
    const { broker, assigned, record, clock } = await setUp({ partitionCount: 1 });
    const giver = await broker('a');
    await broker('b');
    await giver.ownership.start();
    assigned.set(0, 'b');
    giver.world.barrier = () => {
      giver.world.barrier = () => Promise.resolve();
      return Promise.reject(new Error('broken'));
    };
    giver.changed();
    await clock.advanceAsync(1_000);
    expect(await record()).toMatchObject({ owner: 'b', leaderEpoch: 1 });
  });
});

describe('a topic that is being deleted', () => {
  it('is released by its owner, behind the last write', async () => {
    const { broker, setTopics, record } = await setUp();
    const owner = await broker('a');
    await owner.ownership.start();
    owner.world.nextOffset = 7n;
    setTopics([], [orders(2)]);
    owner.changed();
    await settled();
    expect(owner.givenUp.map(({ partition }) => partition)).toEqual([0, 1]);
    expect(await record(1)).toMatchObject({ owner: '', brokerId: -1, leaderEpoch: 0, nextOffset: 7n });
    expect(owner.ownership.count).toBe(0);
  });

  it('is released also by an heir that never served it', async () => {
    const { broker, setTopics, record, put } = await setUp({ partitionCount: 1 });
    const giver = await broker('b');
    await giver.ownership.start();
    await put(recordKey(0), metadata.PartitionRecord.encode({ ...(await record())!, owner: 'a' }).finish());
    await put(metadataKeys.topic('orders'), topicRecord(true));
    setTopics([], [orders(1)]);
    const heir = await broker('a');
    await heir.ownership.start();
    await heir.ownership.currentOwner(topicId, 0);
    expect(await record()).toMatchObject({ owner: 'a' }); // which nothing has told it yet
    setTopics([orders(1)]);
    await heir.ownership.currentOwner(topicId, 0);
    await settled();
    expect(await record()).toMatchObject({ owner: '', brokerId: -1 });
    expect([heir.opened, heir.ownership.count]).toEqual([[], 0]);
  });

  it('is forgotten once it is gone, and leaves no record behind', async () => {
    const { broker, setTopics, record, store } = await setUp({ partitionCount: 1 });
    const owner = await broker('a');
    await owner.ownership.start();
    await store.transact({ compare: [], success: [{ type: 'delete', key: recordKey(0) }] });
    setTopics([]);
    owner.changed();
    await settled();
    expect([owner.givenUp.length, owner.ownership.count, await record()]).toEqual([1, 0, undefined]);
  });
});

describe('who owns a partition now', () => {
  it('is read once for all who ask together', async () => {
    const { broker, store } = await setUp({ partitionCount: 3 });
    const [owner, other] = [await broker('a', 5), await broker('b')];
    await owner.ownership.start();
    let reads = 0;
    const transact = store.transact.bind(store);
    store.transact = (transaction: Transaction) => {
      reads += 1;
      return transact(transaction);
    };
    const asked = [0, 1, 2, 0, 1, 2].map((partition) => other.ownership.currentOwner(topicId, partition));
    expect(await Promise.all(asked)).toEqual(asked.map(() => ({ owner: 'a', brokerId: 5, leaderEpoch: 0 })));
    expect(reads).toBe(2); // the one that was first, and the others
    expect(await other.ownership.currentOwner('another topic', 0)).toBeUndefined();
  });

  it('turns out to be the one who asks, and then it is served', async () => {
    const { broker, assigned } = await setUp({ partitionCount: 1 });
    const [giver, heir] = [await broker('a'), await broker('b', 6)];
    await giver.ownership.start();
    await heir.ownership.start();
    assigned.set(0, 'b');
    giver.changed();
    await settled();
    expect(heir.opened).toEqual([]); // no watch has told it
    expect(await heir.ownership.currentOwner(topicId, 0)).toEqual({ owner: 'b', brokerId: 6, leaderEpoch: 1 });
    await settled();
    expect(partitionsOf(heir.opened)).toEqual([[0, 1]]);
  });

  it('is not known while the store does not answer', async () => {
    const { broker, store } = await setUp();
    const { ownership } = await broker('a');
    store.transact = () => Promise.reject(new Error('away'));
    await expect(ownership.currentOwner(topicId, 0)).rejects.toThrow('away');
  });
});

describe('a record that does not decode', () => {
  it('keeps its partition closed, and no other', async () => {
    const { broker, put, record } = await setUp({ partitionCount: 3 });
    await put(recordKey(1), Buffer.from([0xff]));
    const { ownership, opened } = await broker('a');
    await ownership.start();
    expect(partitionsOf(opened)).toEqual([
      [0, 0],
      [2, 0],
    ]);
    await expect(record(1)).rejects.toThrow();
  });
});

describe('a partition record', () => {
  it('is changed by one change after another', async () => {
    const { broker, record } = await setUp();
    const { ownership } = await broker('a');
    await ownership.start();
    const raise = () =>
      ownership.updateRecord(topicId, 0, (before) => ({ ...before, logStartOffset: before.logStartOffset + 1n }));
    await Promise.all([raise(), raise(), raise()]);
    expect(await record()).toMatchObject({ logStartOffset: 3n, owner: 'a' });
  });

  it('is not changed by who does not own it', async () => {
    const { broker } = await setUp();
    const { ownership } = await broker('a');
    await expect(ownership.updateRecord(topicId, 0, (before) => before)).rejects.toMatchObject({ kind: 'conflict' });
  });

  it('is not changed when somebody else wrote it', async () => {
    const { broker, put, record } = await setUp();
    const { ownership } = await broker('a');
    await ownership.start();
    const theirs = { ...(await record())!, owner: 'b', leaderEpoch: 1 };
    await put(recordKey(0), metadata.PartitionRecord.encode(theirs).finish());
    const change = ownership.updateRecord(topicId, 0, (before) => ({ ...before, logStartOffset: 9n }));
    await expect(change).rejects.toMatchObject({ kind: 'conflict' });
    expect(await record()).toEqual(theirs);
  });

  it('is not changed after the session', async () => {
    const { broker, store, record } = await setUp();
    const { ownership, session } = await broker('a');
    await ownership.start();
    await store.revokeLease(session.leaseId);
    const change = ownership.updateRecord(topicId, 0, (before) => ({ ...before, logStartOffset: 9n }));
    await expect(change).rejects.toMatchObject({ kind: 'fenced' });
    expect(await record()).toMatchObject({ logStartOffset: 0n });
  });

  it('is changed together with others, each for itself', async () => {
    const { broker, put, record, store } = await setUp({ partitionCount: 95 });
    const { ownership } = await broker('a');
    await ownership.start();
    await put(recordKey(3), metadata.PartitionRecord.encode({ ...(await record(3))!, owner: 'b' }).finish());
    let transactions = 0;
    const transact = store.transact.bind(store);
    store.transact = (transaction: Transaction) => {
      transactions += 1;
      return transact(transaction);
    };
    const change = (before: metadata.PartitionRecord) => ({ ...before, foldedOffset: 5n });
    const refused = () => {
      throw new RangeError('no');
    };
    const outcomes = await ownership.updateRecords([
      ...Array.from({ length: 95 }, (_, partition) => ({
        ...{ topicId, partition },
        change: partition === 90 ? refused : change,
      })),
      { topicId, partition: 95, change },
    ]);
    expect(outcomes.flatMap((error, index) => (error === undefined ? [] : [[index, error.message]]))).toEqual([
      [3, 'a compared key is not as it was read'],
      [90, 'no'],
      [95, `partition ${topicId}/95 is not owned`],
    ]);
    expect([await record(4), await record(94), await record(3)]).toMatchObject([
      { foldedOffset: 5n },
      { foldedOffset: 5n },
      { foldedOffset: 0n },
    ]);
    expect(transactions).toBeLessThan(50);
  });

  it('is changed before the hand-over or not at all', async () => {
    const { broker, assigned, record } = await setUp({ partitionCount: 1 });
    const giver = await broker('a');
    await broker('b');
    await giver.ownership.start();
    assigned.set(0, 'b');
    const barrier = gate();
    giver.world.barrier = () => barrier.passed;
    const move = (logStartOffset: bigint) =>
      giver.ownership.updateRecord(topicId, 0, (before) => ({ ...before, logStartOffset }));
    const before = move(1n);
    giver.changed();
    const after = move(2n);
    await expect(after).rejects.toMatchObject({ kind: 'conflict' });
    await before;
    barrier.open();
    await settled();
    expect(await record()).toMatchObject({ owner: 'b', leaderEpoch: 1, logStartOffset: 1n });
  });
});
