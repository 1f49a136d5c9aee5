/**
 * Equal parts of slabs, each held by itself: memory of many sizes out of one pool, so that what one size has given back serves
 * every other, and nothing is left to the garbage collector.
 */
import { Slab, type SlabPool } from '@kafscale/runtime';

interface Divided {
  readonly slab: Slab;
  /** Indexes of the parts that nobody holds. */
  readonly free: number[];
}

export class DividedSlabs {
  readonly partBytes: number;
  readonly #pool: Pick<SlabPool, 'slabBytes' | 'acquire'>;
  readonly #partsPerSlab: number;
  /** Slabs with free parts, the oldest first: it is filled up before others are begun, which go back whole. */
  readonly #open = new Set<Divided>();
  #bytesInUse = 0;
  #dividedBytes = 0;

  constructor(pool: Pick<SlabPool, 'slabBytes' | 'acquire'>, partBytes: number) {
    this.#pool = pool;
    this.partBytes = partBytes;
    this.#partsPerSlab = Math.floor(pool.slabBytes / partBytes);
  }

  /** Bytes of all parts that somebody holds. */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** Of the slabs in which they lie. */
  get dividedBytes(): number {
    return this.#dividedBytes;
  }

  /** Content undefined. */
  acquire(): Slab {
    const [first] = this.#open;
    const divided = first ?? this.#divide();
    const start = divided.free.pop()! * this.partBytes;
    if (divided.free.length === 0) this.#open.delete(divided);
    this.#bytesInUse += this.partBytes;
    return new Slab(divided.slab.bytes.subarray(start, start + this.partBytes), () => this.#giveBack(divided, start));
  }

  #divide(): Divided {
    const free = Array.from({ length: this.#partsPerSlab }, (_, index) => index);
    const divided = { slab: this.#pool.acquire(), free };
    this.#open.add(divided);
    this.#dividedBytes += divided.slab.bytes.length;
    return divided;
  }

  #giveBack(divided: Divided, start: number): void {
    divided.free.push(start / this.partBytes);
    this.#bytesInUse -= this.partBytes;
    if (divided.free.length < this.#partsPerSlab) {
      this.#open.add(divided);
      return;
    }
    this.#open.delete(divided);
    this.#dividedBytes -= divided.slab.bytes.length;
    divided.slab.release();
  }
}
