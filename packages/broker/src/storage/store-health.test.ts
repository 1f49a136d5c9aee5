import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { HealthObjectStore } from './health-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { StoreHealth, type CallOutcome, type JudgedOperation } from './store-health.ts';

const settings = { windowMs: 60_000, latencyWarnMs: 500, latencyCritMs: 3_000, errorRateWarn: 0.2, errorRateCrit: 0.6 };

function judged() {
  const clock = new FakeClock();
  const health = new StoreHealth(clock, settings);
  const changes: string[] = [];
  health.onChange(({ state, canWrite }) => changes.push(`${state} ${canWrite ? 'writable' : 'unwritable'}`));
  const call = (operation: JudgedOperation, outcome: CallOutcome, durationMs = 10) => {
    const end = health.began(operation);
    clock.advance(durationMs);
    end(outcome);
  };
  const calls = (count: number, ...of: Parameters<typeof call>) => {
    for (let index = 0; index < count; index += 1) call(...of);
  };
  return { clock, health, changes, call, calls, state: () => health.report().state };
}

describe('StoreHealth', () => {
  it('is healthy without a call, and while answers are quick', () => {
    const { health, calls, state } = judged();
    expect(health.report()).toEqual({
      state: 'healthy',
      canWrite: true,
      latencyMs: 0,
      errorRate: 0,
      stateDurationMs: 0,
    });
    calls(100, 'create', 'ok', 100);
    calls(100, 'read', 'not-found', 100);
    expect(state()).toBe('healthy');
    expect(health.report()).toMatchObject({ latencyMs: 100, errorRate: 0, stateDurationMs: 20_000 });
  });

  it('is degraded from the warning rate of errors on, and unavailable from the critical one', () => {
    const { calls, state } = judged();
    calls(10, 'create', 'ok');
    calls(2, 'create', 'unavailable');
    expect(state()).toBe('healthy');
    calls(1, 'create', 'unavailable');
    expect(state()).toBe('degraded');
    calls(12, 'create', 'unavailable');
    expect(state()).toBe('unavailable');
  });

  it('judges creates and reads each by themselves', () => {
    const { health, calls, state } = judged();
    calls(100, 'read', 'ok');
    calls(5, 'create', 'denied');
    expect(state()).toBe('unavailable');
    expect(health.canWrite).toBe(false);
    expect(health.report().errorRate).toBeCloseTo(5 / 105);
  });

  it('lets a store be written whose reads fail, and one that is slow', () => {
    const reads = judged();
    reads.calls(5, 'read', 'unavailable');
    expect(reads.health.report()).toMatchObject({ state: 'unavailable', canWrite: true });
    const slow = judged();
    slow.calls(3, 'create', 'ok', 700);
    expect(slow.health.report()).toMatchObject({ state: 'degraded', canWrite: true });
    slow.calls(10, 'create', 'ok', 4_000);
    expect(slow.health.report()).toMatchObject({ state: 'unavailable', canWrite: true });
  });

  it('sees calls that hang before they end', () => {
    const { clock, health, state } = judged();
    for (let call = 0; call < 3; call += 1) health.began('create');
    clock.advance(5_999);
    health.refresh();
    expect(state()).toBe('healthy');
    clock.advance(1);
    health.refresh();
    expect(health.report()).toMatchObject({ state: 'unavailable', canWrite: false, errorRate: 1 });
  });

  it('knows a store that answers no more from one that answered well a moment ago', () => {
    const { clock, health, calls, state } = judged();
    calls(5_000, 'create', 'ok', 1);
    for (let call = 0; call < 3; call += 1) health.began('create');
    clock.advance(6_000);
    health.refresh();
    expect(health.report()).toMatchObject({ state: 'unavailable', canWrite: false });
    calls(1, 'create', 'ok');
    expect(health.canWrite).toBe(true);
    calls(20, 'create', 'unavailable', 100);
    expect(state()).toBe('healthy'); // two seconds: it may just be restarted
    calls(40, 'create', 'unavailable', 100);
    expect(health.report()).toMatchObject({ state: 'unavailable', canWrite: false });
  });

  it('goes on in spite of a few calls that hang while others are answered', () => {
    const { clock, health, calls } = judged();
    for (let call = 0; call < 3; call += 1) health.began('create');
    for (let second = 0; second < 60; second += 1) {
      clock.advance(900);
      calls(10, 'create', 'ok');
    }
    expect(health.canWrite).toBe(true);
  });

  it('takes nothing from callers who give up early, and takes those who waited long for failures', () => {
    const { calls, state } = judged();
    calls(50, 'read', 'aborted', 100);
    expect(state()).toBe('healthy');
    calls(3, 'read', 'aborted', 10_000);
    expect(state()).toBe('unavailable');
  });

  it('makes nothing of one failure after a quiet hour', () => {
    const { clock, calls, state } = judged();
    clock.advance(3_600_000);
    calls(2, 'create', 'unavailable');
    expect(state()).toBe('healthy');
  });

  it('is healthy again after three good answers, and says since when', () => {
    const { health, changes, calls } = judged();
    calls(20, 'create', 'unavailable', 1_000);
    calls(2, 'create', 'ok');
    expect(health.canWrite).toBe(false);
    calls(1, 'create', 'ok');
    expect(health.report()).toMatchObject({ state: 'healthy', canWrite: true, stateDurationMs: 0 });
    expect(changes).toEqual(['unavailable unwritable', 'healthy writable']);
  });

  it('takes nothing from calls that hung and end after the store came back', () => {
    const { clock, health, calls } = judged();
    const hung = [0, 1, 2].map(() => health.began('create'));
    clock.advance(7_000);
    health.refresh();
    expect(health.canWrite).toBe(false);
    calls(3, 'create', 'ok');
    clock.advance(3_000);
    for (const end of hung) end('aborted');
    expect(health.report()).toMatchObject({ state: 'healthy', canWrite: true, errorRate: 0 });
  });

  it('does not forget the failures of a store of which a third fails', () => {
    const { calls, state } = judged();
    for (let round = 0; round < 20; round += 1) {
      calls(6, 'create', 'ok');
      calls(3, 'create', 'unavailable');
    }
    calls(3, 'create', 'ok');
    expect(state()).toBe('degraded');
  });

  it('forgets what lies behind its window', () => {
    const { clock, health, calls, state } = judged();
    calls(5, 'read', 'unavailable');
    clock.advance(settings.windowMs + 2_000);
    health.refresh();
    expect(state()).toBe('healthy');
    expect(health.report()).toMatchObject({ errorRate: 0, latencyMs: 0 });
  });
});

describe('HealthObjectStore', () => {
  const opened = () => {
    const clock = new FakeClock();
    const memory = new MemoryObjectStore({ clock });
    const faulty = new FaultyObjectStore(memory, { clock });
    const health = new StoreHealth(clock, settings);
    const store = new HealthObjectStore(faulty, { health, clock, random: seededRandom(1), namespace: 'n' });
    return { clock, memory, faulty, health, store };
  };
  const keysOf = async (store: MemoryObjectStore) => {
    const keys: string[] = [];
    for await (const { key } of store.list('')) keys.push(key);
    return keys;
  };

  it('finds the way back by itself when nobody writes, and leaves nothing behind', async () => {
    const { clock, memory, faulty, health, store } = opened();
    faulty.plan = () => 'fail-before';
    for (let call = 0; call < 3; call += 1) await store.create(`n/${call}`, []).catch(() => undefined);
    expect(health.canWrite).toBe(false);
    await clock.advanceAsync(600_000);
    expect(health.canWrite).toBe(false);
    expect(faulty.calls).toBeLessThan(400);

    faulty.heal();
    await clock.advanceAsync(15_000);
    expect(health.report()).toMatchObject({ state: 'healthy', canWrite: true });
    expect(await keysOf(memory)).toEqual([]);
    const { calls } = faulty;
    await clock.advanceAsync(60_000);
    expect(faulty.calls).toBe(calls);
    await store.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it('gives up a try that hangs, and comes back when calls are answered again', async () => {
    const { clock, faulty, health, store } = opened();
    faulty.plan = () => 'hang';
    for (let call = 0; call < 3; call += 1) {
      const controller = new AbortController();
      clock.schedule(10_000, () => controller.abort()); // as those who write flushes do
      void store.create(`n/${call}`, [], controller.signal).catch(() => undefined);
    }
    await clock.advanceAsync(7_000);
    expect(health.canWrite).toBe(false);
    await clock.advanceAsync(30_000);
    expect(health.canWrite).toBe(false);
    expect(faulty.calls).toBeGreaterThan(5);
    faulty.heal();
    await clock.advanceAsync(25_000);
    expect(health.canWrite).toBe(true);
    await store.close();
  });
});
