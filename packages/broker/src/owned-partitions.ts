/** Partitions of topics as ownership.ts knows them: opened from the stores alone, and given up behind their last flush. */
import type { Clock, Logger } from '@kafscale/runtime';
import type { AcquiredPartition, HeldPartition, OwnedKind } from './cluster/owned-kind.ts';
import { nothingFolded, PartitionLog } from './log/partition-log.ts';
import type { PartitionLogs } from './log/partition-logs.ts';
import type { KnownFlushes } from './log/upkeep/known-flushes.ts';
import { recoverPartitions } from './log/upkeep/recovery.ts';
import type { LogAppender } from './log/write/log-appender.ts';
import type { MetadataStore, Revision } from './metadata/metadata-store.ts';
import type { ObjectStore } from './storage/object-store.ts';

export interface OwnedPartitionsDependencies {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  readonly logs: PartitionLogs;
  readonly appender: LogAppender;
  readonly logger: Logger;
  /** What is known beforehand of all flushes; without it all are read whenever partitions come. */
  readonly known?: KnownFlushes | undefined;
  /** Partitions are about to come. */
  readonly onExpected?: () => void;
  /** How long one read of a store may take. */
  readonly callDeadlineMs: number;
}

const nothing = {
  recovered: { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [] },
  committedBatches: [],
};

export class OwnedPartitions implements OwnedKind {
  readonly #dependencies: OwnedPartitionsDependencies;

  constructor(dependencies: OwnedPartitionsDependencies) {
    this.#dependencies = dependencies;
  }

  expect(): void {
    this.#dependencies.onExpected?.();
  }

  /** One whose extents do not make a log stays closed and is named as an alarm. */
  async open(acquired: readonly AcquiredPartition[], revision: Revision): Promise<void> {
    const { appender, logs, logger } = this.#dependencies;
    await this.#closeAll(acquired);
    const known = acquired.filter(({ isNew }) => !isNew);
    const results = known.length === 0 ? [] : await recoverPartitions(known, revision, this.#dependencies);
    const inOrder = results.values();
    for (const { topicId, topicName, partition, record, isNew } of acquired) {
      const result = isNew ? nothing : inOrder.next().value!;
      if ('fault' in result && result.fault !== undefined) {
        logger.error(
          { topic: topicName, partition, fault: result.fault },
          'partition stays closed: its extents make no log',
        );
        logs.markUnopened(topicId, partition);
        continue;
      }
      const identity = { topicId, topicName, partition, leaderEpoch: record.leaderEpoch };
      appender.open(new PartitionLog(identity, result.recovered), result.committedBatches);
    }
  }

  async giveUp(partitions: readonly HeldPartition[]): Promise<readonly (bigint | undefined)[]> {
    const logs = await this.#closeAll(partitions);
    return logs.map((log) => (log === undefined ? undefined : BigInt(log.highWatermark)));
  }

  /** All of them behind one flush. */
  async #closeAll(
    partitions: readonly Pick<HeldPartition, 'topicId' | 'partition'>[],
  ): Promise<(PartitionLog | undefined)[]> {
    const { logs, appender } = this.#dependencies;
    const found = partitions.map(({ topicId, partition }) => logs.get(topicId, partition));
    for (const { topicId, partition } of partitions) logs.unmark(topicId, partition);
    await Promise.all(found.map((log) => (log === undefined ? Promise.resolve() : appender.close(log))));
    return found;
  }
}
