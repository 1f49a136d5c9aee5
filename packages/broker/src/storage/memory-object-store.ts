/** An object store in memory: for tests and for brokers that need not survive. Has no outage of its own; faults are a wrapper's. */
import type { Clock } from '@kafscale/runtime';
import { checkObjectKey, checkRange, compareKeys } from './object-key.ts';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts';
import { StorageError } from './storage-error.ts';

interface StoredObject {
  readonly bytes: Buffer;
  readonly modifiedMs: number;
}

export interface MemoryObjectStoreOptions {
  readonly clock: Clock;
  /** False plays a store that cannot tell an existing key: the later object then wins. */
  readonly conditionalCreate?: boolean;
}

export class MemoryObjectStore implements ObjectStore {
  readonly capabilities: { readonly conditionalCreate: boolean };
  readonly #clock: Clock;
  readonly #objects = new Map<ObjectKey, StoredObject>();
  #closed = false;

  constructor({ clock, conditionalCreate = true }: MemoryObjectStoreOptions) {
    this.#clock = clock;
    this.capabilities = { conditionalCreate };
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#answer(signal, () => {
      checkObjectKey(key);
      if (this.capabilities.conditionalCreate && this.#objects.has(key)) {
        throw new StorageError('conflict', `object ${key} exists already`);
      }
      this.#objects.set(key, { bytes: Buffer.concat(body), modifiedMs: this.#clock.wallMs() });
    });
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal): Promise<Buffer> {
    return this.#answer(signal, () => {
      checkObjectKey(key);
      if (range !== undefined) checkRange(range);
      const object = this.#objects.get(key);
      if (object === undefined) throw new StorageError('not-found', `no object ${key}`);
      return Buffer.from(object.bytes.subarray(range?.start, range?.end));
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    const keys = await this.#answer(signal, () =>
      [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys),
    );
    for (const key of keys) {
      const info = await this.#answer(signal, () => {
        const object = this.#objects.get(key);
        return object && { key, sizeBytes: object.bytes.length, modifiedMs: object.modifiedMs };
      });
      if (info !== undefined) yield info;
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#answer(signal, () => {
      for (const key of keys) checkObjectKey(key);
      for (const key of keys) this.#objects.delete(key);
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #answer<T>(signal: AbortSignal | undefined, act: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (signal?.aborted) throw new StorageError('aborted', 'the caller gave up', { cause: signal.reason });
      if (this.#closed) throw new StorageError('unavailable', 'the object store is closed');
      resolve(act());
    });
  }
}
