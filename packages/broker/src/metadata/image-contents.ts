/**
 * What the image holds at one moment: topics, partitions and brokers, kept by entries of the metadata store. An entry that does not
 * decode is logged and left out, so that one bad value never hides the rest. Keeping it current is watched-metadata-image.ts.
 */
import { metadata, metadataPrefixes, parseTopicConfig, zeroUuid } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import type { BrokerImage, PartitionImage, TopicId, TopicImage } from './metadata-image.ts';
import type { KeyValue, Revision } from './metadata-store.ts';

const topicIdBytes = 16;

/** What a key stands for. Keys of other shapes are none of the image's. */
type Subject =
  | { readonly type: 'topic'; readonly name: string }
  | { readonly type: 'partition'; readonly topicId: TopicId; readonly partition: number }
  | { readonly type: 'broker'; readonly brokerId: number };

export class ImageContents {
  readonly #logger: Logger;
  readonly #topicsByName = new Map<string, TopicImage>();
  readonly #topicsById = new Map<TopicId, TopicImage>();
  readonly #partitions = new Map<TopicId, Map<number, PartitionImage>>();
  readonly #brokersById = new Map<number, BrokerImage>();
  #sortedTopics: readonly TopicImage[] | undefined;
  #sortedBrokers: readonly BrokerImage[] | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  topic(name: string): TopicImage | undefined {
    return this.#topicsByName.get(name);
  }

  topicById(topicId: TopicId): TopicImage | undefined {
    return this.#topicsById.get(topicId);
  }

  /** In ascending order of names. */
  topics(): readonly TopicImage[] {
    this.#sortedTopics ??= [...this.#topicsByName.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
    return this.#sortedTopics;
  }

  partition(topicId: TopicId, partition: number): PartitionImage | undefined {
    return this.#partitions.get(topicId)?.get(partition);
  }

  /** In ascending order of ids. */
  brokers(): readonly BrokerImage[] {
    this.#sortedBrokers ??= [...this.#brokersById.values()].sort((left, right) => left.brokerId - right.brokerId);
    return this.#sortedBrokers;
  }

  put(entry: KeyValue): void {
    try {
      this.#put(entry);
    } catch (error) {
      const { key, modRevision: revision } = entry;
      this.#logger.error({ err: error, key, revision }, 'a metadata entry does not decode and is left out');
      this.delete(entry.key);
    }
  }

  delete(key: string): void {
    const subject = subjectOf(key);
    if (subject?.type === 'topic') this.#deleteTopic(subject.name);
    else if (subject?.type === 'partition') this.#deletePartition(subject.topicId, subject.partition);
    else if (subject?.type === 'broker') {
      this.#brokersById.delete(subject.brokerId);
      this.#sortedBrokers = undefined;
    }
  }

  #put({ key, value, modRevision }: KeyValue): void {
    const subject = subjectOf(key);
    if (subject === undefined) throw new Error('the key has no meaning here');
    if (subject.type === 'topic') this.#putTopic(decodeTopic(subject.name, value, modRevision));
    else if (subject.type === 'partition') {
      const { owner, brokerId, leaderEpoch } = metadata.PartitionRecord.decode(value);
      const partitions = this.#partitions.get(subject.topicId) ?? new Map<number, PartitionImage>();
      this.#partitions.set(subject.topicId, partitions.set(subject.partition, { owner, brokerId, leaderEpoch }));
    } else {
      const { host, port, rack } = metadata.BrokerRecord.decode(value);
      this.#brokersById.set(subject.brokerId, { brokerId: subject.brokerId, host, port, rack });
      this.#sortedBrokers = undefined;
    }
  }

  #putTopic(topic: TopicImage): void {
    this.#deleteTopic(topic.name);
    this.#topicsByName.set(topic.name, topic);
    this.#topicsById.set(topic.topicId, topic);
  }

  #deleteTopic(name: string): void {
    const topic = this.#topicsByName.get(name);
    this.#sortedTopics = undefined;
    if (topic === undefined) return;
    this.#topicsByName.delete(name);
    this.#topicsById.delete(topic.topicId);
  }

  #deletePartition(topicId: TopicId, partition: number): void {
    const partitions = this.#partitions.get(topicId);
    partitions?.delete(partition);
    if (partitions?.size === 0) this.#partitions.delete(topicId);
  }
}

/** Throws when the value is not a topic's. */
export function decodeTopic(name: string, value: Uint8Array, modRevision: Revision): TopicImage {
  const record = metadata.TopicRecord.decode(value);
  const topicId = Buffer.from(record.topicId).toString('base64url');
  if (record.topicId.length !== topicIdBytes || topicId === zeroUuid) throw new Error('the topic has no id');
  if (record.partitionCount < 1) throw new Error('the topic has no partitions');
  return {
    name,
    topicId,
    partitionCount: record.partitionCount,
    replicationFactor: record.replicationFactor,
    configs: record.configs,
    config: parseTopicConfig(record.configs),
    modRevision,
  };
}

function subjectOf(key: string): Subject | undefined {
  const { topics, partitions, brokers } = metadataPrefixes;
  if (key.startsWith(topics)) return { type: 'topic', name: key.slice(topics.length) };
  if (key.startsWith(partitions)) {
    const [topicId, digits, ...rest] = key.slice(partitions.length).split('/');
    const partition = numberOf(digits);
    if (topicId === undefined || partition === undefined || rest.length > 0) return undefined;
    return { type: 'partition', topicId, partition };
  }
  const brokerId = key.startsWith(brokers) ? numberOf(key.slice(brokers.length)) : undefined;
  return brokerId === undefined ? undefined : { type: 'broker', brokerId };
}

const numberOf = (digits: string | undefined) =>
  digits !== undefined && /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
