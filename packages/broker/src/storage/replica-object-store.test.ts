import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';
import { ReplicaObjectStore } from './replica-object-store.ts';

/** Both have `both`; only the bucket has `new`. */
async function replicated() {
  const clock = new FakeClock();
  const memory = { primary: new MemoryObjectStore({ clock }), replica: new MemoryObjectStore({ clock }) };
  await memory.primary.create('both', [Buffer.from('content')]);
  await memory.replica.create('both', [Buffer.from('content')]);
  await memory.primary.create('new', [Buffer.from('new')]);
  const primary = new FaultyObjectStore(memory.primary, { clock });
  const replica = new FaultyObjectStore(memory.replica, { clock });
  const reasons: string[] = [];
  const store = new ReplicaObjectStore({
    primary,
    replica,
    clock,
    random: seededRandom(1),
    backoff: { baseMs: 1_000, maxMs: 60_000 },
    onFallback: (reason) => reasons.push(reason),
  });
  const read = async (key: string) => (await clock.runUntilSettled(store.read(key))).toString();
  return { clock, memory, primary, replica, store, read, reasons };
}

describeObjectStoreContract('a bucket with an empty replica', () => {
  const clock = new FakeClock();
  const store = new ReplicaObjectStore({
    primary: new MemoryObjectStore({ clock }),
    replica: new MemoryObjectStore({ clock }),
    clock,
    random: seededRandom(1),
    backoff: { baseMs: 1_000, maxMs: 60_000 },
  });
  return Promise.resolve({ store, close: () => store.close() });
});

describe('ReplicaObjectStore', () => {
  it('reads what the replica has from the replica alone', async () => {
    const { read, primary, replica } = await replicated();
    expect(await read('both')).toBe('content');
    expect([replica.calls, primary.calls]).toEqual([1, 0]);
  });

  it('reads from the bucket what the replica does not have yet, and keeps asking the replica', async () => {
    const { read, replica, reasons } = await replicated();
    for (let round = 0; round < 3; round += 1) expect(await read('new')).toBe('new');
    expect(replica.calls).toBe(3);
    expect(reasons).toEqual(['not-found', 'not-found', 'not-found']);
  });

  it('believes the bucket alone when an object is nowhere', async () => {
    const { store } = await replicated();
    await expect(store.read('missing')).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('reads from the bucket what the replica answers wrongly', async () => {
    const { read, replica, primary } = await replicated();
    replica.plan = () => ({ deliverAfterMs: 'never', error: 'corrupt' });
    expect(await read('both')).toBe('content');
    expect(primary.calls).toBe(1);
  });

  it('leaves a replica that fails alone for longer and longer, and tries it with one read at a time', async () => {
    const { clock, store, replica, read, reasons } = await replicated();
    replica.plan = () => 'fail-before';
    await clock.runUntilSettled(Promise.all(Array.from({ length: 20 }, () => store.read('both'))));
    const together = replica.calls; // they were on their way before anything was known
    for (let second = 0; second < 300; second += 1) {
      await clock.advanceAsync(1_000);
      await Promise.all(Array.from({ length: 10 }, () => read('both')));
    }
    expect(replica.calls - together).toBeGreaterThan(4);
    expect(replica.calls - together).toBeLessThan(20);
    expect(reasons.filter((reason) => reason === 'left-alone').length).toBeGreaterThan(2_900);
  });

  it('comes back to the replica once that answers', async () => {
    const { clock, primary, replica, read } = await replicated();
    replica.plan = () => 'fail-before';
    for (let round = 0; round < 5; round += 1) {
      await read('both');
      await clock.advanceAsync(60_000);
    }
    replica.heal();
    await read('both');
    const calls = primary.calls;
    await read('both');
    expect(primary.calls).toBe(calls);
  });

  it('creates, lists and deletes in the bucket alone', async () => {
    const { store, replica, memory } = await replicated();
    await store.create('n', [Buffer.from('n')]);
    await store.delete(['both']);
    const keys: string[] = [];
    for await (const { key } of store.list('')) keys.push(key);
    expect(keys).toEqual(['n', 'new']);
    expect(replica.calls).toBe(0);
    expect((await memory.replica.read('both')).toString()).toBe('content');
  });

  it('does not go on to the bucket when the caller gave up', async () => {
    const { clock, store, replica, primary } = await replicated();
    replica.plan = () => 'hang';
    const controller = new AbortController();
    const read = expect(store.read('both', undefined, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    await clock.advanceAsync(10);
    controller.abort();
    await read;
    expect(primary.calls).toBe(0);
  });
});
