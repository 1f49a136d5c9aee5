/**
 * Bounds how long each call may take: past the deadline the call below is told to stop, and `unavailable` is what the caller
 * learns. It still waits for the call to end, so that the memory of a body is free when `create` settles.
 */
import type { Clock } from '@kafscale/runtime';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError } from './storage-error.ts';

export interface DeadlineObjectStoreOptions {
  readonly clock: Clock;
  /** For each call; for a list, from one object to the next. */
  readonly deadlineMs: number;
  /** Bytes of an object that come on top take so much longer: a large one is not given up while it moves at least at this rate. */
  readonly minBytesPerSecond?: number;
}

/** What a whole object is taken for, since its size is known to the store alone. */
const wholeObjectBytes = 64 * 2 ** 20;

export class DeadlineObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #minBytesPerSecond: number;

  constructor(
    inner: ObjectStore,
    { clock, deadlineMs, minBytesPerSecond = Number.POSITIVE_INFINITY }: DeadlineObjectStoreOptions,
  ) {
    this.#inner = inner;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#minBytesPerSecond = minBytesPerSecond;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const sizeBytes = body.reduce((sum, slice) => sum + slice.length, 0);
    return this.#bounded(signal, sizeBytes, (bounded) => this.#inner.create(key, body, bounded));
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    const sizeBytes = range === undefined ? wholeObjectBytes : Math.min(range.end - range.start, wholeObjectBytes);
    return this.#bounded(signal, sizeBytes, (bounded) => this.#inner.read(key, range, bounded, into));
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    const bound = new Bound(this.#clock, this.#deadlineMs, signal);
    try {
      for await (const info of this.#inner.list(prefix, bound.signal)) {
        bound.stop(); // the caller's own time does not count
        yield info;
        bound.start();
      }
    } catch (error) {
      throw bound.explained(error);
    } finally {
      bound.close();
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#bounded(signal, 0, (bounded) => this.#inner.delete(keys, bounded));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #bounded<T>(
    signal: AbortSignal | undefined,
    sizeBytes: number,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const deadlineMs = Math.ceil(this.#deadlineMs + (sizeBytes / this.#minBytesPerSecond) * 1_000);
    const bound = new Bound(this.#clock, deadlineMs, signal);
    try {
      return await call(bound.signal);
    } catch (error) {
      throw bound.explained(error);
    } finally {
      bound.close();
    }
  }
}

/** A signal that aborts with the caller's or when time is up. */
class Bound {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #callerSignal: AbortSignal | undefined;
  readonly #onCallerAbort = () => this.#controller.abort(this.#callerSignal?.reason);
  #cancelTimer: () => void = () => undefined;
  #timeIsUp = false;

  constructor(clock: Clock, deadlineMs: number, callerSignal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    this.#callerSignal = callerSignal;
    if (callerSignal?.aborted) this.#onCallerAbort();
    else callerSignal?.addEventListener('abort', this.#onCallerAbort, { once: true });
    this.start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  start(): void {
    this.#cancelTimer = this.#clock.schedule(this.#deadlineMs, () => {
      this.#timeIsUp = !this.#controller.signal.aborted;
      this.#controller.abort(new Error(`no answer within ${this.#deadlineMs} ms`));
    });
  }

  stop(): void {
    this.#cancelTimer();
  }

  close(): void {
    this.stop();
    this.#callerSignal?.removeEventListener('abort', this.#onCallerAbort);
  }

  /** An abort that was ours is `unavailable` for the caller. */
  explained(error: unknown): unknown {
    if (!this.#timeIsUp || !(error instanceof StorageError) || error.kind !== 'aborted') return error;
    return new StorageError('unavailable', `the object store gave no answer within ${this.#deadlineMs} ms`, {
      cause: error,
    });
  }
}
