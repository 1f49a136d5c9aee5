/** Contiguous pieces of recycled memory, many to a slab: each piece holds its slab until it is released. */
import type { Slab, SlabPool } from './slab-pool.ts';

/** `bytes` lies in `slab`, of which the receiver holds one reference. */
export interface SlabPiece {
  readonly bytes: Buffer;
  readonly slab: Slab;
}

export class SlabArena {
  readonly #pool: SlabPool;
  #current: Slab | undefined;
  #used = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** A piece of exactly `length` bytes, content undefined. */
  allocate(length: number): SlabPiece {
    if (length > this.#pool.slabBytes) {
      const slab = this.#pool.acquire(length);
      return { bytes: slab.bytes.subarray(0, length), slab };
    }
    if (this.#current === undefined || this.#used + length > this.#current.bytes.length) {
      this.#current?.release();
      this.#current = this.#pool.acquire();
      this.#used = 0;
    }
    const slab = this.#current;
    const bytes = slab.bytes.subarray(this.#used, this.#used + length);
    this.#used += length;
    slab.retain();
    return { bytes, slab };
  }

  close(): void {
    this.#current?.release();
    this.#current = undefined;
  }
}
