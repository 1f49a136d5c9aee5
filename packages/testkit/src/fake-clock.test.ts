import { FakeClock } from './fake-clock.ts';

describe('FakeClock', () => {
  it('stands still until it is advanced, then moves both clocks alike', () => {
    const clock = new FakeClock({ monotonicMs: 10, wallMs: 1000 });
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([10, 1000]);
    clock.advance(5);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([15, 1005]);
    clock.jumpWall(-500);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([15, 505]);
  });

  it('runs timers in the order of their due time, equal ones in the order they were set, each at its time', () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    clock.schedule(20, () => ran.push(`late@${clock.monotonicMs()}`));
    clock.schedule(10, () => {
      ran.push(`first@${clock.monotonicMs()}`);
      clock.schedule(5, () => ran.push(`nested@${clock.monotonicMs()}`));
    });
    clock.schedule(10, () => ran.push(`second@${clock.monotonicMs()}`));
    clock.advance(20);
    expect(ran).toEqual(['first@10', 'second@10', 'nested@15', 'late@20']);
  });

  it('does not run a timer that is not due or was cancelled', () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    clock.schedule(10, () => ran.push('not due'));
    const cancel = clock.schedule(5, () => ran.push('cancelled'));
    cancel();
    clock.advance(9);
    expect(ran).toEqual([]);
    expect(clock.pendingTimers).toBe(1);
    expect(clock.nextTimerInMs).toBe(1);
  });

  it('lets promises settle between timers when advanced asynchronously', async () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    const worker = async () => {
      await clock.sleep(10);
      ran.push(`woke@${clock.monotonicMs()}`);
      await clock.sleep(10);
      ran.push(`woke@${clock.monotonicMs()}`);
    };
    const done = worker();
    await clock.advanceAsync(20);
    await done;
    expect(ran).toEqual(['woke@10', 'woke@20']);
  });

  it('rejects a sleep with the reason of its signal and forgets the timer', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const sleep = clock.sleep(10, controller.signal);
    const reason = new Error('stopped');
    controller.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    await expect(clock.sleep(10, controller.signal)).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
  });

  it('runs until a promise settles, and says when it never will', async () => {
    const clock = new FakeClock();
    await expect(clock.runUntilSettled(clock.sleep(1000).then(() => 'done'))).resolves.toBe('done');
    expect(clock.monotonicMs()).toBe(1000);
    await expect(clock.runUntilSettled(new Promise(() => undefined))).rejects.toThrow('no timer is left');
  });
});
