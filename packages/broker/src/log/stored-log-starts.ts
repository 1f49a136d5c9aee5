/** Log starts as the partition record holds them: stored by the owner before anybody sees the move (COMMIT.md F26). */
import { ErrorCode, KafkaError, type metadata } from '@kafscale/protocol';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { LogStarts } from './log-start.ts';
import type { PartitionLog } from './partition-log.ts';
import { withoutDeadSegments } from './segments/folded-log.ts';

/** Changes the record of an owned partition; changes of one partition run one after another. Throws MetadataError. */
export type UpdatePartitionRecord = (
  topicId: string,
  partition: number,
  change: (record: metadata.PartitionRecord) => metadata.PartitionRecord,
) => Promise<void>;

export class StoredLogStarts implements LogStarts {
  readonly #updateRecord: UpdatePartitionRecord;

  constructor(updateRecord: UpdatePartitionRecord) {
    this.#updateRecord = updateRecord;
  }

  async advanceLogStart(log: PartitionLog, offset: number): Promise<void> {
    if (offset <= log.logStartOffset) return;
    try {
      await this.#updateRecord(log.topicId, log.partition, (record) => {
        // The partition may have gone and come back: what the log knows then belongs to another epoch (COMMIT.md K2).
        if (record.leaderEpoch !== log.leaderEpoch)
          throw new MetadataError('conflict', 'another epoch of the partition');
        const logStartOffset = BigInt(offset) > record.logStartOffset ? BigInt(offset) : record.logStartOffset;
        return withoutDeadSegments({ ...record, logStartOffset });
      });
    } catch (error) {
      if (error instanceof MetadataError && (error.kind === 'fenced' || error.kind === 'conflict')) {
        throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, undefined, { cause: error });
      }
      throw error;
    }
    if (log.closed) throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    if (offset > log.logStartOffset) log.advanceLogStart(offset);
  }
}
