/** For tests: a store that counts what is read from it, and lets a test change the bytes or refuse them. */
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';

export class CountingObjectStore implements ObjectStore {
  /** Reads that began. */
  count = 0;
  readonly #inner: ObjectStore;
  readonly #tamper: (bytes: Buffer, key: ObjectKey) => Buffer;

  constructor(inner: ObjectStore, tamper: (bytes: Buffer, key: ObjectKey) => Buffer = (bytes) => bytes) {
    this.#inner = inner;
    this.#tamper = tamper;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#inner.create(key, body, signal);
  }

  async read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal): Promise<Buffer> {
    this.count += 1;
    return this.#tamper(await this.#inner.read(key, range, signal), key);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#inner.list(prefix, signal);
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(keys, signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
