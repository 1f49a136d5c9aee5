import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { FaultyObjectStore, randomObjectFaults, type ObjectFault } from './faulty-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';

describeObjectStoreContract('FaultyObjectStore without faults', () => {
  const clock = new FakeClock();
  const store = new FaultyObjectStore(new MemoryObjectStore({ clock }), { clock });
  return Promise.resolve({ store, close: () => store.close() });
});

describe('FaultyObjectStore', () => {
  const body = [Buffer.from('0123456789')];

  function start(...faults: ObjectFault[]) {
    const clock = new FakeClock();
    const inner = new MemoryObjectStore({ clock });
    const store = new FaultyObjectStore(inner, { clock, plan: ({ index }) => faults[index] ?? 'ok' });
    const exists = (key: string) =>
      inner.read(key).then(
        () => true,
        () => false,
      );
    return { clock, inner, store, exists };
  }

  it.each([
    ['fail-before', false],
    ['lost-reply', true],
  ] as const)('answers `unavailable` to a create, whether it took effect or not: %s', async (fault, created) => {
    const { store, exists } = start(fault);
    await expect(store.create('a', body)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await exists('a')).toBe(created);
  });

  it.each([
    ['hang', false],
    ['hang-after', true],
  ] as const)('leaves a create unanswered until its caller gives up: %s', async (fault, created) => {
    const { store, exists } = start(fault);
    const controller = new AbortController();
    const answer = expect(store.create('a', body, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    controller.abort();
    await answer;
    expect(await exists('a')).toBe(created);
  });

  it('lands a late create with the bytes it was called with', async () => {
    const { clock, store } = start({ failAfterMs: 0, deliverAfterMs: 60_000 });
    const memory = Buffer.from('before');
    await expect(store.create('a', [memory])).rejects.toMatchObject({ kind: 'unavailable' });
    memory.fill('x');
    await expect(store.read('a')).rejects.toMatchObject({ kind: 'not-found' });
    expect(store.undelivered).toBe(1);
    await clock.advanceAsync(60_000);
    expect((await store.read('a')).toString()).toBe('before');
    expect(store.undelivered).toBe(0);
  });

  it('damages what a read answers and not what is stored', async () => {
    const { store } = start('ok', 'wrong-bytes', 'truncated', { error: 'not-found', reply: 'lost' });
    await store.create('a', body);
    const wrong = await store.read('a');
    expect(wrong).toHaveLength(10);
    expect(wrong.equals(body[0]!)).toBe(false);
    expect((await store.read('a')).toString()).toBe('01234');
    await expect(store.read('a')).rejects.toMatchObject({ kind: 'not-found' });
    expect((await store.read('a')).toString()).toBe('0123456789');
  });

  it('breaks a list before or in the middle', async () => {
    const { store } = start('ok', 'ok', 'fail-before', { breakAfterObjects: 1 });
    for (const key of ['a', 'b']) await store.create(key, body);
    const seen: string[] = [];
    const list = async () => {
      for await (const { key } of store.list('')) seen.push(key);
    };
    await expect(list()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(seen).toEqual([]);
    await expect(list()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(seen).toEqual(['a']);
    await list();
    expect(seen).toEqual(['a', 'a', 'b']);
  });

  it('draws the same faults from the same seed, and each kind', () => {
    const shares = { failBefore: 0.1, lostReply: 0.1, hang: 0.1, hangAfter: 0.1, late: 0.1, delay: 0.1 };
    const drawn = (seed: number) => {
      const plan = randomObjectFaults({ random: seededRandom(seed), ...shares });
      return Array.from({ length: 2000 }, (_, index) => plan({ operation: 'create', keys: ['a'], index }));
    };
    expect(drawn(1)).toEqual(drawn(1));
    const faults = drawn(2);
    for (const fault of ['fail-before', 'lost-reply', 'hang', 'hang-after', 'ok']) expect(faults).toContain(fault);
    expect(faults.filter((fault) => fault === 'ok').length / faults.length).toBeCloseTo(0.4, 1);
  });
});
