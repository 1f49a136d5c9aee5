import type { metadata } from '@kafscale/protocol';
import { nothingFolded, PartitionLog, type Extent, type ExtentChunk, type FoldedLog } from './partition-log.ts';

/** Extents of ten offsets and a hundred bytes each. */
const extents = (from: number, to: number, objectKey = 'flush'): Extent[] =>
  Array.from({ length: (to - from) / 10 }, (_, index) => extent(from + index * 10, from + index * 10 + 10, objectKey));

const extent = (baseOffset: number, nextOffset: number, objectKey: string): Extent => ({
  baseOffset,
  nextOffset,
  leaderEpoch: 0,
  objectKey,
  position: 0,
  length: (nextOffset - baseOffset) * 10,
  maxTimestamp: -1,
  maxTimestampBaseOffset: baseOffset,
});

const chunk = (baseOffset: number, nextOffset: number): ExtentChunk => ({
  baseOffset,
  nextOffset,
  length: (nextOffset - baseOffset) * 10,
  maxTimestamp: -1,
  described: {} as metadata.SegmentChunk,
});

function logOf({ logStartOffset = 0, nextOffset = 50, folded = nothingFolded } = {}): PartitionLog {
  const first = Math.max(folded.foldedOffset, Math.floor(logStartOffset / 10) * 10);
  return new PartitionLog(
    { topicId: 'topic', topicName: 'orders', partition: 0, leaderEpoch: 0 },
    { logStartOffset, nextOffset, folded, extents: extents(first, nextOffset), epochStarts: [] },
  );
}

const folded = (
  foldedOffset: number,
  segments: readonly Extent[],
  chunks: readonly ExtentChunk[] = [],
  logStartOffset = 0,
): FoldedLog => ({ logStartOffset, foldedOffset, chunks, segments });
const segment = (baseOffset: number, nextOffset: number) => extent(baseOffset, nextOffset, 'segment');
const shape = (log: PartitionLog) =>
  log.extents.map(({ baseOffset, nextOffset, objectKey }) => `${objectKey} ${baseOffset}-${nextOffset}`);

describe('a log that is folded', () => {
  it('has segments where it had the extents below the folded offset', () => {
    const log = logOf();
    log.fold(folded(30, [segment(0, 20), segment(20, 30)]));
    expect(shape(log)).toEqual(['segment 0-20', 'segment 20-30', 'flush 30-40', 'flush 40-50']);
    expect(log).toMatchObject({ foldedOffset: 30, residentOffset: 0, highWatermark: 50, sizeBytes: 500 });
    expect([0, 19, 20, 30, 49, 50].map((offset) => log.findExtent(offset))).toEqual([0, 0, 1, 2, 3, 4]);
  });

  it('begins in memory where its chunks end, and counts their bytes', () => {
    const log = logOf();
    log.fold(folded(40, [segment(30, 40)], [chunk(0, 20), chunk(20, 30)]));
    expect(shape(log)).toEqual(['segment 30-40', 'flush 40-50']);
    expect(log).toMatchObject({ residentOffset: 30, sizeBytes: 500 });
  });

  it('has nothing in memory when chunks describe all of it', () => {
    const log = logOf();
    log.fold(folded(50, [], [chunk(0, 50)]));
    expect(log).toMatchObject({ extents: [], residentOffset: 50, sizeBytes: 500, highWatermark: 50 });
    log.append(extent(50, 60, 'flush'));
    expect(log).toMatchObject({ residentOffset: 50, sizeBytes: 600, highWatermark: 60 });
  });

  it('can be folded again with other segments up to the same offset', () => {
    const log = logOf();
    log.fold(folded(30, [segment(0, 30)]));
    log.fold(folded(30, [], [chunk(0, 30)]));
    expect(log).toMatchObject({ residentOffset: 30, sizeBytes: 500 });
  });

  it('ignores what the record said earlier', () => {
    const log = logOf();
    log.fold(folded(30, [segment(0, 30)]));
    log.fold(folded(20, [segment(0, 20)]));
    expect(log).toMatchObject({ foldedOffset: 30, sizeBytes: 500 });
  });

  it('keeps its first extent where the log start lies within it', () => {
    const log = logOf({ logStartOffset: 25 });
    log.fold(folded(10, []));
    expect(shape(log)).toEqual(['flush 20-30', 'flush 30-40', 'flush 40-50']);
    log.fold(folded(30, [segment(20, 30)]));
    expect(shape(log)).toEqual(['segment 20-30', 'flush 30-40', 'flush 40-50']);
    expect(log.logStartOffset).toBe(25);
  });

  it('takes on a log start that the record is ahead with', () => {
    const log = logOf();
    let moves = 0;
    log.onAdvance(() => (moves += 1));
    log.fold(folded(30, [segment(20, 30)], [], 25));
    expect(log).toMatchObject({ logStartOffset: 25, sizeBytes: 300 });
    expect(moves).toBe(1);
  });

  it('forgets chunks and segments below the log start', () => {
    const log = logOf({ folded: folded(40, [segment(30, 40)], [chunk(0, 20), chunk(20, 30)]) });
    expect(log.sizeBytes).toBe(500);
    log.advanceLogStart(25);
    expect(log).toMatchObject({ chunks: [{ baseOffset: 20 }], sizeBytes: 300, residentOffset: 30 });
    log.advanceLogStart(50);
    expect(log).toMatchObject({ chunks: [], extents: [], sizeBytes: 0, residentOffset: 50 });
  });

  it('may have no folded part left above its log start', () => {
    const log = logOf({ logStartOffset: 30, folded: folded(30, [], [], 30) });
    expect(log).toMatchObject({ foldedOffset: 30, residentOffset: 30, sizeBytes: 200 });
    log.fold(folded(40, [segment(30, 40)], [], 30));
    expect(shape(log)).toEqual(['segment 30-40', 'flush 40-50']);
  });

  const faults: readonly [what: string, folded: FoldedLog][] = [
    ['a gap between segments', folded(30, [segment(0, 10), segment(20, 30)])],
    ['an overlap', folded(30, [segment(0, 20), segment(10, 30)])],
    ['a gap behind the chunks', folded(30, [segment(20, 30)], [chunk(0, 10)])],
    ['segments that begin above the log start', folded(30, [segment(10, 30)])],
    ['segments that end early', folded(30, [segment(0, 20)])],
    ['no segments', folded(30, [])],
    ['a folded offset within an extent', folded(25, [segment(0, 25)])],
    ['a folded offset behind the end', folded(60, [segment(0, 60)])],
  ];

  it.each(faults)('is never made of %s', (_what, wrong) => {
    const log = logOf();
    expect(() => log.fold(wrong)).toThrow('cannot fold orders-0');
    expect(shape(log)).toHaveLength(5);
  });
});
