/**
 * What the operator asks of a cluster's topics, in Kafka's own requests: to see, create, change and delete them, and where their
 * partitions end. What may succeed a moment later is asked again until the deadline; each topic has an outcome of its own.
 */
import {
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  describeError,
  ErrorCode,
  incrementalAlterConfigs,
  listOffsets,
  zeroUuid,
} from '@kafscale/protocol';
import { KafkaCluster, type KafkaClusterSettings, type Patience, type Target } from './kafka-cluster.ts';
import { KafkaUnreachable } from './kafka-connection.ts';

/** What the cluster has against it. */
export class KafkaAdminError extends Error {
  override readonly name = 'KafkaAdminError';
  readonly code: ErrorCode;
  /** The code's name in Kafka. */
  readonly codeName: string;
  /** It may succeed later, although it did not until the deadline. */
  readonly retriable: boolean;

  constructor(code: ErrorCode, message?: string | null) {
    const described = describeError(code);
    super(message === undefined || message === null || message === '' ? described.message : message);
    this.code = code;
    this.codeName = described.name;
    this.retriable = described.retriable;
  }
}

/** By topic name: undefined for one that was done, or what is against it. */
export type Outcomes = ReadonlyMap<string, KafkaAdminError | undefined>;

export interface NewTopic {
  readonly name: string;
  /** The cluster's default when absent. */
  readonly partitions?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

export interface ConfigChange {
  readonly name: string;
  readonly set?: Readonly<Record<string, string>>;
  /** Settings that go back to their default. */
  readonly unset?: readonly string[];
}

export interface DescribedTopic {
  readonly name: string;
  readonly topicId: string;
  /** In ascending order. */
  readonly partitions: readonly DescribedPartition[];
}

export interface DescribedPartition {
  readonly partition: number;
  /** -1 for nobody. */
  readonly leaderId: number;
  readonly leaderEpoch: number;
}

export interface DescribedConfig {
  readonly name: string;
  /** Null for one that is secret. */
  readonly value: string | null;
  /** It was set for this topic. */
  readonly isOwn: boolean;
  readonly readOnly: boolean;
}

export interface PartitionOffsets {
  readonly partition: number;
  readonly start: number;
  readonly end: number;
}

type Answer = readonly [name: string, code: ErrorCode, message?: string | null];

const topicResource = 2;
const ownSource = 1;
const setOperation = 0;
const deleteOperation = 1;
const startTimestamp = -2n;
const endTimestamp = -1n;
const topicsPerRequest = 100;
/** Of a request as the broker is told; it is given up a moment later. */
const requestTimeoutMs = 8_000;

export class KafkaAdmin {
  readonly #cluster: KafkaCluster;

  constructor(settings: KafkaClusterSettings) {
    this.#cluster = new KafkaCluster(settings);
  }

  /** All topics, or those of these names that exist. Rejects with KafkaUnreachable, KafkaAdminError. */
  async topics(names?: readonly string[]): Promise<readonly DescribedTopic[]> {
    const { topics } = await this.#cluster.metadata(names);
    return topics.flatMap(({ errorCode, name, topicId, partitions, isInternal }) => {
      if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || name === null || isInternal) return [];
      if (errorCode !== ErrorCode.NONE) throw new KafkaAdminError(errorCode);
      const described = partitions.map(({ partitionIndex, leaderId, leaderEpoch }) => {
        return { partition: partitionIndex, leaderId, leaderEpoch };
      });
      return [{ name, topicId, partitions: described.sort((left, right) => left.partition - right.partition) }];
    });
  }

  /** One that exists already is refused with TOPIC_ALREADY_EXISTS, also when it was this call whose answer got lost. */
  createTopics(topics: readonly NewTopic[], { validateOnly = false } = {}): Promise<Outcomes> {
    return this.#each(topics, async (some, target, patience) => {
      const request = {
        topics: some.map(({ name, partitions = -1, configs = {} }) => ({
          ...{ name, numPartitions: partitions, replicationFactor: -1, assignments: [] },
          configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
        })),
        ...{ timeoutMs: requestTimeoutMs, validateOnly },
      };
      const answer = await this.#cluster.ask(createTopics, request, { target, patience });
      return answer.topics.map(({ name, errorCode, errorMessage }): Answer => [name, errorCode, errorMessage]);
    });
  }

  deleteTopics(names: readonly string[]): Promise<Outcomes> {
    return this.#each(
      names.map((name) => ({ name })),
      async (some, target, patience) => {
        const request = {
          topics: some.map(({ name }) => ({ name, topicId: zeroUuid })),
          topicNames: some.map(({ name }) => name),
          timeoutMs: requestTimeoutMs,
        };
        const answer = await this.#cluster.ask(deleteTopics, request, { target, patience });
        return answer.responses.map(({ name, errorCode, errorMessage }): Answer => [name!, errorCode, errorMessage]);
      },
    );
  }

  /** To so many partitions in all. */
  createPartitions(topics: readonly { readonly name: string; readonly count: number }[]): Promise<Outcomes> {
    return this.#each(topics, async (some, target, patience) => {
      const request = {
        topics: some.map(({ name, count }) => ({ name, count, assignments: null })),
        ...{ timeoutMs: requestTimeoutMs, validateOnly: false },
      };
      const answer = await this.#cluster.ask(createPartitions, request, { target, patience });
      return answer.results.map(({ name, errorCode, errorMessage }): Answer => [name, errorCode, errorMessage]);
    });
  }

  /** Changes these settings and leaves the others. */
  alterConfigs(changes: readonly ConfigChange[], { validateOnly = false } = {}): Promise<Outcomes> {
    return this.#each(changes, async (some, target, patience) => {
      const request = {
        resources: some.map(({ name, set = {}, unset = [] }) => ({
          ...{ resourceType: topicResource, resourceName: name },
          configs: [
            ...Object.entries(set).map(([key, value]) => ({ name: key, configOperation: setOperation, value })),
            ...unset.map((key) => ({ name: key, configOperation: deleteOperation, value: null })),
          ],
        })),
        validateOnly,
      };
      const answer = await this.#cluster.ask(incrementalAlterConfigs, request, { target, patience });
      return answer.responses.map(({ resourceName, errorCode, errorMessage }): Answer => {
        return [resourceName, errorCode, errorMessage];
      });
    });
  }

  /**
   * By topic name, all settings or those that `keysOf` names (none named is all); a topic that does not exist is left out. Rejects with
   * KafkaUnreachable, KafkaAdminError.
   */
  async configs(
    names: readonly string[],
    keysOf: (name: string) => readonly string[] | undefined = () => undefined,
  ): Promise<ReadonlyMap<string, readonly DescribedConfig[]>> {
    const configs = new Map<string, readonly DescribedConfig[]>();
    const outcomes = await this.#each(
      names.map((name) => ({ name })),
      async (some, target, patience) => {
        const request = {
          resources: some.map(({ name }) => {
            const keys = keysOf(name);
            const configurationKeys = keys === undefined ? null : [...keys];
            return { resourceType: topicResource, resourceName: name, configurationKeys };
          }),
          ...{ includeSynonyms: false, includeDocumentation: false },
        };
        const { results } = await this.#cluster.ask(describeConfigs, request, { target, patience });
        for (const result of results)
          if (result.errorCode === ErrorCode.NONE) configs.set(result.resourceName, described(result));
        return results.map((result): Answer => [result.resourceName, result.errorCode, result.errorMessage]);
      },
    );
    for (const error of outcomes.values()) {
      if (error !== undefined && error.code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) throw error;
    }
    return configs;
  }

  /**
   * Where the topic's partitions begin and end, as their leaders say it, in ascending order; a partition whose leader does not say it in
   * time is left out. Undefined for a topic that does not exist. Rejects with KafkaUnreachable where nobody can be asked.
   */
  async offsets(topic: string): Promise<readonly PartitionOffsets[] | undefined> {
    const patience = this.#cluster.patience();
    const known = new Map<number, PartitionOffsets>();
    for (;;) {
      const { topics, brokers } = await this.#cluster.metadata([topic], patience);
      const [found] = topics;
      if (found === undefined || found.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return undefined;
      const missing = found.partitions.filter(({ partitionIndex }) => !known.has(partitionIndex));
      await Promise.all(
        brokers.map(async (leader) => {
          const led = missing.filter(({ leaderId }) => leaderId === leader.nodeId);
          const partitions = led.map(({ partitionIndex }) => partitionIndex);
          const tell = (_topic: string, told: PartitionOffsets) => known.set(told.partition, told);
          if (partitions.length > 0) await this.#offsetsAt(leader, [{ topic, partitions }], { patience, tell });
        }),
      );
      const isComplete = found.partitions.length > 0 && found.partitions.every((one) => known.has(one.partitionIndex));
      if (isComplete || !(await patience.again())) {
        return [...known.values()].sort((left, right) => left.partition - right.partition);
      }
    }
  }

  /**
   * The same of many topics with a few requests to each leader that these descriptions name, asked once: partitions that have another one
   * by now, or whose leader does not answer, are left out. Rejects with KafkaUnreachable where nobody can be asked.
   */
  async offsetsOf(topics: readonly DescribedTopic[]): Promise<ReadonlyMap<string, readonly PartitionOffsets[]>> {
    const patience = this.#cluster.patience();
    const { brokers } = await this.#cluster.metadata([], patience);
    const known = new Map<string, PartitionOffsets[]>(topics.map(({ name }) => [name, []]));
    const tell = (topic: string, told: PartitionOffsets) => known.get(topic)?.push(told);
    await Promise.all(
      brokers.map(async (leader) => {
        const asked = topics.flatMap(({ name, partitions }) => {
          const led = partitions.filter(({ leaderId }) => leaderId === leader.nodeId);
          return led.length === 0 ? [] : [{ topic: name, partitions: led.map(({ partition }) => partition) }];
        });
        for (let from = 0; from < asked.length; from += topicsPerRequest) {
          await this.#offsetsAt(leader, asked.slice(from, from + topicsPerRequest), { patience, tell });
        }
      }),
    );
    for (const offsets of known.values()) offsets.sort((left, right) => left.partition - right.partition);
    return known;
  }

  close(): void {
    this.#cluster.close();
  }

  /** What this leader does not tell stays unknown. */
  async #offsetsAt(
    target: Exclude<Target, string>,
    asked: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
    {
      patience,
      tell,
    }: { readonly patience: Patience; readonly tell: (topic: string, offsets: PartitionOffsets) => void },
  ): Promise<void> {
    const at = async (timestamp: bigint) => {
      const request = {
        ...{ replicaId: -1, isolationLevel: 0, timeoutMs: requestTimeoutMs },
        topics: asked.map(({ topic, partitions }) => ({
          name: topic,
          partitions: partitions.map((partitionIndex) => {
            return { partitionIndex, currentLeaderEpoch: -1, timestamp, maxNumOffsets: 1 };
          }),
        })),
      };
      // One attempt: who leads may be another one by now.
      const answer = await this.#cluster.askOnce(listOffsets, request, { target, patience });
      const told = answer.topics.map(({ name, partitions }) => {
        const good = partitions.filter(({ errorCode }) => errorCode === ErrorCode.NONE);
        return [name, new Map(good.map(({ partitionIndex, offset }) => [partitionIndex, offset]))] as const;
      });
      return new Map(told);
    };
    try {
      const [starts, ends] = await Promise.all([at(startTimestamp), at(endTimestamp)]);
      for (const { topic, partitions } of asked) {
        for (const partition of partitions) {
          const [start, end] = [starts.get(topic)?.get(partition), ends.get(topic)?.get(partition)];
          if (start !== undefined && end !== undefined) tell(topic, { partition, start, end });
        }
      }
    } catch (error) {
      if (!(error instanceof KafkaUnreachable)) throw error;
    }
  }

  /** In requests of bounded size; those topics again whose errors may pass. */
  async #each<Item extends { readonly name: string }>(
    items: readonly Item[],
    send: (some: readonly Item[], target: Target, patience: Patience) => Promise<readonly Answer[]>,
  ): Promise<Outcomes> {
    const patience = this.#cluster.patience();
    const outcomes = new Map<string, KafkaAdminError | undefined>();
    let target: Target = 'any';
    for (let pending = items; pending.length > 0;) {
      for (let from = 0; from < pending.length; from += topicsPerRequest) {
        const answers = await send(pending.slice(from, from + topicsPerRequest), target, patience);
        for (const [name, code, message] of answers) {
          outcomes.set(name, code === ErrorCode.NONE ? undefined : new KafkaAdminError(code, message));
        }
      }
      // Brokers of other makes leave this to their controller.
      if ([...outcomes.values()].some((error) => error?.code === ErrorCode.NOT_CONTROLLER)) target = 'controller';
      pending = pending.filter(({ name }) => mayPass(outcomes.get(name)));
      if (pending.length > 0 && !(await patience.again())) break;
    }
    return outcomes;
  }
}

/** That there is no such topic will not change by waiting: nobody but us would make it. */
const mayPass = (error: KafkaAdminError | undefined) =>
  error !== undefined && error.retriable && error.code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;

function described({
  configs,
}: {
  readonly configs: readonly {
    readonly name: string;
    readonly value: string | null;
    readonly readOnly: boolean;
    readonly configSource: number;
  }[];
}): readonly DescribedConfig[] {
  return configs.map(({ name, value, readOnly, configSource }) => {
    return { name, value, readOnly, isOwn: configSource === ownSource };
  });
}
