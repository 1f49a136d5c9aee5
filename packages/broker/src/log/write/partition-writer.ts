/**
 * The writing side of one owned partition: which offset comes next once everything accepted is committed, and what its producers
 * sent. Changed in one synchronous step at a time by the flusher and the committer.
 */
import type { PartitionLog } from '../partition-log.ts';
import { ProducerState, type CommittedBatch } from '../producer-state.ts';
import type { PendingBatch } from './pending-batch.ts';

export class PartitionWriter {
  readonly log: PartitionLog;
  readonly producers = new ProducerState<PendingBatch>();
  /** The offset that the next closing flush gives out. Beyond the high watermark while flushes are on their way. */
  nextOffset: number;

  constructor(log: PartitionLog, committedBatches: Iterable<CommittedBatch>) {
    this.log = log;
    this.nextOffset = log.highWatermark;
    for (const batch of committedBatches) this.producers.commit(batch);
  }

  /** Forgets everything accepted for `flushSequence` and later; its offsets are given out again from `nextOffset` on. */
  rollBack(flushSequence: number, nextOffset: number): void {
    this.nextOffset = nextOffset;
    this.producers.rollBack((batch) => batch.flushSequence >= flushSequence);
  }
}
