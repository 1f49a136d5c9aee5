/** The partitions this broker owns, by topic id and number. */
import type { PartitionLog } from './partition-log.ts';

export class PartitionLogs {
  readonly #byTopic = new Map<string, Map<number, PartitionLog>>();
  readonly #onOpen: (log: PartitionLog) => void;
  readonly #unopened = new Map<string, Set<number>>();
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

  /** Whether the partition is this broker's but cannot be opened: something that it needs is lost. */
  isUnopened(topicId: string, partition: number): boolean {
    return this.#unopened.get(topicId)?.has(partition) === true;
  }

  /** The partition is this broker's, and its log cannot be put together. Holds until it is opened, or unmarked. */
  markUnopened(topicId: string, partition: number): void {
    const partitions = this.#unopened.get(topicId) ?? new Set<number>();
    this.#unopened.set(topicId, partitions.add(partition));
  }

  /** Takes the place of no other log: that one was closed before. */
  open(log: PartitionLog): void {
    this.unmark(log.topicId, log.partition);
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

  /** Nothing is known against the partition any more. */
  unmark(topicId: string, partition: number): void {
    const partitions = this.#unopened.get(topicId);
    if (partitions?.delete(partition) === true && partitions.size === 0) this.#unopened.delete(topicId);
  }
}
