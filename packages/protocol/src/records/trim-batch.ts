// Cuts a batch off before an offset, for those who need a log up to a point inside of it. The records that stay keep their bytes, their
// offsets and their timestamps; header fields that tell of all records are made true again.

import { compressSync } from './compression.ts';
import { crc32c } from './crc32c.ts';
import { batchOverheadBytes, recordBatchHeaderBytes, type RecordBatchView } from './record-batch.ts';
import { recordTimestamp, scanRecordsSync } from './record.ts';

/**
 * A copy of the batch with its records below `nextOffset` alone, compressed as it was; undefined when none is. Decompresses on this
 * thread. Throws DecodeError where the records do not follow their format.
 */
export function trimBatch(
  batch: RecordBatchView,
  nextOffset: number,
  maxDecompressedBytes: number,
): Buffer | undefined {
  const { codec, baseOffset } = batch;
  const scanner = scanRecordsSync(batch, maxDecompressedBytes);
  const start = scanner.position;
  let [end, recordCount, lastDelta, maxTimestamp] = [start, 0, -1, -1];
  for (let index = 0; index < batch.recordCount; index += 1) {
    scanner.next();
    if (baseOffset + scanner.offsetDelta >= nextOffset) break;
    end = scanner.position;
    recordCount += 1;
    lastDelta = scanner.offsetDelta;
    maxTimestamp = Math.max(maxTimestamp, recordTimestamp(batch, scanner));
  }
  if (recordCount === 0) return undefined;
  const body = compressSync(codec ?? 'none', scanner.bytes.subarray(start, end));
  const bytes = Buffer.allocUnsafe(recordBatchHeaderBytes + body.length);
  batch.bytes.copy(bytes, 0, batch.start, batch.start + recordBatchHeaderBytes);
  body.copy(bytes, recordBatchHeaderBytes);
  bytes.writeInt32BE(bytes.length - batchOverheadBytes, 8);
  bytes.writeInt32BE(lastDelta, 23);
  bytes.writeBigInt64BE(BigInt(maxTimestamp), 35);
  bytes.writeInt32BE(recordCount, 57);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return bytes;
}
