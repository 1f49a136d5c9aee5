import fc from 'fast-check';
import { sortKey, SortedEntries } from './sorted-entries.ts';

const entry = (key: string) => ({ sortKey: sortKey(key) });

describe('SortedEntries', () => {
  it('orders any keys by their UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (left, right) => {
        const byBytes = Buffer.compare(Buffer.from(left), Buffer.from(right));
        const [leftKey, rightKey] = [sortKey(left), sortKey(right)];
        expect(Math.sign(byBytes)).toBe(leftKey < rightKey ? -1 : leftKey > rightKey ? 1 : 0);
      }),
    );
  });

  it('answers every range as a sorted list would, whatever was inserted and removed', () => {
    const key = fc.integer({ min: 0, max: 3000 }).map((number) => number.toString().padStart(4, '0'));
    const change = fc.record({ key, insert: fc.boolean() });
    const changes = fc.array(change, { minLength: 0, maxLength: 4000, size: 'max' });
    fc.assert(
      fc.property(changes, fc.array(fc.tuple(key, key), { minLength: 5 }), fc.boolean(), (list, ranges, ascending) => {
        const entries = new SortedEntries();
        const expected = new Set<string>();
        const inserted = ascending ? Array.from({ length: 2000 }, (_, index) => `${index}`.padStart(4, '0')) : [];
        for (const { key: changed, insert } of [...inserted.map((each) => ({ key: each, insert: true })), ...list]) {
          if (!insert) entries.remove(changed);
          else if (!expected.has(changed)) entries.insert(entry(changed));
          if (insert) expected.add(changed);
          else expected.delete(changed);
        }
        const sorted = [...expected].sort();
        expect(entries.size).toBe(sorted.length);
        for (const [start, end] of [...ranges, ['', '\x7f'] as const]) {
          const found = [...entries.range(start, end)].map((each) => each.sortKey);
          expect(found).toEqual(sorted.filter((each) => each >= start && each < end));
        }
      }),
      { numRuns: 50 },
    );
  });
});
