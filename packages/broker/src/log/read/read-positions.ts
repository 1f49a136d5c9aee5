/**
 * Where the readers of a partition stopped, so that the next read of a sequential reader starts at a known position instead of
 * walking its extent from the start. A few per partition; the oldest is forgotten and costs its reader one walk.
 */
import type { Extent } from '../partition-log.ts';

/** The start of a batch: its base offset and its byte position in the object. */
export interface BatchBoundary {
  readonly offset: number;
  readonly position: number;
}

interface ReadPosition extends BatchBoundary {
  readonly objectKey: string;
  /** The extent's position in the object. */
  readonly extentPosition: number;
}

const maxPositions = 16;

export class ReadPositions {
  readonly #positions: ReadPosition[] = [];

  /** The last known boundary in `extent` that is at or before `offset`: at worst the start of the extent. */
  boundaryBefore(extent: Extent, offset: number): BatchBoundary {
    let best: BatchBoundary = { offset: extent.baseOffset, position: extent.position };
    if (offset === extent.baseOffset) return best;
    for (const known of this.#positions) {
      if (known.extentPosition !== extent.position || known.objectKey !== extent.objectKey) continue;
      if (known.offset <= offset && known.offset > best.offset) best = known;
    }
    return best;
  }

  /** Whether some reader stopped exactly there: whoever asks for `offset` now is most likely that one. */
  isContinued(offset: number): boolean {
    return this.#positions.some((known) => known.offset === offset);
  }

  /** A reader got everything below the boundary, which lies in `extent` or at its end. */
  stoppedAt({ offset, position }: BatchBoundary, extent: Extent): void {
    const known = this.#positions.findIndex((other) => other.offset === offset);
    if (known >= 0) this.#positions.splice(known, 1);
    else if (this.#positions.length === maxPositions) this.#positions.shift();
    this.#positions.push({ offset, position, objectKey: extent.objectKey, extentPosition: extent.position });
  }
}
