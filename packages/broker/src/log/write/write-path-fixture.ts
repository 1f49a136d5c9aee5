/** What the tests of the write path's parts share: a partition, batches for it, and memory that is counted. */
import { SlabArena, SlabPool } from '@kafscale/runtime';
import { nothingFolded, PartitionLog } from '../partition-log.ts';
import { PartitionWriter } from './partition-writer.ts';
import { PendingBatch, type AppendOutcome, type BatchToAppend } from './pending-batch.ts';

export const topicId = Buffer.alloc(16, 7).toString('base64url');

export function batchToAppend(values: Partial<BatchToAppend> & { readonly fill?: number } = {}): BatchToAppend {
  const { fill = 1, ...rest } = values;
  return {
    bytes: Buffer.alloc(80, fill),
    recordCount: 1,
    maxTimestamp: 1_000,
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
    lastSequence: -1,
    ...rest,
  };
}

export function partitionWriter({ partition = 0, nextOffset = 0, leaderEpoch = 3 } = {}): PartitionWriter {
  const identity = { topicId, topicName: 'orders', partition, leaderEpoch };
  const recovered = { logStartOffset: nextOffset, nextOffset, folded: nothingFolded, extents: [], epochStarts: [] };
  return new PartitionWriter(new PartitionLog(identity, recovered), []);
}

/** A batch that was taken for `writer`, and the outcomes it is told. */
export function pendingBatch(writer: PartitionWriter, values: Parameters<typeof batchToAppend>[0] = {}, sequence = 0) {
  const outcomes: AppendOutcome[] = [];
  const batch = new PendingBatch(writer, batchToAppend(values), sequence, (outcome) => outcomes.push(outcome));
  return { batch, outcomes };
}

export function countedMemory(slabBytes = 4_096) {
  const pool = new SlabPool({ slabBytes, maxIdleSlabs: 4 });
  return { pool, arena: new SlabArena(pool) };
}
