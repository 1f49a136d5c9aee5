import { backoffDelayMs } from './backoff.ts';
import type { Random } from './random.ts';

const always = (float: number): Random => ({
  bytes: (length) => Buffer.alloc(length),
  int: () => 0,
  float: () => float,
});

describe('backoffDelayMs', () => {
  const settings = { baseMs: 100, maxMs: 1_000 };

  it('doubles the bound with every failure up to the maximum', () => {
    const bounds = [0, 1, 2, 3, 4, 100].map((attempt) => backoffDelayMs(attempt, settings, always(1)));
    expect(bounds).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it('spreads the waits over the whole range down to none', () => {
    expect(backoffDelayMs(3, settings, always(0))).toBe(0);
    expect(backoffDelayMs(3, settings, always(0.5))).toBe(400);
  });
});
