/**
 * The newest flush objects, kept in memory from their commit on, so that consumers at the tail never wait for the object store.
 * Bounded by bytes, and by the memory that they keep from being used again; the oldest go first, also when memory is needed for
 * something else. Nothing enters before its commit.
 */
import type { Slab, YieldingMemory } from '@kafscale/runtime';

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

interface SlabUse {
  /** Of the tail that lie in the slab. */
  objects: number;
  /** By readers, of whatever lies in it. */
  holds: number;
}

export class HotTail implements YieldingMemory {
  readonly #maxBytes: number;
  readonly #keptBytes: number;
  readonly #entries = new Map<string, Entry>();
  readonly #slabs = new Map<Slab, SlabUse>();
  #sizeBytes = 0;
  #heldBytes = 0;
  #readBytes = 0;
  #pinnedBytes = 0;
  #hits = 0;
  #closed = false;

  /** Of `maxBytes` so much is kept whatever else memory is needed for; all of it unless told. */
  constructor(maxBytes: number, keptBytes = maxBytes) {
    this.#maxBytes = maxBytes;
    this.#keptBytes = keptBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of the slabs in which they lie. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Of slabs that left the tail but are held by answers on their way to clients. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  /** Of slabs that no reader holds, beyond what is kept in any case. */
  get yieldableBytes(): number {
    return Math.max(0, Math.min(this.#heldBytes - this.#readBytes, this.#heldBytes - this.#keptBytes));
  }

  /** Lets the oldest objects go until a slab is free of them. */
  yieldSome(): void {
    const before = this.#heldBytes;
    for (const [key, entry] of this.#entries) {
      if (this.#heldBytes < before) break;
      this.#drop(key, entry);
    }
  }

  /** How often an object was asked for and was here. */
  get hits(): number {
    return this.#hits;
  }

  /** Takes over one reference to `slab`, in which `bytes` lies. */
  add(objectKey: string, bytes: Buffer, slab: Slab): void {
    if (this.#closed) {
      slab.release();
      return;
    }
    this.#entries.set(objectKey, { bytes, slab });
    this.#sizeBytes += bytes.length;
    this.#countObjects(slab, 1);
    const maxHeldBytes = maxHeldShare * this.#maxBytes + spareSlabs * slab.bytes.length;
    for (const [oldKey, old] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes && this.#heldBytes <= maxHeldBytes) break;
      this.#drop(oldKey, old);
    }
  }

  has(objectKey: string): boolean {
    return this.#entries.has(objectKey);
  }

  /** The whole object, or undefined when it is not (or no longer) here. */
  hold(objectKey: string): HeldBytes | undefined {
    const entry = this.#entries.get(objectKey);
    if (entry === undefined) return undefined;
    const { bytes, slab } = entry;
    this.#hits += 1;
    slab.retain();
    this.#countHolds(slab, 1);
    return {
      bytes,
      release: () => {
        this.#countHolds(slab, -1);
        slab.release();
      },
    };
  }

  clear(): void {
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
  }

  /** Nothing is kept any more, nor what a commit may still bring whose outcome was long in coming. */
  close(): void {
    this.#closed = true;
    this.clear();
  }

  #drop(key: string, { bytes, slab }: Entry): void {
    this.#entries.delete(key);
    this.#sizeBytes -= bytes.length;
    this.#countObjects(slab, -1);
    slab.release();
  }

  #countObjects(slab: Slab, change: 1 | -1): void {
    this.#count(slab, (use) => (use.objects += change));
  }

  #countHolds(slab: Slab, change: 1 | -1): void {
    this.#count(slab, (use) => (use.holds += change));
  }

  #count(slab: Slab, change: (use: SlabUse) => void): void {
    const use = this.#slabs.get(slab) ?? { objects: 0, holds: 0 };
    this.#addToSums(slab, use, -1);
    change(use);
    this.#addToSums(slab, use, 1);
    if (use.objects > 0 || use.holds > 0) this.#slabs.set(slab, use);
    else this.#slabs.delete(slab);
  }

  #addToSums({ bytes: { length } }: Slab, { objects, holds }: SlabUse, sign: 1 | -1): void {
    if (objects > 0) this.#heldBytes += sign * length;
    if (objects > 0 && holds > 0) this.#readBytes += sign * length;
    if (objects === 0 && holds > 0) this.#pinnedBytes += sign * length;
  }
}
