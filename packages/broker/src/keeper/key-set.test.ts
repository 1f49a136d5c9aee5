import fc from 'fast-check';
import { KeySet } from './key-set.ts';

describe('KeySet', () => {
  it('has every key that was added, however many', () => {
    const set = new KeySet();
    const key = (index: number) => `default/flush/00/incarnation.${index}.unique.wal`;
    for (let index = 0; index < 20_000; index += 1) set.add(key(index));
    for (let index = 0; index < 20_000; index += 1) expect(set.has(key(index))).toBe(true);
    expect(set.size).toBe(20_000);
    expect(set.has(key(20_000))).toBe(false);
  });

  it('behaves as a set of strings', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (added, asked) => {
        const set = new KeySet();
        for (const key of added) set.add(key);
        for (const key of [...added, ...asked]) expect(set.has(key)).toBe(added.includes(key));
        expect(set.size).toBe(new Set(added).size);
      }),
    );
  });
});
