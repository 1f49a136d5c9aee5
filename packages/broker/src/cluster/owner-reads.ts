/** Who owns a partition, read from the store for many callers at once: one read at a time, and whoever comes meanwhile shares the next. */
import type { PartitionImage } from '../metadata/metadata-image.ts';
import { partitionsPerTransaction, type PartitionOf, type StoredPartition } from './stored-ownership.ts';

interface Waiting {
  readonly partition: PartitionOf;
  readonly resolve: (owner: PartitionImage | undefined) => void;
  readonly reject: (error: Error) => void;
}

type ReadPartitions = (
  partitions: readonly PartitionOf[],
) => Promise<{ readonly partitions: readonly StoredPartition[] }>;

const keyOf = ({ topic, partition }: PartitionOf) => `${topic.topicId}/${partition}`;

export class OwnerReads {
  readonly #read: ReadPartitions;
  /** By partition. */
  #waiting = new Map<string, Waiting[]>();
  #running = false;

  constructor(read: ReadPartitions) {
    this.#read = read;
  }

  /** As of a moment after the call. Rejects as the read does. */
  read(partition: PartitionOf): Promise<PartitionImage | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(keyOf(partition)) ?? [];
      waiting.push({ partition, resolve, reject });
      this.#waiting.set(keyOf(partition), waiting);
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const group = [...this.#waiting].slice(0, partitionsPerTransaction);
      for (const [key] of group) this.#waiting.delete(key);
      await this.#serve(group.map(([, waiting]) => waiting));
    }
    this.#running = false;
  }

  async #serve(group: readonly Waiting[][]): Promise<void> {
    try {
      const { partitions } = await this.#read(group.map((waiting) => waiting[0]!.partition));
      const found = new Map(partitions.map((stored) => [keyOf(stored), stored]));
      for (const waiting of group) {
        const record = found.get(keyOf(waiting[0]!.partition))?.record;
        const owner = record && { owner: record.owner, brokerId: record.brokerId, leaderEpoch: record.leaderEpoch };
        for (const { resolve } of waiting) resolve(owner);
      }
    } catch (error) {
      for (const { reject } of group.flat()) reject(error as Error);
    }
  }
}
