/**
 * The newest flush objects, kept in memory from their commit on, so that consumers at the tail never wait for the object store.
 * Bounded by bytes; the oldest go first. Nothing enters before its commit.
 */
import type { Slab } from '@kafscale/runtime';

/** Bytes of an object that stay valid until `release` is called, exactly once. */
export interface HeldBytes {
  readonly bytes: Buffer;
  release(): void;
}

interface Entry {
  readonly bytes: Buffer;
  readonly slab: Slab;
}

export class HotTail {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  #sizeBytes = 0;
  #hits = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** How often an object was asked for and was here. */
  get hits(): number {
    return this.#hits;
  }

  /** Takes over one reference to `slab`, in which `bytes` lies. */
  add(objectKey: string, bytes: Buffer, slab: Slab): void {
    this.#entries.set(objectKey, { bytes, slab });
    this.#sizeBytes += bytes.length;
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes) break;
      this.#entries.delete(key);
      this.#sizeBytes -= entry.bytes.length;
      entry.slab.release();
    }
  }

  has(objectKey: string): boolean {
    return this.#entries.has(objectKey);
  }

  /** The whole object, or undefined when it is not (or no longer) here. */
  hold(objectKey: string): HeldBytes | undefined {
    const entry = this.#entries.get(objectKey);
    if (entry === undefined) return undefined;
    this.#hits += 1;
    entry.slab.retain();
    return { bytes: entry.bytes, release: () => entry.slab.release() };
  }

  clear(): void {
    for (const entry of this.#entries.values()) entry.slab.release();
    this.#entries.clear();
    this.#sizeBytes = 0;
  }
}
