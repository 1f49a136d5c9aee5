// The records of a batch, one at a time, as views over its bytes (KIP-82 for headers). Nothing is copied; a compressed batch
// is decompressed whole first, up to a limit the caller names.

import { DecodeError } from '../errors/decode-error.ts';
import { decompress, decompressSync } from './compression.ts';
import { type RecordBatchView, recordBatchHeaderBytes } from './record-batch.ts';
import { RecordScanner } from './record-scanner.ts';
import { RecordCursor } from './varint.ts';

export interface RecordHeader {
  readonly key: string;
  readonly value: Buffer | null;
}

/** One record. `key`, `value` and header values are views: they keep the bytes of their batch alive. */
export class RecordView {
  readonly offset: number;
  /** Milliseconds, -1 for none, saturating at ±Number.MAX_SAFE_INTEGER. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headerCount: number;
  readonly #headers: RecordCursor;

  constructor(batch: RecordBatchView, scanner: RecordScanner) {
    this.offset = batch.baseOffset + scanner.offsetDelta;
    this.timestamp = recordTimestamp(batch, scanner);
    this.key = viewOf(scanner.bytes, scanner.keyPosition, scanner.keyLength);
    this.value = viewOf(scanner.bytes, scanner.valuePosition, scanner.valueLength);
    this.headerCount = scanner.headerCount;
    this.#headers = new RecordCursor(scanner.bytes, scanner.headersPosition, scanner.position);
  }

  /** In the order they were written; decoded anew at every call. */
  get headers(): readonly RecordHeader[] {
    const cursor = new RecordCursor(this.#headers.bytes, this.#headers.position, this.#headers.end);
    return Array.from({ length: this.headerCount }, () => {
      const key = cursor.view(cursor.varint())?.toString('utf8') ?? '';
      return { key, value: cursor.view(cursor.varint()) };
    });
  }
}

/** The timestamp of the record a scanner stands on: its own, or with LogAppendTime that of the batch. */
export function recordTimestamp(batch: RecordBatchView, scanner: RecordScanner): number {
  if (batch.timestampType === 'LogAppendTime') return batch.maxTimestamp;
  const timestamp = batch.baseTimestamp + scanner.timestampDelta;
  return Math.min(Math.max(timestamp, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/**
 * The records of a batch in offset order. Throws DecodeError where they do not follow their format or do not fill the batch,
 * and DecompressionError, which is one, where they take more than `maxDecompressedBytes`.
 */
export function* readRecords(batch: RecordBatchView, maxDecompressedBytes: number): Generator<RecordView, void, void> {
  const scanner = scanRecordsSync(batch, maxDecompressedBytes);
  for (let index = batch.recordCount; index > 0; index--) {
    scanner.next();
    yield new RecordView(batch, scanner);
  }
  scanner.expectEnd();
}

/** A scanner before the first record of a batch; decompresses on this thread. Throws as `readRecords` does. */
export function scanRecordsSync(batch: RecordBatchView, maxDecompressedBytes: number): RecordScanner {
  const { codec } = batch;
  if (codec === undefined) throw unknownCodec(batch);
  if (codec === 'none') return scanInPlace(batch);
  const records = decompressSync(codec, batch.recordsSlice, maxDecompressedBytes);
  return new RecordScanner(records, 0, records.length);
}

/** Like `scanRecordsSync`; decompresses on a thread of the pool. */
export async function scanRecords(batch: RecordBatchView, maxDecompressedBytes: number): Promise<RecordScanner> {
  const { codec } = batch;
  if (codec === undefined) throw unknownCodec(batch);
  if (codec === 'none') return scanInPlace(batch);
  const records = await decompress(codec, batch.recordsSlice, maxDecompressedBytes);
  return new RecordScanner(records, 0, records.length);
}

const scanInPlace = (batch: RecordBatchView) =>
  new RecordScanner(batch.bytes, batch.start + recordBatchHeaderBytes, batch.end);

const unknownCodec = (batch: RecordBatchView) => new DecodeError(`record batch: no codec has number ${batch.codecId}`);

const viewOf = (bytes: Buffer, start: number, length: number) =>
  length < 0 ? null : bytes.subarray(start, start + length);
