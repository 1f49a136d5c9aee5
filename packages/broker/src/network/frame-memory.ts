/**
 * Memory for frames on their way in, shared by all connections of a listener. An idle connection owns none: it reads into one
 * landing buffer that is emptied before anything else runs. Who is in the middle of a frame gets a small slab, who sends much a
 * large one; large ones are few, and whoever gets none grows a slab of its own with the bytes that arrive.
 */
import { Slab, SlabPool } from '@kafscale/runtime';

/** Memory that a connection reads into, and from where on it is free. */
export interface ReadingSlab {
  readonly slab: Slab;
  /** Bytes before it belong to frames that were handed on. */
  position: number;
  readonly large: boolean;
}

export interface FrameMemorySettings {
  readonly largeSlabBytes: number;
  /** Large slabs that connections may be reading into at once. */
  readonly maxReadingLargeSlabs: number;
}

/** One read into the landing buffer, and what one connection may pin before it has shown more. */
export const landingBytes = 64 * 1024;

const maxIdleSmallSlabs = 256;
const maxIdleLargeSlabs = 32;
/** A large slab with less room than this is not worth handing to another connection. */
const minReusableBytes = 256 * 1024;
const maxReusableSlabs = 8;

export class FrameMemory {
  readonly landing = Buffer.allocUnsafeSlow(landingBytes);
  readonly #small = new SlabPool({ slabBytes: landingBytes, maxIdleSlabs: maxIdleSmallSlabs });
  readonly #large: SlabPool;
  readonly #maxReadingLargeSlabs: number;
  #readingLargeSlabs = 0;
  #ownBytes = 0;
  /** Large slabs with room that nobody reads into; one reference each is ours. */
  readonly #reusable: ReadingSlab[] = [];

  constructor({ largeSlabBytes, maxReadingLargeSlabs }: FrameMemorySettings) {
    this.#large = new SlabPool({ slabBytes: largeSlabBytes, maxIdleSlabs: maxIdleLargeSlabs });
    this.#maxReadingLargeSlabs = maxReadingLargeSlabs;
  }

  /** Bytes of all slabs that somebody holds. */
  get bytesInUse(): number {
    return this.#small.bytesInUse + this.#large.bytesInUse + this.#ownBytes;
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
    this.#readingLargeSlabs += 1;
    const last = this.#reusable.at(-1);
    if (last !== undefined && last.slab.bytes.length - last.position >= bytes) return this.#reusable.pop()!;
    return { slab: this.#large.acquire(), position: 0, large: true };
  }

  /** A slab of exactly `bytes` that is not kept afterwards. */
  acquireOwn(bytes: number): ReadingSlab {
    this.#ownBytes += bytes;
    const slab = new Slab(Buffer.allocUnsafeSlow(bytes), () => (this.#ownBytes -= bytes));
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
      shared = { slab: this.#large.acquire(), position: 0, large: true };
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
}
