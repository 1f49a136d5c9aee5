import {
  encodeRecordBatch,
  ErrorCode,
  listOffsets,
  RecordBatchView,
  type BatchInput,
  type RequestOf,
  type ResponseOf,
} from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import type { PartitionLog } from '../log/partition-log.ts';
import { listOffsetsHandler } from './list-offsets.ts';
import { ReadingServices } from './reading-fixture.ts';

type ListOffsetsRequest = RequestOf<typeof listOffsets>;
type ListOffsetsResponse = ResponseOf<typeof listOffsets>;
type WantedPartition = ListOffsetsRequest['topics'][number]['partitions'][number];

const ordersId = 'b3JkZXJzLWlkLTAwMDAwMQ';
const maxInt64 = 2n ** 63n - 1n;

const wanted = (timestamp: bigint, more: Partial<WantedPartition> = {}): WantedPartition => ({
  partitionIndex: 0,
  currentLeaderEpoch: -1,
  timestamp,
  maxNumOffsets: 1,
  ...more,
});

/** A batch of records with these timestamps. */
const batch = (baseOffset: number, timestamps: readonly number[], more: Partial<BatchInput> = {}) =>
  encodeRecordBatch({
    baseOffset,
    partitionLeaderEpoch: 5,
    records: timestamps.map((timestamp) => ({ timestamp, value: `at ${timestamp}` })),
    ...more,
  });

function setUp({ hotTailBytes = 1 << 20, openPartitions = 2 } = {}) {
  const broker = new ReadingServices(new FakeClock(), { hotTailBytes, blockBytes: 64 });
  const logs = broker.addTopic('orders', ordersId, { partitionCount: 2, openPartitions, leaderEpoch: 5 });
  const commit = (log: PartitionLog, ...batches: Buffer[]) => broker.reading.commit([{ log, batches }]);
  const handle = async (partitions: readonly WantedPartition[], apiVersion = 11, topic = 'orders') => {
    const asked = { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions }], timeoutMs: 0 };
    const { context } = broker.call(apiVersion);
    const response = (await listOffsetsHandler.handle(asked, context, broker.services)) as ListOffsetsResponse;
    return listOffsets.response
      .decode(listOffsets.response.encode(response, apiVersion), apiVersion)
      .topics.flatMap((answered) => answered.partitions);
  };
  return { broker, logs, commit, handle };
}

/** Records at 100..190 step 10; offsets 3 and 7 are as late as 300, and the last batch is compressed. */
async function withRecords(hotTailBytes?: number) {
  const fixture = setUp(hotTailBytes === undefined ? {} : { hotTailBytes });
  const log = fixture.logs[0]!;
  await fixture.commit(log, batch(0, [100, 110, 120]), batch(3, [300, 140]));
  await fixture.commit(log, batch(5, [150, 160]));
  await fixture.commit(log, batch(7, [300, 180, 190], { codec: 'gzip' }));
  return { ...fixture, log };
}

describe('the special timestamps', () => {
  it('-1 is the high watermark, once ownership is proved', async () => {
    const { broker, handle } = await withRecords();
    expect(await handle([wanted(-1n)])).toMatchObject([{ errorCode: 0, timestamp: -1n, offset: 10, leaderEpoch: 5 }]);
    expect(broker.proofs).toBe(1);
    broker.proofError = ErrorCode.OFFSET_NOT_AVAILABLE;
    expect(await handle([wanted(-1n)])).toMatchObject([{ errorCode: ErrorCode.OFFSET_NOT_AVAILABLE, offset: -1 }]);
  });

  it('say nothing once the session is over by the own clock', async () => {
    const { broker, handle } = await withRecords();
    broker.isSessionOver = true;
    for (const timestamp of [-1n, -2n, -3n, 100n]) {
      expect(await handle([wanted(timestamp)])).toMatchObject([{ errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }]);
    }
    expect(broker.proofs).toBe(0);
  });

  it('-2 and -4 are the log start', async () => {
    const { log, handle } = await withRecords();
    log.advanceLogStart(4);
    for (const timestamp of [-2n, -4n]) {
      expect(await handle([wanted(timestamp)])).toMatchObject([{ timestamp: -1n, offset: 4, leaderEpoch: 5 }]);
    }
  });

  it('-3 is the first record that has the largest timestamp', async () => {
    for (const hotTailBytes of [0, 1 << 20]) {
      const { handle } = await withRecords(hotTailBytes);
      expect(await handle([wanted(-3n)])).toMatchObject([{ timestamp: 300n, offset: 3, leaderEpoch: 5 }]);
    }
  });

  it('-5 and -6 find nothing, as nothing is tiered', async () => {
    const { handle } = await withRecords();
    for (const timestamp of [-5n, -6n]) {
      expect(await handle([wanted(timestamp)])).toMatchObject([{ errorCode: 0, timestamp: -1n, offset: -1 }]);
    }
  });

  it('of an empty log are its ends, and no largest timestamp', async () => {
    const { handle } = setUp();
    expect(await handle([wanted(-1n)])).toMatchObject([{ errorCode: 0, offset: 0, leaderEpoch: 5 }]);
    expect(await handle([wanted(-2n)])).toMatchObject([{ errorCode: 0, offset: 0, leaderEpoch: 5 }]);
    expect(await handle([wanted(-3n)])).toMatchObject([{ errorCode: 0, offset: -1, timestamp: -1n }]);
    expect(await handle([wanted(0n)])).toMatchObject([{ errorCode: 0, offset: -1, timestamp: -1n }]);
  });

  it.each([
    [-3n, 7],
    [-4n, 8],
    [-5n, 9],
    [-6n, 11],
  ])('%i is known from version %i on', async (timestamp, version) => {
    const { handle } = await withRecords();
    expect(await handle([wanted(timestamp)], version - 1)).toMatchObject([
      { errorCode: ErrorCode.UNSUPPORTED_VERSION, offset: -1 },
    ]);
    expect(await handle([wanted(timestamp)], version)).toMatchObject([{ errorCode: 0 }]);
  });

  it('below those are unsupported', async () => {
    const { handle } = await withRecords();
    for (const timestamp of [-7n, -(2n ** 63n)]) {
      expect(await handle([wanted(timestamp)])).toMatchObject([{ errorCode: ErrorCode.UNSUPPORTED_VERSION }]);
    }
  });
});

describe('a timestamp', () => {
  it.each([
    [0n, 0, 100n],
    [100n, 0, 100n],
    [111n, 2, 120n],
    [121n, 3, 300n],
    [300n, 3, 300n],
  ])('%i finds the first record that is not older', async (timestamp, offset, found) => {
    for (const hotTailBytes of [0, 1 << 20]) {
      const { handle } = await withRecords(hotTailBytes);
      expect(await handle([wanted(timestamp)])).toMatchObject([
        { errorCode: 0, offset, timestamp: found, leaderEpoch: 5 },
      ]);
    }
  });

  it.each([301n, maxInt64])('%i finds nothing behind the latest record', async (timestamp) => {
    const { handle } = await withRecords();
    expect(await handle([wanted(timestamp)])).toMatchObject([{ errorCode: 0, offset: -1, timestamp: -1n }]);
  });

  it('finds no record below the log start', async () => {
    const { log, handle } = await withRecords();
    log.advanceLogStart(4);
    expect(await handle([wanted(100n)])).toMatchObject([{ offset: 4, timestamp: 140n }]);
    expect(await handle([wanted(200n)])).toMatchObject([{ offset: 7, timestamp: 300n }]);
  });

  it('finds the log append time of a batch', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!, batch(0, [100, 110], { timestampType: 'LogAppendTime', maxTimestamp: 500 }));
    expect(await handle([wanted(200n)])).toMatchObject([{ offset: 0, timestamp: 500n }]);
  });

  it('goes as far as a batch that cannot be decoded', async () => {
    const { logs, commit, handle } = setUp();
    const broken = batch(0, [100, 110], { codec: 'gzip' });
    const lying = encodeRecordBatch({ baseOffset: 2, records: [{ timestamp: 200 }], maxTimestamp: 200 });
    lying.writeInt32BE(9, 57); // More records than there are.
    broken.writeInt16BE(2, 21); // Says snappy.
    await commit(logs[0]!, restamped(broken), restamped(lying));
    expect(await handle([wanted(105n)])).toMatchObject([{ errorCode: 0, offset: 0, timestamp: 110n }]);
    expect(await handle([wanted(200n)])).toMatchObject([{ errorCode: 0, offset: 2, timestamp: 200n }]);
  });
});

/** With a checksum that fits what the batch says now. */
function restamped(bytes: Buffer): Buffer {
  const view = new RecordBatchView(bytes);
  bytes.writeUInt32BE(view.computeCrc(), 17);
  return bytes;
}

describe('a partition that cannot be asked', () => {
  it('is unknown, or another broker has it', async () => {
    const { handle } = setUp({ openPartitions: 1 });
    const codes = await handle([
      wanted(-1n, { partitionIndex: 1 }),
      wanted(-1n, { partitionIndex: 2 }),
      wanted(-1n, { partitionIndex: -1 }),
    ]);
    expect(codes.map(({ errorCode }) => errorCode)).toEqual([6, 3, 3]);
    expect(await handle([wanted(-1n)], 11, 'constructor')).toMatchObject([{ errorCode: 3, offset: -1 }]);
  });

  it('is fenced by an older epoch and unknown to a newer one', async () => {
    const { handle } = setUp();
    for (const [currentLeaderEpoch, errorCode] of [
      [4, ErrorCode.FENCED_LEADER_EPOCH],
      [5, ErrorCode.NONE],
      [6, ErrorCode.UNKNOWN_LEADER_EPOCH],
    ] as const) {
      expect(await handle([wanted(-2n, { currentLeaderEpoch })])).toMatchObject([{ errorCode }]);
    }
  });

  it('is an invalid request when it is named twice', async () => {
    const { handle } = setUp();
    const answers = await handle([wanted(-1n), wanted(-2n), wanted(-1n, { partitionIndex: 1 })]);
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([42, 42, 0]);
  });

  it('has a storage error where its records cannot be read', async () => {
    const { broker, logs, commit, handle } = setUp({ hotTailBytes: 0 });
    await commit(logs[0]!, batch(0, [100]));
    await broker.reading.store.delete(['flush-0']);
    expect(await handle([wanted(50n), wanted(-2n, { partitionIndex: 1 })])).toMatchObject([
      { errorCode: ErrorCode.KAFKA_STORAGE_ERROR },
      { errorCode: 0 },
    ]);
  });
});

describe('version 0', () => {
  const offsets = async (timestamp: bigint, maxNumOffsets: number) => {
    const { handle } = await withRecords();
    return (await handle([wanted(timestamp, { maxNumOffsets })], 0))[0];
  };

  it('lists the end and the starts before it, latest first', async () => {
    expect(await offsets(-1n, 1)).toMatchObject({ errorCode: 0, oldStyleOffsets: [10] });
    expect(await offsets(-1n, 10)).toMatchObject({ oldStyleOffsets: [10, 7, 5, 0] });
  });

  it('lists the log start', async () => {
    expect(await offsets(-2n, 10)).toMatchObject({ oldStyleOffsets: [0] });
  });

  it('lists the starts of what was full before a time', async () => {
    const { logs, commit, handle } = setUp();
    await commit(logs[0]!, batch(0, [100]));
    await commit(logs[0]!, batch(1, [200]));
    await commit(logs[0]!, batch(2, [300]));
    const at = async (timestamp: bigint) => (await handle([wanted(timestamp, { maxNumOffsets: 9 })], 0))[0]!;
    expect((await at(250n)).oldStyleOffsets).toEqual([1, 0]);
    expect((await at(99n)).oldStyleOffsets).toEqual([]);
    expect((await at(300n)).oldStyleOffsets).toEqual([2, 1, 0]);
  });

  it.each([0, -1])('lists nothing when %i offsets are wanted', async (maxNumOffsets) => {
    expect(await offsets(-1n, maxNumOffsets)).toMatchObject({ errorCode: 0, oldStyleOffsets: [] });
  });
});

it('a request that failed as a whole says so for each partition', () => {
  const { broker } = setUp();
  const asked = {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: 'orders', partitions: [wanted(-1n), wanted(-1n, { partitionIndex: 1 })] }],
    timeoutMs: 0,
  };
  const response = listOffsetsHandler.fail(ErrorCode.UNKNOWN_SERVER_ERROR, asked, broker.call(5).context);
  expect(response.topics).toMatchObject([{ name: 'orders', partitions: [{ errorCode: -1 }, { errorCode: -1 }] }]);
});
