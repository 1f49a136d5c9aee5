import fc from 'fast-check';
import { VerifiedRanges } from './verified-ranges.ts';

describe('verified ranges', () => {
  it('cover exactly the bytes that were added', () => {
    const range = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 12 }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), range, (added, [start, length]) => {
        const ranges = new VerifiedRanges();
        const bytes = new Set<number>();
        for (const [from, count] of added) {
          ranges.add(from, from + count);
          for (let byte = from; byte < from + count; byte += 1) bytes.add(byte);
        }
        const expected = Array.from({ length }, (_, index) => start + index).every((byte) => bytes.has(byte));
        expect(ranges.covers(start, start + length)).toBe(expected);
      }),
    );
  });
});
