/**
 * What the image holds at one moment: topics, partitions, assignments, brokers and the controller, kept by entries of the metadata
 * store. An entry that does not decode is logged and left out, so that one bad value never hides the rest. Keeping it current is
 * watched-metadata-image.ts.
 */
import { metadata, metadataKeys, metadataPrefixes, parseTopicConfig, unreachable, zeroUuid } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import type { AssignmentImage, BrokerImage, PartitionImage, TopicId, TopicImage } from './metadata-image.ts';
import type { KeyValue, Revision } from './metadata-store.ts';

const topicIdBytes = 16;

/** What a key stands for. Keys of other shapes are none of the image's. */
type Subject =
  | { readonly type: 'topic'; readonly name: string }
  | { readonly type: 'partition'; readonly topicId: TopicId; readonly partition: number }
  | { readonly type: 'assignment'; readonly topicId: TopicId }
  | { readonly type: 'broker'; readonly brokerId: number }
  | { readonly type: 'controller' };

export class ImageContents {
  readonly #logger: Logger;
  /** Those that are being deleted included. */
  readonly #topicsByName = new Map<string, TopicImage>();
  readonly #topicsById = new Map<TopicId, TopicImage>();
  readonly #partitions = new Map<TopicId, Map<number, PartitionImage>>();
  readonly #assignments = new Map<TopicId, AssignmentImage>();
  readonly #brokersById = new Map<number, BrokerImage>();
  readonly #brokersByIncarnation = new Map<string, BrokerImage>();
  #controller: string | undefined;
  #sortedTopics: readonly TopicImage[] | undefined;
  #sortedDeletingTopics: readonly TopicImage[] | undefined;
  #sortedBrokers: readonly BrokerImage[] | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  topic(name: string): TopicImage | undefined {
    return unlessDeleting(this.#topicsByName.get(name));
  }

  topicById(topicId: TopicId): TopicImage | undefined {
    return unlessDeleting(this.#topicsById.get(topicId));
  }

  /** In ascending order of names. */
  topics(): readonly TopicImage[] {
    this.#sortedTopics ??= this.#sorted(({ deleting }) => !deleting);
    return this.#sortedTopics;
  }

  /** In ascending order of names. */
  deletingTopics(): readonly TopicImage[] {
    this.#sortedDeletingTopics ??= this.#sorted(({ deleting }) => deleting);
    return this.#sortedDeletingTopics;
  }

  partition(topicId: TopicId, partition: number): PartitionImage | undefined {
    return this.#partitions.get(topicId)?.get(partition);
  }

  assignment(topicId: TopicId): AssignmentImage | undefined {
    return this.#assignments.get(topicId);
  }

  get controller(): string | undefined {
    return this.#controller;
  }

  /** In ascending order of ids. */
  brokers(): readonly BrokerImage[] {
    this.#sortedBrokers ??= [...this.#brokersById.values()].sort((left, right) => left.brokerId - right.brokerId);
    return this.#sortedBrokers;
  }

  brokerOf(incarnation: string): BrokerImage | undefined {
    return this.#brokersByIncarnation.get(incarnation);
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
    else if (subject?.type === 'assignment') this.#assignments.delete(subject.topicId);
    else if (subject?.type === 'broker') this.#deleteBroker(subject.brokerId);
    else if (subject?.type === 'controller') this.#controller = undefined;
  }

  #put({ key, value, modRevision }: KeyValue): void {
    const subject = subjectOf(key);
    if (subject === undefined) throw new Error('the key has no meaning here');
    switch (subject.type) {
      case 'topic':
        this.#putTopic(decodeTopic(subject.name, value, modRevision));
        return;
      case 'partition': {
        const { owner, brokerId, leaderEpoch, ...record } = metadata.PartitionRecord.decode(value);
        const foldedOffset = Number(record.foldedOffset);
        const partitions = this.#partitions.get(subject.topicId) ?? new Map<number, PartitionImage>();
        partitions.set(subject.partition, { owner, brokerId, leaderEpoch, foldedOffset });
        this.#partitions.set(subject.topicId, partitions);
        return;
      }
      case 'assignment':
        this.#assignments.set(subject.topicId, decodeAssignment(value, modRevision));
        return;
      case 'broker': {
        const { drained, ...record } = metadata.BrokerRecord.decode(value);
        this.#deleteBroker(subject.brokerId);
        const broker = { brokerId: subject.brokerId, ...record, drained: decodeDrained(drained) };
        this.#brokersById.set(subject.brokerId, broker);
        this.#brokersByIncarnation.set(broker.incarnation, broker);
        return;
      }
      case 'controller':
        this.#controller = metadata.ControllerRecord.decode(value).incarnation;
        return;
      default:
        unreachable(subject);
    }
  }

  #sorted(filter: (topic: TopicImage) => boolean): readonly TopicImage[] {
    const topics = [...this.#topicsByName.values()].filter(filter);
    return topics.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  #putTopic(topic: TopicImage): void {
    this.#deleteTopic(topic.name);
    this.#topicsByName.set(topic.name, topic);
    this.#topicsById.set(topic.topicId, topic);
  }

  #deleteTopic(name: string): void {
    const topic = this.#topicsByName.get(name);
    [this.#sortedTopics, this.#sortedDeletingTopics] = [undefined, undefined];
    if (topic === undefined) return;
    this.#topicsByName.delete(name);
    this.#topicsById.delete(topic.topicId);
  }

  #deletePartition(topicId: TopicId, partition: number): void {
    const partitions = this.#partitions.get(topicId);
    partitions?.delete(partition);
    if (partitions?.size === 0) this.#partitions.delete(topicId);
  }

  #deleteBroker(brokerId: number): void {
    const broker = this.#brokersById.get(brokerId);
    this.#sortedBrokers = undefined;
    if (broker === undefined) return;
    this.#brokersById.delete(brokerId);
    this.#brokersByIncarnation.delete(broker.incarnation);
  }
}

const unlessDeleting = (topic: TopicImage | undefined) => (topic?.deleting === true ? undefined : topic);

/** The topic to whose partitions the key belongs; undefined for keys about more than one. */
export function topicIdOf(key: string): TopicId | undefined {
  const subject = subjectOf(key);
  return subject?.type === 'partition' || subject?.type === 'assignment' ? subject.topicId : undefined;
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
    deleting: record.deleting,
  };
}

const decodeDrained = (drained: readonly metadata.DrainedPartitions[]): ReadonlyMap<TopicId, ReadonlySet<number>> =>
  new Map(
    drained.map(
      ({ topicId, partitions }) => [Buffer.from(topicId).toString('base64url'), new Set(partitions)] as const,
    ),
  );

function decodeAssignment(value: Uint8Array, modRevision: Revision): AssignmentImage {
  const { incarnations, owners } = metadata.AssignmentRecord.decode(value);
  const incarnationOf = (index: number) => {
    const incarnation = index === 0 ? '' : incarnations[index - 1];
    if (incarnation === undefined) throw new Error('an owner is not among the incarnations');
    return incarnation;
  };
  return { owners: owners.map(incarnationOf), modRevision };
}

function subjectOf(key: string): Subject | undefined {
  const { topics, partitions, assignments, brokers } = metadataPrefixes;
  if (key === metadataKeys.controller) return { type: 'controller' };
  if (key.startsWith(topics)) return { type: 'topic', name: key.slice(topics.length) };
  if (key.startsWith(partitions)) {
    const [topicId, digits, ...rest] = key.slice(partitions.length).split('/');
    const partition = numberOf(digits);
    if (topicId === undefined || partition === undefined || rest.length > 0) return undefined;
    return { type: 'partition', topicId, partition };
  }
  if (key.startsWith(assignments)) return { type: 'assignment', topicId: key.slice(assignments.length) };
  const brokerId = key.startsWith(brokers) ? numberOf(key.slice(brokers.length)) : undefined;
  return brokerId === undefined ? undefined : { type: 'broker', brokerId };
}

const numberOf = (digits: string | undefined) =>
  digits !== undefined && /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
