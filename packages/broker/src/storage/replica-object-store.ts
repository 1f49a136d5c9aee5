/**
 * Reads from a replica of the bucket first, and from the bucket itself what the replica does not have (yet) or does not give. What
 * does not answer is left alone for a while, which grows with each attempt that fails, so that a dead replica costs next to nothing.
 * Objects never change under their name, so a replica is late at worst, and never wrong; everything else goes to the bucket alone.
 */
import { backoffDelayMs, type BackoffSettings, type Clock, type Random } from '@kafscale/runtime';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError, type StorageErrorKind } from './storage-error.ts';

export interface ReplicaObjectStoreOptions {
  readonly primary: ObjectStore;
  /** Only read from. */
  readonly replica: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a replica that failed is left alone. */
  readonly backoff: BackoffSettings;
  /** Told of each read that the replica did not answer. */
  readonly onFallback?: (reason: StorageErrorKind | 'left-alone') => void;
}

export class ReplicaObjectStore implements ObjectStore {
  readonly #options: ReplicaObjectStoreOptions;
  #failures = 0;
  #leftAloneUntilMs = Number.NEGATIVE_INFINITY;
  /** After failures one read at a time tries the replica. */
  #isTrying = false;

  constructor(options: ReplicaObjectStoreOptions) {
    this.#options = options;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#options.primary.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#options.primary.create(key, body, signal);
  }

  async read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    const { primary, replica, onFallback } = this.#options;
    if (!this.#mayTry()) {
      onFallback?.('left-alone');
      return primary.read(key, range, signal, into);
    }
    const isTrial = this.#failures > 0;
    this.#isTrying ||= isTrial;
    try {
      const bytes = await replica.read(key, range, signal, into);
      this.#failures = 0;
      return bytes;
    } catch (error) {
      if (!(error instanceof StorageError) || error.kind === 'aborted') throw error;
      this.#judge(error.kind);
      onFallback?.(error.kind);
    } finally {
      if (isTrial) this.#isTrying = false;
    }
    return primary.read(key, range, signal, into);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#options.primary.list(prefix, signal);
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#options.primary.delete(keys, signal);
  }

  async close(): Promise<void> {
    await Promise.all([this.#options.replica.close(), this.#options.primary.close()]);
  }

  #mayTry(): boolean {
    if (this.#failures === 0) return true;
    return !this.#isTrying && this.#options.clock.monotonicMs() >= this.#leftAloneUntilMs;
  }

  /** An object that is not there, or is there and bad, is no sign of a replica that is down. */
  #judge(kind: StorageErrorKind): void {
    if (kind !== 'unavailable' && kind !== 'denied') {
      this.#failures = 0;
      return;
    }
    const { clock, random, backoff } = this.#options;
    if (clock.monotonicMs() < this.#leftAloneUntilMs) return; // one failure of many reads that were on their way together
    const halfMs = backoffDelayMs(this.#failures, backoff, random) / 2;
    const { baseMs, maxMs } = backoff;
    const leastMs = Math.min(maxMs, baseMs * 2 ** Math.min(this.#failures, 30)) / 2;
    this.#leftAloneUntilMs = clock.monotonicMs() + leastMs + halfMs;
    this.#failures += 1;
  }
}
