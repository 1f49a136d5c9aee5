/**
 * Tries reads, lists and deletes again while the store is unavailable, with growing random waits, until a deadline. A create is
 * passed on as it is: its outcome is unknown, and trying again takes a new name, which only the caller can give.
 */
import { backoffDelayMs, type BackoffSettings, type Clock, type Random } from '@kafscale/runtime';
import { compareKeys } from './object-key.ts';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError } from './storage-error.ts';

export interface RetryingObjectStoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: BackoffSettings;
  /** After this time no new attempt starts; one that is under way is waited for. A list starts it anew with each object. */
  readonly deadlineMs: number;
}

export class RetryingObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #options: RetryingObjectStoreOptions;
  #closed = false;

  constructor(inner: ObjectStore, options: RetryingObjectStoreOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#inner.create(key, body, signal);
  }

  async read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    const attempts = new Attempts(this.#options);
    for (;;) {
      try {
        return await this.#inner.read(key, range, signal, into);
      } catch (error) {
        await this.#beforeNext(attempts, error, signal);
      }
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    let lastKey: ObjectKey | undefined;
    let attempts = new Attempts(this.#options);
    for (;;) {
      try {
        for await (const info of this.#inner.list(prefix, signal)) {
          if (lastKey !== undefined && compareKeys(info.key, lastKey) <= 0) continue;
          lastKey = info.key;
          yield info;
          attempts = new Attempts(this.#options);
        }
        return;
      } catch (error) {
        await this.#beforeNext(attempts, error, signal);
      }
    }
  }

  async delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    const attempts = new Attempts(this.#options);
    for (;;) {
      try {
        await this.#inner.delete(keys, signal);
        return;
      } catch (error) {
        await this.#beforeNext(attempts, error, signal);
      }
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#inner.close();
  }

  async #beforeNext(attempts: Attempts, error: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw error;
    await attempts.waitAfter(error, signal);
  }
}

class Attempts {
  readonly #options: RetryingObjectStoreOptions;
  readonly #endMs: number;
  #failed = 0;

  constructor(options: RetryingObjectStoreOptions) {
    this.#options = options;
    this.#endMs = options.clock.monotonicMs() + options.deadlineMs;
  }

  /** Waits until the next attempt may start; rethrows an error that another attempt cannot help, or when time is up. */
  async waitAfter(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (!(error instanceof StorageError) || error.kind !== 'unavailable') throw error;
    const { clock, backoff, random } = this.#options;
    const delayMs = backoffDelayMs(this.#failed, backoff, random);
    this.#failed += 1;
    if (clock.monotonicMs() + delayMs >= this.#endMs) throw error;
    try {
      await clock.sleep(delayMs, signal);
    } catch (reason) {
      throw new StorageError('aborted', 'the caller gave up between two attempts', { cause: reason });
    }
  }
}
