import { cryptoRandom, seededRandom } from './random.ts';

describe.each([
  ['crypto', () => cryptoRandom],
  ['seeded', () => seededRandom(42)],
])('%s random', (_name, create) => {
  it('stays within its bounds and reaches all of them', () => {
    const random = create();
    const seen = new Set<number>();
    for (let draw = 0; draw < 1_000; draw += 1) {
      seen.add(random.int(5));
      const float = random.float();
      expect(float >= 0 && float < 1).toBe(true);
    }
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(random.bytes(37)).toHaveLength(37);
  });
});

describe('seededRandom', () => {
  const sequence = (seed: number) => {
    const random = seededRandom(seed);
    return [random.int(2 ** 32), random.float(), random.bytes(8).toString('hex')];
  };

  it('repeats its sequence for the same seed and not for another', () => {
    expect(sequence(1)).toEqual(sequence(1));
    expect(sequence(1)).not.toEqual(sequence(2));
  });

  it('refuses a bound that it cannot draw from', () => {
    expect(() => seededRandom(1).int(0)).toThrow(RangeError);
    expect(() => seededRandom(1).int(2 ** 32 + 1)).toThrow(RangeError);
  });
});
