/**
 * What a broker goes by when it looks for partitions to take or to give up: its image, which may lag. Whatever it then does is decided
 * by what the store says.
 */
import type { ClusterImage, ImageChange, PartitionImage, TopicId } from '../metadata/metadata-image.ts';
import { groupShardsTopic, type OwnedTopic } from './owned-kind.ts';

export interface OwnershipView {
  /** Topics whose partitions are to be owned. */
  topics(): Iterable<OwnedTopic>;
  topic(topicId: TopicId): OwnedTopic | undefined;
  /** Topics whose partitions nobody is to own any more. */
  deletingTopics(): Iterable<OwnedTopic>;
  partition(topicId: TopicId, partition: number): PartitionImage | undefined;
  /** The incarnation that should own it; empty for nobody. */
  assigned(topicId: TopicId, partition: number): string;
  /** Undefined for an incarnation that is no living broker. */
  brokerOf(incarnation: string): { readonly brokerId: number } | undefined;
  onChange(listener: (change: ImageChange) => void): () => void;
}

/** The partitions of topics. */
export function partitionsView(image: ClusterImage): OwnershipView {
  return {
    ...common(image),
    topics: () => image.topics(),
    topic: (topicId) => image.topicById(topicId),
    deletingTopics: () => image.deletingTopics(),
  };
}

export function groupShardsView(image: ClusterImage): OwnershipView {
  return {
    ...common(image),
    topics: () => [groupShardsTopic],
    topic: (topicId) => (topicId === groupShardsTopic.topicId ? groupShardsTopic : undefined),
    deletingTopics: () => [],
  };
}

const common = (image: ClusterImage) => ({
  partition: (topicId: TopicId, partition: number) => image.partition(topicId, partition),
  assigned: (topicId: TopicId, partition: number) => image.assignment(topicId)?.owners[partition] ?? '',
  brokerOf: (incarnation: string) => image.brokerOf(incarnation),
  onChange: (listener: (change: ImageChange) => void) => image.onChange(listener),
});
