import { FakeClock } from '@kafscale/testkit';
import { MemoryObjectStore } from './memory-object-store.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';

for (const conditionalCreate of [true, false]) {
  describeObjectStoreContract(`MemoryObjectStore (conditional create: ${conditionalCreate})`, () => {
    const store = new MemoryObjectStore({ clock: new FakeClock(), conditionalCreate });
    return Promise.resolve({ store, close: () => store.close() });
  });
}

describe('MemoryObjectStore', () => {
  it('replaces an object when it is told not to know existing keys', async () => {
    const store = new MemoryObjectStore({ clock: new FakeClock(), conditionalCreate: false });
    await store.create('a', [Buffer.from('first')]);
    await store.create('a', [Buffer.from('second')]);
    expect(store.capabilities.conditionalCreate).toBe(false);
    expect((await store.read('a')).toString()).toBe('second');
  });
});
