import {
  deleteRecords,
  ErrorCode,
  fetch,
  listOffsets,
  metadata,
  metadataApi,
  metadataKeys,
  splitBatches,
  zeroUuid,
} from '@kafscale/protocol';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { eventually, type RawClient } from '@kafscale/testkit';
import { batch, bytesOf, createTopic, fetchFrom, fetchRequest, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { ReplicaObjectStore } from './storage/replica-object-store.ts';
import { StorageError } from './storage/storage-error.ts';

const topic = 'orders';

/** The bucket's replica in another region: an object is there once `catchUp` has brought it. */
class Replica {
  readonly objects = new MemoryObjectStore({ clock: systemClock });
  /** Reads that it did not answer, by reason. */
  readonly fallbacks = new Map<string, number>();
  primaryReads = 0;
  readonly #primary: ObjectStore;

  constructor(primary: ObjectStore) {
    this.#primary = primary;
    this.objects.close = () => Promise.resolve();
  }

  async catchUp(): Promise<void> {
    const there = new Set<string>();
    for await (const { key } of this.objects.list('')) there.add(key);
    for await (const { key } of this.#primary.list('')) {
      if (!there.has(key)) await this.objects.create(key, [await this.#primary.read(key)]);
    }
  }

  /** The store of a broker that reads through the replica. */
  store(): ObjectStore {
    const bucket = this.#primary;
    const primary: ObjectStore = {
      capabilities: bucket.capabilities,
      create: (...call) => bucket.create(...call),
      read: (...call) => {
        this.primaryReads += 1;
        return bucket.read(...call);
      },
      list: (...call) => bucket.list(...call),
      delete: (...call) => bucket.delete(...call),
      close: () => Promise.resolve(),
    };
    return new ReplicaObjectStore({
      primary,
      replica: this.objects,
      clock: systemClock,
      random: cryptoRandom,
      backoff: { baseMs: 20, maxMs: 100 },
      onFallback: (reason) => this.fallbacks.set(reason, (this.fallbacks.get(reason) ?? 0) + 1),
    });
  }
}

let cluster: ClusterFixture;
let replica: Replica;
beforeEach(() => {
  cluster = new ClusterFixture();
  replica = new Replica(cluster.objects);
});
afterEach(() => cluster.closeAll());

const offsetsFrom = async (client: RawClient, from = 0) =>
  splitBatches(await readAll(client, topic, 0, from)).batches.map(({ baseOffset }) => baseOffset);

const allFolded = (topicId: string, upTo: bigint) =>
  eventually('everything is folded', async () => {
    const { items } = await cluster.store.range({ key: metadataKeys.partition(topicId, 0) });
    return metadata.PartitionRecord.decode(items[0]!.value).foldedOffset === upTo;
  });

interface Settings {
  readonly leaders?: number;
  readonly leading?: Readonly<Record<string, unknown>>;
  readonly reading?: Readonly<Record<string, unknown>>;
}

/** A leader (and others), and a broker in rack b that only reads. */
async function setUp({ leaders = 1, leading = {}, reading = {} }: Settings = {}) {
  for (let count = 0; count < leaders; count += 1) await cluster.add({ rack: 'a', ...leading });
  const leader = cluster.brokers[0]!;
  const reader = await cluster.add({ role: 'read', rack: 'b', ...reading }, undefined, replica.store());
  const atLeader = await cluster.connect(leader);
  const topicId = await createTopic(atLeader, topic);
  await eventually('the partition has a leader', async () => (await cluster.leaderOf(topic, 0, reader)) >= 0);
  const produceTimes = async (count: number) => {
    for (let index = 0; index < count; index += 1) {
      const owner = cluster.broker(await cluster.leaderOf(topic, 0, leader));
      const answer = await produceTo(await cluster.connect(owner), topic, 0, batch(['x'.repeat(100)]));
      expect(answer.errorCode).toBe(ErrorCode.NONE);
    }
  };
  return { leader, reader, atLeader, atReader: await cluster.connect(reader), topicId, produceTimes };
}

const fetchByRack = async (client: RawClient, rackId: string, offset: number, maxWaitMs = 0) => {
  const request = { ...fetchRequest(topic, 0, { offset, maxWaitMs, minBytes: 1 }), rackId };
  const { responses } = await client.request(fetch, 12, request);
  return responses[0]!.partitions[0]!;
};

describe('a broker that only reads', () => {
  it('gives what leaders committed, from the bucket as long as the replica lags', async () => {
    const { atReader, produceTimes } = await setUp();
    await produceTimes(3);
    expect(await offsetsFrom(atReader)).toEqual([0, 1, 2]);
    expect(replica.fallbacks.get('not-found')).toBeGreaterThan(0);

    await produceTimes(2);
    await replica.catchUp();
    replica.primaryReads = 0;
    const [there, fallbacks] = [replica.fallbacks.get('not-found'), replica.fallbacks.size];
    await eventually('it knows the newest records', async () => {
      return (await fetchFrom(atReader, topic, 0, { offset: 0 })).highWatermark === 5;
    });
    expect(await offsetsFrom(atReader, 3)).toEqual([3, 4]);
    expect([replica.primaryReads, replica.fallbacks.get('not-found'), replica.fallbacks.size]).toEqual([
      0,
      there,
      fallbacks,
    ]);
  });

  it('reads from the bucket when the replica is dead', async () => {
    replica.objects.read = () => Promise.reject(new StorageError('unavailable', 'the region is gone'));
    const { atReader, produceTimes } = await setUp();
    await produceTimes(3);
    expect(await offsetsFrom(atReader)).toEqual([0, 1, 2]);
    expect(replica.fallbacks.get('unavailable')).toBeGreaterThan(0);
  });

  it('wakes who waits for records that a leader commits', async () => {
    const { atReader, produceTimes } = await setUp();
    await produceTimes(1);
    expect(await offsetsFrom(atReader)).toEqual([0]);
    const waiting = fetchFrom(atReader, topic, 0, { offset: 1, minBytes: 1, maxWaitMs: 60_000 });
    await produceTimes(1);
    expect(splitBatches(bytesOf(await waiting)).batches[0]).toMatchObject({ baseOffset: 1 });
  });

  it('goes on through a change of leaders, in the epoch of the new one', async () => {
    const { leader, reader, atReader, produceTimes } = await setUp({ leaders: 2 });
    await produceTimes(2);
    expect(await offsetsFrom(atReader)).toEqual([0, 1]);
    const first = cluster.broker(await cluster.leaderOf(topic, 0, reader));
    const stays = cluster.others(first).find((other) => other !== reader)!;
    await first.running.close();
    cluster.brokers.splice(cluster.brokers.indexOf(first), 1);
    await cluster.moved(topic, 0, first.id, stays);
    const client = await cluster.connect(stays);
    expect(leader).toBeDefined();
    expect((await produceTo(client, topic, 0, batch(['y']))).errorCode).toBe(ErrorCode.NONE);
    await eventually('it follows the new leader', async () => {
      const { errorCode, highWatermark } = await fetchFrom(atReader, topic, 0, { offset: 0, currentLeaderEpoch: 1 });
      return errorCode === ErrorCode.NONE && highWatermark === 3;
    });
    const { batches } = splitBatches(await readAll(atReader, topic, 0));
    expect(batches.map(({ partitionLeaderEpoch }) => partitionLeaderEpoch)).toEqual([0, 0, 1]);
    const old = await fetchFrom(atReader, topic, 0, { offset: 0, currentLeaderEpoch: 0 });
    expect(old.errorCode).toBe(ErrorCode.FENCED_LEADER_EPOCH);
  });

  it('gives every record once and in order while leaders fold, and one of them stops', async () => {
    const { reader, atReader, produceTimes } = await setUp({
      leaders: 2,
      leading: { foldAfterMs: 100, segmentBytes: 64 * 1_024 },
    });
    const count = 60;
    const produceAll = async () => {
      await produceTimes(count / 2);
      const first = cluster.broker(await cluster.leaderOf(topic, 0, reader));
      await first.running.close();
      cluster.brokers.splice(cluster.brokers.indexOf(first), 1);
      const [next] = cluster.others(reader);
      await cluster.moved(topic, 0, first.id, next!);
      const client = await cluster.connect(next!);
      for (let index = count / 2; index < count; index += 1) {
        expect((await produceTo(client, topic, 0, batch(['x']))).errorCode).toBe(ErrorCode.NONE);
      }
    };
    const read: number[] = [];
    let highWatermark = 0;
    const retried: readonly ErrorCode[] = [ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.OFFSET_NOT_AVAILABLE];
    const readAllOfThem = async () => {
      while (read.length < count) {
        const fetched = await fetchFrom(atReader, topic, 0, { offset: read.length, minBytes: 1, maxWaitMs: 1_000 });
        if (retried.includes(fetched.errorCode)) continue;
        expect(fetched.errorCode).toBe(ErrorCode.NONE);
        expect(fetched.highWatermark).toBeGreaterThanOrEqual(highWatermark);
        highWatermark = fetched.highWatermark;
        for (const { baseOffset } of splitBatches(bytesOf(fetched)).batches) read.push(baseOffset);
      }
    };
    await Promise.all([produceAll(), readAllOfThem()]);
    expect(read).toEqual(Array.from({ length: count }, (_, offset) => offset));
  });

  it('finds records that were folded away behind its back', async () => {
    const folding = { foldAfterMs: 100, segmentBytes: 64 * 1_024 };
    const { reader, atReader, produceTimes, topicId } = await setUp({ leading: folding });
    await produceTimes(5);
    expect((await fetchFrom(atReader, topic, 0, { offset: 5 })).highWatermark).toBe(5);
    reader.deafen();
    await allFolded(topicId, 5n);
    for await (const { key } of cluster.objects.list('')) {
      if (key.includes('/flush/')) await cluster.objects.delete([key]);
    }
    expect(await offsetsFrom(atReader)).toEqual([0, 1, 2, 3, 4]);
  });

  it('sends everybody to the leader with what only that can answer', async () => {
    const { leader, atReader, produceTimes } = await setUp();
    await produceTimes(1);
    const produced = await produceTo(atReader, topic, 0, batch(['z']), 10);
    expect(produced).toMatchObject({
      errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER,
      currentLeader: { leaderId: leader.id },
    });
    const { topics } = await atReader.request(listOffsets, 6, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1n }] }],
      timeoutMs: 1_000,
    } as never);
    expect(topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    // An offset that it does not know may be true all the same, so nobody's position is reset for it.
    const ahead = await fetchFrom(atReader, topic, 0, { offset: 7 });
    expect(ahead.errorCode).toBe(ErrorCode.OFFSET_NOT_AVAILABLE);
  });

  it('serves what it knows while it is cut off from the metadata, and guesses nothing', async () => {
    const { reader, atReader, atLeader, produceTimes } = await setUp({ reading: { sessionTtlMs: 60_000 } });
    await createTopic(atLeader, 'others');
    await eventually('all partitions have leaders', async () => (await cluster.leaderOf('others', 0, reader)) >= 0);
    await produceTimes(2);
    expect(await offsetsFrom(atReader)).toEqual([0, 1]);
    reader.deafen();
    reader.cutOff();
    await produceTimes(2);
    expect(await offsetsFrom(atReader)).toEqual([0, 1]);
    expect((await fetchFrom(atReader, topic, 0, { offset: 3 })).errorCode).toBe(ErrorCode.OFFSET_NOT_AVAILABLE);
    const unknown = await fetchFrom(atReader, 'others', 0, { offset: 0 });
    expect(unknown.errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  });
});

describe('a leader', () => {
  const replicasTold = async (told: ClusterBroker) => {
    const { topics } = await (
      await cluster.connect(told)
    ).request(metadataApi, 12, {
      topics: [{ name: topic, topicId: zeroUuid }],
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    return topics[0]!.partitions[0]!;
  };

  it('sends consumers to a broker of their rack that only reads, and serves them when they come back', async () => {
    const { leader, reader, atLeader, atReader, produceTimes } = await setUp();
    await produceTimes(2);
    expect((await replicasTold(leader)).replicaNodes).toEqual([leader.id, reader.id]);
    for (const rackId of ['', 'a', 'c']) {
      expect(await fetchByRack(atLeader, rackId, 0)).toMatchObject({ preferredReadReplica: -1, highWatermark: 2 });
    }
    // At once, though the fetch could wait.
    const sentAway = await fetchByRack(atLeader, 'b', 2, 60_000);
    expect(sentAway).toMatchObject({ errorCode: ErrorCode.NONE, preferredReadReplica: reader.id, highWatermark: 2 });
    expect(bytesOf(sentAway)).toHaveLength(0);
    const there = await fetchByRack(atReader, 'b', 0);
    expect(there).toMatchObject({ errorCode: ErrorCode.NONE, preferredReadReplica: -1 });
    expect(bytesOf(there).length).toBeGreaterThan(0);
    const back = await fetchByRack(atLeader, 'b', 0);
    expect([back.preferredReadReplica, bytesOf(back).length > 0]).toEqual([-1, true]);
    const another = await cluster.connect(leader);
    expect((await fetchByRack(another, 'b', 3)).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
  });

  it('sends nobody to one that has stopped', async () => {
    const { leader, reader, atLeader, produceTimes } = await setUp();
    await produceTimes(1);
    await reader.running.close();
    cluster.brokers.splice(cluster.brokers.indexOf(reader), 1);
    await eventually('the leader knows', async () => (await replicasTold(leader)).replicaNodes.length === 1);
    expect(await fetchByRack(atLeader, 'b', 0)).toMatchObject({ preferredReadReplica: -1, highWatermark: 1 });
  });

  it('is followed through folds and a log start that moves', async () => {
    const folding = { foldAfterMs: 100, segmentBytes: 64 * 1_024 };
    const { atLeader, atReader, produceTimes, topicId } = await setUp({ leading: folding, reading: { cacheBytes: 0 } });
    await produceTimes(5);
    expect(await offsetsFrom(atReader)).toEqual([0, 1, 2, 3, 4]);
    await allFolded(topicId, 5n);
    // Flush objects are of no use to anybody by now.
    for await (const { key } of cluster.objects.list(''))
      if (key.includes('/flush/')) await cluster.objects.delete([key]);
    expect(await offsetsFrom(atReader)).toEqual([0, 1, 2, 3, 4]);

    await produceTimes(1);
    await atLeader.request(deleteRecords, 2, {
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: 3 }] }],
      timeoutMs: 10_000,
    });
    await eventually('the log start moves', async () => {
      return (await fetchFrom(atReader, topic, 0, { offset: 6 })).logStartOffset === 3;
    });
    expect(await offsetsFrom(atReader, 3)).toEqual([3, 4, 5]);
    const below = await fetchFrom(atReader, topic, 0, { offset: 0 });
    expect(below.errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    const atOwner = await fetchFrom(atLeader, topic, 0, { offset: 0 });
    expect(atOwner.errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
  });
});
