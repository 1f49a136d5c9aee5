import type { metadata } from '@kafscale/protocol';
import { emptyRecord } from './fold-fixture.ts';
import { withoutDeadSegments } from './folded-log.ts';

const segment = (baseOffset: bigint, nextOffset: bigint): metadata.Segment => ({
  ...{ objectKey: 'a.kfs', baseOffset, nextOffset, position: 32n, length: 1n, leaderEpoch: 0 },
  ...{ maxTimestamp: -1n, maxTimestampBaseOffset: baseOffset },
});
const chunk = (baseOffset: bigint, nextOffset: bigint): metadata.SegmentChunk => ({
  ...{ list: undefined, baseOffset, nextOffset, segmentCount: 1, length: 1n, maxTimestamp: -1n },
});
const record = (logStartOffset: bigint): metadata.PartitionRecord => ({
  ...emptyRecord,
  logStartOffset,
  foldedOffset: 40n,
  chunks: [chunk(0n, 10n), chunk(10n, 20n)],
  segments: [segment(20n, 30n), segment(30n, 40n)],
});

describe('a record whose log start has moved', () => {
  it('lets go of what lies wholly below it, and of nothing else', () => {
    const left = (logStartOffset: bigint) => {
      const { chunks, segments, ...rest } = withoutDeadSegments(record(logStartOffset));
      expect({ ...record(logStartOffset), ...rest }).toEqual(record(logStartOffset));
      return [...chunks, ...segments].map(({ baseOffset }) => Number(baseOffset));
    };
    expect(left(0n)).toEqual([0, 10, 20, 30]);
    expect(left(9n)).toEqual([0, 10, 20, 30]);
    expect(left(10n)).toEqual([10, 20, 30]);
    expect(left(25n)).toEqual([20, 30]);
    expect(left(40n)).toEqual([]);
    expect(left(99n)).toEqual([]);
  });
});
