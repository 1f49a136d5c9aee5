/**
 * A record batch of magic 2 (KIP-98), the only format we store: a view over its bytes that reads header fields in place and
 * rewrites those a broker may rewrite. Judging a producer's batch is validate-batch.ts, its records are record.ts.
 *
 * | at | bytes | what |
 * |----|-------|------|
 * | 0  | 8 | base offset: offset of the first record |
 * | 8  | 4 | batch length: bytes that follow this field |
 * | 12 | 4 | partition leader epoch |
 * | 16 | 1 | magic: 2 |
 * | 17 | 4 | CRC-32C of everything from the attributes on |
 * | 21 | 2 | attributes: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon |
 * | 23 | 4 | last offset delta |
 * | 27 | 8 | base timestamp: timestamp of the first record, milliseconds, -1 for none |
 * | 35 | 8 | max timestamp |
 * | 43 | 8 | producer id, -1 for none |
 * | 51 | 2 | producer epoch |
 * | 53 | 4 | base sequence, -1 for none |
 * | 57 | 4 | record count |
 * | 61 | … | records, compressed by the codec as one run of bytes |
 *
 * Big-endian. Offset, leader epoch, length and magic lie outside the CRC, so that a broker can stamp them without a new one.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { decodeOffset } from '../wire/reader.ts';
import { putOffset } from '../wire/writer.ts';
import { type CompressionCodec, codecById } from './codec.ts';
import { crc32c } from './crc32c.ts';

/** Bytes of a batch before its records. */
export const recordBatchHeaderBytes = 61;
/** Base offset and batch length, which the batch length does not count. */
export const batchOverheadBytes = 12;
/** Where the magic byte lies, in this and in every older format. */
export const magicPosition = 16;

const leaderEpochPosition = 12;
const crcPosition = 17;
const attributesPosition = 21;
const maxTimestampPosition = 35;

export const codecMask = 0x07;
export const logAppendTimeFlag = 0x08;
export const transactionalFlag = 0x10;
export const controlFlag = 0x20;
export const deleteHorizonFlag = 0x40;

/** Who set the timestamps of a batch, by the names of the topic setting `message.timestamp.type`. */
export type TimestampType = 'CreateTime' | 'LogAppendTime';

/**
 * The batch at `start` of `bytes`. It costs one small object and copies nothing; whoever makes one has seen to it that the
 * whole batch lies in the bytes (`batchEnd`, `validateProducedBatch`). Offsets and timestamps are numbers which saturate at
 * ±Number.MAX_SAFE_INTEGER.
 */
export class RecordBatchView {
  readonly bytes: Buffer;
  readonly start: number;

  constructor(bytes: Buffer, start = 0) {
    this.bytes = bytes;
    this.start = start;
  }

  get baseOffset(): number {
    return decodeOffset(this.bytes, this.start);
  }

  /** Stamps the offset of the first record; the others follow from it. */
  set baseOffset(offset: number) {
    putOffset(this.bytes, this.start, offset);
  }

  /** Offset of the last record, or of the last one there was before compaction. */
  get lastOffset(): number {
    return this.baseOffset + this.lastOffsetDelta;
  }

  /** One more than the last offset. */
  get nextOffset(): number {
    return this.baseOffset + this.lastOffsetDelta + 1;
  }

  get batchLength(): number {
    return this.bytes.readInt32BE(this.start + 8);
  }

  /** Of the whole batch, the length field and what precedes it included. */
  get sizeInBytes(): number {
    return this.batchLength + batchOverheadBytes;
  }

  /** Position behind the batch. */
  get end(): number {
    return this.start + this.sizeInBytes;
  }

  get partitionLeaderEpoch(): number {
    return this.bytes.readInt32BE(this.start + leaderEpochPosition);
  }

  set partitionLeaderEpoch(epoch: number) {
    this.bytes.writeInt32BE(epoch, this.start + leaderEpochPosition);
  }

  get magic(): number {
    return this.bytes.readInt8(this.start + magicPosition);
  }

  /** As stored; see `computeCrc`. */
  get crc(): number {
    return this.bytes.readUInt32BE(this.start + crcPosition);
  }

  get attributes(): number {
    return this.bytes.readInt16BE(this.start + attributesPosition);
  }

  get lastOffsetDelta(): number {
    return this.bytes.readInt32BE(this.start + 23);
  }

  /** Timestamp from which those of the records are counted; with `hasDeleteHorizon` it is that horizon. */
  get baseTimestamp(): number {
    return decodeOffset(this.bytes, this.start + 27);
  }

  /** Largest timestamp in the batch; with LogAppendTime the timestamp of every record. -1 for none. */
  get maxTimestamp(): number {
    return decodeOffset(this.bytes, this.start + maxTimestampPosition);
  }

  /** -1 for none; `hasProducerId` asks without making a bigint. */
  get producerId(): bigint {
    return this.bytes.readBigInt64BE(this.start + 43);
  }

  get hasProducerId(): boolean {
    return this.bytes[this.start + 43]! < 0x80;
  }

  get producerEpoch(): number {
    return this.bytes.readInt16BE(this.start + 51);
  }

  /** Sequence of the first record, -1 for none. */
  get baseSequence(): number {
    return this.bytes.readInt32BE(this.start + 53);
  }

  /** Sequence of the last record, -1 for none; sequences begin again at 0 after 2^31 - 1. */
  get lastSequence(): number {
    const base = this.baseSequence;
    return base < 0 ? base : (base + this.lastOffsetDelta) % 0x8000_0000;
  }

  /** Records the batch holds; after compaction there may be fewer than its offsets. */
  get recordCount(): number {
    return this.bytes.readInt32BE(this.start + 57);
  }

  /** Number of the codec; `codec` is its name. */
  get codecId(): number {
    return this.bytes[this.start + attributesPosition + 1]! & codecMask;
  }

  get isCompressed(): boolean {
    return this.codecId !== 0;
  }

  /** Undefined for a number that no codec has. */
  get codec(): CompressionCodec | undefined {
    return codecById(this.codecId);
  }

  get timestampType(): TimestampType {
    return hasFlag(this, logAppendTimeFlag) ? 'LogAppendTime' : 'CreateTime';
  }

  get isTransactional(): boolean {
    return hasFlag(this, transactionalFlag);
  }

  /** Holds markers of the transaction protocol, not records of a user. */
  get isControl(): boolean {
    return hasFlag(this, controlFlag);
  }

  /** Compaction has set the time after which tombstones and markers may go (KIP-534). */
  get hasDeleteHorizon(): boolean {
    return hasFlag(this, deleteHorizonFlag);
  }

  /** The batch alone; a view, not a copy. */
  get slice(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** The records as they lie in the batch, compressed or not; a view, not a copy. */
  get recordsSlice(): Buffer {
    return this.bytes.subarray(this.start + recordBatchHeaderBytes, this.end);
  }

  /** CRC-32C over the batch as it is now. */
  computeCrc(): number {
    return crc32c(this.bytes, this.start + attributesPosition, this.end);
  }

  /**
   * Rewrites timestamp type and max timestamp, and the CRC after them; with LogAppendTime this dates every record. Does
   * nothing, and touches no byte, where the batch says so already.
   */
  setMaxTimestamp(type: TimestampType, timestampMs: number): void {
    if (this.timestampType === type && this.maxTimestamp === timestampMs) return;
    const flags = type === 'LogAppendTime' ? this.attributes | logAppendTimeFlag : this.attributes & ~logAppendTimeFlag;
    this.bytes.writeInt16BE(flags, this.start + attributesPosition);
    putOffset(this.bytes, this.start + maxTimestampPosition, timestampMs);
    this.bytes.writeUInt32BE(this.computeCrc(), this.start + crcPosition);
  }
}

const hasFlag = (batch: RecordBatchView, flag: number): boolean =>
  (batch.bytes[batch.start + attributesPosition + 1]! & flag) !== 0;

/**
 * Where the batch at `start` ends, or undefined while the bytes end before it does. Throws DecodeError where no batch of
 * magic 2 can lie: for an impossible length or another magic.
 */
export function batchEnd(bytes: Buffer, start: number): number | undefined {
  if (bytes.length - start <= magicPosition) return undefined;
  const length = bytes.readInt32BE(start + 8);
  if (length < recordBatchHeaderBytes - batchOverheadBytes) {
    throw new DecodeError(`record batch: length ${length} is less than a header`);
  }
  const magic = bytes.readInt8(start + magicPosition);
  if (magic !== 2) throw new DecodeError(`record batch: magic ${magic}`);
  const end = start + batchOverheadBytes + length;
  return end <= bytes.length ? end : undefined;
}

/** The whole batches at the beginning of a run of bytes. */
export interface BatchRun {
  readonly batches: readonly RecordBatchView[];
  /** Where the last whole batch ends; what follows is the beginning of one more, or nothing. */
  readonly end: number;
}

/** Finds the whole batches in `bytes`, which may end in the middle of one. Throws DecodeError where no batch can lie. */
export function splitBatches(bytes: Buffer): BatchRun {
  const batches: RecordBatchView[] = [];
  let start = 0;
  for (let end = batchEnd(bytes, start); end !== undefined; end = batchEnd(bytes, start)) {
    batches.push(new RecordBatchView(bytes, start));
    start = end;
  }
  return { batches, end: start };
}
