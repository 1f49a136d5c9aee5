import { ErrorCode, fetch, zeroUuid, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import type { PartitionLog } from '../log/partition-log.ts';
import { makeBatch } from '../log/read/log-fixture.ts';
import { fetchHandler } from './fetch.ts';
import { ReadingServices } from './reading-fixture.ts';

type FetchRequest = RequestOf<typeof fetch>;
type FetchResponse = ResponseOf<typeof fetch>;
type WantedPartition = FetchRequest['topics'][number]['partitions'][number];

const ordersId = 'b3JkZXJzLWlkLTAwMDAwMQ';
const unknownId = 'bm9ib2R5LWlkLTAwMDAwMQ';
const batchBytes = 161;

const wanted = (more: Partial<WantedPartition> = {}): WantedPartition => ({
  partition: 0,
  currentLeaderEpoch: -1,
  fetchOffset: 0,
  lastFetchedEpoch: -1,
  logStartOffset: -1,
  partitionMaxBytes: 1_000_000,
  replicaDirectoryId: zeroUuid,
  highWatermark: Number.MAX_SAFE_INTEGER,
  ...more,
});

const request = (partitions: readonly WantedPartition[], more: Partial<FetchRequest> = {}): FetchRequest => ({
  clusterId: null,
  replicaId: -1,
  replicaState: { replicaId: -1, replicaEpoch: -1n },
  maxWaitMs: 500,
  minBytes: 1,
  maxBytes: 0x7fffffff,
  isolationLevel: 0,
  sessionId: 0,
  sessionEpoch: -1,
  topics: [{ topic: 'orders', topicId: ordersId, partitions }],
  forgottenTopicsData: [],
  rackId: '',
  ...more,
});

function setUp({ openPartitions = 3, leaderEpoch = 0, hotTailBytes = 1 << 20 } = {}) {
  const clock = new FakeClock();
  const broker = new ReadingServices(clock, { hotTailBytes, blockBytes: 256 });
  const logs = broker.addTopic('orders', ordersId, { partitionCount: 3, openPartitions, leaderEpoch });
  const commit = (log: PartitionLog, count = 1) =>
    broker.reading.commit([
      { log, batches: Array.from({ length: count }, (_, index) => makeBatch(log.highWatermark + index * 10, 10, 100)) },
    ]);
  const handle = async (asked: FetchRequest, apiVersion = 16, signal?: AbortSignal): Promise<FetchResponse> => {
    const { context, release } = broker.call(apiVersion, signal);
    try {
      const response = (await fetchHandler.handle(asked, context, broker.services)) as FetchResponse;
      // What a client would see: the bytes are taken before the memory is given back.
      return fetch.response.decode(fetch.response.encode(response, apiVersion), apiVersion);
    } finally {
      release();
    }
  };
  const held = () => {
    broker.reading.hotTail.clear();
    broker.reading.cache.clear();
    return broker.reading.hotSlabs + broker.reading.pool.bytesInUse;
  };
  return { clock, broker, logs, commit, handle, held };
}

const partitionsOf = (response: FetchResponse) => response.responses.flatMap(({ partitions }) => partitions);
const bytesOf = (partition: FetchResponse['responses'][number]['partitions'][number]) =>
  Buffer.concat(partition.records ?? []);

describe('a fetch', () => {
  it('gives the stored batches and the offsets of the partition', async () => {
    const { logs, commit, handle, held } = setUp();
    await commit(logs[0]!, 3);
    const response = await handle(request([wanted({ fetchOffset: 10 })]));
    expect(response).toMatchObject({
      errorCode: 0,
      sessionId: 0,
      responses: [
        {
          topicId: ordersId,
          partitions: [
            {
              partitionIndex: 0,
              errorCode: 0,
              highWatermark: 30,
              lastStableOffset: 30,
              logStartOffset: 0,
              preferredReadReplica: -1,
              divergingEpoch: { epoch: -1, endOffset: -1 },
            },
          ],
        },
      ],
    });
    expect(bytesOf(partitionsOf(response)[0]!)).toEqual(
      Buffer.concat([makeBatch(10, 10, 100), makeBatch(20, 10, 100)]),
    );
    expect(held()).toBe(0);
  });

  it('counts the bytes of the records it gives', async () => {
    const { broker, logs, commit, handle } = setUp();
    await commit(logs[0]!, 3);
    await handle(request([wanted({ fetchOffset: 10 })]));
    const { text } = await broker.services.metrics.scrape();
    const bytes = makeBatch(10, 10, 100).length + makeBatch(20, 10, 100).length;
    expect(text).toContain(`kafscale_fetched_bytes_total ${bytes}\n`);
  });

  it.each([4, 7, 11, 12, 13, 15, 18])('is answered in version %i', async (apiVersion) => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!);
    const response = await handle(request([wanted()]), apiVersion);
    expect(bytesOf(partitionsOf(response)[0]!)).toEqual(makeBatch(0, 10, 100));
    const [topic] = response.responses;
    expect(topic).toMatchObject(apiVersion >= 13 ? { topicId: ordersId } : { topic: 'orders' });
  });

  it('names no aborted transactions to read_uncommitted and none to read_committed: null and an empty list', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!);
    const lists = [0, 1].map(
      async (isolationLevel) => partitionsOf(await handle(request([wanted()], { isolationLevel })))[0],
    );
    expect(await Promise.all(lists)).toMatchObject([
      { abortedTransactions: null, lastStableOffset: 10 },
      { abortedTransactions: [], lastStableOffset: 10 },
    ]);
  });

  it('holds the memory of its records until the answer is sent', async () => {
    const { broker, logs, commit } = setUp();
    await commit(logs[0]!);
    const { context, release } = broker.call(16);
    await fetchHandler.handle(request([wanted()]), context, broker.services);
    broker.reading.hotTail.clear();
    expect(broker.reading.hotSlabs).toBe(1);
    release();
    expect(broker.reading.hotSlabs).toBe(0);
  });

  it('reads from the store what is not in memory, partitions at the same time', async () => {
    const { logs, commit, handle, held } = setUp({ hotTailBytes: 0 });
    for (const log of logs) await commit(log, 2);
    const response = await handle(request([0, 1, 2].map((partition) => wanted({ partition }))));
    expect(partitionsOf(response).map((partition) => bytesOf(partition).length)).toEqual([322, 322, 322]);
    expect(held()).toBe(0);
  });

  it('takes the last word on a partition that is named twice', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!, 3);
    const response = await handle(request([wanted(), wanted({ partition: 1 }), wanted({ fetchOffset: 20 })]));
    expect(partitionsOf(response).map((partition) => [partition.partitionIndex, bytesOf(partition).length])).toEqual([
      [0, batchBytes],
      [1, 0],
    ]);
  });
});

describe('the size of an answer', () => {
  const sizes = async (more: Partial<FetchRequest>, partitionMaxBytes = 1_000_000) => {
    const { logs, commit, handle, held } = setUp();
    for (const log of logs) await commit(log, 4);
    const response = await handle(
      request(
        [0, 1, 2].map((partition) => wanted({ partition, partitionMaxBytes })),
        more,
      ),
    );
    expect(held()).toBe(0);
    return partitionsOf(response).map((partition) => bytesOf(partition).length / batchBytes);
  };

  it('is shared out in the order of the partitions', async () => {
    expect(await sizes({ maxBytes: 6 * batchBytes })).toEqual([4, 2, 0]);
  });

  it('is bounded for each partition', async () => {
    expect(await sizes({}, 2 * batchBytes + 160)).toEqual([2, 2, 2]);
  });

  it.each([0, -1, -(2 ** 31), 1])(
    'is one batch of the first partition that has one when %i bytes are asked for',
    async (maxBytes) => {
      expect(await sizes({ maxBytes })).toEqual([1, 0, 0]);
    },
  );

  it.each([0, -1, 1])('is one batch of the first partition when each may give %i bytes', async (partitionMaxBytes) => {
    expect(await sizes({}, partitionMaxBytes)).toEqual([1, 0, 0]);
  });

  it('is bounded by the configuration', async () => {
    const { broker, logs, commit, handle } = setUp();
    (broker.services.config as { fetchMaxBytes: number }).fetchMaxBytes = 3 * batchBytes;
    await commit(logs[0]!, 9);
    expect(bytesOf(partitionsOf(await handle(request([wanted()])))[0]!)).toHaveLength(3 * batchBytes);
  });

  it('is at least a batch of a later partition when the first has nothing', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[1]!, 2);
    const response = await handle(request([wanted(), wanted({ partition: 1 })], { maxBytes: 1 }));
    expect(partitionsOf(response).map((partition) => bytesOf(partition).length)).toEqual([0, batchBytes]);
  });
});

describe('a fetch at the high watermark', () => {
  it('is answered by the commit that it waits for', async () => {
    const { clock, logs, commit, handle } = setUp();
    const response = handle(request([wanted(), wanted({ partition: 1 })]));
    await settled();
    await commit(logs[1]!);
    expect(partitionsOf(await response).map((partition) => bytesOf(partition).length)).toEqual([0, batchBytes]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is answered empty after its longest wait', async () => {
    const { clock, handle } = setUp();
    const response = handle(request([wanted()]));
    await settled();
    expect(clock.nextTimerInMs).toBe(500);
    clock.advance(500);
    expect(partitionsOf(await response)).toMatchObject([{ errorCode: 0, highWatermark: 0, records: [] }]);
  });

  it('waits for as many bytes as it wants', async () => {
    const { clock, logs, commit, handle, held } = setUp();
    await commit(logs[0]!);
    const response = handle(request([wanted()], { minBytes: 3 * batchBytes }));
    await settled();
    await commit(logs[0]!);
    await settled();
    expect(clock.pendingTimers).toBe(1);
    await commit(logs[0]!);
    expect(bytesOf(partitionsOf(await response)[0]!)).toHaveLength(3 * batchBytes);
    expect(held()).toBe(0);
  });

  it.each([
    ['no wait is wanted', { maxWaitMs: 0 }],
    ['the wait is negative', { maxWaitMs: -1 }],
    ['no bytes are wanted', { minBytes: 0 }],
    ['fewer bytes are allowed than wanted', { minBytes: 1_000, maxBytes: 0 }],
  ])('is answered at once when %s', async (_what, more) => {
    const { clock, handle } = setUp();
    await handle(request([wanted()], more));
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not wait for more than the limits let through', async () => {
    const { clock, logs, commit, handle } = setUp();
    await commit(logs[0]!, 3);
    const more = { minBytes: 2 * batchBytes + 50, maxBytes: 2 * batchBytes + 50 };
    expect(bytesOf(partitionsOf(await handle(request([wanted()], more)))[0]!)).toHaveLength(2 * batchBytes);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends with NOT_LEADER_OR_FOLLOWER and the heir when the partition is given up', async () => {
    const { broker, logs, handle } = setUp();
    const response = handle(request([wanted()]), 16);
    await settled();
    broker.partitions.set(`${ordersId}/0`, { owner: 'seven', brokerId: 7, leaderEpoch: 4 });
    broker.closePartition(logs[0]!);
    expect(partitionsOf(await response)).toMatchObject([
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: 7, leaderEpoch: 4 } },
    ]);
  });

  it('ends with the topic when that is deleted', async () => {
    const { broker, logs, handle } = setUp();
    const response = handle(request([wanted()]));
    await settled();
    broker.removeTopic('orders');
    broker.closePartition(logs[0]!);
    expect(partitionsOf(await response)).toMatchObject([{ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }]);
  });

  it('lets go of everything when the connection is gone', async () => {
    const { clock, logs, commit, handle, held } = setUp();
    await commit(logs[0]!);
    const abort = new AbortController();
    const response = handle(request([wanted()], { minBytes: 10_000 }), 16, abort.signal);
    await settled();
    abort.abort();
    await response;
    expect(clock.pendingTimers).toBe(0);
    expect(held()).toBe(0);
  });
});

describe('an offset that the partition does not have', () => {
  it.each([
    ['above the high watermark', 11],
    ['far above it', Number.MAX_SAFE_INTEGER],
    ['below the log start', 4],
    ['negative', -1],
  ])('%s is OFFSET_OUT_OF_RANGE, once ownership is proved', async (_what, fetchOffset) => {
    const { broker, clock, logs, commit, handle } = setUp();
    await commit(logs[0]!);
    logs[0]!.advanceLogStart(5);
    const response = await handle(request([wanted({ fetchOffset })]));
    expect(partitionsOf(response)).toMatchObject([
      { errorCode: ErrorCode.OFFSET_OUT_OF_RANGE, highWatermark: -1, logStartOffset: -1, records: [] },
    ]);
    expect(broker.proofs).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.OFFSET_NOT_AVAILABLE])(
    'is answered with %i when ownership cannot be shown',
    async (proofError) => {
      const { broker, handle } = setUp();
      broker.proofError = proofError;
      expect(partitionsOf(await handle(request([wanted({ fetchOffset: 5 })])))).toMatchObject([
        { errorCode: proofError },
      ]);
    },
  );

  it('is not spoken of at all once the session is over by the own clock', async () => {
    const { broker, logs, commit, handle, held } = setUp();
    await commit(logs[0]!);
    broker.isSessionOver = true;
    for (const fetchOffset of [0, 5]) {
      expect(partitionsOf(await handle(request([wanted({ fetchOffset })])))).toMatchObject([
        { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, records: [] },
      ]);
    }
    expect([broker.proofs, held()]).toEqual([0, 0]);
  });

  it('is read when it came into being during the proof', async () => {
    const { broker, logs, commit, handle } = setUp();
    const { ownershipProof } = broker.services;
    ownershipProof.confirm = () => commit(logs[0]!);
    expect(bytesOf(partitionsOf(await handle(request([wanted({ fetchOffset: 5 })])))[0]!)).toHaveLength(batchBytes);
  });

  it('leaves other partitions as they are', async () => {
    const { logs, commit, handle, held } = setUp();
    await commit(logs[1]!);
    const response = await handle(request([wanted({ fetchOffset: 5 }), wanted({ partition: 1 })], { maxBytes: 1 }));
    expect(partitionsOf(response)).toMatchObject([{ errorCode: ErrorCode.OFFSET_OUT_OF_RANGE }, { errorCode: 0 }]);
    expect(bytesOf(partitionsOf(response)[1]!)).toHaveLength(batchBytes);
    expect(held()).toBe(0);
  });
});

describe('partitions that are not served here', () => {
  it('are unknown by name', async () => {
    const { handle } = setUp();
    const topics = [
      { topic: 'orders', topicId: zeroUuid, partitions: [wanted({ partition: 3 }), wanted({ partition: -1 })] },
      { topic: '__proto__', topicId: zeroUuid, partitions: [wanted()] },
    ];
    const response = await handle(request([], { topics }), 12);
    expect(partitionsOf(response).map(({ errorCode }) => errorCode)).toEqual([3, 3, 3]);
  });

  it('are unknown by id', async () => {
    const { handle } = setUp();
    const topics = [unknownId, zeroUuid].map((topicId) => ({ topic: '', topicId, partitions: [wanted()] }));
    expect(partitionsOf(await handle(request([], { topics })))).toMatchObject([
      { errorCode: ErrorCode.UNKNOWN_TOPIC_ID, highWatermark: -1 },
      { errorCode: ErrorCode.UNKNOWN_TOPIC_ID, highWatermark: -1 },
    ]);
  });

  it('do not keep the others from waiting when they are unknown', async () => {
    const { clock, handle } = setUp();
    const response = handle(request([wanted(), wanted({ partition: 9 })]));
    await settled();
    expect(clock.pendingTimers).toBe(1);
    clock.advance(500);
    expect(partitionsOf(await response).map(({ errorCode }) => errorCode)).toEqual([0, 3]);
  });

  it('are answered at once, with the leader and its address, when they are of another broker', async () => {
    const { broker, clock, handle } = setUp({ openPartitions: 1 });
    broker.partitions.set(`${ordersId}/1`, { owner: 'seven', brokerId: 7, leaderEpoch: 4 });
    broker.partitions.set(`${ordersId}/2`, { owner: 'gone', brokerId: 7, leaderEpoch: 5 });
    const response = await handle(request([0, 1, 2].map((partition) => wanted({ partition }))));
    expect(clock.pendingTimers).toBe(0);
    expect(partitionsOf(response)).toMatchObject([
      { errorCode: 0, currentLeader: { leaderId: -1, leaderEpoch: -1 } },
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: 7, leaderEpoch: 4 } },
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: -1, leaderEpoch: -1 } },
    ]);
    expect(response.nodeEndpoints).toEqual([{ nodeId: 7, host: 'seven.local', port: 9092, rack: 'a' }]);
    const older = await handle(request([wanted({ partition: 1 })]), 15);
    expect(partitionsOf(older)).toMatchObject([{ currentLeader: { leaderId: -1, leaderEpoch: -1 } }]);
  });

  it('are read once they are opened, if that is soon', async () => {
    const { broker, clock, handle } = setUp({ openPartitions: 0 });
    broker.partitions.set(`${ordersId}/0`, { owner: 'me', brokerId: 8, leaderEpoch: 4 });
    const response = handle(request([wanted()], { maxWaitMs: 0 }));
    await clock.advanceAsync(499);
    broker.openPartition('orders', 0, 4);
    expect(partitionsOf(await response)).toMatchObject([{ errorCode: 0 }]);
  });

  it('keep those that are waiting but a moment while they are being opened', async () => {
    const { broker, clock, logs, commit, handle } = setUp({ openPartitions: 1 });
    await commit(logs[0]!);
    broker.partitions.set(`${ordersId}/1`, { owner: 'me', brokerId: 8, leaderEpoch: 4 });
    const response = handle(request([wanted(), wanted({ partition: 1 })]));
    await clock.advanceAsync(100);
    expect(partitionsOf(await response)).toMatchObject([
      { errorCode: 0 },
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER },
    ]);
  });

  it('are refused to a follower', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!);
    const byVersion = [
      await handle(request([wanted()], { replicaId: 2 }), 12),
      await handle(request([wanted()], { replicaState: { replicaId: 2, replicaEpoch: 1n } }), 17),
    ];
    for (const response of byVersion) {
      expect(partitionsOf(response)).toMatchObject([{ errorCode: ErrorCode.TOPIC_AUTHORIZATION_FAILED, records: [] }]);
    }
  });
});

describe('leader epochs', () => {
  it('that are older are fenced and newer ones unknown', async () => {
    const { broker, handle } = setUp({ leaderEpoch: 5 });
    broker.partitions.set(`${ordersId}/0`, { owner: 'seven', brokerId: 7, leaderEpoch: 5 });
    const codes = [4, 5, 6, -1].map(
      async (currentLeaderEpoch) =>
        partitionsOf(await handle(request([wanted({ currentLeaderEpoch })], { maxWaitMs: 0 })))[0],
    );
    expect(await Promise.all(codes)).toMatchObject([
      { errorCode: ErrorCode.FENCED_LEADER_EPOCH, currentLeader: { leaderId: 7, leaderEpoch: 5 } },
      { errorCode: 0 },
      { errorCode: ErrorCode.UNKNOWN_LEADER_EPOCH },
      { errorCode: 0 },
    ]);
  });

  it('of the last record show where the client diverged', async () => {
    const { logs, commit, handle } = setUp({ leaderEpoch: 5 });
    await commit(logs[0]!, 2);
    const one = async (lastFetchedEpoch: number, fetchOffset: number) =>
      partitionsOf(await handle(request([wanted({ lastFetchedEpoch, fetchOffset })])))[0];
    expect(await one(5, 10)).toMatchObject({ errorCode: 0, divergingEpoch: { epoch: -1, endOffset: -1 } });
    expect(await one(3, 10)).toMatchObject({
      errorCode: 0,
      divergingEpoch: { epoch: 3, endOffset: 0 },
      records: [],
      highWatermark: 20,
    });
    expect(await one(6, 10)).toMatchObject({ errorCode: ErrorCode.OFFSET_OUT_OF_RANGE });
  });
});

describe('records that cannot be read', () => {
  it.each([
    [5, ErrorCode.NOT_LEADER_OR_FOLLOWER],
    [6, ErrorCode.KAFKA_STORAGE_ERROR],
  ])('are an error of their partition alone, in version %i code %i', async (apiVersion, errorCode) => {
    const { broker, logs, commit, handle, held } = setUp({ hotTailBytes: 0 });
    await commit(logs[0]!);
    await commit(logs[1]!);
    await broker.reading.store.delete(['flush-0']);
    const response = await handle(request([wanted(), wanted({ partition: 1 })]), apiVersion);
    expect(partitionsOf(response)).toMatchObject([{ errorCode }, { errorCode: 0 }]);
    expect(bytesOf(partitionsOf(response)[1]!)).toHaveLength(batchBytes);
    expect(held()).toBe(0);
  });
});

describe('a fetch session', () => {
  it('sends only what is new, and asks only for what changed', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!);
    const both = [wanted(), wanted({ partition: 1 })];
    const first = await handle(request(both, { sessionEpoch: 0 }));
    expect(first.sessionId).toBeGreaterThan(0);
    expect(partitionsOf(first)).toHaveLength(2);
    const { sessionId } = first;
    const second = await handle(request([wanted({ fetchOffset: 10 })], { sessionId, sessionEpoch: 1, maxWaitMs: 0 }));
    expect(second).toMatchObject({ sessionId, responses: [] });
    await commit(logs[1]!);
    const third = await handle(request([], { sessionId, sessionEpoch: 2 }));
    expect(partitionsOf(third).map(({ partitionIndex }) => partitionIndex)).toEqual([1]);
  });

  it('that is not known is told as the error of the whole answer', () => {
    const { broker } = setUp();
    const { context } = broker.call(16);
    const asked = request([wanted()], { sessionId: 5, sessionEpoch: 3 });
    expect(fetchHandler.fail(ErrorCode.FETCH_SESSION_ID_NOT_FOUND, asked, context)).toMatchObject({
      errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
      sessionId: 0,
      responses: [],
    });
    return expect(async () => fetchHandler.handle(asked, context, broker.services)).rejects.toMatchObject({
      code: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
    });
  });

  it('gives back its records when another request overtook it', async () => {
    const { clock, logs, commit, handle, held } = setUp();
    const { sessionId } = await handle(request([wanted()], { sessionEpoch: 0, maxWaitMs: 0 }));
    const slow = handle(request([], { sessionId, sessionEpoch: 1 }));
    const failed = expect(slow).rejects.toMatchObject({ code: ErrorCode.INVALID_FETCH_SESSION_EPOCH });
    await settled();
    await handle(request([], { sessionId, sessionEpoch: 2, maxWaitMs: 0 }));
    await commit(logs[0]!);
    await failed;
    expect(clock.pendingTimers).toBe(0);
    expect(held()).toBe(0);
  });
});

describe('a fetch that failed as a whole', () => {
  it('says so for each partition to clients that know names, and once to the others', () => {
    const { broker } = setUp();
    const asked = request([wanted(), wanted({ partition: 1 })], { sessionId: 9 });
    const code = ErrorCode.UNKNOWN_SERVER_ERROR;
    const byName = fetchHandler.fail(code, asked, broker.call(5).context);
    expect(byName).toMatchObject({ errorCode: code, sessionId: 9 });
    expect(partitionsOf(byName)).toMatchObject([{ errorCode: code }, { errorCode: code }]);
    expect(fetchHandler.fail(code, asked, broker.call(13).context)).toMatchObject({ errorCode: code, responses: [] });
  });
});
