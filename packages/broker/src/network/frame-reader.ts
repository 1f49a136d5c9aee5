/**
 * Cuts the bytes of one connection into frames (a length, then so many bytes). Large frames are handed on where they came to lie;
 * a half frame is moved only when its memory ends. A length is checked before anything is allocated for it, and memory grows with
 * the bytes that arrived, not with what a length promises.
 */
import { framePrefixBytes, produce } from '@kafscale/protocol';
import type { Slab } from '@kafscale/runtime';
import { landingBytes, type FrameMemory, type ReadingSlab } from './frame-memory.ts';

export interface FrameSink {
  /**
   * A whole frame: `bytes` in [start, end), without its length. With a slab it comes with one reference to it, which the sink
   * releases when it is done with the bytes; without one the memory is the frame's own. False stops the cutting until `cut`.
   */
  onFrame(bytes: Buffer, start: number, end: number, slab: Slab | undefined): boolean;
  /** A length is negative or above the limit; nothing more is cut. */
  onBadLength(length: number): void;
}

/** A connection that sends this much at once may read into a large slab. */
const bulkBytes = landingBytes / 2;

export class FrameReader {
  readonly #memory: FrameMemory;
  readonly #maxFrameBytes: number;
  readonly #sink: FrameSink;
  /** Undefined between two frames; unhandled bytes lie in [position, end). */
  #reading: ReadingSlab | undefined;
  #end = 0;
  /**
   * Whether the system was last given the landing buffer to read into. What it was given stays valid until the next `received`:
   * memory moves and goes back only there.
   */
  #readsIntoLanding = true;
  #closed = false;

  constructor(memory: FrameMemory, maxFrameBytes: number, sink: FrameSink) {
    this.#memory = memory;
    this.#maxFrameBytes = maxFrameBytes;
    this.#sink = sink;
  }

  /** Bytes that arrived and were not handed on. */
  get pendingBytes(): number {
    return this.#reading === undefined ? 0 : this.#end - this.#reading.position;
  }

  nextBuffer(): Buffer {
    const reading = this.#reading;
    this.#readsIntoLanding = reading === undefined || reading.slab.bytes.length === this.#end;
    return this.#readsIntoLanding ? this.#memory.landing : reading!.slab.bytes.subarray(this.#end);
  }

  /** So many bytes were read into what `nextBuffer` gave. */
  received(length: number): void {
    if (this.#closed) return;
    if (this.#readsIntoLanding && this.pendingBytes === 0) {
      this.#giveBackReading();
      this.#land(length);
      return;
    }
    if (this.#readsIntoLanding) this.#append(this.#memory.landing, 0, length);
    else this.#end += length;
    this.#cutInPlace();
    this.#settle(length);
  }

  /** Goes on with bytes that arrived earlier, after the sink had stopped the cutting. */
  cut(): void {
    if (this.#reading !== undefined && !this.#closed) this.#cutInPlace();
  }

  /**
   * Nothing is read for a while, for want of memory: what has arrived of a frame leaves the large slab it would keep others from.
   * Only right behind `received`.
   */
  makeSmall(): void {
    const reading = this.#reading;
    if (reading === undefined || !reading.large || this.#closed) return;
    const pending = this.#end - reading.position;
    if (pending > 0 && pending <= reading.slab.bytes.length / 2) this.#moveTo(this.#memory.acquireOwn(pending + 1));
  }

  /** Gives the memory back; the socket must not read any more. */
  close(): void {
    this.#closed = true;
    this.#giveBackReading();
  }

  #land(length: number): void {
    const { landing } = this.#memory;
    const position = this.#cutFrom(landing, 0, length, undefined);
    const pending = length - position;
    if (pending === 0 || this.#closed) return;
    this.#reading = this.#memoryFor(this.#frameBytes(landing, position, length), pending, length === landingBytes);
    this.#end = this.#reading.position;
    this.#append(landing, position, length);
  }

  #cutInPlace(): void {
    const reading = this.#reading!;
    reading.position = this.#cutFrom(reading.slab.bytes, reading.position, this.#end, reading);
  }

  /** Decides where the next bytes go, once what came is cut. */
  #settle(receivedBytes: number): void {
    if (this.#closed) return;
    const reading = this.#reading!;
    const pending = this.#end - reading.position;
    if (pending === 0) {
      this.#giveBackReading();
      return;
    }
    const capacity = reading.slab.bytes.length;
    const frameBytes = this.#frameBytes(reading.slab.bytes, reading.position, this.#end);
    if (pending >= frameBytes) return; // whole frames that the sink has not taken yet; the reading is stopped

    const isBulk = receivedBytes >= bulkBytes || pending >= bulkBytes;
    const isFull = this.#end === capacity;
    const willNotFit = capacity - reading.position < frameBytes && frameBytes <= this.#largestFrame(reading);
    const wastesLarge = reading.large && !isBulk && frameBytes <= landingBytes;
    if (isFull || willNotFit || wastesLarge) this.#moveTo(this.#memoryFor(frameBytes, pending, isBulk));
  }

  /** The largest frame that memory of this kind can hold whole; a grown slab is only left when it is full. */
  #largestFrame(reading: ReadingSlab): number {
    if (reading.large) return this.#memory.largeSlabBytes;
    return reading.slab.bytes.length === landingBytes ? landingBytes : 0;
  }

  #memoryFor(frameBytes: number, pending: number, isBulk: boolean): ReadingSlab {
    if (isBulk) {
      const large = this.#memory.acquireLarge(Math.max(frameBytes, landingBytes));
      if (large !== undefined) return large;
    }
    if (pending < landingBytes && (frameBytes <= landingBytes || !isBulk)) return this.#memory.acquireSmall();
    return this.#memory.acquireOwn(Math.max(pending + 1, Math.min(frameBytes, 2 * Math.max(pending, landingBytes))));
  }

  #moveTo(next: ReadingSlab): void {
    const old = this.#reading!;
    const end = this.#end;
    this.#reading = next;
    this.#end = next.position;
    this.#append(old.slab.bytes, old.position, end);
    this.#memory.giveBack(old);
  }

  #append(source: Buffer, start: number, end: number): void {
    const reading = this.#reading!;
    if (reading.slab.bytes.length - this.#end < end - start) {
      const pending = this.#end - reading.position;
      this.#moveTo(this.#memory.acquireOwn(2 * (pending + end - start)));
    }
    this.#end += source.copy(this.#reading!.slab.bytes, this.#end, start, end);
  }

  #giveBackReading(): void {
    if (this.#reading !== undefined) this.#memory.giveBack(this.#reading);
    this.#reading = undefined;
    this.#end = 0;
  }

  /** Length and bytes of the frame at `position`, or what is known of it. */
  #frameBytes(bytes: Buffer, position: number, end: number): number {
    return end - position < framePrefixBytes ? framePrefixBytes : framePrefixBytes + bytes.readInt32BE(position);
  }

  /** Hands on the whole frames in [position, end); answers where it stopped. */
  #cutFrom(bytes: Buffer, position: number, end: number, reading: ReadingSlab | undefined): number {
    while (end - position >= framePrefixBytes) {
      const length = bytes.readInt32BE(position);
      if (length < 0 || length > this.#maxFrameBytes) {
        this.#closed = true;
        this.#sink.onBadLength(length);
        break;
      }
      const start = position + framePrefixBytes;
      if (end - start < length) break;
      position = start + length;
      if (reading !== undefined) reading.position = position;
      if (!this.#handOn(bytes, start, position, reading) || this.#closed) break;
    }
    return position;
  }

  /** Requests that may wait for long get memory of their own, so that they do not pin what others lie in. */
  #handOn(bytes: Buffer, start: number, end: number, reading: ReadingSlab | undefined): boolean {
    const length = end - start;
    if (length <= landingBytes && !isProduce(bytes, start, length)) {
      const own = Buffer.allocUnsafe(length);
      bytes.copy(own, 0, start, end);
      return this.#sink.onFrame(own, 0, length, undefined);
    }
    if (reading === undefined || (!reading.large && length <= bulkBytes)) {
      const shared = this.#memory.copyToShared(bytes, start, end);
      return this.#sink.onFrame(shared.slab.bytes, shared.start, shared.start + length, shared.slab);
    }
    reading.slab.retain();
    return this.#sink.onFrame(bytes, start, end, reading.slab);
  }
}

/** Produce requests are many, and done with as soon as their records are in a flush. */
const isProduce = (bytes: Buffer, start: number, length: number): boolean =>
  length >= 2 && bytes.readInt16BE(start) === produce.key;
