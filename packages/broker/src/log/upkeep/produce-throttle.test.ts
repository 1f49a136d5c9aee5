import { silentLogger } from '@kafscale/runtime';
import { ProduceThrottle, type ThrottleInputs } from './produce-throttle.ts';

const calm: ThrottleInputs = { manifests: 64, shelves: 8, unfoldedExtents: 10_000, usage: undefined };
const usage = (inUse: number, size = inUse) => ({ sizeBytes: size, inUseBytes: inUse, quotaBytes: 100 });

const after = (inputs: Partial<ThrottleInputs>) => {
  const throttle = new ProduceThrottle(silentLogger);
  throttle.look({ ...calm, ...inputs });
  return { delayMs: throttle.delayMs, refuses: throttle.refuses };
};

describe('ProduceThrottle', () => {
  it('does nothing while all is folded in time', () => {
    expect(after({})).toEqual({ delayMs: 0, refuses: false });
    expect(after({ usage: usage(50) })).toEqual({ delayMs: 0, refuses: false });
  });

  it.each([{ manifests: 2_500 }, { shelves: 1_250 }, { unfoldedExtents: 1_200_000 }, { usage: usage(67.5) }])(
    'slows down at %j',
    (inputs) => {
      expect(after(inputs)).toEqual({ delayMs: 500, refuses: false });
    },
  );

  it.each([{ manifests: 4_000 }, { shelves: 2_000 }, { unfoldedExtents: 2_000_000 }, { usage: usage(85) }])(
    'refuses at %j, before the store does',
    (inputs) => {
      expect(after(inputs)).toEqual({ delayMs: 1_000, refuses: true });
    },
  );

  it('does not mind pages of the file that are free', () => {
    expect(after({ usage: usage(20, 99) })).toEqual({ delayMs: 0, refuses: false });
  });

  it('slows down early and more and more, long before it refuses', () => {
    const delays = [50, 57, 64, 71, 78, 84].map((inUse) => after({ usage: usage(inUse) }));
    expect(delays.map(({ delayMs }) => delayMs)).toEqual([0, 200, 400, 600, 800, 971]);
    expect(delays.some(({ refuses }) => refuses)).toBe(false);
  });

  it('lets go as soon as there is room again', () => {
    const throttle = new ProduceThrottle(silentLogger);
    throttle.look({ ...calm, usage: usage(90) });
    throttle.look({ ...calm, usage: usage(30) });
    expect([throttle.delayMs, throttle.refuses]).toEqual([0, false]);
  });
});
