/**
 * Memory for frames on their way in, shared by all connections of a listener. An idle connection owns none: it reads into one
 * landing buffer that is emptied before anything else runs. Who is in the middle of a frame gets a small slab, who sends much a
 * large one; large ones are few, and whoever gets none grows a slab of its own with the bytes that arrive.
 */
import { freeMemory, Slab, SlabPool } from '@kafscale/runtime';
import { DividedSlabs } from './divided-slabs.ts';

/** Memory that a connection reads into, and from where on it is free. */
export interface ReadingSlab {
  readonly slab: Slab;
  /** Bytes before it belong to frames that were handed on. */
  position: number;
  readonly large: boolean;
}

export interface FrameMemorySettings {
  /** Where large slabs come from, and what grows with a frame. */
  readonly pool: SlabPool;
  /** Large slabs that connections may be reading into at once. */
  readonly maxReadingLargeSlabs: number;
  /** From here on no further large slab is handed out; what arrives then takes no more than it needs. */
  readonly maxBytes?: number;
  /** What is left for everybody: with less than a slab no further one is handed out either. */
  readonly roomBytes?: () => number;
}

/** One read into the landing buffer, and what one connection may pin before it has shown more. */
export const landingBytes = 64 * 1024;

const maxIdleSmallSlabs = 256;
/** A large slab with less room than this is not worth handing to another connection. */
const minReusableBytes = 256 * 1024;
const maxReusableSlabs = 4;

export class FrameMemory {
  readonly landing = Buffer.allocUnsafeSlow(landingBytes);
  readonly #small = new SlabPool({ slabBytes: landingBytes, maxIdleSlabs: maxIdleSmallSlabs });
  readonly #large: SlabPool;
  /** For slabs that grow with a frame, each twice as large as the one before; parts of large ones. */
  readonly #grown: readonly DividedSlabs[];
  readonly #maxReadingLargeSlabs: number;
  readonly #maxBytes: number;
  readonly #roomBytes: () => number;
  #readingLargeSlabs = 0;
  #largeBytes = 0;
  #ownBytes = 0;
  /** Large slabs with room that nobody reads into; one reference each is ours. */
  readonly #reusable: ReadingSlab[] = [];

  constructor({
    pool,
    maxReadingLargeSlabs,
    maxBytes = Number.POSITIVE_INFINITY,
    roomBytes = () => Number.POSITIVE_INFINITY,
  }: FrameMemorySettings) {
    this.#large = pool;
    this.#maxBytes = maxBytes;
    this.#roomBytes = roomBytes;
    this.#maxReadingLargeSlabs = maxReadingLargeSlabs;
    const grown: DividedSlabs[] = [];
    for (let partBytes = 2 * landingBytes; partBytes <= pool.slabBytes; partBytes *= 2) {
      grown.push(new DividedSlabs({ slabBytes: pool.slabBytes, acquire: () => this.#acquireLarge() }, partBytes));
    }
    this.#grown = grown;
  }

  /** Bytes of all slabs that somebody holds. */
  get bytesInUse(): number {
    return this.#grown.reduce((sum, parts) => sum + parts.bytesInUse - parts.dividedBytes, this.keptBytes);
  }

  /** Memory that these keep from being used otherwise: a large slab is kept whole by whoever holds a part of it. */
  get keptBytes(): number {
    return this.outsideBytes + this.#largeBytes;
  }

  /** Of that what does not lie in the pool: many small slabs, and frames that are larger than a slab. */
  get outsideBytes(): number {
    return this.#small.bytesInUse + this.#ownBytes;
  }

  get largeSlabBytes(): number {
    return this.#large.slabBytes;
  }

  acquireSmall(): ReadingSlab {
    return { slab: this.#small.acquire(), position: 0, large: false };
  }

  /** A large slab with room for at least `bytes`, or undefined when as many as may be are being read into. */
  acquireLarge(bytes: number): ReadingSlab | undefined {
    if (bytes > this.#large.slabBytes || this.#readingLargeSlabs >= this.#maxReadingLargeSlabs) return undefined;
    const last = this.#reusable.at(-1);
    const isReusable = last !== undefined && last.slab.bytes.length - last.position >= bytes;
    if (!isReusable && !this.#hasRoomForLarge()) return undefined;
    this.#readingLargeSlabs += 1;
    if (isReusable) return this.#reusable.pop()!;
    return { slab: this.#acquireLarge(), position: 0, large: true };
  }

  /** A slab of exactly `bytes`, in memory that is used again unless it is very much. */
  acquireOwn(bytes: number): ReadingSlab {
    const pooled = this.#grown.find(({ partBytes }) => partBytes >= bytes)?.acquire();
    if (pooled !== undefined) {
      const slab = new Slab(pooled.bytes.subarray(0, bytes), () => pooled.release());
      return { slab, position: 0, large: false };
    }
    this.#ownBytes += bytes;
    const slab = new Slab(Buffer.allocUnsafeSlow(bytes), () => {
      this.#ownBytes -= bytes;
      freeMemory(slab.bytes);
    });
    return { slab, position: 0, large: false };
  }

  /** The reader is done with it; frames in it hold references of their own. */
  giveBack(reading: ReadingSlab): void {
    if (reading.large) {
      this.#readingLargeSlabs -= 1;
      const room = reading.slab.bytes.length - reading.position;
      if (room >= minReusableBytes && this.#reusable.length < maxReusableSlabs) {
        this.#reusable.push(reading);
        return;
      }
    }
    reading.slab.release();
  }

  /** Copies the bytes to where a slab of many requests has room, for requests that are soon done. Adds a reference for them. */
  copyToShared(source: Buffer, start: number, end: number): { readonly slab: Slab; readonly start: number } {
    const length = end - start;
    let shared = this.#reusable.at(-1);
    if (shared === undefined || shared.slab.bytes.length - shared.position < length) {
      if (shared !== undefined) {
        this.#reusable.pop();
        shared.slab.release();
      }
      shared = { slab: this.#acquireLarge(), position: 0, large: true };
      this.#reusable.push(shared);
    }
    const at = shared.position;
    source.copy(shared.slab.bytes, at, start, end);
    shared.position = at + length;
    shared.slab.retain();
    return { slab: shared.slab, start: at };
  }

  close(): void {
    for (const reading of this.#reusable.splice(0)) reading.slab.release();
  }

  #hasRoomForLarge(): boolean {
    const { slabBytes } = this.#large;
    return this.keptBytes + slabBytes <= this.#maxBytes && this.#roomBytes() >= slabBytes;
  }

  /** One that is counted here. */
  #acquireLarge(): Slab {
    const inner = this.#large.acquire();
    const { length } = inner.bytes;
    this.#largeBytes += length;
    return new Slab(inner.bytes, () => {
      this.#largeBytes -= length;
      inner.release();
    });
  }
}
