// The two questions ListOffsets asks about records: which is the first at or after a time, and which is the youngest. Both
// decompress on the thread pool where they have to, up to a limit.

import type { RecordBatchView } from './record-batch.ts';
import { recordTimestamp, scanRecords } from './record.ts';

export interface FoundRecord {
  readonly offset: number;
  /** Milliseconds. */
  readonly timestamp: number;
}

/**
 * The first record at or after `fromOffset` whose timestamp is `timestamp` or later, or undefined when the batch has none.
 * Only the records of a batch whose max timestamp is late enough are looked at. Rejects with DecodeError.
 */
export async function findRecordByTimestamp(
  batch: RecordBatchView,
  wanted: { readonly timestamp: number; readonly fromOffset?: number },
  maxDecompressedBytes: number,
): Promise<FoundRecord | undefined> {
  if (batch.maxTimestamp < wanted.timestamp || batch.lastOffset < (wanted.fromOffset ?? 0)) return undefined;
  return firstRecord(batch, maxDecompressedBytes, (record) => {
    return record.timestamp >= wanted.timestamp && record.offset >= (wanted.fromOffset ?? 0);
  });
}

/** The first record that has the max timestamp of its batch, or undefined when no record has a timestamp. */
export async function findMaxTimestampRecord(
  batch: RecordBatchView,
  maxDecompressedBytes: number,
): Promise<FoundRecord | undefined> {
  const { maxTimestamp } = batch;
  if (maxTimestamp === -1) return undefined;
  return firstRecord(batch, maxDecompressedBytes, ({ timestamp }) => timestamp === maxTimestamp);
}

async function firstRecord(
  batch: RecordBatchView,
  maxDecompressedBytes: number,
  matches: (record: FoundRecord) => boolean,
): Promise<FoundRecord | undefined> {
  const scanner = await scanRecords(batch, maxDecompressedBytes);
  const { baseOffset } = batch;
  for (let index = batch.recordCount; index > 0; index--) {
    scanner.next();
    const record = { offset: baseOffset + scanner.offsetDelta, timestamp: recordTimestamp(batch, scanner) };
    if (matches(record)) return record;
  }
  return undefined;
}
