import fc from 'fast-check';
import { absorbedChunks, cutIntoRuns, firstRewritten, firstTidied, isComplete, leavingSegments } from './run-tiers.ts';

const settings = { segmentBytes: 16 * 2 ** 20 };

/** Folds `sizes` one after another, older runs going along or by themselves behind it; what is left in the record, how many chunks there are, and how often a byte was written. */
function grow(sizes: Iterable<number>, { together = true } = {}) {
  const { segmentBytes } = settings;
  let runs: { readonly length: number }[] = [];
  let chunks: { readonly segmentCount: number }[] = [];
  const most = { runs: 0, chunks: 0 };
  let written = 0;
  let produced = 0;
  for (const size of sizes) {
    produced += size;
    const rewrite = (from: number, behind: readonly { readonly length: number }[]) => {
      const outputs = cutIntoRuns([...runs.slice(from), ...behind], { segmentBytes });
      const sizesOut = outputs.map((sources) => ({ length: sources.reduce((sum, { length }) => sum + length, 0) }));
      for (const { length } of sizesOut) written += length;
      runs = [...runs.slice(0, from), ...sizesOut];
    };
    rewrite(together ? firstRewritten(runs, size, settings) : runs.length, [{ length: size }]);
    const tidied = firstTidied(runs, settings);
    if (together && tidied < runs.length) throw new Error('something was left that should have gone along');
    if (tidied < runs.length) rewrite(tidied, []);
    const leaving = leavingSegments(runs, { segmentBytes });
    if (leaving > 0) {
      const absorbed = absorbedChunks(chunks, leaving);
      const counts = chunks.slice(chunks.length - absorbed).map(({ segmentCount }) => segmentCount);
      chunks = [
        ...chunks.slice(0, chunks.length - absorbed),
        { segmentCount: counts.reduce((sum, count) => sum + count, leaving) },
      ];
      runs = runs.slice(leaving);
    }
    most.runs = Math.max(most.runs, runs.length);
    most.chunks = Math.max(most.chunks, chunks.length);
  }
  const segmentCount = chunks.reduce((sum, chunk) => sum + chunk.segmentCount, 0);
  return { runs, chunks, most, segmentCount, written: written / produced };
}

const repeat = (size: number, count: number) => Array.from({ length: count }, () => size);

describe('the tiers of runs', () => {
  it.each([true, false])(
    'makes segments of many small folds, with few runs and rewrites (together: %s)',
    (together) => {
      const { most, written, runs, segmentCount } = grow(repeat(2 ** 20, 1_000), { together });
      expect(most.runs).toBeLessThan(20);
      expect(written).toBeLessThan(together ? 4 : 5);
      expect(segmentCount + runs.length).toBeLessThan(1_000 / 8);
    },
  );

  it('does so for a partition that gets next to nothing', () => {
    const { most, written } = grow(repeat(1_024, 50_000));
    expect(most.runs).toBeLessThan(20);
    expect(written).toBeLessThan(9);
  });

  it('writes once what is a segment by itself', () => {
    const { written, most } = grow(repeat(settings.segmentBytes, 300));
    expect([written, most.runs < 8]).toEqual([1, true]);
  });

  it('describes 300 000 segments by a few dozen chunks', () => {
    const { most, segmentCount, runs } = grow(repeat(settings.segmentBytes, 300_000));
    expect(segmentCount + runs.length).toBe(300_000);
    expect(most.chunks).toBeLessThan(64);
  });

  it('lets small runs leave the record that a complete one has shut in', () => {
    const { most, chunks } = grow([1_000, 1_000, ...repeat(settings.segmentBytes / 2, 50)]);
    expect(most.runs).toBeLessThan(12);
    expect(chunks.length).toBeGreaterThan(0);
  });

  it('bounds runs and rewrites whatever the sizes', () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 40 * 2 ** 20 }));
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 300 }), fc.boolean(), (sizes, together) => {
        const { most, written } = grow(sizes, { together });
        expect(most.runs).toBeLessThan(24);
        expect(written).toBeLessThan(16);
      }),
    );
  });

  it('cuts at sources, and leaves no small rest behind a segment', () => {
    const source = (length: number) => ({ length });
    const cut = (...lengths: number[]) =>
      cutIntoRuns(lengths.map(source), { segmentBytes: 10 }).map((run) => run.map(({ length }) => length));
    expect(cut(4, 4, 4, 9, 1, 3)).toEqual([
      [4, 4, 4],
      [9, 1, 3],
    ]);
    expect(cut(4, 4)).toEqual([[4, 4]]);
    expect(cut(12, 5)).toEqual([[12], [5]]);
    expect(cut()).toEqual([]);
    expect(isComplete(source(5), { segmentBytes: 10 })).toBe(true);
  });
});
