import { ErrorCode, KafkaError, type metadata } from '@kafscale/protocol';
import { MetadataError } from '../metadata/metadata-error.ts';
import { nothingFolded, PartitionLog } from './partition-log.ts';
import { StoredLogStarts, type UpdatePartitionRecord } from './stored-log-starts.ts';

function setUp() {
  const extent = {
    leaderEpoch: 0,
    objectKey: 'o',
    position: 0,
    length: 10,
    maxTimestamp: 0,
    maxTimestampBaseOffset: 0,
  };
  const log = new PartitionLog(
    { topicId: 'topic-1', topicName: 'orders', partition: 3, leaderEpoch: 0 },
    {
      logStartOffset: 2,
      nextOffset: 10,
      folded: nothingFolded,
      extents: [{ ...extent, baseOffset: 0, nextOffset: 10 }],
      epochStarts: [],
    },
  );
  let record: metadata.PartitionRecord = {
    ...{
      owner: 'me',
      brokerId: 0,
      leaderEpoch: 0,
      foldedOffset: 0n,
      epochStarts: [],
      nextOffset: 0n,
      chunks: [],
      segments: [],
      producerSnapshot: undefined,
    },
    logStartOffset: 2n,
  };
  const calls: { readonly finish: (error?: Error) => void }[] = [];
  const update: UpdatePartitionRecord = (topicId, partition, change) => {
    expect([topicId, partition]).toEqual(['topic-1', 3]);
    return new Promise((resolve, reject) => {
      calls.push({
        finish(error) {
          if (error !== undefined) return reject(error);
          try {
            record = change(record);
          } catch (refusal) {
            return reject(refusal instanceof Error ? refusal : new Error(String(refusal)));
          }
          return resolve();
        },
      });
    });
  };
  return {
    ...{ log, calls, starts: new StoredLogStarts(update) },
    stored: () => record.logStartOffset,
    setEpoch: (leaderEpoch: number) => (record = { ...record, leaderEpoch }),
    setSegments: (segments: readonly metadata.Segment[]) => (record = { ...record, segments: [...segments] }),
    segments: () => record.segments,
  };
}

const codeOf = (outcome: Promise<void>) =>
  outcome.then(
    () => ErrorCode.NONE,
    (error: unknown) => (error instanceof KafkaError ? error.code : error),
  );

describe('StoredLogStarts', () => {
  it('moves the log after the record, and not before', async () => {
    const { log, calls, starts, stored } = setUp();
    const moved = starts.advanceLogStart(log, 6);
    expect(log.logStartOffset).toBe(2);
    calls[0]!.finish();
    await moved;
    expect([stored(), log.logStartOffset]).toEqual([6n, 6]);
  });

  it('lets the record go of segments below the log start in the same write', async () => {
    const { log, calls, starts, segments, setSegments } = setUp();
    const segment = (baseOffset: bigint, nextOffset: bigint): metadata.Segment => ({
      ...{ objectKey: 'a.kfs', baseOffset, nextOffset, position: 32n, length: 1n, leaderEpoch: 0 },
      ...{ maxTimestamp: -1n, maxTimestampBaseOffset: baseOffset },
    });
    setSegments([segment(0n, 4n), segment(4n, 10n)]);
    const moved = starts.advanceLogStart(log, 6);
    calls[0]!.finish();
    await moved;
    expect(segments().map(({ baseOffset }) => baseOffset)).toEqual([4n]);
  });

  it('stores nothing for an offset that is below the log start already', async () => {
    const { log, calls, starts } = setUp();
    await starts.advanceLogStart(log, 2);
    expect(calls).toEqual([]);
  });

  it('never moves back when two moves meet', async () => {
    const { log, calls, starts, stored } = setUp();
    const moves = [starts.advanceLogStart(log, 8), starts.advanceLogStart(log, 5)];
    for (const { finish } of calls) finish();
    await Promise.all(moves);
    expect([stored(), log.logStartOffset]).toEqual([8n, 8]);
  });

  it.each(['fenced', 'conflict'] as const)(
    'answers a record that is no longer ours (%s) as another leader would',
    async (kind) => {
      const { log, calls, starts } = setUp();
      const code = codeOf(starts.advanceLogStart(log, 6));
      calls[0]!.finish(new MetadataError(kind, 'no'));
      expect(await code).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
      expect(log.logStartOffset).toBe(2);
    },
  );

  it('passes any other failure on, with the log as it was', async () => {
    const { log, calls, starts } = setUp();
    const moved = starts.advanceLogStart(log, 6);
    calls[0]!.finish(new MetadataError('invalid', 'too large'));
    await expect(moved).rejects.toMatchObject({ kind: 'invalid' });
    expect(log.logStartOffset).toBe(2);
  });

  it('stores nothing for a log of an epoch that is over, although the partition is ours again', async () => {
    const { log, calls, starts, stored, setEpoch } = setUp();
    const code = codeOf(starts.advanceLogStart(log, 6));
    setEpoch(2);
    calls[0]!.finish();
    expect([await code, stored()]).toEqual([ErrorCode.NOT_LEADER_OR_FOLLOWER, 2n]);
  });

  it('does not answer for a log that was closed meanwhile', async () => {
    const { log, calls, starts } = setUp();
    const code = codeOf(starts.advanceLogStart(log, 6));
    log.close();
    calls[0]!.finish();
    expect(await code).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  });
});
