/**
 * Checks a run of one partition's batches in an object against what metadata says of it: that it is there, that every batch is whole and
 * passes its checksum, that offsets follow each other from the first to the last, and that leader epochs do not go back.
 */
import { batchOverheadBytes, crc32c, RecordBatchView, recordBatchHeaderBytes } from '@kafscale/protocol';
import { StorageError } from '../../storage/storage-error.ts';
import type { Finding } from './findings.ts';
import type { ObjectReader } from './object-reader.ts';

export interface RunToCheck {
  readonly object: string;
  readonly topic: string;
  readonly partition: number;
  readonly position: number;
  readonly length: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  /** Of its last batch. */
  readonly leaderEpoch: number;
}

export interface CheckedRun {
  readonly batchCount: number;
  readonly recordCount: number;
  /** Of all its bytes. */
  readonly crc32c: number;
}

/** Undefined when something is wrong, which `report` was told. Throws StorageError when the store does not answer. */
export async function checkRun(
  run: RunToCheck,
  reader: ObjectReader,
  report: (finding: Finding) => void,
): Promise<CheckedRun | undefined> {
  const { object, topic, partition } = run;
  try {
    return await walk(run, reader);
  } catch (error) {
    const finding = findingOf(error, object);
    report({ ...finding, object, topic, partition });
    return undefined;
  }
}

/** What is wrong with an object whose reading failed. Rethrows what says nothing about the object. */
export function findingOf(error: unknown, object: string): Finding {
  if (error instanceof StorageError && error.kind === 'not-found') {
    return { kind: 'missing-object', object, detail: 'the object is not in the bucket' };
  }
  const isDamage = error instanceof Damage || (error instanceof StorageError && error.kind === 'corrupt');
  if (isDamage || (error instanceof Error && error.name === 'DecodeError')) {
    return { kind: 'damaged', object, detail: error.message };
  }
  throw error;
}

class Damage extends Error {
  override readonly name = 'Damage';
}

async function walk(run: RunToCheck, reader: ObjectReader): Promise<CheckedRun> {
  const { object, baseOffset, nextOffset, leaderEpoch } = run;
  const end = run.position + run.length;
  let position = run.position;
  let expected = baseOffset;
  let epoch = -1;
  let [batchCount, recordCount, checksum] = [0, 0, 0];
  while (position < end) {
    const batch = await readBatch(object, position, end, reader);
    const at = `the batch at byte ${position}`;
    if (batch.baseOffset !== expected) throw new Damage(`${at} starts at offset ${batch.baseOffset}, not ${expected}`);
    if (batch.magic !== 2) throw new Damage(`${at} has magic ${batch.magic}`);
    if (batch.crc !== batch.computeCrc()) throw new Damage(`${at} (offset ${expected}) fails its checksum`);
    if (batch.nextOffset <= expected) throw new Damage(`${at} ends before it starts`);
    if (batch.partitionLeaderEpoch < epoch) {
      throw new Damage(`${at} has leader epoch ${batch.partitionLeaderEpoch} after ${epoch}`);
    }
    checksum = crc32c(batch.bytes, batch.start, batch.end, checksum);
    expected = batch.nextOffset;
    epoch = batch.partitionLeaderEpoch;
    position += batch.sizeInBytes;
    batchCount += 1;
    recordCount += batch.recordCount;
  }
  if (expected !== nextOffset) throw new Damage(`the batches end at offset ${expected}, not ${nextOffset}`);
  if (epoch !== leaderEpoch) throw new Damage(`the last batch has leader epoch ${epoch}, not ${leaderEpoch}`);
  return { batchCount, recordCount, crc32c: checksum };
}

async function readBatch(
  object: string,
  position: number,
  end: number,
  reader: ObjectReader,
): Promise<RecordBatchView> {
  if (end - position < recordBatchHeaderBytes) throw new Damage(`no batch fits in at byte ${position}`);
  const header = await reader.read(object, position, position + batchOverheadBytes);
  if (header.length < batchOverheadBytes) throw new Damage(`the object ends at byte ${position + header.length}`);
  const size = new RecordBatchView(header).sizeInBytes;
  if (size < recordBatchHeaderBytes || position + size > end) {
    throw new Damage(`the batch at byte ${position} says that it has ${size} bytes`);
  }
  const bytes = await reader.read(object, position, position + size);
  if (bytes.length < size) throw new Damage(`the object ends at byte ${position + bytes.length}`);
  return new RecordBatchView(bytes);
}
