/**
 * What ownership.ts needs to know of the things it owns: partitions of topics by the data lane, shards of groups by the coordinator
 * lane. Who owns one, how it is taken over and how it is handed over is the same for all of them.
 */
import { groupShards, groupShardsTopicId, type metadata } from '@kafscale/protocol';
import type { Revision } from '../metadata/metadata-store.ts';

/** Partitions that are to be owned by somebody. */
export interface OwnedTopic {
  readonly topicId: string;
  readonly name: string;
  readonly partitionCount: number;
  /** Absent for the group shards, which nobody can delete. */
  readonly modRevision?: Revision;
}

/** The shards of all groups, as a topic whose partitions are the shards. */
export const groupShardsTopic: OwnedTopic = {
  topicId: groupShardsTopicId,
  name: groupShardsTopicId,
  partitionCount: groupShards,
};

/** A partition that became ours. */
export interface AcquiredPartition {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  /** As it is stored, with ourselves as the owner. */
  readonly record: metadata.PartitionRecord;
  /** It had no owner before, ever: nothing can have been written to it. */
  readonly isNew: boolean;
}

/** A partition that is ours, in one leader epoch. */
export interface HeldPartition {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
}

export interface OwnedKind {
  /** Some are about to be handed to us: the controller has given them to us, and their owners live. Said again for each change. */
  expect?(): void;

  /**
   * Brings them into service, each in the leader epoch of its record; what memory holds of any other epoch is dropped. The stores are
   * to be read at `revision` or later. After a rejection each is acquired again, in a newer epoch: what it opened is replaced then.
   */
  open(acquired: readonly AcquiredPartition[], revision: Revision): Promise<void>;

  /**
   * Takes them out of service, all together: nothing is accepted for them from the moment of the call, and when the promise resolves
   * everything accepted before has its outcome, so that no write of theirs is on its way any more (COMMIT.md K2). One that is not
   * open counts as out of service. Resolves with the next offset of each, in their order, or with undefined for one that is not known (a
   * shard has none); a rejection is a broken invariant.
   */
  giveUp(partitions: readonly HeldPartition[]): Promise<readonly (bigint | undefined)[]>;
}
