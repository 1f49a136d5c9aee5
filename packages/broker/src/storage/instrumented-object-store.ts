/** Tells an observer about each call: what, how long, how many bytes, how it ended. What becomes of that is the observer's. */
import type { Clock } from '@kafscale/runtime';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError, type StorageErrorKind } from './storage-error.ts';

export interface ObjectStoreObservation {
  readonly operation: 'create' | 'read' | 'list' | 'delete';
  readonly durationMs: number;
  /** Of objects: written by a create that succeeded, or read; 0 for the others. */
  readonly bytes: number;
  /** `failed` is an error that no store should throw. */
  readonly outcome: 'ok' | StorageErrorKind | 'failed';
}

export type ObjectStoreObserver = (observation: ObjectStoreObservation) => void;

export class InstrumentedObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #observe: ObjectStoreObserver;

  constructor(inner: ObjectStore, clock: Clock, observe: ObjectStoreObserver) {
    this.#inner = inner;
    this.#clock = clock;
    this.#observe = observe;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const sizeBytes = body.reduce((sum, slice) => sum + slice.length, 0);
    return this.#observed(
      'create',
      () => this.#inner.create(key, body, signal),
      () => sizeBytes,
    );
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    return this.#observed(
      'read',
      () => this.#inner.read(key, range, signal, into),
      (bytes) => bytes.length,
    );
  }

  /** One observation for the whole list, with the time its caller took. */
  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    const startMs = this.#clock.monotonicMs();
    let outcome: ObjectStoreObservation['outcome'] = 'ok';
    try {
      yield* this.#inner.list(prefix, signal);
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      this.#observe({ operation: 'list', durationMs: this.#clock.monotonicMs() - startMs, bytes: 0, outcome });
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#observed(
      'delete',
      () => this.#inner.delete(keys, signal),
      () => 0,
    );
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #observed<T>(
    operation: ObjectStoreObservation['operation'],
    call: () => Promise<T>,
    bytesOf: (result: T) => number,
  ): Promise<T> {
    const startMs = this.#clock.monotonicMs();
    const observe = (outcome: ObjectStoreObservation['outcome'], bytes: number) =>
      this.#observe({ operation, durationMs: this.#clock.monotonicMs() - startMs, bytes, outcome });
    try {
      const result = await call();
      observe('ok', bytesOf(result));
      return result;
    } catch (error) {
      observe(outcomeOf(error), 0);
      throw error;
    }
  }
}

const outcomeOf = (error: unknown) => (error instanceof StorageError ? error.kind : 'failed');
