/**
 * Decoded things that came from the object store: loaded once however many ask at the same time, and kept while there is room; the
 * least recently used goes first. A thing that left stays valid for who has it.
 */
import { StorageError } from '../../storage/storage-error.ts';

/** What is kept says what it costs, bytes of memory. */
export interface Sized {
  readonly sizeBytes: number;
}

export class SharedLoads<T extends Sized> {
  readonly #maxBytes: number;
  /** The least recently used first. */
  readonly #values = new Map<string, T>();
  readonly #loads = new Map<string, Promise<T>>();
  #sizeBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get(key: string): T | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key); // A Map keeps the order of insertion: now it is the most recently used.
    this.#values.set(key, value);
    return value;
  }

  /**
   * What is kept, else what `read` answers. A load goes on when the caller that began it gives up: others may wait for it. Throws
   * what `read` throws, and StorageError `aborted` when the caller's signal does.
   */
  async load(key: string, read: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.get(key) ?? (await orAborted(this.#loads.get(key) ?? this.#start(key, read), signal));
  }

  /** Forgets it, because it is not what was stored or the object is gone; a load under way is kept from none of its waiters. */
  discard(key: string): void {
    this.#drop(key);
    this.#loads.delete(key);
  }

  #start(key: string, read: () => Promise<T>): Promise<T> {
    const loading: Promise<T> = read().then(
      (value) => {
        if (this.#finish(key, loading)) this.#admit(key, value);
        return value;
      },
      (error: unknown) => {
        this.#finish(key, loading);
        throw error;
      },
    );
    this.#loads.set(key, loading);
    return loading;
  }

  /** Whether what was loaded is still wanted. */
  #finish(key: string, loading: Promise<T>): boolean {
    return this.#loads.get(key) === loading && this.#loads.delete(key);
  }

  #admit(key: string, value: T): void {
    this.#values.set(key, value);
    this.#sizeBytes += value.sizeBytes;
    for (const oldest of this.#values.keys()) {
      if (this.#sizeBytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#sizeBytes -= value.sizeBytes;
  }
}

function orAborted<T>(arriving: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return arriving;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new StorageError('aborted', 'the reader gave up', { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    arriving
      .finally(() => signal.removeEventListener('abort', onAbort))
      .then(resolve, (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))));
  });
}
