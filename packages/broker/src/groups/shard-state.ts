/**
 * What is stored of a shard, in memory: the groups' records and committed offsets after every delta so far. Deltas hold values, not
 * differences, so that a delta applied again, also over keys that were folded later, leaves the same state.
 */
import { metadata, metadataKeys } from '@kafscale/protocol';
import type { TopicId } from '../metadata/metadata-image.ts';
import type { Operation } from '../metadata/metadata-store.ts';
import { OffsetStore, type CommittedOffset, type TopicOffsets } from './offset-store.ts';

/** Partitions whose offsets share a folded key, so that no value outgrows a store's limit. */
const blockPartitions = 64;

/** A folded key whose value is older than the state. */
export type FoldTarget =
  | { readonly type: 'group'; readonly groupId: string }
  | { readonly type: 'offsets'; readonly groupId: string; readonly topicId: TopicId; readonly block: number };

export class ShardState {
  readonly offsets = new OffsetStore();
  readonly records = new Map<string, metadata.GroupRecord>();
  #unfolded = new Map<string, FoldTarget>();

  apply({ change }: metadata.GroupChange): void {
    switch (change?.$case) {
      case 'group':
        this.records.set(change.value.groupId, change.value);
        this.#markGroup(change.value.groupId);
        return;
      case 'offsets':
        this.loadOffsets(change.value);
        this.#markOffsets(change.value, change.value.offsets);
        return;
      case 'removedOffsets':
        this.#removeOffsets(change.value);
        return;
      case 'removedGroup':
        this.#removeGroup(change.value);
        return;
      case undefined:
        return;
    }
  }

  /** Takes over a folded group. */
  loadGroup(record: metadata.GroupRecord): void {
    this.records.set(record.groupId, record);
  }

  /** Takes over a folded block of offsets. */
  loadOffsets({ groupId, topicId, offsets }: metadata.GroupOffsets): void {
    const topic = topicIdFromBytes(topicId);
    for (const stored of offsets) this.offsets.put(groupId, topic, stored.partition, committedOffset(stored));
  }

  /** The folded keys that have to be written for the deltas so far to be dropped. They count as folded from now on. */
  takeUnfolded(): FoldTarget[] {
    const targets = [...this.#unfolded.values()];
    this.#unfolded = new Map();
    return targets;
  }

  /** They were not folded after all. */
  returnUnfolded(targets: readonly FoldTarget[]): void {
    for (const target of targets) this.#unfolded.set(foldedKey(target), target);
  }

  /** Writes the key as the state is now. */
  foldOperation(target: FoldTarget): Operation {
    const key = foldedKey(target);
    const value = target.type === 'group' ? this.#groupValue(target.groupId) : this.#blockValue(target);
    return value === undefined ? { type: 'delete', key } : { type: 'put', key, value };
  }

  #groupValue(groupId: string): Uint8Array | undefined {
    const record = this.records.get(groupId);
    return record && metadata.GroupRecord.encode(record).finish();
  }

  #blockValue(target: FoldTarget & { type: 'offsets' }): Uint8Array | undefined {
    const { groupId, topicId, block } = target;
    const committed = this.offsets.ofGroup(groupId).get(topicId);
    const offsets = committed === undefined ? [] : blockOffsets(committed, block);
    if (offsets.length === 0) return undefined;
    return metadata.GroupOffsets.encode({ groupId, topicId: topicIdToBytes(topicId), offsets }).finish();
  }

  #removeOffsets({ groupId, topicId, partitions }: metadata.GroupOffsetsRemoval): void {
    const topic = topicIdFromBytes(topicId);
    for (const partition of partitions) this.offsets.remove(groupId, topic, partition);
    this.#markOffsets(
      { groupId, topicId },
      partitions.map((partition) => ({ partition })),
    );
  }

  #removeGroup(groupId: string): void {
    for (const [topicId, partitions] of this.offsets.ofGroup(groupId)) {
      const removed = [...partitions.keys()].map((partition) => ({ partition }));
      this.#markOffsets({ groupId, topicId: topicIdToBytes(topicId) }, removed);
    }
    this.offsets.removeGroup(groupId);
    this.records.delete(groupId);
    this.#markGroup(groupId);
  }

  #markGroup(groupId: string): void {
    this.#mark({ type: 'group', groupId });
  }

  #markOffsets(
    { groupId, topicId }: { readonly groupId: string; readonly topicId: Uint8Array },
    offsets: readonly { readonly partition: number }[],
  ): void {
    const topic = topicIdFromBytes(topicId);
    const blocks = new Set(offsets.map(({ partition }) => blockOf(partition)));
    for (const block of blocks) this.#mark({ type: 'offsets', groupId, topicId: topic, block });
  }

  #mark(target: FoldTarget): void {
    this.#unfolded.set(foldedKey(target), target);
  }
}

const blockOf = (partition: number) => Math.floor(partition / blockPartitions);

function foldedKey(target: FoldTarget): string {
  if (target.type === 'group') return metadataKeys.group(target.groupId);
  return metadataKeys.groupOffsets(target.groupId, target.topicId, target.block);
}

function blockOffsets(committed: TopicOffsets, block: number): metadata.CommittedOffset[] {
  const offsets: metadata.CommittedOffset[] = [];
  for (let partition = block * blockPartitions; partition < (block + 1) * blockPartitions; partition += 1) {
    const one = committed.get(partition);
    if (one !== undefined) offsets.push(storedOffset(partition, one));
  }
  return offsets;
}

export function storedOffset(partition: number, committed: CommittedOffset): metadata.CommittedOffset {
  const { offset, leaderEpoch, metadata: text, commitMs, expireMs } = committed;
  return {
    partition,
    offset,
    leaderEpoch,
    metadata: text,
    commitMs: BigInt(Math.trunc(commitMs)),
    ...(expireMs !== undefined && { expireMs: BigInt(Math.trunc(expireMs)) }),
  };
}

function committedOffset(stored: metadata.CommittedOffset): CommittedOffset {
  const { offset, leaderEpoch, metadata: text, commitMs, expireMs } = stored;
  return {
    offset,
    leaderEpoch,
    metadata: text,
    commitMs: Number(commitMs),
    expireMs: expireMs === undefined ? undefined : Number(expireMs),
  };
}

export const topicIdToBytes = (topicId: TopicId): Buffer => Buffer.from(topicId, 'base64url');
const topicIdFromBytes = (bytes: Uint8Array): TopicId => Buffer.from(bytes).toString('base64url');
