// Writes record batches of magic 2, byte for byte as Kafka's own library does where nothing is compressed: for control
// batches, demos and tests. Clients' batches are never taken apart and written anew on their way through the broker.

import { type CompressionCodec, codecId } from './codec.ts';
import { compressSync } from './compression.ts';
import { crc32c } from './crc32c.ts';
import {
  batchOverheadBytes,
  controlFlag,
  deleteHorizonFlag,
  logAppendTimeFlag,
  recordBatchHeaderBytes,
  type TimestampType,
  transactionalFlag,
} from './record-batch.ts';
import { varintBytes, writeVarint } from './varint.ts';

export interface RecordInput {
  /** Counted from the base offset of the batch; by default the index of the record. */
  readonly offsetDelta?: number;
  /** Milliseconds within ±2^52, -1 (the default) for none. */
  readonly timestamp?: number;
  readonly key?: Uint8Array | string | null;
  readonly value?: Uint8Array | string | null;
  readonly headers?: readonly { readonly key: string; readonly value: Uint8Array | string | null }[];
}

/** The header of the batch; what is left out follows from the records, or says "none". */
export interface BatchInput {
  readonly records: readonly RecordInput[];
  readonly codec?: CompressionCodec;
  readonly baseOffset?: number;
  readonly partitionLeaderEpoch?: number;
  readonly timestampType?: TimestampType;
  readonly baseTimestamp?: number;
  readonly maxTimestamp?: number;
  readonly lastOffsetDelta?: number;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
  readonly hasDeleteHorizon?: boolean;
}

/** The bytes of one batch, with its CRC. Compresses on this thread. */
export function encodeRecordBatch(input: BatchInput): Buffer {
  const { records: inputs, codec = 'none' } = input;
  const baseTimestamp = input.baseTimestamp ?? inputs[0]?.timestamp ?? -1;
  const records = encodeRecords(inputs, baseTimestamp);
  const body = compressSync(codec, records);
  const bytes = Buffer.allocUnsafe(recordBatchHeaderBytes + body.length);
  bytes.writeBigInt64BE(BigInt(input.baseOffset ?? 0), 0);
  bytes.writeInt32BE(bytes.length - batchOverheadBytes, 8);
  bytes.writeInt32BE(input.partitionLeaderEpoch ?? -1, 12);
  bytes.writeInt8(2, 16);
  bytes.writeInt16BE(attributesOf(input), 21);
  bytes.writeInt32BE(input.lastOffsetDelta ?? largest(inputs, 0, (record, index) => record.offsetDelta ?? index), 23);
  bytes.writeBigInt64BE(BigInt(baseTimestamp), 27);
  const maxTimestamp = input.maxTimestamp ?? largest(inputs, -1, (record) => record.timestamp ?? -1);
  bytes.writeBigInt64BE(BigInt(maxTimestamp), 35);
  bytes.writeBigInt64BE(input.producerId ?? -1n, 43);
  bytes.writeInt16BE(input.producerEpoch ?? -1, 51);
  bytes.writeInt32BE(input.baseSequence ?? -1, 53);
  bytes.writeInt32BE(inputs.length, 57);
  body.copy(bytes, recordBatchHeaderBytes);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return bytes;
}

function attributesOf(input: BatchInput): number {
  return (
    codecId(input.codec ?? 'none') |
    (input.timestampType === 'LogAppendTime' ? logAppendTimeFlag : 0) |
    (input.isTransactional === true ? transactionalFlag : 0) |
    (input.isControl === true ? controlFlag : 0) |
    (input.hasDeleteHorizon === true ? deleteHorizonFlag : 0)
  );
}

function largest(
  inputs: readonly RecordInput[],
  least: number,
  valueOf: (record: RecordInput, index: number) => number,
): number {
  return inputs.reduce((value, record, index) => Math.max(value, valueOf(record, index)), least);
}

function encodeRecords(inputs: readonly RecordInput[], baseTimestamp: number): Buffer {
  return Buffer.concat(inputs.map((input, index) => encodeRecord(input, input.offsetDelta ?? index, baseTimestamp)));
}

function encodeRecord(input: RecordInput, offsetDelta: number, baseTimestamp: number): Buffer {
  const timestampDelta = (input.timestamp ?? -1) - baseTimestamp;
  const headers = input.headers ?? [];
  const integers = [timestampDelta, offsetDelta];
  const body: (number | Buffer)[] = [...integers, ...sized(input.key), ...sized(input.value), headers.length];
  for (const header of headers) body.push(...sized(header.key), ...sized(header.value));
  let length = 1; // the attributes
  for (const part of body) length += typeof part === 'number' ? varintBytes(part) : part.length;
  const bytes = Buffer.alloc(varintBytes(length) + length);
  let at = writeVarint(bytes, 0, length) + 1; // the attributes stay 0
  for (const part of body) at = typeof part === 'number' ? writeVarint(bytes, at, part) : at + part.copy(bytes, at);
  return bytes;
}

/** A length and the bytes it counts; null is a length of -1. */
function sized(content: Uint8Array | string | null | undefined): (number | Buffer)[] {
  if (content === null || content === undefined) return [-1];
  const bytes = typeof content === 'string' ? Buffer.from(content) : Buffer.from(content);
  return [bytes.length, bytes];
}
