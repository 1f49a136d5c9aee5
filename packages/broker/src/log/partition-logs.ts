/** The partitions this broker owns, by topic id and number. */
import type { PartitionLog } from './partition-log.ts';

export class PartitionLogs {
  readonly #byTopic = new Map<string, Map<number, PartitionLog>>();

  get(topicId: string, partition: number): PartitionLog | undefined {
    return this.#byTopic.get(topicId)?.get(partition);
  }

  *all(): Iterable<PartitionLog> {
    for (const partitions of this.#byTopic.values()) yield* partitions.values();
  }

  open(log: PartitionLog): void {
    const partitions = this.#byTopic.get(log.topicId);
    if (partitions === undefined) this.#byTopic.set(log.topicId, new Map([[log.partition, log]]));
    else partitions.set(log.partition, log);
  }

  /** Closes and forgets the partition, waking whoever waits on it. */
  close(topicId: string, partition: number): void {
    const partitions = this.#byTopic.get(topicId);
    const log = partitions?.get(partition);
    if (partitions === undefined || log === undefined) return;
    partitions.delete(partition);
    if (partitions.size === 0) this.#byTopic.delete(topicId);
    log.close();
  }
}
