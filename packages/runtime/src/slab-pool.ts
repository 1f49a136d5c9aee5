/**
 * Recycled memory for bytes in flight. Fresh memory costs a page fault per 4 KiB, several times the price of the copy into it, so
 * slabs are counted by reference and used again.
 */
import { freeMemory } from './free-memory.ts';

/** A block of memory that goes back to its pool when the last holder releases it. */
export class Slab {
  readonly bytes: Buffer;
  #references = 1;
  readonly #recycle: (slab: Slab) => void;

  constructor(bytes: Buffer, recycle: (slab: Slab) => void) {
    this.bytes = bytes;
    this.#recycle = recycle;
  }

  /** One more holder. Only for a slab that the caller already holds. */
  retain(): void {
    if (this.#references <= 0) throw new Error('slab retained after its last release');
    this.#references += 1;
  }

  /** One holder less; the bytes must not be touched by it any more. */
  release(): void {
    if (this.#references <= 0) throw new Error('slab released more often than retained');
    this.#references -= 1;
    if (this.#references === 0) this.#recycle(this);
  }
}

export interface SlabPoolSettings {
  readonly slabBytes: number;
  /** Slabs kept for reuse; more than these are given back to the system at once. */
  readonly maxIdleSlabs: number;
  /** Asked for each slab that comes back: what may not be kept is given back to the system at once. Always yes unless told. */
  readonly mayKeep?: (idleBytes: number) => boolean;
  /** Called before so many bytes of fresh memory are taken: whoever holds slabs that can be done without may release them. */
  readonly makeRoom?: (bytes: number) => void;
}

export class SlabPool {
  readonly slabBytes: number;
  readonly #maxIdleSlabs: number;
  readonly #mayKeep: ((idleBytes: number) => boolean) | undefined;
  readonly #makeRoom: ((bytes: number) => void) | undefined;
  readonly #idle: Buffer[] = [];
  /** Fewest idle slabs since `freeUnused` was called last. */
  #unusedSlabs = 0;
  #bytesInUse = 0;

  constructor({ slabBytes, maxIdleSlabs, mayKeep, makeRoom }: SlabPoolSettings) {
    this.slabBytes = slabBytes;
    this.#maxIdleSlabs = maxIdleSlabs;
    this.#mayKeep = mayKeep;
    this.#makeRoom = makeRoom;
  }

  /** Bytes of all slabs that somebody holds. */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** Bytes of the slabs that are kept for reuse. */
  get idleBytes(): number {
    return this.#idle.length * this.slabBytes;
  }

  /** A slab of `slabBytes`, or of exactly `minBytes` when that is larger (such a slab is not kept for reuse). Content undefined. */
  acquire(minBytes = 0): Slab {
    const isLarger = minBytes > this.slabBytes;
    const freshBytes = isLarger ? minBytes : this.slabBytes;
    if (isLarger || this.#idle.length === 0) this.#makeRoom?.(freshBytes);
    const bytes = (isLarger ? undefined : this.#idle.pop()) ?? Buffer.allocUnsafeSlow(freshBytes);
    this.#unusedSlabs = Math.min(this.#unusedSlabs, this.#idle.length);
    this.#bytesInUse += bytes.length;
    return new Slab(bytes, this.#recycle);
  }

  /** Gives the slabs back to the system for which there was no use since the last call. */
  freeUnused(): void {
    for (const bytes of this.#idle.splice(0, this.#unusedSlabs)) freeMemory(bytes);
    this.#unusedSlabs = this.#idle.length;
  }

  /** Gives idle slabs back to the system until at most so many bytes are kept. */
  freeIdle(maxIdleBytes = 0): void {
    while (this.idleBytes > maxIdleBytes) freeMemory(this.#idle.pop()!);
    this.#unusedSlabs = Math.min(this.#unusedSlabs, this.#idle.length);
  }

  readonly #recycle = (slab: Slab): void => {
    this.#bytesInUse -= slab.bytes.length;
    const isKept =
      slab.bytes.length === this.slabBytes &&
      this.#idle.length < this.#maxIdleSlabs &&
      this.#mayKeep?.(this.idleBytes + this.slabBytes) !== false;
    if (isKept) this.#idle.push(slab.bytes);
    else freeMemory(slab.bytes);
  };
}
