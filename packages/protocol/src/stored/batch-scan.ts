/** Steps over the record batches in a run of slices by their headers; only a header that goes across slices is copied. */
import { DecodeError } from '../errors/decode-error.ts';
import { batchOverheadBytes, magicPosition, RecordBatchView, recordBatchHeaderBytes } from '../records/record-batch.ts';

/** What the header of a batch says. */
export interface ScannedBatch {
  /** In the run of slices. */
  readonly position: number;
  readonly length: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  readonly maxTimestamp: number;
  readonly recordCount: number;
}

/** Throws DecodeError where no batch of magic 2 can lie, and for a last one that is not whole. */
export function* scanBatches(slices: readonly Buffer[]): Generator<ScannedBatch, void, undefined> {
  let position = 0;
  /** The slice with `position` in it, and where that one starts. */
  let index = 0;
  let sliceStart = 0;
  const totalBytes = slices.reduce((sum, { length }) => sum + length, 0);
  while (position < totalBytes) {
    while (position >= sliceStart + slices[index]!.length) {
      sliceStart += slices[index]!.length;
      index += 1;
    }
    if (totalBytes - position < recordBatchHeaderBytes) throw new DecodeError('record batch: its header is cut');
    const batch = headerAt(slices, index, position - sliceStart);
    const length = batch.batchLength + batchOverheadBytes;
    if (length < recordBatchHeaderBytes) throw new DecodeError(`record batch: length ${length} is less than a header`);
    if (batch.magic !== 2) throw new DecodeError(`record batch: magic ${batch.magic} at ${position + magicPosition}`);
    if (position + length > totalBytes) throw new DecodeError('record batch: its end is cut');
    const { baseOffset, nextOffset, partitionLeaderEpoch: leaderEpoch, maxTimestamp, recordCount } = batch;
    if (baseOffset < 0 || nextOffset <= baseOffset || !Number.isSafeInteger(nextOffset)) {
      throw new DecodeError(`record batch: offsets from ${baseOffset} to ${nextOffset}`);
    }
    if (recordCount < 0) throw new DecodeError(`record batch: ${recordCount} records`);
    yield { position, length, baseOffset, nextOffset, leaderEpoch, maxTimestamp, recordCount };
    position += length;
  }
}

function headerAt(slices: readonly Buffer[], index: number, start: number): RecordBatchView {
  const slice = slices[index]!;
  if (start + recordBatchHeaderBytes <= slice.length) return new RecordBatchView(slice, start);
  const header = Buffer.allocUnsafe(recordBatchHeaderBytes);
  let filled = slice.copy(header, 0, start);
  for (let next = index + 1; filled < header.length; next += 1) filled += slices[next]!.copy(header, filled);
  return new RecordBatchView(header);
}
