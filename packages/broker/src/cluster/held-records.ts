/**
 * The records of the partitions a broker holds, as it stored them last, and how it changes them: changes of one partition run one
 * after another, each compares the record's mod revision (COMMIT.md K4), and none is made while the partition is being opened or given up.
 */
import type { metadata } from '@kafscale/protocol';
import { KeyedMutex } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { TopicId } from '../metadata/metadata-image.ts';
import type { Revision } from '../metadata/metadata-store.ts';
import { changeRecords, changesPerTransaction, inTransactions, type OwnerChange } from './stored-ownership.ts';

export type ChangeRecord = (record: metadata.PartitionRecord) => metadata.PartitionRecord;

export interface RecordUpdate {
  readonly topicId: TopicId;
  readonly partition: number;
  /**
   * Called once, with the record as it is stored; what it throws is the update's outcome. Who rests on what it knew before looks at
   * the record's leader epoch: the partition may have gone and come back.
   */
  readonly change: ChangeRecord;
}

/** A partition whose record names us. */
export interface HeldRecord {
  readonly topicId: TopicId;
  readonly partition: number;
  record: metadata.PartitionRecord;
  modRevision: Revision;
  /** `opening` until it serves, `leaving` from the moment it stops to. */
  phase: 'opening' | 'open' | 'leaving';
}

const keyOf = (topicId: TopicId, partition: number) => `${topicId}/${partition}`;

export class HeldRecords {
  readonly #lane: Lane;
  readonly #topics = new Map<TopicId, Map<number, HeldRecord>>();
  readonly #mutex = new KeyedMutex<string>();
  #count = 0;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  get count(): number {
    return this.#count;
  }

  get(topicId: TopicId, partition: number): HeldRecord | undefined {
    return this.#topics.get(topicId)?.get(partition);
  }

  topicIds(): Iterable<TopicId> {
    return this.#topics.keys();
  }

  ofTopic(topicId: TopicId): Iterable<HeldRecord> {
    return this.#topics.get(topicId)?.values() ?? [];
  }

  add(held: HeldRecord): void {
    const partitions = this.#topics.get(held.topicId) ?? new Map<number, HeldRecord>();
    if (!partitions.has(held.partition)) this.#count += 1;
    partitions.set(held.partition, held);
    this.#topics.set(held.topicId, partitions);
  }

  remove({ topicId, partition }: Pick<HeldRecord, 'topicId' | 'partition'>): void {
    const partitions = this.#topics.get(topicId);
    if (partitions?.delete(partition) !== true) return;
    this.#count -= 1;
    if (partitions.size === 0) this.#topics.delete(topicId);
  }

  /** Resolves when no change of theirs is under way. Of those that are leaving none begins any more. */
  async unchanging(held: readonly HeldRecord[]): Promise<void> {
    const keys = held.map(({ topicId, partition }) => keyOf(topicId, partition));
    await this.#mutex.runAll(keys, () => undefined);
  }

  /** At most one update per partition. One outcome for each, in their order: undefined once it is stored, or why it is not. */
  async update(updates: readonly RecordUpdate[]): Promise<readonly (Error | undefined)[]> {
    const keys = updates.map(({ topicId, partition }) => keyOf(topicId, partition));
    const outcomes = updates.map((): Error | undefined => undefined);
    await this.#mutex.runAll(keys, async () => {
      const planned: Planned[] = [];
      for (const [index, update] of updates.entries()) {
        try {
          planned.push(this.#plan(update, index));
        } catch (error) {
          outcomes[index] = error as Error;
        }
      }
      for (const group of inTransactions(planned, changesPerTransaction)) await this.#store(group, outcomes);
    });
    return outcomes;
  }

  #plan({ topicId, partition, change }: RecordUpdate, index: number): Planned {
    const held = this.get(topicId, partition);
    if (held?.phase !== 'open') {
      throw new MetadataError('conflict', `partition ${keyOf(topicId, partition)} is not owned`);
    }
    const { modRevision } = held;
    return { topicId, partition, modRevision, record: change(held.record), held, index };
  }

  async #store(group: readonly Planned[], outcomes: (Error | undefined)[]): Promise<void> {
    try {
      const revision = await this.#lane.commit(changeRecords(group));
      for (const { held, record } of group) [held.record, held.modRevision] = [record, revision];
    } catch (error) {
      // One that somebody else has written, or that is too large, must not keep the others from being stored.
      const isOfOne = error instanceof MetadataError && (error.kind === 'conflict' || error.kind === 'invalid');
      if (group.length > 1 && isOfOne) {
        const half = Math.ceil(group.length / 2);
        await this.#store(group.slice(0, half), outcomes);
        await this.#store(group.slice(half), outcomes);
      } else for (const { index } of group) outcomes[index] = error as Error;
    }
  }
}

interface Planned extends OwnerChange {
  readonly held: HeldRecord;
  readonly index: number;
}
