/**
 * What this broker knows of the cluster's topics, partitions and brokers: a copy in memory, kept by a watch, that answers without
 * waiting. It may lag behind the store; whoever must be sure reads the store or waits for a revision.
 */
import type { TopicConfig } from '@kafscale/protocol';
import type { Revision } from './metadata-store.ts';

/** A topic id as Kafka prints it: the UUID's 16 bytes in base64url, 22 characters. */
export type TopicId = string;

export interface TopicImage {
  readonly name: string;
  readonly topicId: TopicId;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** The settings that were given for this topic, by Kafka's names, as text. */
  readonly configs: ReadonlyMap<string, string>;
  /** What holds for the topic: `configs` over the defaults. */
  readonly config: TopicConfig;
  /** The revision at which the topic was last changed. */
  readonly modRevision: Revision;
}

export interface PartitionImage {
  /** The owning incarnation; empty for none. */
  readonly owner: string;
  readonly brokerId: number;
  readonly leaderEpoch: number;
}

export interface BrokerImage {
  readonly brokerId: number;
  readonly host: string;
  readonly port: number;
  /** Empty for none. */
  readonly rack: string;
}

export interface MetadataImage {
  readonly clusterId: string;
  /** Everything up to this revision is in the image. */
  readonly revision: Revision;
  topic(name: string): TopicImage | undefined;
  topicById(topicId: TopicId): TopicImage | undefined;
  /** In ascending order of names. */
  topics(): Iterable<TopicImage>;
  partition(topicId: TopicId, partition: number): PartitionImage | undefined;
  /** Brokers whose session lives, in ascending order of ids. */
  brokers(): readonly BrokerImage[];
  /** Resolves when the image has everything up to `revision`. */
  reached(revision: Revision, signal?: AbortSignal): Promise<void>;
  /** Runs after each change until the returned function is called. */
  onChange(listener: () => void): () => void;
}
