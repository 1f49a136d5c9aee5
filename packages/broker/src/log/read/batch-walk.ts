/**
 * Steps over the record batches of an extent by their headers: finds the one that holds an offset, and how many whole ones follow
 * within a limit. Looks at no record. Bytes that came from a store are checked here before anybody gets them: that the batches
 * carry the offsets their extent says, without a gap, and that each checksum is right.
 */
import { crc32c } from '@kafscale/protocol';
import { StorageError } from '../../storage/storage-error.ts';
import type { Extent } from '../partition-log.ts';
import type { Block } from './block-cache.ts';
import type { ObjectBytes } from './object-bytes.ts';
import type { BatchBoundary } from './read-positions.ts';

/** Positions of fields in a record batch (PROTOCOL: base offset, length, leader epoch, magic, CRC, attributes, last offset delta). */
const lengthAt = 8;
const crcAt = 17;
const checkedFrom = 21;
const lastOffsetDeltaAt = 23;
/** Bytes before what the length field counts. */
const lengthOverhead = 12;
/** As much of a batch as it takes to step over it. */
const stepBytes = 27;
const headerBytes = 61;

export interface WalkRequest {
  readonly extent: Extent;
  readonly bytes: ObjectBytes;
  /** The blocks in which `bytes` lie when they came from a store; undefined for bytes that never left memory. */
  readonly blocks: readonly Block[] | undefined;
  /** Where to start; not behind `offset`. */
  readonly from: BatchBoundary;
  /** The offset wanted, in the extent. */
  readonly offset: number;
  readonly maxBytes: number;
  /** Take the first batch whole even when it is larger than `maxBytes`. */
  readonly minOneBatch: boolean;
}

export interface Walked {
  /** Whole batches lie in `[start, end.position)` of the object; none when they are equal. */
  readonly start: number;
  readonly end: BatchBoundary;
  /** The walk ended because it needs bytes up to this position, which are not in memory. */
  readonly missingUntil?: number;
  /** The walk ended at `maxBytes`. */
  readonly isLimited: boolean;
}

/** Throws StorageError `corrupt` when the bytes are not what the extent says. */
export function walkBatches(request: WalkRequest): Walked {
  const { extent, bytes, blocks, offset, maxBytes, minOneBatch } = request;
  const extentEnd = extent.position + extent.length;
  const availableEnd = Math.min(bytes.end, extentEnd);
  let at = request.from;

  for (;;) {
    if (at.position + stepBytes > availableEnd) return missing(at, at.position, at.position + stepBytes, extent);
    const next = nextBoundary(bytes, at, extent);
    if (next.offset > offset) break;
    at = next;
  }

  const start = at.position;
  const limit = start + maxBytes;
  if (extentEnd <= limit && extentEnd <= availableEnd && isVerified(blocks, start, extentEnd)) {
    return { start, end: { offset: extent.nextOffset, position: extentEnd }, isLimited: false };
  }
  while (at.position < extentEnd) {
    if (at.position + stepBytes > availableEnd) return missing(at, start, at.position + stepBytes, extent);
    const next = nextBoundary(bytes, at, extent);
    if (next.position > limit && !(minOneBatch && at.position === start)) return { start, end: at, isLimited: true };
    if (next.position > availableEnd) return missing(at, start, next.position, extent);
    if (blocks !== undefined) verifyBatch(bytes, blocks, at, next.position, extent);
    at = next;
  }
  if (at.offset !== extent.nextOffset) throw corrupt(extent, at, `the last batch ends before ${extent.nextOffset}`);
  return { start, end: at, isLimited: false };
}

function missing(end: BatchBoundary, start: number, missingUntil: number, extent: Extent): Walked {
  if (missingUntil > extent.position + extent.length) throw corrupt(extent, end, 'a batch goes beyond its extent');
  return { start, end, missingUntil, isLimited: true };
}

/** The boundary behind the batch at `at`. Its position may lie behind the bytes that are in memory, but not behind the extent. */
function nextBoundary(bytes: ObjectBytes, at: BatchBoundary, extent: Extent): BatchBoundary {
  const length = bytes.int32At(at.position + lengthAt) + lengthOverhead;
  const baseOffset = bytes.int64At(at.position);
  const next = {
    offset: at.offset + bytes.int32At(at.position + lastOffsetDeltaAt) + 1,
    position: at.position + length,
  };
  if (baseOffset !== at.offset) throw corrupt(extent, at, `base offset ${baseOffset}`);
  if (length < headerBytes || next.position > extent.position + extent.length)
    throw corrupt(extent, at, `length ${length}`);
  if (next.offset <= at.offset || next.offset > extent.nextOffset)
    throw corrupt(extent, at, `next offset ${next.offset}`);
  return next;
}

function verifyBatch(
  bytes: ObjectBytes,
  blocks: readonly Block[],
  { offset, position }: BatchBoundary,
  end: number,
  extent: Extent,
): void {
  if (isVerified(blocks, position, end)) return;
  let crc = 0;
  for (const slice of bytes.slices(position + checkedFrom, end)) crc = crc32c(slice, 0, slice.length, crc);
  if (crc !== bytes.int32At(position + crcAt) >>> 0) throw corrupt(extent, { offset, position }, 'checksum');
  for (const block of blocks) {
    const from = Math.max(position, block.start);
    const until = Math.min(end, block.end);
    if (from < until) block.verified.add(from, until);
  }
}

function isVerified(blocks: readonly Block[] | undefined, start: number, end: number): boolean {
  if (blocks === undefined) return true;
  return blocks.every((block) => {
    const from = Math.max(start, block.start);
    const until = Math.min(end, block.end);
    return from >= until || block.verified.covers(from, until);
  });
}

function corrupt(extent: Extent, { offset, position }: BatchBoundary, what: string): StorageError {
  return new StorageError('corrupt', `object ${extent.objectKey} at ${position}, offset ${offset}: ${what}`);
}
