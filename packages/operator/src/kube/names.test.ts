import fc from 'fast-check';
import { boundedName, isDnsLabel, isObjectName } from './names.ts';

describe('names', () => {
  it('joins what fits', () => {
    expect(boundedName(['kafscale', 'broker'])).toBe('kafscale-broker');
  });

  it('cuts what does not fit, and keeps different names apart', () => {
    const long = 'a'.repeat(80);
    const name = boundedName([long, 'broker']);
    expect(name).toHaveLength(63);
    expect(boundedName([long, 'etcd'])).not.toBe(name);
    expect(boundedName([long, 'broker'])).toBe(name);
  });

  it('is a DNS label whatever it is made of', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string(), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 10, max: 63 }),
        (parts, limit) => {
          const name = boundedName(parts, limit);
          expect(isDnsLabel(name)).toBe(true);
          expect(name.length).toBeLessThanOrEqual(limit);
        },
      ),
    );
  });

  it('tells names from what is none', () => {
    expect(isObjectName('a.b-c.d')).toBe(true);
    for (const bad of ['', 'A', 'a_b', '-a', 'a-', 'a..b', '../x', 'a/b', 'x'.repeat(254)])
      expect(isObjectName(bad)).toBe(false);
  });
});
