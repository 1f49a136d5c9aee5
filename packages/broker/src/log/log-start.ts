/** Moving the first readable offset of a partition, the one change to a log that does not come from a producer. */
import type { PartitionLog } from './partition-log.ts';

export interface LogStarts {
  /**
   * Moves the log start to `offset`, at most the high watermark; resolves when it is stored and visible, at once when the log
   * starts there or later already. Never goes back. Throws KafkaError NOT_LEADER_OR_FOLLOWER when the partition was lost.
   */
  advanceLogStart(log: PartitionLog, offset: number): Promise<void>;
}
