/**
 * Bounds how many calls are in flight; further ones wait in order, and so many only. A store under pressure is not helped by more
 * requests at once, and neither is our memory.
 */
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError } from './storage-error.ts';

export interface CappedObjectStoreOptions {
  readonly maxInFlight: number;
  /** Calls that may wait; one more is `unavailable` at once. */
  readonly maxWaiting: number;
}

export class CappedObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #maxInFlight: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #inFlight = 0;

  constructor(inner: ObjectStore, { maxInFlight, maxWaiting }: CappedObjectStoreOptions) {
    this.#inner = inner;
    this.#maxInFlight = maxInFlight;
    this.#maxWaiting = maxWaiting;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#capped(signal, () => this.#inner.create(key, body, signal));
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    return this.#capped(signal, () => this.#inner.read(key, range, signal, into));
  }

  /** Takes a place for each step, so that a caller who is slow with an object holds none. */
  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    const objects = this.#inner.list(prefix, signal)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await this.#capped(signal, () => objects.next());
        if (step.done) return;
        yield step.value;
      }
    } finally {
      await objects.return?.();
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#capped(signal, () => this.#inner.delete(keys, signal));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #capped<T>(signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
    if (this.#inFlight < this.#maxInFlight) this.#inFlight += 1;
    else await this.#place(signal);
    try {
      return await call();
    } finally {
      this.#passOn();
    }
  }

  /** Resolves when a call that ended has left its place to this one. */
  #place(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw new StorageError('aborted', 'the caller gave up', { cause: signal.reason });
      if (this.#waiting.size >= this.#maxWaiting) {
        throw new StorageError('unavailable', `${this.#maxWaiting} calls wait for the object store already`);
      }
      const take = () => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.delete(take);
        reject(new StorageError('aborted', 'the caller gave up waiting', { cause: signal?.reason }));
      };
      this.#waiting.add(take);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  #passOn(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inFlight -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
