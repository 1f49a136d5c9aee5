import { encodeRecordBatch } from '@kafscale/protocol';
import fc from 'fast-check';
import { CountingObjectStore } from '../storage/counting-store-fixture.ts';
import { makeLog, ReadingFixture } from './read/log-fixture.ts';
import { foldLog, type FoldShape } from './segments/fold-fixture.ts';
import { TimeIndex } from './time-index.ts';

/** A log of one batch for each list of timestamps, of which the first `folded` are folded. */
async function setUp(timestamps: readonly (readonly number[])[], folded: number, shape: FoldShape) {
  const counting: { store?: CountingObjectStore } = {};
  const fixture = new ReadingFixture({ wrap: (store) => (counting.store = new CountingObjectStore(store)) });
  const log = makeLog();
  const batches: Buffer[] = [];
  for (const times of timestamps) {
    const records = times.map((timestamp) => ({ timestamp, value: 'x' }));
    const batch = encodeRecordBatch({ baseOffset: log.highWatermark, partitionLeaderEpoch: 0, records });
    batches.push(batch);
    await fixture.commit([{ log, batches: [batch] }]);
  }
  if (folded > 0) await foldLog(fixture.store, log, batches.slice(0, folded), shape);
  return { log, index: new TimeIndex(fixture.reader, fixture.spans), reads: counting.store! };
}

const chunked = { perSegment: 1, perChunk: 2 };

describe('looking for times in a folded log', () => {
  const times = [
    [10, 11],
    [20, 21],
    [30, 31],
    [40, 41],
    [50, 51],
    [60, 61],
  ];

  it('finds the first record that is late enough, wherever it lies', async () => {
    const { log, index } = await setUp(times, 4, chunked);
    const found = await Promise.all([0, 11, 12, 31, 41, 45, 61, 62].map((at) => index.findByTimestamp(log, at)));
    expect(found.map((record) => record?.offset)).toEqual([0, 1, 2, 5, 7, 8, 11, undefined]);
  });

  it('reads the list of no chunk whose records are all older', async () => {
    const { log, index, reads } = await setUp(times, 6, chunked);
    expect(await index.findByTimestamp(log, 51)).toMatchObject({ offset: 9 });
    expect(reads.count).toBe(3); // The list of the third chunk, and its two segments.
  });

  it('finds the latest record by reading the list of its chunk alone', async () => {
    const { log, index, reads } = await setUp([[10], [90], [30], [40], [50]], 4, chunked);
    expect(await index.findMaxTimestamp(log)).toMatchObject({ offset: 1, timestamp: 90 });
    expect(reads.count).toBe(2);
  });

  it('does not find what the log start has passed, though the chunk still lists it', async () => {
    const { log, index } = await setUp([[90], [20], [30], [40], [50]], 4, chunked);
    log.advanceLogStart(1);
    expect(await index.findMaxTimestamp(log)).toMatchObject({ offset: 4, timestamp: 50 });
    expect(await index.findByTimestamp(log, 60)).toBeUndefined();
  });

  it('starts over when the log start moves while a list is loaded', async () => {
    const { log, index } = await setUp(times, 6, chunked);
    const byTime = index.findByTimestamp(log, 10);
    const latest = index.findMaxTimestamp(log);
    log.advanceLogStart(7);
    expect(await byTime).toMatchObject({ offset: 7 });
    expect(await latest).toMatchObject({ offset: 11 });
  });

  it('answers as it would if nothing were folded', async () => {
    const batch = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 10 }),
        fc.nat(10),
        fc.record({ perSegment: fc.integer({ min: 1, max: 3 }), perChunk: fc.constantFrom(1, 2, Infinity) }),
        fc.nat(30),
        fc.nat(30),
        async (timestamps, folded, shape, start, timestamp) => {
          const plain = await setUp(timestamps, 0, shape);
          const other = await setUp(timestamps, Math.min(folded, timestamps.length), shape);
          for (const { log } of [plain, other]) log.advanceLogStart(Math.min(start, log.highWatermark));
          const expected = await plain.index.findByTimestamp(plain.log, timestamp);
          expect(await other.index.findByTimestamp(other.log, timestamp)).toEqual(expected);
          if (start === 0) {
            const latest = await plain.index.findMaxTimestamp(plain.log);
            expect(await other.index.findMaxTimestamp(other.log)).toEqual(latest);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});
