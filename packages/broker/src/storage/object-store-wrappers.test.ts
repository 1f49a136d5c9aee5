import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { CappedObjectStore } from './capped-object-store.ts';
import { DeadlineObjectStore } from './deadline-object-store.ts';
import { FaultyObjectStore, type ObjectFault } from './faulty-object-store.ts';
import { InstrumentedObjectStore, type ObjectStoreObservation } from './instrumented-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';
import type { ObjectStore } from './object-store.ts';
import { RetryingObjectStore } from './retrying-object-store.ts';

const body = [Buffer.from('content')];

/** A store of two objects with faults by the index of the call, once they are there. */
async function faulty(...faults: ObjectFault[]) {
  const clock = new FakeClock();
  const inner = new MemoryObjectStore({ clock });
  for (const key of ['a', 'b', 'c']) await inner.create(key, body);
  const store = new FaultyObjectStore(inner, { clock, plan: ({ index }) => faults[index] ?? 'ok' });
  return { clock, inner, store };
}

describeObjectStoreContract('all wrappers on one another', () => {
  const clock = new FakeClock();
  const random = seededRandom(1);
  const capped = new CappedObjectStore(new MemoryObjectStore({ clock }), { maxInFlight: 2, maxWaiting: 1000 });
  const bounded = new DeadlineObjectStore(capped, { clock, deadlineMs: 1000 });
  const instrumented = new InstrumentedObjectStore(bounded, clock, () => undefined);
  const backoff = { baseMs: 10, maxMs: 100 };
  const store = new RetryingObjectStore(instrumented, { clock, random, backoff, deadlineMs: 1000 });
  return Promise.resolve({ store, close: () => store.close() });
});

it('all wrappers hand the memory of a reader on to the store', async () => {
  const clock = new FakeClock();
  const inner: ObjectStore = new MemoryObjectStore({ clock });
  let given: Buffer | undefined;
  inner.read = (_key, _range, _signal, into) => {
    given = into;
    return Promise.resolve(into!);
  };
  const capped = new CappedObjectStore(inner, { maxInFlight: 2, maxWaiting: 1000 });
  const bounded = new DeadlineObjectStore(capped, { clock, deadlineMs: 1000 });
  const instrumented = new InstrumentedObjectStore(bounded, clock, () => undefined);
  const backoff = { baseMs: 10, maxMs: 100 };
  const store = new RetryingObjectStore(instrumented, { clock, random: seededRandom(1), backoff, deadlineMs: 1000 });
  const into = Buffer.alloc(4);
  await store.read('a', { start: 0, end: 4 }, undefined, into);
  expect(given).toBe(into);
});

describe('RetryingObjectStore', () => {
  const retrying = async (...faults: ObjectFault[]) => {
    const { clock, inner, store } = await faulty(...faults);
    const options = { clock, random: seededRandom(1), backoff: { baseMs: 10, maxMs: 100 }, deadlineMs: 1000 };
    return { clock, inner, faultyStore: store, store: new RetryingObjectStore(store, options) };
  };

  it('tries a read and a delete again until they succeed', async () => {
    const { clock, store, faultyStore } = await retrying(
      'fail-before',
      'lost-reply',
      'ok',
      'fail-before',
      'lost-reply',
    );
    expect((await clock.runUntilSettled(store.read('a'))).toString()).toBe('content');
    await clock.runUntilSettled(store.delete(['a']));
    expect(faultyStore.calls).toBe(6);
    await expect(store.read('a')).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('tries a create once, since its outcome is unknown', async () => {
    const { store, faultyStore } = await retrying('fail-before');
    await expect(store.create('d', body)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(faultyStore.calls).toBe(1);
  });

  it('goes on with a broken list behind its last key, without a loss or a duplicate', async () => {
    const { clock, store } = await retrying({ breakAfterObjects: 2 }, 'fail-before', { breakAfterObjects: 2 });
    const keys: string[] = [];
    const listing = (async () => {
      for await (const { key } of store.list('')) keys.push(key);
    })();
    await clock.runUntilSettled(listing);
    expect(keys).toEqual(['a', 'b', 'c']);
  });

  it('gives up at the deadline with the last error', async () => {
    const { clock, store, faultyStore } = await retrying();
    faultyStore.plan = () => 'fail-before';
    await expect(clock.runUntilSettled(store.read('a'))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(clock.monotonicMs()).toBeLessThan(1000);
    expect(faultyStore.calls).toBeGreaterThan(10);
  });

  it('does not try again what no attempt can help', async () => {
    const { store, faultyStore } = await retrying();
    await expect(store.read('missing')).rejects.toMatchObject({ kind: 'not-found' });
    await expect(store.read('..')).rejects.toThrow(RangeError);
    expect(faultyStore.calls).toBe(2);
  });

  it('stops waiting when the caller gives up', async () => {
    const { clock, store } = await retrying('fail-before');
    const controller = new AbortController();
    const read = expect(store.read('a', undefined, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    await clock.advanceAsync(0);
    controller.abort();
    await read;
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('DeadlineObjectStore', () => {
  it('gives large objects the time that their bytes take at the slowest rate', async () => {
    const { clock, store } = await faulty();
    store.plan = () => ({ delayMs: 2_400 });
    const bounds = { clock, deadlineMs: 500, minBytesPerSecond: 1_000 };
    const bounded = new DeadlineObjectStore(store, bounds);
    await clock.runUntilSettled(bounded.create('d', [Buffer.alloc(1_000), Buffer.alloc(1_000)]));
    await clock.runUntilSettled(bounded.read('d', { start: 0, end: 2_000 }));
    await clock.runUntilSettled(bounded.read('d'));
    const short = bounded.read('d', { start: 0, end: 1_000 });
    await expect(clock.runUntilSettled(short)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  const bounded = async (...faults: ObjectFault[]) => {
    const { clock, store } = await faulty(...faults);
    return { clock, store: new DeadlineObjectStore(store, { clock, deadlineMs: 500 }) };
  };

  it.each([
    ['create', (store: DeadlineObjectStore) => store.create('d', body)],
    ['read', (store: DeadlineObjectStore) => store.read('a')],
    ['delete', (store: DeadlineObjectStore) => store.delete(['a'])],
    ['list', (store: DeadlineObjectStore) => store.list('')[Symbol.asyncIterator]().next()],
  ])('answers `unavailable` when a %s hangs', async (_, call) => {
    const { clock, store } = await bounded('hang');
    await expect(clock.runUntilSettled<unknown>(call(store))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(clock.monotonicMs()).toBe(500);
    expect(clock.pendingTimers).toBe(0);
  });

  it('answers `aborted` when it was the caller who gave up', async () => {
    const { clock, store } = await bounded('hang');
    const controller = new AbortController();
    const read = expect(store.read('a', undefined, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    controller.abort();
    await read;
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not count the time that the caller of a list takes', async () => {
    const { clock, store } = await bounded();
    const keys: string[] = [];
    for await (const { key } of store.list('')) {
      keys.push(key);
      await clock.advanceAsync(400);
    }
    expect(keys).toEqual(['a', 'b', 'c']);
  });

  it('leaves no timer behind', async () => {
    const { clock, store } = await bounded();
    await store.create('d', body);
    await expect(store.read('missing')).rejects.toMatchObject({ kind: 'not-found' });
    for await (const { key } of store.list('')) if (key === 'a') break;
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('CappedObjectStore', () => {
  const capped = async () => {
    const { clock, inner, store } = await faulty();
    let inFlight = 0;
    let most = 0;
    store.plan = () => ({ replyAfterMs: 10 });
    const counting = new FaultyObjectStore(inner, { clock, plan: () => ({ replyAfterMs: 10 }) });
    const read = counting.read.bind(counting);
    counting.read = async (...call) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      try {
        return await read(...call);
      } finally {
        inFlight -= 1;
      }
    };
    return { clock, most: () => most, store: new CappedObjectStore(counting, { maxInFlight: 3, maxWaiting: 5 }) };
  };

  it('keeps so many calls in flight and lets the others wait in order', async () => {
    const { clock, most, store } = await capped();
    const ended: number[] = [];
    const reads = Array.from({ length: 8 }, (_, index) => store.read('a').then(() => ended.push(index)));
    await clock.runUntilSettled(Promise.all(reads));
    expect(most()).toBe(3);
    expect(ended).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(clock.monotonicMs()).toBe(30);
  });

  it('refuses a call when too many wait, and takes calls again afterwards', async () => {
    const { clock, store } = await capped();
    const reads = Promise.all(Array.from({ length: 8 }, () => store.read('a')));
    await expect(store.read('a')).rejects.toMatchObject({ kind: 'unavailable' });
    await clock.runUntilSettled(reads);
    await clock.runUntilSettled(store.read('a'));
  });

  it('gives the place of a caller who gave up, or of a call that failed, to the next', async () => {
    const { clock, store } = await capped();
    const controller = new AbortController();
    const reads = Array.from({ length: 3 }, () => store.read('missing').catch(() => 'failed'));
    const waiting = expect(store.read('a', undefined, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    const last = store.read('a');
    controller.abort();
    await waiting;
    expect((await clock.runUntilSettled(last)).toString()).toBe('content');
    expect(await Promise.all(reads)).toEqual(['failed', 'failed', 'failed']);
    expect(clock.monotonicMs()).toBe(20);
  });

  it('holds no place between the steps of a list', async () => {
    const { clock, store } = await capped();
    const lists = Array.from({ length: 3 }, () => store.list('')[Symbol.asyncIterator]());
    await clock.runUntilSettled(Promise.all(lists.map((list) => list.next())));
    expect((await clock.runUntilSettled(store.read('a'))).toString()).toBe('content');
  });
});

describe('InstrumentedObjectStore', () => {
  it('tells of each call how long it took, how many bytes it moved and how it ended', async () => {
    const { clock, store } = await faulty({ delayMs: 7 }, 'ok', 'ok', 'ok', 'ok', 'fail-before');
    const seen: ObjectStoreObservation[] = [];
    const instrumented = new InstrumentedObjectStore(store, clock, (observation) => seen.push(observation));
    await clock.runUntilSettled(instrumented.create('d', [Buffer.alloc(3), Buffer.alloc(4)]));
    await instrumented.read('a', { start: 0, end: 5 });
    await expect(instrumented.read('missing')).rejects.toMatchObject({ kind: 'not-found' });
    await instrumented.delete(['a']);
    for await (const info of instrumented.list('')) expect(info.key).not.toBe('a');
    await expect(instrumented.read('b')).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(instrumented.read('..')).rejects.toThrow(RangeError);
    expect(seen).toEqual([
      { operation: 'create', durationMs: 7, bytes: 7, outcome: 'ok' },
      { operation: 'read', durationMs: 0, bytes: 5, outcome: 'ok' },
      { operation: 'read', durationMs: 0, bytes: 0, outcome: 'not-found' },
      { operation: 'delete', durationMs: 0, bytes: 0, outcome: 'ok' },
      { operation: 'list', durationMs: 0, bytes: 0, outcome: 'ok' },
      { operation: 'read', durationMs: 0, bytes: 0, outcome: 'unavailable' },
      { operation: 'read', durationMs: 0, bytes: 0, outcome: 'failed' },
    ]);
  });
});
