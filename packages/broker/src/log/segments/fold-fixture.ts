/** For tests: rewrites what a log has into segments, lists and indexes of a store, as the owner's upkeep would. */
import { encodeSegmentObject, IndexObjectBuilder, type metadata } from '@kafscale/protocol';
import type { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import type { FoldedLog, PartitionLog } from '../partition-log.ts';
import { foldedLogOf } from './folded-log.ts';

export interface FoldShape {
  /** Batches of each segment. */
  readonly perSegment: number;
  /** Segments of each chunk; those of the last, unfilled one stay in the record. Without it all do. */
  readonly perChunk?: number;
  /** Messages between two entries of an index; none is stored without it. */
  readonly indexInterval?: number;
  /** The segments lie in shared objects, behind others' bytes. */
  readonly merged?: boolean;
  /** Tells the objects of one fold from those of another. */
  readonly name?: string;
}

export const emptyRecord: metadata.PartitionRecord = {
  owner: 'me',
  brokerId: 1,
  leaderEpoch: 0,
  logStartOffset: 0n,
  foldedOffset: 0n,
  epochStarts: [],
  nextOffset: 0n,
  chunks: [],
  segments: [],
  producerSnapshot: undefined,
};

/** Stores segments of `batches`, which are a log's first, and answers the record that describes them. */
export async function storeFolded(
  store: MemoryObjectStore,
  batches: readonly Buffer[],
  { perSegment, perChunk = Infinity, indexInterval, merged = false, name = 'a' }: FoldShape,
): Promise<metadata.PartitionRecord> {
  const segments: metadata.Segment[] = [];
  for (let from = 0; from < batches.length; from += perSegment) {
    const run = batches.slice(from, from + perSegment);
    const encoded = encodeSegmentObject({ batches: run, createdMs: 0, ...(indexInterval && { indexInterval }) });
    const stem = `${name}-${encoded.baseOffset}`;
    const gap = Buffer.alloc(77, 0xee);
    const objectKey = merged ? `${stem}.wal` : `${stem}.kfs`;
    await store.create(objectKey, merged ? [gap, ...run, gap] : encoded.object);
    if (indexInterval !== undefined && !merged) await store.create(`${stem}.index`, encoded.index);
    segments.push({
      objectKey,
      baseOffset: BigInt(encoded.baseOffset),
      nextOffset: BigInt(encoded.nextOffset),
      position: BigInt(merged ? gap.length : encoded.position),
      length: BigInt(encoded.length),
      maxTimestamp: BigInt(encoded.maxTimestamp),
      maxTimestampBaseOffset: BigInt(encoded.maxTimestampBaseOffset),
      leaderEpoch: encoded.leaderEpoch,
    });
  }
  const listed = segments.length - (segments.length % perChunk || 0);
  const chunks: metadata.SegmentChunk[] = [];
  if (perChunk !== Infinity) {
    const builder = new IndexObjectBuilder(`${name}.idx`);
    const of = { topicId: Buffer.alloc(16, 1), topicName: 'orders', partition: 0 };
    for (let from = 0; from < listed; from += perChunk) {
      chunks.push(builder.addSegments(of, segments.slice(from, from + perChunk)));
    }
    const origin = { clusterId: 'test', incarnation: 'me', sequence: 0, createdMs: 0 };
    await store.create(`${name}.idx`, builder.finish(origin));
  }
  const foldedOffset = segments.at(-1)?.nextOffset ?? 0n;
  const inRecord = perChunk === Infinity ? segments : segments.slice(listed);
  return { ...emptyRecord, foldedOffset, chunks, segments: inRecord };
}

/** The same, made known to the log. */
export async function foldLog(
  store: MemoryObjectStore,
  log: PartitionLog,
  batches: readonly Buffer[],
  shape: FoldShape,
): Promise<FoldedLog> {
  const record = await storeFolded(store, batches, shape);
  const folded = foldedLogOf(record);
  log.fold(folded);
  return folded;
}
