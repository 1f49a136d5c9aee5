import fc from 'fast-check';
import type { Extent } from '../partition-log.ts';
import { makeLog } from '../read/log-fixture.ts';
import { planFold, type FoldCandidate } from './fold-plan.ts';

const orderOf = (objectKey: string) => ({ group: objectKey[0]!, sequence: Number(objectKey.slice(1)) });

function candidate(partition: number, objects: readonly string[], length = 10, rewrittenBytes = 0): FoldCandidate {
  const extents = objects.map((objectKey, index): Extent => ({
    ...{ baseOffset: index, nextOffset: index + 1, leaderEpoch: 0, position: 0 },
    ...{ maxTimestamp: -1, maxTimestampBaseOffset: index, objectKey, length },
  }));
  return { log: makeLog({ partition }), extents, rewrittenBytes };
}

const summary = (candidates: readonly FoldCandidate[], maxBytes: number, maxPartitions = 100) =>
  Object.fromEntries(
    planFold(candidates, { maxBytes, maxPartitions }, orderOf).map(({ log, extents }) => [
      log.partition,
      extents.map(({ objectKey }) => objectKey),
    ]),
  );

describe('planFold', () => {
  it('takes the oldest objects, each for all partitions that are in it', () => {
    const candidates = [candidate(0, ['a1', 'a2', 'a3']), candidate(1, ['a1', 'a3']), candidate(2, ['a2', 'a3'])];
    expect(summary(candidates, 40)).toEqual({ 0: ['a1', 'a2'], 1: ['a1'], 2: ['a2'] });
    expect(summary(candidates, 1_000)).toEqual({ 0: ['a1', 'a2', 'a3'], 1: ['a1', 'a3'], 2: ['a2', 'a3'] });
  });

  it('leaves nothing out in the middle of a partition', () => {
    const candidates = [candidate(0, ['b1', 'a1']), candidate(1, ['a1'])];
    expect(summary(candidates, 1_000)).toEqual({ 0: ['b1'], 1: ['a1'] });
  });

  it('takes something even when nothing fits', () => {
    expect(summary([candidate(0, ['a1', 'a2'], 500)], 100)).toEqual({ 0: ['a1'] });
    expect(summary([], 100)).toEqual({});
  });

  it('counts what is rewritten besides, and partitions', () => {
    expect(summary([candidate(0, ['a1'], 10, 95), candidate(1, ['a1'])], 110)).toEqual({ 0: ['a1'] });
    expect(summary([candidate(0, ['a1']), candidate(1, ['a1'])], 1_000, 1)).toEqual({ 0: ['a1'] });
  });

  it('always gets on, never beyond the limit by more than one extent, and in order', () => {
    const object = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 9 })).map(([g, n]) => `${g}${n}`);
    const partitions = fc.array(fc.uniqueArray(object, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(partitions, fc.integer({ min: 1, max: 300 }), (lists, maxBytes) => {
        const candidates = lists.map((objects, partition) => candidate(partition, objects));
        const planned = planFold(candidates, { maxBytes, maxPartitions: 100 }, orderOf);
        const bytes = planned.flatMap(({ extents }) => extents).reduce((sum, { length }) => sum + length, 0);
        expect(bytes).toBeGreaterThan(0);
        expect(bytes).toBeLessThanOrEqual(Math.max(maxBytes, 10));
        for (const { log, extents } of planned) {
          expect(extents).toEqual(candidates[log.partition]!.extents.slice(0, extents.length));
        }
      }),
    );
  });
});
