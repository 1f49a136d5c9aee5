import fc from 'fast-check';
import type { Extent, PartitionPlace } from '../partition-log.ts';
import { makeLog } from '../read/log-fixture.ts';
import { planFold, type FoldCandidate } from './fold-plan.ts';

interface Shape {
  readonly lengths?: readonly number[];
  readonly rewrittenBytes?: number;
  readonly isDue?: boolean;
}

function candidate(partition: number, { lengths = [10], rewrittenBytes = 0, isDue = true }: Shape = {}): FoldCandidate {
  const extents = lengths.map((length, index): Extent => ({
    ...{ baseOffset: index, nextOffset: index + 1, leaderEpoch: 0, position: 0, objectKey: `object-${index}` },
    ...{ maxTimestamp: -1, maxTimestampBaseOffset: index, length },
  }));
  return { log: makeLog({ partition }), extents, rewrittenBytes, isDue };
}

const summary = (
  candidates: readonly FoldCandidate[],
  { maxBytes = 1_000, maxPartitions = 100, minShareBytes = 1_000 } = {},
  after?: PartitionPlace,
) =>
  planFold(candidates, { maxBytes, maxPartitions, minShareBytes }, after).map(({ log, extents }) => [
    log.partition,
    extents.length,
  ]);

describe('planFold', () => {
  it('takes all that is due of as many neighbours as fit', () => {
    const candidates = [2, 0, 3, 1].map((partition) => candidate(partition, { lengths: [10, 10, 10] }));
    expect(summary(candidates, { maxBytes: 65 })).toEqual([
      [0, 3],
      [1, 3],
    ]);
  });

  it('goes on where the last round ended, and round', () => {
    const candidates = [0, 1, 2].map((partition) => candidate(partition));
    expect(summary(candidates, { maxBytes: 20 }, candidates[1]!.log)).toEqual([
      [2, 1],
      [0, 1],
    ]);
    expect(summary(candidates, { maxBytes: 20 }, candidates[2]!.log)).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });

  it('begins with one that is due, and takes along its neighbours that are not quite', () => {
    const [first, second, third] = [{ isDue: false }, { isDue: true }, { isDue: false }];
    const candidates = [candidate(0, first), candidate(1, second), candidate(2, third)];
    expect(summary(candidates, { maxBytes: 20 })).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(summary([candidate(0, first), candidate(2, third)])).toEqual([]);
  });

  it('takes a part only of one that is more than a round by itself', () => {
    const [large, small] = [candidate(0, { lengths: [400, 400, 400] }), candidate(1)];
    expect(summary([large, small], { maxBytes: 809 })).toEqual([[0, 2]]);
    expect(summary([large, small], { maxBytes: 809 }, large.log)).toEqual([[1, 1]]);
    expect(summary([large], { maxBytes: 100 })).toEqual([[0, 1]]);
    expect(summary([])).toEqual([]);
  });

  it('counts what is rewritten besides, and partitions', () => {
    const heavy = candidate(0, { rewrittenBytes: 95 });
    expect(summary([heavy, candidate(1)], { maxBytes: 110 })).toEqual([[0, 1]]);
    expect(summary([candidate(0), candidate(1)], { maxPartitions: 1 })).toEqual([[0, 1]]);
  });

  it('takes the same part of each when much waits, so that reads stay large', () => {
    const waiting = [0, 1, 2, 3].map((partition) => candidate(partition, { lengths: new Array<number>(20).fill(10) }));
    expect(summary(waiting, { maxBytes: 200, minShareBytes: 40 })).toEqual([
      [0, 5],
      [1, 5],
      [2, 5],
      [3, 5],
    ]);
    expect(summary(waiting, { maxBytes: 200, minShareBytes: 100 })).toEqual([
      [0, 10],
      [1, 10],
    ]);
  });

  it.each([1, 2, 8])('publishes as often as there are bytes for it, whatever waits (%d MB each)', (megabytes) => {
    const [partitions, extentBytes, maxBytes, minShareBytes] = [333, 20_000, 64 * 2 ** 20, 2 ** 19];
    const lengths = Array.from({ length: 50 * megabytes }, () => extentBytes);
    let waiting = Array.from({ length: partitions }, (_, partition) => candidate(partition, { lengths }));
    let publications = 0;
    let reads = 0;
    for (let after: PartitionPlace | undefined; waiting.length > 0;) {
      const planned = planFold(waiting, { maxBytes, maxPartitions: 2_000, minShareBytes }, after);
      const taken = new Map(planned.map(({ log, extents }) => [log, extents.length]));
      publications += planned.length;
      reads += new Set(planned.flatMap((one) => one.extents.map(({ objectKey }) => objectKey))).size;
      after = planned.at(-1)!.log;
      waiting = waiting.flatMap((one) => {
        const extents = one.extents.slice(taken.get(one.log) ?? 0);
        return extents.length === 0 ? [] : [{ ...one, extents }];
      });
    }
    const bytes = partitions * lengths.length * extentBytes;
    expect(publications).toBeLessThan(1.2 * (bytes / minShareBytes) + partitions);
    // A read has what 128 neighbours have in the object, or all of them, whatever waits.
    expect(reads).toBeLessThan(1.3 * lengths.length * Math.ceil(partitions / 128));
  });

  it('reaches everything that is due, within limits and in order', () => {
    const shape = fc.record({
      lengths: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
      rewrittenBytes: fc.integer({ min: 0, max: 30 }),
      isDue: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 8 }), fc.integer({ min: 1, max: 300 }), (shapes, maxBytes) => {
        let waiting = shapes.map((one, partition) => candidate(partition, one));
        let after: PartitionPlace | undefined;
        for (let rounds = 0; waiting.some(({ isDue }) => isDue); rounds += 1) {
          expect(rounds).toBeLessThan(100);
          const planned = planFold(waiting, { maxBytes, maxPartitions: 100, minShareBytes: 20 }, after);
          const bytes = planned.flatMap(({ extents }) => extents).reduce((sum, { length }) => sum + length, 0);
          expect(bytes).toBeGreaterThan(0);
          if (planned.length > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
          const taken = new Map(planned.map(({ log, extents }) => [log, extents]));
          waiting = waiting.flatMap((one) => {
            const count = taken.get(one.log)?.length ?? 0;
            expect(taken.get(one.log) ?? []).toEqual(one.extents.slice(0, count));
            return count === one.extents.length ? [] : [{ ...one, extents: one.extents.slice(count) }];
          });
          after = planned.at(-1)!.log;
        }
      }),
    );
  });
});
