/** Certainty about a partition, for the answers that would mislead a client if another broker had taken it over meanwhile. */
import type { PartitionLog } from './partition-log.ts';

export interface OwnershipProof {
  /**
   * False once this broker's own clock says that its session is over, be it noticed elsewhere or not: an event loop that stood still
   * comes to what was queued before it comes to its timers. Asked whenever an answer is built; it needs no read.
   */
  readonly mayServe: boolean;

  /**
   * Resolves when a commit or a linearizable read that began after this call shows that `log` is still this broker's, so that its
   * high watermark and log start are the truth at a moment after the call. Callers at the same time share one read. Throws
   * KafkaError NOT_LEADER_OR_FOLLOWER when the partition is gone, OFFSET_NOT_AVAILABLE when it cannot be told now.
   */
  confirm(log: PartitionLog, signal?: AbortSignal): Promise<void>;
}
