import { parseTopicConfig } from '@kafscale/protocol';
import fc from 'fast-check';
import { CountingObjectStore } from '../../storage/counting-store-fixture.ts';
import { makeBatch, makeLog, ReadingFixture } from '../read/log-fixture.ts';
import { storeFolded } from '../segments/fold-fixture.ts';
import { foldedLogOf } from '../segments/folded-log.ts';
import { RetentionLines } from './retained-from.ts';

const nowMs = 1_000_000;
const batchBytes = 161;
const config = (settings: Readonly<Record<string, string>>) => parseTopicConfig(new Map(Object.entries(settings)));

/** One batch of one record for each age; -1 for a record without a timestamp. Each is a segment, two of them a chunk. */
async function setUp(agesMs: readonly number[], folded: number) {
  const counting: { store?: CountingObjectStore } = {};
  const fixture = new ReadingFixture({ wrap: (store) => (counting.store = new CountingObjectStore(store)) });
  const log = makeLog();
  const batches = agesMs.map((age, offset) => makeBatch(offset, 1, 100, age < 0 ? -1 : nowMs - age));
  for (const batch of batches) await fixture.commit([{ log, batches: [batch] }]);
  const record = await storeFolded(fixture.store, batches.slice(0, folded), { perSegment: 1, perChunk: 2 });
  log.fold(foldedLogOf(record));
  return { log, lines: new RetentionLines(fixture.spans), reads: counting.store! };
}

describe('retention of a folded log', () => {
  it('drops whole chunks and reads only the list of the one through which the line goes', async () => {
    const { log, lines, reads } = await setUp([90, 80, 70, 60, 50, 40, 30, 20, 10, 0], 8);
    expect(await lines.retainedFrom(log, config({ 'retention.ms': '45' }), nowMs)).toBe(5);
    expect(reads.count).toBeLessThanOrEqual(2);
  });

  it('goes from the folded part into what is in memory', async () => {
    const { log, lines } = await setUp([90, 80, 70, 60, 50, 40, 30, 20, 10, 0], 6);
    expect(await lines.retainedFrom(log, config({ 'retention.ms': '15' }), nowMs)).toBe(8);
  });

  it('keeps so many bytes, counted over chunks', async () => {
    const { log, lines, reads } = await setUp(new Array(10).fill(0), 8);
    expect(await lines.retainedFrom(log, config({ 'retention.bytes': String(7 * batchBytes) }), nowMs)).toBe(3);
    expect(reads.count).toBe(1);
    expect(await lines.retainedFrom(log, config({ 'retention.bytes': String(2 * batchBytes) }), nowMs)).toBe(8);
    expect(reads.count).toBe(1);
  });

  it('does not look into a chunk again before its first segment is due', async () => {
    const { log, lines, reads } = await setUp([50, 40, 30, 20], 4);
    const settings = config({ 'retention.ms': '45' });
    expect(await lines.retainedFrom(log, settings, nowMs)).toBe(1);
    log.advanceLogStart(1);
    const before = reads.count;
    for (const laterMs of [1, 2, 5]) expect(await lines.retainedFrom(log, settings, nowMs + laterMs)).toBe(1);
    expect(reads.count).toBe(before);
    expect(await lines.retainedFrom(log, settings, nowMs + 6)).toBe(2);
    expect(await lines.retainedFrom(log, config({ 'retention.bytes': '0' }), nowMs)).toBe(4);
  });

  it('finds the same line again while the log start has not moved there', async () => {
    const { log, lines } = await setUp([50, 40, 30, 20], 4);
    const settings = config({ 'retention.ms': '45' });
    for (let look = 0; look < 2; look += 1) expect(await lines.retainedFrom(log, settings, nowMs)).toBe(1);
  });

  it('keeps everything of a topic that is only compacted, and reads nothing for it', async () => {
    const { log, lines, reads } = await setUp([50, 40, 30, 20], 4);
    const settings = config({ 'cleanup.policy': 'compact', 'retention.ms': '1', 'retention.bytes': '1' });
    expect(await lines.retainedFrom(log, settings, nowMs)).toBe(0);
    expect(reads.count).toBe(0);
  });

  it('draws the line where it would be if nothing were folded', async () => {
    const age = fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 100 }));
    const limit = fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 100 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(age, { minLength: 1, maxLength: 12 }),
        fc.nat(12),
        fc.nat(12),
        limit,
        limit,
        async (ages, foldedBatches, start, retentionMs, keptBatches) => {
          const settings = config({
            'retention.ms': String(retentionMs),
            'retention.bytes': String(keptBatches < 0 ? -1 : Math.floor((keptBatches * batchBytes) / 9)),
          });
          const logStartOffset = Math.min(start, ages.length);
          const plain = await setUp(ages, 0);
          const folded = await setUp(ages, Math.min(foldedBatches, ages.length));
          for (const { log } of [plain, folded]) log.advanceLogStart(logStartOffset);
          const lineOf = ({ log, lines }: typeof plain) => lines.retainedFrom(log, settings, nowMs);
          const expected = await lineOf(plain);
          expect(await lineOf(folded)).toBe(expected);
          expect(await lineOf(folded)).toBe(expected); // Also from what is remembered.
        },
      ),
      { numRuns: 200 },
    );
  });
});
