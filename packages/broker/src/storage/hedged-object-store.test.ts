import { FakeClock } from '@kafscale/testkit';
import { FaultyObjectStore, type ObjectFault } from './faulty-object-store.ts';
import { HedgedObjectStore } from './hedged-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import type { ObjectStore } from './object-store.ts';

const range = { start: 0, end: 4 };

/** A store that has answered `reads` reads in 10 ms each. */
async function warm({ reads = 32, maxShare = 0.05 } = {}) {
  const clock = new FakeClock();
  const inner = new MemoryObjectStore({ clock });
  await inner.create('a', [Buffer.from('content')]);
  const faulty = new FaultyObjectStore(inner, { clock, plan: () => ({ delayMs: 10 }) });
  const hedges: boolean[] = [];
  const store = new HedgedObjectStore(faulty, {
    clock,
    quantile: 0.95,
    minDelayMs: 5,
    maxShare,
    maxBytes: 100,
    onHedged: (won) => hedges.push(won),
  });
  for (let read = 0; read < reads; read += 1) await clock.runUntilSettled(store.read('a', range));
  const next = (...faults: ObjectFault[]) => {
    const from = faulty.calls;
    faulty.plan = ({ index }) => faults[index - from] ?? { delayMs: 10 };
  };
  return { clock, faulty, store, hedges, next };
}

describe('HedgedObjectStore', () => {
  it('asks a second time behind the slowest of the last reads, and answers with what comes first', async () => {
    const { clock, store, hedges, next } = await warm();
    expect(store.delayMs).toBe(10);
    next({ delayMs: 5_000 });
    const startMs = clock.monotonicMs();
    expect((await clock.runUntilSettled(store.read('a', range))).toString()).toBe('cont');
    expect(clock.monotonicMs() - startMs).toBe(20);
    expect(hedges).toEqual([true]);
  });

  it('keeps the first answer when that still comes before the second', async () => {
    const { clock, store, hedges, next } = await warm();
    next({ delayMs: 15 }, { delayMs: 5_000 });
    const startMs = clock.monotonicMs();
    await clock.runUntilSettled(store.read('a', range));
    expect(clock.monotonicMs() - startMs).toBe(15);
    expect(hedges).toEqual([false]);
  });

  it('asks nothing twice before it knows the store, nor large or whole objects', async () => {
    const { clock, store, faulty, next } = await warm({ reads: 31 });
    next({ delayMs: 5_000 });
    await clock.runUntilSettled(store.read('a', range));
    next({ delayMs: 5_000 }, { delayMs: 5_000 });
    await clock.runUntilSettled(store.read('a', { start: 0, end: 101 }));
    await clock.runUntilSettled(store.read('a'));
    expect(faulty.calls).toBe(34);
  });

  it('makes second requests for a small share of the reads only, when everything is slow', async () => {
    const { clock, store, faulty, hedges } = await warm();
    faulty.plan = () => ({ delayMs: 1_000 });
    const reads = Array.from({ length: 200 }, () => store.read('a', range));
    await clock.runUntilSettled(Promise.all(reads));
    expect(hedges.length).toBeLessThanOrEqual(8 + 200 * 0.05);
    expect(hedges.length).toBeGreaterThan(0);
  });

  it('answers with the second when the first fails, and with an error only when both do', async () => {
    const { clock, store, next } = await warm();
    next({ failAfterMs: 15, deliverAfterMs: 'never' }, { delayMs: 30 });
    await expect(clock.runUntilSettled(store.read('a', range))).resolves.toHaveLength(4);
    next({ failAfterMs: 15, deliverAfterMs: 'never' }, { failAfterMs: 30, deliverAfterMs: 'never' });
    await expect(clock.runUntilSettled(store.read('a', range))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('leaves no timer and tells both requests when the caller gives up', async () => {
    const { clock, store, next } = await warm();
    next('hang', 'hang');
    const controller = new AbortController();
    const read = expect(store.read('a', range, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    await clock.advanceAsync(50);
    controller.abort();
    await read;
    expect(clock.pendingTimers).toBe(0);
  });

  it('gives memory to one request alone, and settles when that uses it no more', async () => {
    const clock = new FakeClock();
    const given: (Buffer | undefined)[] = [];
    let firstEnded = false;
    let isSlow = false;
    const inner: ObjectStore = new MemoryObjectStore({ clock });
    inner.read = async (_key, _range, signal, memory) => {
      if (!isSlow) return Buffer.from('cont');
      given.push(memory);
      if (given.length === 2) return Buffer.from('cont');
      await new Promise((resolve) => signal!.addEventListener('abort', resolve));
      await clock.sleep(100);
      firstEnded = true;
      throw new Error('told to stop');
    };
    const store = new HedgedObjectStore(inner, { clock, quantile: 0.95, minDelayMs: 5, maxShare: 1, maxBytes: 100 });
    for (let read = 0; read < 32; read += 1) await store.read('a', range);
    isSlow = true;
    const into = Buffer.alloc(10);
    await clock.runUntilSettled(store.read('a', range, undefined, into));
    expect(given).toEqual([into, undefined]);
    expect(firstEnded).toBe(true);
  });
});
