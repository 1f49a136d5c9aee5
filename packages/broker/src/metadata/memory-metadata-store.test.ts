import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from './memory-metadata-store.ts';
import { describeMetadataStoreContract } from './metadata-store.contract.ts';

describeMetadataStoreContract('MemoryMetadataStore', () => {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  return Promise.resolve({
    store,
    passTime: (durationMs) => clock.advanceAsync(durationMs),
    close: () => store.close(),
  });
});

describe('MemoryMetadataStore', () => {
  const put = (key: string) => ({ compare: [], success: [{ type: 'put' as const, key, value: new Uint8Array(10) }] });

  it('drops the oldest history by itself when it exceeds its limit', async () => {
    const store = new MemoryMetadataStore({ clock: new FakeClock(), history: { maxRevisions: 3, maxBytes: 1e6 } });
    const first = (await store.transact(put('a'))).revision;
    for (let count = 0; count < 3; count += 1) await store.transact(put('a'));
    await expect(store.range({ key: 'a', revision: first })).rejects.toMatchObject({ kind: 'compacted' });
    await expect(store.range({ key: 'a', revision: first + 1 })).resolves.toMatchObject({ items: [{ version: 2 }] });
    const watch = store.watch({ key: 'a' }, first, new AbortController().signal);
    await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'compacted' });
  });

  it('ends a lease whose time is over although its timer has not run', async () => {
    const clock = new FakeClock();
    const late = Object.assign(Object.create(clock) as FakeClock, {
      monotonicMs: () => clock.monotonicMs(),
      schedule: () => () => undefined,
    });
    const store = new MemoryMetadataStore({ clock: late });
    const leaseId = await store.grantLease(1000);
    await store.transact({ compare: [], success: [{ type: 'put', key: 'l', value: new Uint8Array(1), leaseId }] });
    clock.advance(1000);
    expect((await store.range({ key: 'l' })).items).toEqual([]);
  });
});
