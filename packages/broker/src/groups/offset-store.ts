/**
 * The committed offsets of a shard's groups, as far as they are known to be stored. Keyed by topic id, so that a topic created
 * anew under an old name inherits nothing.
 */
import type { TopicId } from '../metadata/metadata-image.ts';

export interface CommittedOffset {
  readonly offset: bigint;
  /** Leader epoch of the record before `offset`; -1 for none. */
  readonly leaderEpoch: number;
  /** The client's own text. */
  readonly metadata: string;
  /** Wall time of the commit. */
  readonly commitMs: number;
  /** Wall time given by an old client at which the offset ends, whatever the retention. */
  readonly expireMs: number | undefined;
}

export type TopicOffsets = ReadonlyMap<number, CommittedOffset>;
export type GroupOffsets = ReadonlyMap<TopicId, TopicOffsets>;

const noOffsets: GroupOffsets = new Map();

export class OffsetStore {
  readonly #groups = new Map<string, Map<TopicId, Map<number, CommittedOffset>>>();

  /** Everything the group has committed. */
  ofGroup(groupId: string): GroupOffsets {
    return this.#groups.get(groupId) ?? noOffsets;
  }

  get(groupId: string, topicId: TopicId, partition: number): CommittedOffset | undefined {
    return this.#groups.get(groupId)?.get(topicId)?.get(partition);
  }

  /** Groups that have committed offsets. */
  groupIds(): Iterable<string> {
    return this.#groups.keys();
  }

  put(groupId: string, topicId: TopicId, partition: number, committed: CommittedOffset): void {
    const topics = entryOf(this.#groups, groupId, () => new Map<TopicId, Map<number, CommittedOffset>>());
    entryOf(topics, topicId, () => new Map<number, CommittedOffset>()).set(partition, committed);
  }

  remove(groupId: string, topicId: TopicId, partition: number): void {
    const topics = this.#groups.get(groupId);
    const partitions = topics?.get(topicId);
    if (topics === undefined || partitions === undefined) return;
    partitions.delete(partition);
    if (partitions.size === 0) topics.delete(topicId);
    if (topics.size === 0) this.#groups.delete(groupId);
  }

  removeGroup(groupId: string): void {
    this.#groups.delete(groupId);
  }
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  const existing = map.get(key);
  if (existing !== undefined) return existing;
  const created = create();
  map.set(key, created);
  return created;
}
