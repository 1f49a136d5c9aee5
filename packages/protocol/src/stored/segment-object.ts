/**
 * A segment (`.kfs`): a run of one partition's record batches in an object of their own.
 *
 * | at    | bytes | what |
 * |-------|-------|------|
 * | 0     | 4     | magic `KAFS` (0x4B414653) |
 * | 4     | 2     | version: 1 |
 * | 6     | 2     | flags: 0; a reader refuses any that it does not know |
 * | 8     | 8     | base offset of the first batch |
 * | 16    | 4     | message count: records of all batches |
 * | 20    | 8     | when the segment was made, milliseconds since the Unix epoch |
 * | 28    | 4     | reserved: 0 |
 * | 32    | n     | record batches of magic 2, each at the offset at which the one before it ends |
 * | 32+n  | 4     | CRC-32C of the n bytes of batches |
 * | 36+n  | 8     | last offset |
 * | 44+n  | 4     | magic `END!` (0x454E4421) |
 *
 * Big-endian; the same table with an example is in docs/reference/storage-format.md.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { crc32c } from '../records/crc32c.ts';
import { recordBatchHeaderBytes } from '../records/record-batch.ts';
import { decodeOffset } from '../wire/reader.ts';
import { scanBatches, type ScannedBatch } from './batch-scan.ts';
import { defaultIndexInterval, encodeSegmentIndex, maxIndexedPosition, type IndexEntry } from './segment-index.ts';

const headerMagic = 0x4b414653;
const footerMagic = 0x454e4421;
const version = 1;

/** Bytes before the batches. */
export const segmentHeaderBytes = 32;
/** Bytes behind the batches. */
export const segmentFooterBytes = 16;

export interface SegmentHeader {
  readonly baseOffset: number;
  readonly messageCount: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdMs: number;
}

export interface SegmentFooter {
  /** Of the batches. */
  readonly crc32c: number;
  readonly lastOffset: number;
}

export interface SegmentInput {
  /** Whole batches without a gap in their offsets; a batch may go from one slice into the next. */
  readonly batches: readonly Buffer[];
  readonly createdMs: number;
  /** Messages between two entries of the index. */
  readonly indexInterval?: number;
}

/** Both objects, as slices to be written in order; those of the batches are the ones that were given. */
export interface EncodedSegment {
  readonly object: readonly Buffer[];
  readonly index: readonly Buffer[];
  readonly baseOffset: number;
  /** One more than the last offset. */
  readonly nextOffset: number;
  readonly messageCount: number;
  /** Where the batches begin in the object. */
  readonly position: number;
  /** Of the batches. */
  readonly length: number;
  /** The largest of all batches; -1 when none has one. */
  readonly maxTimestamp: number;
  /** The base offset of the first batch that has it. */
  readonly maxTimestampBaseOffset: number;
  /** Of the last batch. */
  readonly leaderEpoch: number;
}

/** Copies no batch. Throws DecodeError for bytes that are no such batches, RangeError for more than an index can point into. */
export function encodeSegmentObject({
  batches,
  createdMs,
  indexInterval = defaultIndexInterval,
}: SegmentInput): EncodedSegment {
  const entries: IndexEntry[] = [];
  let first: ScannedBatch | undefined;
  let last: ScannedBatch | undefined;
  let latest: ScannedBatch | undefined;
  let messageCount = 0;
  for (const batch of scanBatches(batches)) {
    if (last !== undefined && batch.baseOffset !== last.nextOffset) {
      throw new DecodeError(`segment: a batch at offset ${batch.baseOffset} where ${last.nextOffset} is next`);
    }
    first ??= batch;
    last = batch;
    if (batch.maxTimestamp > (latest?.maxTimestamp ?? -1)) latest = batch;
    messageCount += batch.recordCount;
    const lastEntry = entries.at(-1);
    if (lastEntry === undefined || batch.baseOffset - lastEntry.baseOffset >= indexInterval) {
      entries.push({ baseOffset: batch.baseOffset, position: segmentHeaderBytes + batch.position });
    }
  }
  if (first === undefined || last === undefined) throw new DecodeError('segment: no batches');
  const length = last.position + last.length;
  if (segmentHeaderBytes + length > maxIndexedPosition) throw new RangeError(`segment: ${length} bytes are too many`);

  const { baseOffset } = first;
  const checksum = batches.reduce((crc, slice) => crc32c(slice, 0, slice.length, crc), 0);
  const header = encodeSegmentHeader({ baseOffset, messageCount, createdMs });
  const footer = encodeSegmentFooter({ crc32c: checksum, lastOffset: last.nextOffset - 1 });
  return {
    object: [header, ...batches, footer],
    index: encodeSegmentIndex({ interval: indexInterval, entries }),
    baseOffset,
    nextOffset: last.nextOffset,
    messageCount,
    position: segmentHeaderBytes,
    length,
    maxTimestamp: latest?.maxTimestamp ?? -1,
    maxTimestampBaseOffset: latest?.baseOffset ?? baseOffset,
    leaderEpoch: last.leaderEpoch,
  };
}

export function encodeSegmentHeader({ baseOffset, messageCount, createdMs }: SegmentHeader): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  header.writeUInt32BE(headerMagic, 0);
  header.writeUInt16BE(version, 4);
  header.writeBigInt64BE(BigInt(baseOffset), 8);
  header.writeUInt32BE(messageCount, 16);
  header.writeBigInt64BE(BigInt(createdMs), 20);
  return header;
}

export function encodeSegmentFooter({ crc32c: checksum, lastOffset }: SegmentFooter): Buffer {
  const footer = Buffer.allocUnsafe(segmentFooterBytes);
  footer.writeUInt32BE(checksum, 0);
  footer.writeBigInt64BE(BigInt(lastOffset), 4);
  footer.writeUInt32BE(footerMagic, 12);
  return footer;
}

/** From the first 32 bytes of a segment. Throws DecodeError. */
export function decodeSegmentHeader(header: Buffer): SegmentHeader {
  if (header.length !== segmentHeaderBytes) throw new DecodeError(`segment: a header of ${header.length} bytes`);
  if (header.readUInt32BE(0) !== headerMagic) throw new DecodeError('segment: another magic than KAFS');
  if (header.readUInt16BE(4) !== version) throw new DecodeError(`segment: version ${header.readUInt16BE(4)}`);
  if (header.readUInt16BE(6) !== 0) throw new DecodeError(`segment: flags ${header.readUInt16BE(6)}`);
  if (header.readUInt32BE(28) !== 0) throw new DecodeError('segment: a reserved field that is not 0');
  return {
    baseOffset: offsetAt(header, 8),
    messageCount: header.readUInt32BE(16),
    createdMs: decodeOffset(header, 20),
  };
}

/** From the last 16 bytes of a segment. Throws DecodeError. */
export function decodeSegmentFooter(footer: Buffer): SegmentFooter {
  if (footer.length !== segmentFooterBytes) throw new DecodeError(`segment: a footer of ${footer.length} bytes`);
  if (footer.readUInt32BE(12) !== footerMagic) throw new DecodeError('segment: another magic than END! at its end');
  return { crc32c: footer.readUInt32BE(0), lastOffset: offsetAt(footer, 4) };
}

export interface DecodedSegment extends SegmentHeader {
  readonly lastOffset: number;
  /** A view of the batches. */
  readonly batches: Buffer;
}

/**
 * A whole segment, everything about it checked: magics, its checksum, and that its batches carry the offsets and as many records
 * as it says. The checksum of each batch is implied by that of all. Throws DecodeError.
 */
export function decodeSegmentObject(object: Buffer): DecodedSegment {
  if (object.length < segmentHeaderBytes + recordBatchHeaderBytes + segmentFooterBytes) {
    throw new DecodeError(`segment: ${object.length} bytes are too few`);
  }
  const header = decodeSegmentHeader(object.subarray(0, segmentHeaderBytes));
  const footer = decodeSegmentFooter(object.subarray(object.length - segmentFooterBytes));
  const batches = object.subarray(segmentHeaderBytes, object.length - segmentFooterBytes);
  if (crc32c(batches) !== footer.crc32c) throw new DecodeError('segment: the batches fail their checksum');
  let nextOffset = header.baseOffset;
  let messageCount = 0;
  for (const batch of scanBatches([batches])) {
    if (batch.baseOffset !== nextOffset) {
      throw new DecodeError(`segment: a batch at offset ${batch.baseOffset} where ${nextOffset} is next`);
    }
    ({ nextOffset } = batch);
    messageCount += batch.recordCount;
  }
  if (nextOffset - 1 !== footer.lastOffset) throw new DecodeError(`segment: ends before offset ${nextOffset}`);
  if (messageCount !== header.messageCount) throw new DecodeError(`segment: holds ${messageCount} messages`);
  return { ...header, lastOffset: footer.lastOffset, batches };
}

function offsetAt(bytes: Buffer, at: number): number {
  const offset = decodeOffset(bytes, at);
  if (offset < 0 || offset === Number.MAX_SAFE_INTEGER) throw new DecodeError('segment: an impossible offset');
  return offset;
}
