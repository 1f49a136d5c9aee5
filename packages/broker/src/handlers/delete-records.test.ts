import { deleteRecords, ErrorCode, KafkaError, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { makeBatch } from '../log/read/log-fixture.ts';
import { deleteRecordsHandler } from './delete-records.ts';
import { ReadingServices } from './reading-fixture.ts';

type WantedPartition = RequestOf<typeof deleteRecords>['topics'][number]['partitions'][number];
type Response = ResponseOf<typeof deleteRecords>;

async function setUp() {
  const broker = new ReadingServices(new FakeClock());
  const logs = broker.addTopic('orders', 'b3JkZXJzLWlkLTAwMDAwMQ', { partitionCount: 3, openPartitions: 2 });
  for (const log of logs) await broker.reading.commit([{ log, batches: [makeBatch(0, 10, 50)] }]);
  const handle = async (partitions: readonly WantedPartition[], apiVersion = 2, name = 'orders') => {
    const { context } = broker.call(apiVersion);
    const request = { topics: [{ name, partitions }], timeoutMs: 1_000 };
    const response = (await deleteRecordsHandler.handle(request, context, broker.services)) as Response;
    const bytes = deleteRecords.response.encode(response, apiVersion);
    return deleteRecords.response.decode(bytes, apiVersion).topics.flatMap((answered) => answered.partitions);
  };
  return { broker, logs, handle };
}

describe('deleting records', () => {
  it.each([0, 1, 2])('moves the log start and answers with it, in version %i', async (apiVersion) => {
    const { logs, handle } = await setUp();
    const answers = await handle(
      [
        { partitionIndex: 0, offset: 4 },
        { partitionIndex: 1, offset: 10 },
      ],
      apiVersion,
    );
    expect(answers).toEqual([
      { partitionIndex: 0, lowWatermark: 4, errorCode: 0 },
      { partitionIndex: 1, lowWatermark: 10, errorCode: 0 },
    ]);
    expect(logs.map(({ logStartOffset }) => logStartOffset)).toEqual([4, 10]);
  });

  it('goes up to the high watermark for -1', async () => {
    const { handle } = await setUp();
    expect(await handle([{ partitionIndex: 0, offset: -1 }])).toMatchObject([{ lowWatermark: 10, errorCode: 0 }]);
  });

  it('never moves the log start back', async () => {
    const { broker, handle } = await setUp();
    await handle([{ partitionIndex: 0, offset: 6 }]);
    expect(await handle([{ partitionIndex: 0, offset: 2 }])).toMatchObject([{ lowWatermark: 6, errorCode: 0 }]);
    expect(broker.logStartMoves).toEqual([6]);
  });

  it.each([11, -2, Number.MIN_SAFE_INTEGER])('refuses offset %i', async (offset) => {
    const { logs, handle } = await setUp();
    expect(await handle([{ partitionIndex: 0, offset }])).toMatchObject([
      { lowWatermark: -1, errorCode: ErrorCode.OFFSET_OUT_OF_RANGE },
    ]);
    expect(logs[0]!.logStartOffset).toBe(0);
  });

  it.each([
    ['compact', ErrorCode.POLICY_VIOLATION],
    ['compact,delete', ErrorCode.NONE],
    ['delete', ErrorCode.NONE],
  ])('depends on cleanup.policy: %s answers %i', async (policy, errorCode) => {
    const { broker, handle } = await setUp();
    broker.configure('orders', { 'cleanup.policy': policy });
    expect(await handle([{ partitionIndex: 0, offset: 4 }])).toMatchObject([{ errorCode }]);
  });

  it('is refused where the partition is not', async () => {
    const { handle } = await setUp();
    const answers = await handle([
      { partitionIndex: 2, offset: 4 },
      { partitionIndex: 3, offset: 4 },
      { partitionIndex: 0, offset: 4 },
    ]);
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([6, 3, 0]);
    expect(await handle([{ partitionIndex: 0, offset: 4 }], 2, 'none')).toMatchObject([{ errorCode: 3 }]);
  });

  it('answers each partition with what became of its own move', async () => {
    const { broker, logs, handle } = await setUp();
    const move = broker.services.logStarts.advanceLogStart.bind(broker.services.logStarts);
    broker.services.logStarts.advanceLogStart = (log, offset) =>
      log === logs[0] ? Promise.reject(new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)) : move(log, offset);
    const both = [0, 1].map((partitionIndex) => ({ partitionIndex, offset: 4 }));
    expect((await handle(both)).map(({ errorCode }) => errorCode)).toEqual([6, 0]);
  });
});
