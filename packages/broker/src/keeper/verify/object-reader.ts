/**
 * Reads objects from front to back for a check of everything: a window at a time, so that many small pieces cost one request, and no
 * faster than it was told. Memory is one window, or one piece where that is larger.
 */
import type { ObjectKey } from '../../storage/object-store.ts';
import { readObject, type StoreAccess } from '../store-access.ts';

export interface ObjectReaderOptions {
  /** Undefined for as fast as it goes. */
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
}

const windowBytes = 8 * 2 ** 20;

export class ObjectReader {
  readonly #access: StoreAccess;
  readonly #options: ObjectReaderOptions;
  readonly #startMs: number;
  #window: { readonly key: ObjectKey; readonly start: number; readonly bytes: Buffer } | undefined;
  #bytesRead = 0;

  constructor(access: StoreAccess, options: ObjectReaderOptions = {}) {
    this.#access = access;
    this.#options = options;
    this.#startMs = access.clock.monotonicMs();
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** The bytes of `[start, end)`, fewer where the object ends before; a view that holds until the next read. Throws StorageError. */
  async read(key: ObjectKey, start: number, end: number): Promise<Buffer> {
    const window = this.#window;
    if (window?.key === key && start >= window.start && end <= window.start + window.bytes.length) {
      return window.bytes.subarray(start - window.start, end - window.start);
    }
    const bytes = await this.#fetch(key, start, Math.max(end, start + windowBytes));
    this.#window = { key, start, bytes };
    return bytes.subarray(0, end - start);
  }

  /** As `read`, without a window. Throws StorageError. */
  readOnce(key: ObjectKey, start: number, end: number): Promise<Buffer> {
    return this.#fetch(key, start, end);
  }

  async #fetch(key: ObjectKey, start: number, end: number): Promise<Buffer> {
    const { bytesPerSecond, signal } = this.#options;
    signal?.throwIfAborted();
    const bytes = await readObject(this.#access, key, { start, end });
    this.#bytesRead += bytes.length;
    if (bytesPerSecond === undefined) return bytes;
    const { clock } = this.#access;
    const dueMs = this.#startMs + (this.#bytesRead / bytesPerSecond) * 1_000;
    if (dueMs > clock.monotonicMs()) await clock.sleep(dueMs - clock.monotonicMs(), signal);
    return bytes;
  }
}
