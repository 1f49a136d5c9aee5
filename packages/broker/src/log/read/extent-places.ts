/** Where in an extent a read begins, and how much of it the read is likely to need. */
import type { Extent } from '../partition-log.ts';
import type { BatchBoundary } from './read-positions.ts';

/** A boundary that the index of a segment named. */
export interface SeekPoint extends BatchBoundary {
  readonly objectKey: string;
}

/** Behind the last batch. */
export const endOf = ({ nextOffset, position, length }: Extent): BatchBoundary => ({
  offset: nextOffset,
  position: position + length,
});

/** The boundary to walk from: a known one, or what the segment's index said. */
export function closest(
  known: BatchBoundary,
  seek: SeekPoint | null | undefined,
  extent: Extent,
  offset: number,
): BatchBoundary {
  if (!seek || seek.objectKey !== extent.objectKey) return known;
  return seek.offset <= offset && seek.offset > known.offset ? seek : known;
}

/**
 * Bytes of the extent from `from` on within which the batch of `offset` is likely to begin, and `maxBytes` more: batches of like
 * density are assumed, and what is missing in the end is loaded then.
 */
export function estimateBytes(extent: Extent, from: BatchBoundary, offset: number, maxBytes: number): number {
  const restBytes = extent.position + extent.length - from.position;
  const skipped = Math.max(0, offset - from.offset) / (extent.nextOffset - from.offset);
  return Math.ceil(restBytes * Math.min(1, skipped)) + Math.max(1, maxBytes);
}
