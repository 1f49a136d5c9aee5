import fc from 'fast-check';
import type { PartitionLog } from '../partition-log.ts';
import { makeBatch, makeLog, ReadingFixture } from './log-fixture.ts';
import type { LogSlices } from './log-slices.ts';

interface Stored {
  readonly log: PartitionLog;
  readonly bytes: Buffer[];
}

const batch = fc.record({ records: fc.integer({ min: 1, max: 5 }), payload: fc.nat(300) });
/** For each of two partitions the batches it has in the object. */
const flush = fc.record({
  runs: fc.tuple(fc.array(batch, { maxLength: 6 }), fc.array(batch, { maxLength: 6 })),
  gap: fc.nat(90),
});
const step = fc.record({
  partition: fc.nat(1),
  /** Part of the readable range at which to start; absent to go on where the last read ended. */
  seek: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
  maxBytes: fc.oneof(fc.constant(0), fc.nat(200), fc.nat(3_000)),
  minOneBatch: fc.boolean(),
  /** What happens before the read: commits go on while readers read. */
  commits: fc.nat(1),
  keep: fc.boolean(),
});
const settings = fc.record({
  hotTailBytes: fc.constantFrom(0, 500, 2_000, 1_000_000),
  cacheBytes: fc.constantFrom(0, 256, 1_500, 1_000_000),
  blockBytes: fc.constantFrom(16, 64, 300, 5_000),
  readaheadBytes: fc.constantFrom(0, 200, 5_000),
});

describe('reads of any log in any order', () => {
  it('are contiguous, byte for byte what was appended, within the limits, and let go of all memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(flush, { maxLength: 12 }),
        fc.array(step, { maxLength: 40 }),
        async (how, flushes, steps) => {
          const fixture = new ReadingFixture(how);
          const partitions: Stored[] = [0, 1].map((partition) => ({ log: makeLog({ partition }), bytes: [] }));
          const pending = [...flushes];
          const commitNext = async () => {
            const next = pending.shift();
            if (next === undefined) return;
            const runs = partitions.flatMap(({ log, bytes }, partition) => {
              let offset = log.highWatermark;
              const batches = next.runs[partition]!.map(({ records, payload }) => {
                const made = makeBatch(offset, records, payload);
                offset += records;
                return made;
              });
              bytes.push(...batches);
              return batches.length === 0 ? [] : [{ log, batches }];
            });
            if (runs.length > 0) await fixture.commit(runs, next.gap);
          };
          for (let count = 0; count < flushes.length / 2; count += 1) await commitNext();

          const kept: { readonly slices: LogSlices; readonly expected: Buffer }[] = [];
          const nextOffsets = [0, 0];
          for (const { partition, seek, maxBytes, minOneBatch, commits, keep } of steps) {
            for (let count = 0; count < commits; count += 1) await commitNext();
            const { log, bytes } = partitions[partition]!;
            const offset = seek === undefined ? nextOffsets[partition]! : Math.floor(seek * log.highWatermark);
            const highWatermark = log.highWatermark;
            const slices = await fixture.reader.read(log, offset, maxBytes, { minOneBatch });
            const from = bytes.findIndex((one) => Number(one.readBigInt64BE(0)) + one.readInt32BE(23) >= offset);
            const expected = from < 0 ? Buffer.alloc(0) : Buffer.concat(bytes.slice(from)).subarray(0, slices.bytes);

            expect(Buffer.concat(slices.chunks).equals(expected)).toBe(true);
            expect(slices.nextOffset).toBeLessThanOrEqual(highWatermark);
            if (slices.bytes > 0) expect(slices.nextOffset).toBeGreaterThan(offset);
            else expect(slices.nextOffset).toBe(offset);
            const firstBatchBytes = bytes[from]?.length ?? 0;
            if (slices.bytes > maxBytes) expect([minOneBatch, slices.bytes]).toEqual([true, firstBatchBytes]);
            if (slices.bytes === 0)
              expect(offset === highWatermark || (!minOneBatch && firstBatchBytes > maxBytes)).toBe(true);
            if (!slices.isLimited) expect(slices.nextOffset).toBe(highWatermark);
            nextOffsets[partition] = slices.nextOffset;
            if (keep) kept.push({ slices, expected });
            else slices.release();
          }

          for (const { slices, expected } of kept) {
            expect(Buffer.concat(slices.chunks).equals(expected)).toBe(true); // Evictions meanwhile did not touch it.
            slices.release();
          }
          await new Promise((resolve) => setImmediate(resolve)); // What is loaded ahead arrives.
          fixture.cache.clear();
          fixture.hotTail.clear();
          expect([fixture.pool.bytesInUse, fixture.hotSlabs]).toEqual([0, 0]);
        },
      ),
      { numRuns: 200 },
    );
  }, 60_000);
});
