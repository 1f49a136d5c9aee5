/** A place in a bucket that belongs to others too, as if it were the whole bucket. */
import type { ObjectStore } from './object-store.ts';

export function prefixedStore(store: ObjectStore, prefix: string): ObjectStore {
  if (prefix === '') return store;
  const there = (key: string): string => `${prefix}${key}`;
  return {
    capabilities: store.capabilities,
    create: (key, body, signal) => store.create(there(key), body, signal),
    read: (key, range, signal, into) => store.read(there(key), range, signal, into),
    async *list(start, signal) {
      for await (const info of store.list(there(start), signal)) {
        yield { ...info, key: info.key.slice(prefix.length) };
      }
    },
    delete: (keys, signal) => store.delete(keys.map(there), signal),
    close: () => store.close(),
  };
}
