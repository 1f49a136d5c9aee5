import { ErrorCode, offsetForLeaderEpoch, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { makeBatch } from '../log/read/log-fixture.ts';
import { offsetForLeaderEpochHandler } from './offset-for-leader-epoch.ts';
import { ReadingServices } from './reading-fixture.ts';

type WantedPartition = RequestOf<typeof offsetForLeaderEpoch>['topics'][number]['partitions'][number];
type Response = ResponseOf<typeof offsetForLeaderEpoch>;

const wanted = (leaderEpoch: number, more: Partial<WantedPartition> = {}): WantedPartition => ({
  partition: 0,
  currentLeaderEpoch: -1,
  leaderEpoch,
  ...more,
});

async function ask(partitions: readonly WantedPartition[], apiVersion = 4, topic = 'orders') {
  const broker = new ReadingServices(new FakeClock());
  const [log] = broker.addTopic('orders', 'b3JkZXJzLWlkLTAwMDAwMQ', {
    partitionCount: 2,
    openPartitions: 1,
    leaderEpoch: 5,
  });
  await broker.reading.commit([{ log: log!, batches: [makeBatch(0, 10, 50)] }]);
  const request = { replicaId: -1, topics: [{ topic, partitions }] };
  const { context } = broker.call(apiVersion);
  const response = (await offsetForLeaderEpochHandler.handle(request, context, broker.services)) as Response;
  const bytes = offsetForLeaderEpoch.response.encode(response, apiVersion);
  return offsetForLeaderEpoch.response.decode(bytes, apiVersion).topics.flatMap((answered) => answered.partitions);
}

describe('the end offset of a leader epoch', () => {
  it.each([0, 1, 2, 3, 4])('is answered in version %i', async (apiVersion) => {
    expect(await ask([wanted(5)], apiVersion)).toMatchObject([
      { errorCode: 0, partition: 0, endOffset: 10, leaderEpoch: apiVersion === 0 ? -1 : 5 },
    ]);
  });

  it('is -1 for an epoch that is not known', async () => {
    expect(await ask([wanted(6), wanted(-1)])).toMatchObject([
      { errorCode: 0, leaderEpoch: -1, endOffset: -1 },
      { errorCode: 0, leaderEpoch: -1, endOffset: -1 },
    ]);
  });

  it('is the start of the first known epoch for an older one', async () => {
    expect(await ask([wanted(2)])).toMatchObject([{ errorCode: 0, leaderEpoch: 2, endOffset: 0 }]);
  });

  it('needs a current epoch that is neither older nor newer, if any', async () => {
    const epochs = [4, 5, 6].map((currentLeaderEpoch) => wanted(5, { currentLeaderEpoch }));
    expect((await ask(epochs)).map(({ errorCode }) => errorCode)).toEqual([
      ErrorCode.FENCED_LEADER_EPOCH,
      ErrorCode.NONE,
      ErrorCode.UNKNOWN_LEADER_EPOCH,
    ]);
  });

  it('is an error for partitions that are not here', async () => {
    const codes = await ask([wanted(5, { partition: 1 }), wanted(5, { partition: 2 })]);
    expect(codes).toMatchObject([
      { partition: 1, errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, endOffset: -1, leaderEpoch: -1 },
      { partition: 2, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, endOffset: -1, leaderEpoch: -1 },
    ]);
    expect(await ask([wanted(5)], 4, 'none')).toMatchObject([{ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }]);
  });
});
