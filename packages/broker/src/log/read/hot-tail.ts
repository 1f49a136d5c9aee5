/**
 * The newest flush objects, kept in memory from their commit on, so that consumers at the tail never wait for the object store.
 * Bounded by bytes, and by the memory that they keep from being used again; the oldest go first. Nothing enters before its commit.
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

/** Objects that leave slabs half empty hold more memory than their bytes: so much of the bound, and what a few slabs have. */
const maxHeldShare = 1.25;
const spareSlabs = 2;

export class HotTail {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  /** How many objects lie in each slab. */
  readonly #slabs = new Map<Slab, number>();
  #sizeBytes = 0;
  #heldBytes = 0;
  #hits = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of the slabs in which they lie. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** How often an object was asked for and was here. */
  get hits(): number {
    return this.#hits;
  }

  /** Takes over one reference to `slab`, in which `bytes` lies. */
  add(objectKey: string, bytes: Buffer, slab: Slab): void {
    this.#entries.set(objectKey, { bytes, slab });
    this.#sizeBytes += bytes.length;
    this.#count(slab, 1);
    const maxHeldBytes = maxHeldShare * this.#maxBytes + spareSlabs * slab.bytes.length;
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes && this.#heldBytes <= maxHeldBytes) break;
      this.#entries.delete(key);
      this.#sizeBytes -= entry.bytes.length;
      this.#count(entry.slab, -1);
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
    this.#slabs.clear();
    this.#sizeBytes = 0;
    this.#heldBytes = 0;
  }

  #count(slab: Slab, change: 1 | -1): void {
    const before = this.#slabs.get(slab) ?? 0;
    const objects = before + change;
    if (before === 0) this.#heldBytes += slab.bytes.length;
    if (objects > 0) this.#slabs.set(slab, objects);
    else {
      this.#slabs.delete(slab);
      this.#heldBytes -= slab.bytes.length;
    }
  }
}
