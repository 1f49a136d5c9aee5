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
  /** It is on its way out: nobody may own its partitions any more. */
  readonly deleting: boolean;
}

export interface PartitionImage {
  /** The owning incarnation; empty for none. */
  readonly owner: string;
  readonly brokerId: number;
  readonly leaderEpoch: number;
  /** Extents below it are described by the partition record alone; only grows. Absent counts as 0. */
  readonly foldedOffset?: number;
}

export interface BrokerImage {
  readonly brokerId: number;
  readonly incarnation: string;
  readonly host: string;
  readonly port: number;
  /** Empty for none. */
  readonly rack: string;
  /** It is to own nothing: it is about to stop, or never owns anything. */
  readonly draining: boolean;
  /** It gives committed records to consumers of its rack, and leads nothing. */
  readonly readOnly?: boolean;
  /** It keeps what it has, and is given more only where nobody else could take it. */
  readonly cordoned?: boolean;
  /** Partitions that it hands over, and is not given back while somebody else can have them. */
  readonly drained?: ReadonlyMap<TopicId, ReadonlySet<number>>;
}

/** Who should own each partition of a topic, as the controller wants it; who does is in the partitions. */
export interface AssignmentImage {
  /** An incarnation per partition; empty for nobody. */
  readonly owners: readonly string[];
  /** The revision at which it was last changed. */
  readonly modRevision: Revision;
}

export interface ImageChange {
  /** The topics of which something changed, be it a partition or its assignment; undefined when it may be anything. */
  readonly topicIds: ReadonlySet<TopicId> | undefined;
}

/** Topics that are being deleted are in none of the answers. */
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

/** What those who decide and change ownership see besides. */
export interface ClusterImage extends MetadataImage {
  /** Topics that are on their way out, in ascending order of names. */
  deletingTopics(): Iterable<TopicImage>;
  /** Undefined while the controller has not assigned anything of the topic. */
  assignment(topicId: TopicId): AssignmentImage | undefined;
  /** The incarnation that was elected last, be it alive or not; undefined before the first. */
  readonly controller: string | undefined;
  /** Undefined for an incarnation that is no living broker. */
  brokerOf(incarnation: string): BrokerImage | undefined;
  onChange(listener: (change: ImageChange) => void): () => void;
}
