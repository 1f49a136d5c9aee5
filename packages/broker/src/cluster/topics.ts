/**
 * Creating, changing, growing and deleting topics: each change is one transaction of the lane that compares the topic's key as it
 * was read, so that two brokers, or a late copy, never undo each other. Partitions get their records from those who come to own
 * them; a deleted topic leaves a tombstone, on which alone its data is dropped (COMMIT.md F13, F25).
 */
import { checkTopicConfigs, ErrorCode, KafkaError, metadata, metadataKeys } from '@kafscale/protocol';
import { KeyedMutex, type Clock, type Random } from '@kafscale/runtime';
import { decodeTopic } from '../metadata/image-contents.ts';
import { imageShows } from '../metadata/image-shows.ts';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataImage, TopicId, TopicImage } from '../metadata/metadata-image.ts';
import type { MetadataStore, Operation } from '../metadata/metadata-store.ts';
import { absent, deletion, newTopicId, putTopic, unchanged } from './topic-operations.ts';
import {
  checkGrowth,
  checkNewTopicName,
  collisionKey,
  newTopicCounts,
  topicNameFault,
  type PartitionCounts,
} from './topic-rules.ts';

export interface TopicLimits {
  /** Partitions of a topic whose creator left the number to the broker. */
  readonly defaultPartitions: number;
  readonly maxPartitionsPerTopic: number;
  /** Of all topics together. */
  readonly maxPartitions: number;
}

export interface TopicsDependencies {
  readonly store: MetadataStore;
  readonly lane: Lane;
  readonly image: MetadataImage;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: TopicLimits;
  /** Takes the topic's partitions out of service, each behind its last flush; the topic is gone once this has resolved. */
  readonly beforeDelete: (topic: TopicImage) => Promise<void>;
}

export interface NewTopic extends PartitionCounts {
  readonly name: string;
  /** In the order of the request; of two with one name the later one holds. */
  readonly configs: readonly { readonly name: string; readonly value: string | null }[];
}

export interface ChangeOptions {
  /** Check, and change nothing. */
  readonly validateOnly?: boolean;
  /** How long to wait until the change shows; it is made in any case. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Growth {
  readonly name: string;
  /** How many partitions the topic is to have. */
  readonly count: number;
  readonly assignments: readonly { readonly brokerIds: readonly number[] }[] | null;
}

/** A topic's settings as given, to what they shall be. Throws KafkaError. */
export type ConfigChange = (configs: ReadonlyMap<string, string>) => ReadonlyMap<string, string>;

const maxAttempts = 5;

export class Topics {
  readonly #dependencies: TopicsDependencies;
  readonly #mutex = new KeyedMutex<string>();
  readonly #beingDeleted = new Set<TopicId>();
  /** Collision keys of names that are being created. */
  readonly #beingCreated = new Map<string, string>();

  constructor(dependencies: TopicsDependencies) {
    this.#dependencies = dependencies;
  }

  /** True from the moment a deletion began to take the topic out of service: it is no longer there for anybody. */
  isBeingDeleted(topicId: TopicId): boolean {
    return this.#beingDeleted.has(topicId);
  }

  /** The topic as the image has it, without those that are being deleted. */
  find(name: string): TopicImage | undefined {
    const topic = this.#dependencies.image.topic(name);
    return topic === undefined || this.isBeingDeleted(topic.topicId) ? undefined : topic;
  }

  findById(topicId: TopicId): TopicImage | undefined {
    return this.isBeingDeleted(topicId) ? undefined : this.#dependencies.image.topicById(topicId);
  }

  /** In ascending order of names, without those that are being deleted. */
  *all(): Iterable<TopicImage> {
    for (const topic of this.#dependencies.image.topics()) if (!this.isBeingDeleted(topic.topicId)) yield topic;
  }

  /**
   * Stores the topic and waits until each partition has an owner. Throws KafkaError TOPIC_ALREADY_EXISTS,
   * INVALID_TOPIC_EXCEPTION, INVALID_CONFIG, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT,
   * INVALID_REQUEST; REQUEST_TIMED_OUT when the metadata store does not answer.
   */
  async create(topic: NewTopic, options: ChangeOptions): Promise<TopicImage> {
    const key = collisionKey(topic.name);
    try {
      const created = await this.#exclusively(topic.name, () => this.#create(topic, options.validateOnly === true));
      if (options.validateOnly !== true) await this.#served(created, options);
      return created;
    } finally {
      if (this.#beingCreated.get(key) === topic.name) this.#beingCreated.delete(key);
    }
  }

  /**
   * Takes the topic out of service, removes it and leaves its tombstone. Throws KafkaError UNKNOWN_TOPIC_OR_PARTITION,
   * UNKNOWN_TOPIC_ID (the name belongs to another id by now), REQUEST_TIMED_OUT.
   */
  async delete({ name, topicId }: { readonly name: string; readonly topicId?: TopicId }, options: ChangeOptions) {
    const { image } = this.#dependencies;
    const deleted = await this.#exclusively(name, () => this.#delete(name, topicId));
    const gone = () => image.topicById(deleted) === undefined;
    if (await this.#shows(gone, options)) this.#beingDeleted.delete(deleted);
    else this.#forgetOnceGone(deleted);
  }

  /** Adds partitions. Throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT, REQUEST_TIMED_OUT. */
  async grow({ name, count, assignments }: Growth, options: ChangeOptions): Promise<void> {
    const grown = await this.#exclusively(name, () =>
      this.#change(name, (current, record) => {
        checkGrowth(current, count, assignments, this.#knownBrokers());
        this.#checkLimits(count, count - current.partitionCount);
        if (options.validateOnly === true) return { result: undefined, operations: [] };
        const result = { topicId: current.topicId, partitionCount: count };
        return { result, operations: [putTopic(name, { ...record, partitionCount: count })] };
      }),
    );
    if (grown !== undefined) await this.#served(grown, options);
  }

  /** Changes the topic's settings. Throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, REQUEST_TIMED_OUT, and what `change` throws. */
  async alterConfigs(name: string, change: ConfigChange, options: ChangeOptions): Promise<void> {
    const { image } = this.#dependencies;
    const before = await this.#exclusively(name, () =>
      this.#change(name, (current, record) => {
        const configs = checkTopicConfigs(change(current.configs));
        if (options.validateOnly === true || sameConfigs(configs, current.configs)) {
          return { result: undefined, operations: [] };
        }
        return { result: current.modRevision, operations: [putTopic(name, { ...record, configs })] };
      }),
    );
    if (before === undefined) return;
    await this.#shows(() => (image.topic(name)?.modRevision ?? Infinity) > before, options);
  }

  async #create(topic: NewTopic, validateOnly: boolean): Promise<TopicImage> {
    const { limits, clock, lane, random } = this.#dependencies;
    checkNewTopicName(topic.name);
    if ((await this.#read(topic.name)) !== undefined) throw alreadyExists(topic.name);
    this.#checkCollision(topic.name);
    const configs = checkTopicConfigs(givenConfigs(topic.configs));
    const counts = newTopicCounts(topic, limits.defaultPartitions, this.#knownBrokers());
    this.#checkLimits(counts.partitionCount, counts.partitionCount);

    const topicId = newTopicId(random);
    const id = Buffer.from(topicId, 'base64url');
    const record: metadata.TopicRecord = {
      topicId: id,
      ...counts,
      configs,
      createdMs: BigInt(clock.wallMs()),
      deleting: false,
    };
    const put = putTopic(topic.name, record);
    if (validateOnly) return decodeTopic(topic.name, put.value, 0);

    this.#beingCreated.set(collisionKey(topic.name), topic.name);
    try {
      const revision = await lane.commit({
        compare: [absent(put.key), absent(metadataKeys.tombstone(topicId))],
        operations: [put],
      });
      return decodeTopic(topic.name, put.value, revision);
    } catch (error) {
      throw isConflict(error) ? alreadyExists(topic.name) : error;
    }
  }

  async #delete(name: string, topicId: TopicId | undefined): Promise<TopicId> {
    const { clock, beforeDelete } = this.#dependencies;
    let deleting: TopicId | undefined;
    try {
      return await this.#change(name, async (current) => {
        if (topicId !== undefined && topicId !== current.topicId) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_ID);
        deleting = current.topicId;
        this.#beingDeleted.add(deleting);
        await beforeDelete(current);
        return { result: current.topicId, operations: deletion(current, clock.wallMs()) };
      });
    } catch (error) {
      if (deleting !== undefined) this.#beingDeleted.delete(deleting);
      throw isMissing(error) && topicId !== undefined ? new KafkaError(ErrorCode.UNKNOWN_TOPIC_ID) : error;
    }
  }

  /**
   * Reads the topic's record as it is in the store, and commits the operations that `decide` makes of it if nobody changed it
   * meanwhile; otherwise once more. No operations: nothing is written.
   */
  async #change<Result>(
    name: string,
    decide: (topic: TopicImage, record: metadata.TopicRecord) => Promise<Change<Result>> | Change<Result>,
  ): Promise<Result> {
    const key = metadataKeys.topic(name);
    for (let attempt = 1; ; attempt += 1) {
      const found = await this.#read(name);
      if (found === undefined) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      const { topic, record } = found;
      const { result, operations } = await decide(topic, record);
      if (operations.length === 0) return result;
      try {
        const compare = [unchanged(key, topic.modRevision), absent(metadataKeys.tombstone(topic.topicId))];
        await this.#dependencies.lane.commit({ compare, operations });
        return result;
      } catch (error) {
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  async #read(name: string): Promise<{ topic: TopicImage; record: metadata.TopicRecord } | undefined> {
    if (topicNameFault(name) !== undefined) return undefined; // no key can be asked for with it
    const { items } = await this.#dependencies.store.range({ key: metadataKeys.topic(name) });
    const entry = items[0];
    if (entry === undefined) return undefined;
    return {
      topic: decodeTopic(name, entry.value, entry.modRevision),
      record: metadata.TopicRecord.decode(entry.value),
    };
  }

  /** Waits until the image has the topic and an owner for each of its partitions, or had it and somebody deletes it again. */
  #served(
    { topicId, partitionCount }: Pick<TopicImage, 'topicId' | 'partitionCount'>,
    options: ChangeOptions,
  ): Promise<boolean> {
    const { image } = this.#dependencies;
    let [checked, wasShown] = [0, false];
    return this.#shows(() => {
      const topic = image.topicById(topicId);
      if (this.isBeingDeleted(topicId) || (wasShown && topic === undefined)) return true;
      wasShown ||= topic !== undefined;
      if ((topic?.partitionCount ?? 0) < partitionCount) return false;
      // Owners only ever follow each other, so what was found owned is not looked at again.
      while (checked < partitionCount && (image.partition(topicId, checked)?.owner ?? '') !== '') checked += 1;
      return checked === partitionCount;
    }, options);
  }

  #shows(condition: () => boolean, { timeoutMs, signal }: ChangeOptions): Promise<boolean> {
    const { image, clock } = this.#dependencies;
    return imageShows(image, condition, { clock, timeoutMs, signal });
  }

  #forgetOnceGone(topicId: TopicId): void {
    const { image } = this.#dependencies;
    const stop = image.onChange(() => {
      if (image.topicById(topicId) !== undefined) return;
      stop();
      this.#beingDeleted.delete(topicId);
    });
  }

  #checkCollision(name: string): void {
    const key = collisionKey(name);
    const other = this.#beingCreated.get(key) ?? this.#collidingTopic(key, name);
    if (other === undefined || other === name) return;
    throw new KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${other}`);
  }

  #collidingTopic(key: string, name: string): string | undefined {
    if (!name.includes('.') && !name.includes('_')) return undefined;
    for (const topic of this.#dependencies.image.topics()) {
      if (topic.name !== name && collisionKey(topic.name) === key) return topic.name;
    }
    return undefined;
  }

  #checkLimits(partitionCount: number, added: number): void {
    const { image, limits } = this.#dependencies;
    if (partitionCount > limits.maxPartitionsPerTopic) {
      throw new KafkaError(
        ErrorCode.INVALID_PARTITIONS,
        `A topic may have at most ${limits.maxPartitionsPerTopic} partitions.`,
      );
    }
    let existing = 0;
    for (const topic of image.topics()) existing += topic.partitionCount;
    if (existing + added > limits.maxPartitions) {
      throw new KafkaError(
        ErrorCode.INVALID_PARTITIONS,
        `The cluster may have at most ${limits.maxPartitions} partitions and has ${existing}.`,
      );
    }
  }

  #knownBrokers(): ReadonlySet<number> {
    return new Set(this.#dependencies.image.brokers().map(({ brokerId }) => brokerId));
  }

  /** One change of a name at a time; a metadata store that cannot be reached is the client's to try again. */
  async #exclusively<Result>(name: string, change: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#mutex.run(name, change);
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind === 'corrupt' || error.kind === 'invalid') throw error;
      throw new KafkaError(ErrorCode.REQUEST_TIMED_OUT, undefined, { cause: error });
    }
  }
}

interface Change<Result> {
  readonly result: Result;
  readonly operations: readonly Operation[];
}

function givenConfigs(configs: NewTopic['configs']): Map<string, string> {
  const given = new Map<string, string>();
  const withoutValue: string[] = [];
  for (const { name, value } of configs) {
    if (value === null) withoutValue.push(name);
    else given.set(name, value);
  }
  if (withoutValue.length > 0) {
    throw new KafkaError(
      ErrorCode.INVALID_CONFIG,
      `Null value not supported for topic configs: ${withoutValue.join(',')}`,
    );
  }
  return given;
}

const isConflict = (error: unknown) => error instanceof MetadataError && error.kind === 'conflict';
const isMissing = (error: unknown) =>
  error instanceof KafkaError && error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
const alreadyExists = (name: string) =>
  new KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);

const sameConfigs = (left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>) =>
  left.size === right.size && [...left].every(([name, value]) => right.get(name) === value);
