import fc from 'fast-check';
import { compareQuantities, parseQuantity, quantityUnits, sameQuantity } from './quantity.ts';

describe('quantities', () => {
  it.each([
    ['1', 1],
    ['500m', 1],
    ['1Gi', 1_073_741_824],
    ['1.5Gi', 1_610_612_736],
    ['1e3', 1000],
    ['10M', 10_000_000],
    ['.5k', 500],
    ['0', 0],
  ])('%s is %d units', (text, units) => {
    expect(quantityUnits(text)).toBe(units);
  });

  it.each([
    ['1000m', '1'],
    ['1024Mi', '1Gi'],
    ['0.5', '500m'],
    ['1e3', '1k'],
    ['2', 2],
    ['1', '1.0'],
  ])('%s means the same as %s', (a, b) => {
    expect(sameQuantity(a, b)).toBe(true);
  });

  it.each(['', 'abc', '1.2.3', '1 Gi', 'Gi', '1KB', '--1', '1e', 'NaN', '9'.repeat(50)])('refuses %j', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
    expect(sameQuantity(text, text)).toBe(false);
    expect(() => compareQuantities(text, '1')).toThrow('is not a quantity such as 500m or 1Gi');
  });

  it('orders as numbers do', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: -1e9, max: 1e9 }), (a, b) => {
        expect(Math.sign(compareQuantities(`${a}m`, `${b * 1000}u`))).toBe(Math.sign(a - b));
      }),
    );
  });
});
