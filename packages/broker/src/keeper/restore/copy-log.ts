/**
 * Copies the batches of one log up to a time into segments of its own, with the offsets they have. The cut is at the first record that
 * is later than the time: it and all behind it stay out, and a batch across the cut is trimmed.
 */
import {
  encodeSegmentObject,
  findRecordByTimestamp,
  trimBatch,
  type metadata,
  type RecordBatchView,
} from '@kafscale/protocol';
import type { ObjectNames } from '../../storage/object-names.ts';
import { createObject, type StoreAccess } from '../store-access.ts';
import type { ClusterLog } from '../verify/cluster-logs.ts';
import type { ObjectReader } from '../verify/object-reader.ts';
import { batchesOf } from './log-batches.ts';

export interface CopyTarget extends StoreAccess {
  readonly names: ObjectNames;
  readonly topicName: string;
  readonly incarnation: string;
  /** One more with each call. */
  readonly nextSequence: () => number;
  readonly unique: () => string;
  readonly segmentBytes: number;
}

export interface CopiedLog {
  /** Oldest first. */
  readonly segments: readonly metadata.Segment[];
  readonly epochStarts: readonly metadata.EpochStart[];
  readonly recordCount: number;
  readonly sizeBytes: number;
}

const maxDecompressedBytes = 1 << 30;

/** `toMs` is the last timestamp that is taken. Throws SourceFault, StorageError, MetadataError, DecodeError. */
export async function copyLog(
  source: ClusterLog,
  toMs: number,
  reader: ObjectReader,
  target: CopyTarget,
): Promise<CopiedLog> {
  const segments: metadata.Segment[] = [];
  const epochStarts: metadata.EpochStart[] = [];
  let [pending, pendingBytes, recordCount, sizeBytes]: [Buffer[], number, number, number] = [[], 0, 0, 0];
  const write = async (): Promise<void> => {
    if (pending.length > 0) segments.push(await writeSegment(pending, source, target));
    [pending, pendingBytes] = [[], 0];
  };
  for await (const batch of batchesOf(source, reader, target)) {
    const cutOffset = await firstOffsetAfter(batch, toMs);
    const bytes =
      cutOffset === undefined ? Buffer.from(batch.slice) : trimBatch(batch, cutOffset, maxDecompressedBytes);
    if (bytes !== undefined) {
      const { partitionLeaderEpoch, baseOffset } = batch;
      if (partitionLeaderEpoch > (epochStarts.at(-1)?.leaderEpoch ?? -1)) {
        epochStarts.push({ leaderEpoch: partitionLeaderEpoch, startOffset: BigInt(baseOffset) });
      }
      pending.push(bytes);
      pendingBytes += bytes.length;
      sizeBytes += bytes.length;
      recordCount += cutOffset === undefined ? batch.recordCount : bytes.readInt32BE(57);
    }
    if (pendingBytes >= target.segmentBytes) await write();
    if (cutOffset !== undefined) break;
  }
  await write();
  return { segments, epochStarts, recordCount, sizeBytes };
}

/** Undefined when every record of the batch is in time. */
async function firstOffsetAfter(batch: RecordBatchView, toMs: number): Promise<number | undefined> {
  if (batch.maxTimestamp <= toMs) return undefined;
  const found = await findRecordByTimestamp(batch, { timestamp: toMs + 1 }, maxDecompressedBytes);
  return found?.offset;
}

async function writeSegment(
  batches: readonly Buffer[],
  { partition }: ClusterLog,
  target: CopyTarget,
): Promise<metadata.Segment> {
  const { names, topicName, incarnation, clock } = target;
  const encoded = encodeSegmentObject({ batches, createdMs: clock.wallMs() });
  const { baseOffset, nextOffset, position, length, maxTimestamp, maxTimestampBaseOffset, leaderEpoch } = encoded;
  const origin = { incarnation, sequence: target.nextSequence(), unique: target.unique() };
  const key = names.segment({ topicName, partition, baseOffset }, origin);
  await createObject(target, key.segment, encoded.object);
  await createObject(target, key.index, encoded.index);
  return {
    objectKey: key.segment,
    baseOffset: BigInt(baseOffset),
    nextOffset: BigInt(nextOffset),
    position: BigInt(position),
    length: BigInt(length),
    maxTimestamp: BigInt(maxTimestamp),
    maxTimestampBaseOffset: BigInt(maxTimestampBaseOffset),
    leaderEpoch,
  };
}
