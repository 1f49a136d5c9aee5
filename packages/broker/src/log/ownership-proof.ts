/** Certainty about a partition, for the answers that would mislead a client if another broker had taken it over meanwhile. */
import type { PartitionLog } from './partition-log.ts';

export interface OwnershipProof {
  /**
   * Resolves when a commit or a linearizable read that began after this call shows that `log` is still this broker's, so that its
   * high watermark and log start are the truth at a moment after the call. Callers at the same time share one read. Throws
   * KafkaError NOT_LEADER_OR_FOLLOWER when the partition is gone, OFFSET_NOT_AVAILABLE when it cannot be told now.
   */
  confirm(log: PartitionLog, signal?: AbortSignal): Promise<void>;
}
