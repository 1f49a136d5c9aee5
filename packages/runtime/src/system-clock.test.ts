import { systemClock } from './system-clock.ts';

describe('systemClock', () => {
  it('runs a scheduled callback, and not a cancelled one', async () => {
    const ran: string[] = [];
    systemClock.schedule(1, () => ran.push('cancelled'))();
    systemClock.schedule(1, () => ran.push('kept'));
    const before = systemClock.monotonicMs();
    while (ran.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(ran).toEqual(['kept']);
    expect(systemClock.monotonicMs()).toBeGreaterThan(before);
  });

  it('ends a sleep with the reason of the signal', async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(60_000, controller.signal);
    controller.abort(new Error('stopped'));
    await expect(sleeping).rejects.toThrow('stopped');
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow('stopped');
  });

  it('never runs a callback before its time', async () => {
    const early: number[] = [];
    await Promise.all(
      Array.from({ length: 2_000 }, async (_, index) => {
        await new Promise((resolve) => setTimeout(resolve, index % 40));
        const delayMs = (index % 97) / 13;
        const dueMs = systemClock.monotonicMs() + delayMs;
        await new Promise<void>((resolve) => systemClock.schedule(delayMs, resolve));
        early.push(Math.max(0, dueMs - systemClock.monotonicMs()));
        const wokenMs = systemClock.monotonicMs() + delayMs;
        await systemClock.sleep(delayMs);
        early.push(Math.max(0, wokenMs - systemClock.monotonicMs()));
      }),
    );
    expect(early.filter((ms) => ms > 0)).toEqual([]);
  });
});
