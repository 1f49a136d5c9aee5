import type { Clock } from './clock.ts';
import { settlesWithin, withDeadline } from './deadline.ts';

/** A clock whose timers fire when the test says so. */
function manualClock() {
  const timers = new Map<() => void, number>();
  const clock: Clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    schedule: (delayMs, callback) => {
      timers.set(callback, delayMs);
      return () => timers.delete(callback);
    },
    sleep: () => Promise.reject(new Error('not used')),
  };
  return { clock, timers };
}

describe('withDeadline', () => {
  it('answers as the work does, and leaves no timer', async () => {
    const { clock, timers } = manualClock();
    await expect(withDeadline(clock, 50, () => Promise.resolve('done'))).resolves.toBe('done');
    await expect(withDeadline(clock, 50, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(timers.size).toBe(0);
  });

  it('aborts the signal after the deadline and lets the work decide', async () => {
    const { clock, timers } = manualClock();
    let signal: AbortSignal | undefined;
    const work = withDeadline(clock, 50, (given) => {
      signal = given;
      return new Promise<string>((resolve) => given.addEventListener('abort', () => resolve('partial')));
    });
    expect([...timers.values()]).toEqual([50]);
    expect(signal?.aborted).toBe(false);
    for (const fire of timers.keys()) fire();
    expect(signal?.reason).toEqual(new Error('no answer within 50 ms'));
    await expect(work).resolves.toBe('partial');
  });
});

describe('settlesWithin', () => {
  it('says that the work settled, fails as it does, and leaves no timer', async () => {
    const { clock, timers } = manualClock();
    await expect(settlesWithin(clock, 50, Promise.resolve('done'))).resolves.toBe(true);
    await expect(settlesWithin(clock, 50, Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(timers.size).toBe(0);
  });

  it('stops waiting for work that never ends', async () => {
    const { clock, timers } = manualClock();
    const settles = settlesWithin(clock, 50, new Promise(() => undefined));
    for (const [fire, delayMs] of timers) if (delayMs === 50) fire();
    await expect(settles).resolves.toBe(false);
  });
});
