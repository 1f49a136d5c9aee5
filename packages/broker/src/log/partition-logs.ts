/** The partitions this broker owns, by topic id and number. */
import type { PartitionLog } from './partition-log.ts';

export class PartitionLogs {
  readonly #byTopic = new Map<string, Map<number, PartitionLog>>();
  readonly #onOpen: (log: PartitionLog) => void;
  #count = 0;

  /** `onOpen` runs in the turn in which a log is opened, before anybody else can find it. */
  constructor(onOpen: (log: PartitionLog) => void = () => undefined) {
    this.#onOpen = onOpen;
  }

  get(topicId: string, partition: number): PartitionLog | undefined {
    return this.#byTopic.get(topicId)?.get(partition);
  }

  get count(): number {
    return this.#count;
  }

  *all(): Iterable<PartitionLog> {
    for (const partitions of this.#byTopic.values()) yield* partitions.values();
  }

  /** Takes the place of no other log: that one was closed before. */
  open(log: PartitionLog): void {
    const partitions = this.#byTopic.get(log.topicId);
    this.#count += 1;
    if (partitions === undefined) this.#byTopic.set(log.topicId, new Map([[log.partition, log]]));
    else partitions.set(log.partition, log);
    this.#onOpen(log);
  }

  /** Closes and forgets the partition, waking whoever waits on it. */
  close(topicId: string, partition: number): void {
    const partitions = this.#byTopic.get(topicId);
    const log = partitions?.get(partition);
    if (partitions === undefined || log === undefined) return;
    partitions.delete(partition);
    this.#count -= 1;
    if (partitions.size === 0) this.#byTopic.delete(topicId);
    log.close();
  }
}
