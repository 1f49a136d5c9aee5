import { metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import type { Transaction } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { Ownership, type AcquiredPartition } from './ownership.ts';

const topicId = Buffer.alloc(16, 7).toString('base64url');
const recordKey = (partition: number) => metadataKeys.partition(topicId, partition);

async function setUp({ partitionCount = 2 } = {}) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 };
  const put = (key: string, value: Uint8Array) =>
    store.transact({ compare: [], success: [{ type: 'put', key, value }] });
  await put(metadataKeys.topic('orders'), Buffer.alloc(1));
  let topics = [{ name: 'orders', topicId, partitionCount } as TopicImage];

  const broker = async (incarnation: string, brokerId = 1) => {
    const session = await Session.open(incarnation, { store, clock, settings });
    const opened: { readonly acquired: readonly AcquiredPartition[]; readonly revision: number }[] = [];
    const failures: Error[] = [];
    const gone: string[] = [];
    const listeners: (() => void)[] = [];
    const ownership = new Ownership({
      store,
      lane: session.lane('data'),
      topics: () => topics,
      image: {
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
      onAcquired: async (acquired, revision) => {
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        opened.push({ acquired, revision });
      },
      onTopicGone: (topic) => gone.push(topic),
    });
    const changed = () => listeners.forEach((listener) => listener());
    return { session, ownership, opened, failures, gone, changed };
  };

  const record = async (partition = 0) => {
    const [item] = (await store.range({ key: recordKey(partition) })).items;
    return item && metadata.PartitionRecord.decode(item.value);
  };
  return { clock, store, put, broker, record, setTopics: (next: TopicImage[]) => (topics = next) };
}

const partitionsOf = (opened: readonly { readonly acquired: readonly AcquiredPartition[] }[]) =>
  opened.flatMap(({ acquired }) => acquired.map(({ partition, record }) => [partition, record.leaderEpoch]));

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

  it('gives way to another taker and looks again', async () => {
    const { broker, store, clock, record } = await setUp({ partitionCount: 1 });
    const [first, second] = [await broker('a'), await broker('b')];
    const transact = store.transact.bind(store);
    store.transact = async (transaction: Transaction) => {
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
    const range = store.range.bind(store);
    store.range = (_, signal) => {
      store.range = range;
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
    const { broker, put, record, clock } = await setUp();
    await put(metadataKeys.tombstone(topicId), Buffer.alloc(1));
    const { ownership, opened } = await broker('a');
    void ownership.start();
    await clock.advanceAsync(10_000);
    ownership.close();
    expect(opened).toEqual([]);
    expect(await record()).toBeUndefined();
  });

  it('says when a topic of which it owns something is gone', async () => {
    const { broker, setTopics } = await setUp();
    const { ownership, gone, changed } = await broker('a');
    await ownership.start();
    setTopics([]);
    changed();
    await settled();
    expect(gone).toEqual([topicId]);
    expect(ownership.owns(topicId, 0)).toBe(false);
  });

  it('stops when its session is over', async () => {
    const { broker, store, clock, setTopics } = await setUp({ partitionCount: 1 });
    const { ownership, opened, session, changed } = await broker('a');
    await ownership.start();
    await store.revokeLease(session.leaseId);
    setTopics([{ name: 'orders', topicId, partitionCount: 2 } as TopicImage]);
    changed();
    await clock.advanceAsync(10_000);
    expect(partitionsOf(opened)).toEqual([[0, 0]]);
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
});
