/**
 * What the partition record says now, for a reader whose objects are gone: they were folded into others, by this broker or by one
 * that has taken the partition over.
 */
import { ErrorCode, KafkaError, metadata, metadataKeys } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { CoalescedRead } from '../coalesced-read.ts';
import type { PartitionLog } from '../partition-log.ts';
import { foldedLogOf } from './folded-log.ts';

export interface RecordRefresh {
  /**
   * Brings the log up to a linearizable read that began after this call. Throws KafkaError NOT_LEADER_OR_FOLLOWER when the
   * partition is no longer this broker's, StorageError `unavailable` when that cannot be told now.
   */
  refresh(log: PartitionLog): Promise<void>;
}

export interface StoredRecordRefreshDependencies {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly incarnation: string;
  readonly callDeadlineMs: number;
}

export class StoredRecordRefresh implements RecordRefresh {
  readonly #dependencies: StoredRecordRefreshDependencies;
  readonly #refreshes = new WeakMap<PartitionLog, CoalescedRead<void>>();

  constructor(dependencies: StoredRecordRefreshDependencies) {
    this.#dependencies = dependencies;
  }

  refresh(log: PartitionLog): Promise<void> {
    const refreshes = this.#refreshes.get(log) ?? new CoalescedRead(() => this.#refresh(log));
    this.#refreshes.set(log, refreshes);
    return refreshes.afterNow();
  }

  async #refresh(log: PartitionLog): Promise<void> {
    const record = await readPartitionRecord(log, this.#dependencies);
    const isOurs = record?.owner === this.#dependencies.incarnation && record.leaderEpoch === log.leaderEpoch;
    if (log.closed || !isOurs) throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    try {
      log.fold(foldedLogOf(record));
    } catch (error) {
      throw new StorageError('corrupt', 'the partition record does not fit the log', { cause: error });
    }
  }
}

/** Linearizable. Undefined for a partition that is gone; throws StorageError `unavailable`. */
export async function readPartitionRecord(
  { topicId, partition }: Pick<PartitionLog, 'topicId' | 'partition'>,
  { store, clock, callDeadlineMs }: Pick<StoredRecordRefreshDependencies, 'store' | 'clock' | 'callDeadlineMs'>,
): Promise<metadata.PartitionRecord | undefined> {
  const key = metadataKeys.partition(topicId, partition);
  try {
    const { items } = await withDeadline(clock, callDeadlineMs, (signal) => store.range({ key }, signal));
    return items[0] && metadata.PartitionRecord.decode(items[0].value);
  } catch (error) {
    throw new StorageError('unavailable', 'the metadata store does not answer', { cause: error });
  }
}
