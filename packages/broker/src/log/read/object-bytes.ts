/**
 * A part of an object as it lies in memory: one piece (the hot tail) or several that follow each other (blocks of the cache). A
 * record batch may lie across two pieces; whoever reads here does not notice.
 */

export interface Piece {
  /** Byte position in the object. */
  readonly start: number;
  readonly bytes: Buffer;
}

const wordRange = 2 ** 32;

export class ObjectBytes {
  readonly #pieces: readonly Piece[];
  /** The piece of the last access: walks go forward. */
  #current: Piece;

  /** At least one piece, each starting where the one before it ends. */
  constructor(pieces: readonly [Piece, ...Piece[]]) {
    this.#pieces = pieces;
    this.#current = pieces[0];
  }

  /** Byte position in the object behind the last byte that is here. */
  get end(): number {
    const last = this.#pieces.at(-1)!;
    return last.start + last.bytes.length;
  }

  int32At(position: number): number {
    const piece = this.#pieceWith(position);
    const index = position - piece.start;
    if (index + 4 <= piece.bytes.length) return piece.bytes.readInt32BE(index);
    return this.#copy(position, position + 4).readInt32BE(0);
  }

  /** An int64 that is known to be small enough for a number. */
  int64At(position: number): number {
    return this.int32At(position) * wordRange + (this.int32At(position + 4) >>> 0);
  }

  /** Views of `[start, end)`, in order; nothing is copied. */
  slices(start: number, end: number): Buffer[] {
    const slices: Buffer[] = [];
    for (let position = start; position < end;) {
      const piece = this.#pieceWith(position);
      const until = Math.min(end, piece.start + piece.bytes.length);
      slices.push(piece.bytes.subarray(position - piece.start, until - piece.start));
      position = until;
    }
    return slices;
  }

  #copy(start: number, end: number): Buffer {
    return Buffer.concat(this.slices(start, end));
  }

  #pieceWith(position: number): Piece {
    const current = this.#current;
    if (position >= current.start && position < current.start + current.bytes.length) return current;
    for (const piece of this.#pieces) {
      if (position >= piece.start && position < piece.start + piece.bytes.length) {
        this.#current = piece;
        return piece;
      }
    }
    throw new Error(`position ${position} is not in memory`);
  }
}
