/** What a read of a log gives: views of stored bytes, held in memory until whoever sends them is done. */

/** Memory that stays as it is until it is released, exactly once. */
export interface Held {
  release(): void;
}

/** Whole record batches, contiguous in offsets, as the bytes that were stored. */
export class LogSlices {
  /** In order; a batch may go from one chunk into the next. */
  readonly chunks: Buffer[] = [];
  bytes = 0;
  /** One more than the last offset in here; the offset asked for when there is nothing. */
  nextOffset: number;
  /** The log has more than this: the limit on bytes, or the need to wait for the store, ended the read. */
  isLimited = false;
  /** Some of it came from the block cache, so what follows may have to be loaded. */
  isFromCache = false;
  readonly #held: Held[] = [];
  #released = false;

  constructor(offset: number) {
    this.nextOffset = offset;
  }

  /** Adds what follows, and takes over the caller's hold on its memory. */
  add(chunks: readonly Buffer[], nextOffset: number, held: Held): void {
    for (const chunk of chunks) {
      this.chunks.push(chunk);
      this.bytes += chunk.length;
    }
    this.nextOffset = nextOffset;
    this.#held.push(held);
  }

  /** The chunks must not be touched any more. Exactly once, also when there are none. */
  release(): void {
    if (this.#released) throw new Error('slices released twice');
    this.#released = true;
    for (const held of this.#held) held.release();
  }
}
