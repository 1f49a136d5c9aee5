/**
 * What the partition record says now, for a follower whose objects are gone: its owner folded them into others. A log that does not
 * reach as far as the record, or is of another epoch, is closed: it is put together anew for whoever asks for it next.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { CoalescedRead } from '../coalesced-read.ts';
import type { PartitionLog } from '../partition-log.ts';
import { readPartitionRecord, type RecordRefresh } from '../segments/record-refresh.ts';
import { foldFollowed } from './advance-log.ts';

export interface FollowedRecordRefreshDependencies {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly callDeadlineMs: number;
}

export class FollowedRecordRefresh implements RecordRefresh {
  readonly #dependencies: FollowedRecordRefreshDependencies;
  readonly #refreshes = new WeakMap<PartitionLog, CoalescedRead<void>>();

  constructor(dependencies: FollowedRecordRefreshDependencies) {
    this.#dependencies = dependencies;
  }

  refresh(log: PartitionLog): Promise<void> {
    const refreshes = this.#refreshes.get(log) ?? new CoalescedRead(() => this.#refresh(log));
    this.#refreshes.set(log, refreshes);
    return refreshes.afterNow();
  }

  async #refresh(log: PartitionLog): Promise<void> {
    const record = await readPartitionRecord(log, this.#dependencies);
    if (log.closed) throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    try {
      if (record?.leaderEpoch !== log.leaderEpoch) throw new Error('the partition is in another epoch, or gone');
      foldFollowed(log, record);
    } catch (error) {
      log.close();
      throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'the log is followed anew', { cause: error });
    }
  }
}
