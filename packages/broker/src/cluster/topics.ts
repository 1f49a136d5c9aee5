/**
 * Creating, changing, growing and deleting topics, at any broker: each change is one transaction of the lane that compares the
 * topic's key as it was read, so that two brokers, or a late copy, never undo each other. Partitions get their records from those who
 * come to own them; a topic that is to be deleted is marked first, and gone once nobody owns them any more (topic-deletions.ts).
 */
import { checkTopicConfigs, ErrorCode, KafkaError, metadata, metadataKeys } from '@kafscale/protocol';
import { KeyedMutex, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { decodeTopic } from '../metadata/image-contents.ts';
import { imageShows } from '../metadata/image-shows.ts';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { ClusterImage, TopicId, TopicImage } from '../metadata/metadata-image.ts';
import type { MetadataStore, Operation } from '../metadata/metadata-store.ts';
import { TopicDeletions, type DeletedTopic } from './topic-deletions.ts';
import { absent, newTopicId, putTopic, unchanged } from './topic-operations.ts';
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
  readonly image: ClusterImage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How long one read of the store may take. */
  readonly callDeadlineMs: number;
  readonly limits: TopicLimits;
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
  readonly #deletions: TopicDeletions;
  /** Collision keys of names that are being created. */
  readonly #beingCreated = new Map<string, string>();

  constructor(dependencies: TopicsDependencies) {
    this.#dependencies = dependencies;
    this.#deletions = new TopicDeletions(dependencies);
  }

  /** Deletions that are under way here go on no further; the cluster's controller completes them. */
  close(): void {
    this.#deletions.close();
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
   * Marks the topic, and waits until nobody owns its partitions any more and it is gone. Throws KafkaError
   * UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID (the name belongs to another id by now), REQUEST_TIMED_OUT: then it is not gone yet,
   * and goes all the same if it is marked. Whoever deletes it again waits for that. Resolves with its id.
   */
  async delete(
    { name, topicId }: { readonly name: string; readonly topicId?: TopicId },
    options: ChangeOptions,
  ): Promise<TopicId> {
    const { image, clock } = this.#dependencies;
    const startedMs = clock.monotonicMs();
    const marked = await this.#exclusively(name, () => this.#mark(name, topicId));
    const completed = retriable(this.#deletions.complete(marked));
    if (!(await settlesInTime(completed, clock, options))) {
      throw new KafkaError(ErrorCode.REQUEST_TIMED_OUT, 'The topic is still being deleted.');
    }
    const timeoutMs = options.timeoutMs - (clock.monotonicMs() - startedMs);
    await this.#shows(() => image.topicById(marked.topicId) === undefined, { ...options, timeoutMs });
    return marked.topicId;
  }

  /**
   * Frees the name of a topic that is marked, in case the broker that marked it is gone. Throws MetadataError `conflict` while somebody
   * owns a partition of it, and what else the store says.
   */
  async finishDeletion(topic: DeletedTopic): Promise<void> {
    if (await this.#deletions.attempt(topic)) return;
    throw new MetadataError('conflict', `somebody still owns partitions of topic ${topic.name}`);
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

  /** From here on nobody takes a partition of the topic; one that is marked already stays so. */
  async #mark(name: string, topicId: TopicId | undefined): Promise<DeletedTopic> {
    const unknown = topicId === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.UNKNOWN_TOPIC_ID;
    return this.#changeAny(name, unknown, (current, record) => {
      if (topicId !== undefined && topicId !== current.topicId) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_ID);
      const operations = record.deleting ? [] : [putTopic(name, { ...record, deleting: true })];
      return { result: { name, topicId: current.topicId, partitionCount: current.partitionCount }, operations };
    });
  }

  /**
   * Reads the topic's record as it is in the store, and commits the operations that `decide` makes of it if nobody changed it
   * meanwhile; otherwise once more. No operations: nothing is written.
   */
  #change<Result>(name: string, decide: Decide<Result>): Promise<Result> {
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    return this.#changeAny(name, unknown, (topic, record) => {
      if (record.deleting) throw new KafkaError(unknown);
      return decide(topic, record);
    });
  }

  /** As `#change`, also for a topic that is being deleted. */
  async #changeAny<Result>(name: string, unknown: ErrorCode, decide: Decide<Result>): Promise<Result> {
    const key = metadataKeys.topic(name);
    for (let attempt = 1; ; attempt += 1) {
      const found = await this.#read(name);
      if (found === undefined) throw new KafkaError(unknown);
      const { topic, record } = found;
      const { result, operations } = decide(topic, record);
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
      if (wasShown && topic === undefined) return true;
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

  /** One change of a name at a time. */
  #exclusively<Result>(name: string, change: () => Promise<Result>): Promise<Result> {
    return retriable(this.#mutex.run(name, change));
  }
}

/** A metadata store that cannot be reached, or a session that is over, is the client's to try again. */
async function retriable<Result>(change: Promise<Result>): Promise<Result> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof MetadataError) || error.kind === 'corrupt' || error.kind === 'invalid') throw error;
    throw new KafkaError(ErrorCode.REQUEST_TIMED_OUT, undefined, { cause: error });
  }
}

/** True when it settled in time, false when it goes on by itself. Rejects as it does. */
async function settlesInTime(
  work: Promise<unknown>,
  clock: Clock,
  { timeoutMs, signal }: Pick<ChangeOptions, 'timeoutMs' | 'signal'>,
): Promise<boolean> {
  const settled = new AbortController();
  const waiting = signal === undefined ? settled.signal : AbortSignal.any([settled.signal, signal]);
  const timeout = clock.sleep(Math.max(0, timeoutMs), waiting).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    settled.abort();
  }
}

type Decide<Result> = (topic: TopicImage, record: metadata.TopicRecord) => Change<Result>;

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
const alreadyExists = (name: string) =>
  new KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);

const sameConfigs = (left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>) =>
  left.size === right.size && [...left].every(([name, value]) => right.get(name) === value);
