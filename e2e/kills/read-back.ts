/** What a log of numbered records really holds: batch by batch, checksums computed, every record compared with what it has to be. */
import { readRecords, RecordBatchView } from '@kafscale/protocol';
import { numberedRecord } from './sent-records.ts';

const maxDecompressedBytes = 16 * 1024 * 1024;

export interface ReadBatch {
  readonly offset: number;
  /** The number of its first record. */
  readonly first: number;
  readonly count: number;
}

export const isSameBatch = (a: ReadBatch, b: ReadBatch): boolean =>
  a.offset === b.offset && a.first === b.first && a.count === b.count;
export const describeBatch = ({ offset, first, count }: ReadBatch): string =>
  `records ${first} to ${first + count - 1} at ${offset}`;

export interface LogToRead {
  readonly partition: number;
  readonly end: number;
  /** True while somebody may write behind the end. */
  readonly mayGrow?: boolean;
}

/** The whole log of a partition up to `end`, every record's bytes compared with what its number says it is; adds what is wrong to `faults`. */
export async function readPartition(
  fetch: (offset: number) => Promise<Buffer>,
  { partition, end, mayGrow = false }: LogToRead,
  faults: string[],
): Promise<ReadBatch[]> {
  const batches: ReadBatch[] = [];
  let next = 0;
  while (next < end) {
    const bytes = await fetch(next);
    const before = next;
    for (let at = 0; at + 12 <= bytes.length;) {
      const batch = new RecordBatchView(bytes, at);
      if (batch.end > bytes.length) break;
      at = batch.end;
      if (batch.baseOffset !== next)
        faults.push(`partition ${partition} goes on at ${batch.baseOffset} where ${next} is next`);
      if (batch.crc !== batch.computeCrc())
        faults.push(`partition ${partition} has a damaged batch at ${batch.baseOffset}`);
      batches.push(readBatch(partition, batch, faults));
      next = batch.nextOffset;
    }
    if (next === before) {
      faults.push(`partition ${partition} ends at ${end} and gives nothing at ${next}`);
      break;
    }
  }
  if (next > end && !mayGrow) faults.push(`partition ${partition} ends at ${end} and goes on to ${next}`);
  return batches;
}

function readBatch(partition: number, batch: RecordBatchView, faults: string[]): ReadBatch {
  let first: number | undefined;
  let count = 0;
  for (const { offset, key, value } of readRecords(batch, maxDecompressedBytes)) {
    const number = Number(key?.toString().split('-')[1]);
    first ??= number;
    const expected = numberedRecord(partition, first + count);
    if (key?.equals(expected.key) !== true || value?.equals(expected.value) !== true) {
      faults.push(`partition ${partition} has other bytes at ${offset} than were sent`);
    }
    count += 1;
  }
  return { offset: batch.baseOffset, first: first ?? -1, count };
}
