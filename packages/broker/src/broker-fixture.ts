/**
 * For tests of the broker as a whole: one in this process on embedded stores in a folder of its own, reached over TCP as clients
 * reach it, and the few requests that nearly every test sends.
 */
import {
  brokerConfigSchema,
  createTopics,
  encodeRecordBatch,
  fetch,
  metadataApi,
  produce,
  type RecordBatchView,
  splitBatches,
  zeroUuid,
  type BatchInput,
  type BrokerConfig,
  type RequestOf,
  type ResponseOf,
} from '@kafscale/protocol';
import {
  createLogger,
  cryptoRandom,
  silentLogger,
  systemClock,
  type CancelTimer,
  type Clock,
  type Logger,
  type LogLevel,
} from '@kafscale/runtime';
import { RawClient } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { startBroker, type RunningBroker } from './broker.ts';

type ConfigInput = Partial<Omit<BrokerConfig, 'kafkaAddress' | 'metricsAddress'>> & {
  readonly kafkaAddress?: string;
  readonly metricsAddress?: string;
};

export interface TestBrokerSettings {
  /** Kept when given; a temporary folder otherwise. */
  readonly dataDir?: string;
  readonly config?: ConfigInput;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** The system's time, which a test can move on at once, as a process sees it that was stopped for a while. */
export class LeapingClock implements Clock {
  #leaptMs = 0;

  leap(ms: number): void {
    this.#leaptMs += ms;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#leaptMs;
  }

  wallMs(): number {
    return systemClock.wallMs() + this.#leaptMs;
  }

  schedule(delayMs: number, callback: () => void): CancelTimer {
    return systemClock.schedule(delayMs, callback);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(delayMs, signal);
  }
}

/** A logger whose lines of `level` and above are kept. */
export function keepingLogger(level: LogLevel): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const destination = new Writable({
    write(line: Buffer, _encoding, done) {
      lines.push(line.toString());
      done();
    },
  });
  return { logger: createLogger({ level, format: 'json', destination }), lines };
}

/** Brokers and clients of one test file; `closeAll` after each test leaves nothing behind. */
export class BrokerFixture {
  readonly #brokers: RunningBroker[] = [];
  readonly #clients: RawClient[] = [];
  readonly #folders: string[] = [];

  /** A folder that goes with `closeAll`. */
  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'kafscale-broker-'));
    this.#folders.push(folder);
    return folder;
  }

  async start({
    dataDir,
    config,
    clock = systemClock,
    logger = silentLogger,
  }: TestBrokerSettings = {}): Promise<RunningBroker> {
    const parsed = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      dataDir: dataDir ?? (await this.folder()),
      flushIntervalMs: 2,
      groupInitialRebalanceDelayMs: 0,
      maxConnectionsPerSecond: 100_000,
      ...config,
    });
    const broker = await startBroker(parsed, { clock, random: cryptoRandom, logger });
    this.#brokers.push(broker);
    return broker;
  }

  async connect({ port }: RunningBroker): Promise<RawClient> {
    const client = await RawClient.connect({ port });
    this.#clients.push(client);
    return client;
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
    await Promise.all(this.#brokers.splice(0).map((broker) => broker.close()));
    await Promise.all(this.#folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

export type ProduceRequest = RequestOf<typeof produce>;
export type FetchRequest = RequestOf<typeof fetch>;
export type FetchedPartition = ResponseOf<typeof fetch>['responses'][number]['partitions'][number];
export type ProducedPartition = ResponseOf<typeof produce>['responses'][number]['partitionResponses'][number];

export const produceVersion = 9;
export const fetchVersion = 12;

/** A batch of records with these values. */
export const batch = (values: readonly string[], input: Partial<BatchInput> = {}): Buffer =>
  encodeRecordBatch({ records: values.map((value) => ({ key: 'k', value, timestamp: Date.now() })), ...input });

/** One batch for one partition. */
export const produceRequest = (
  topic: string,
  index: number,
  records: Buffer | null,
  rest: Partial<ProduceRequest> & { readonly topicId?: string } = {},
): ProduceRequest => {
  const { topicId = zeroUuid, ...others } = rest;
  return {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, topicId, partitionData: [{ index, records }] }],
    ...others,
  };
};

/** Produces one batch and gives the partition's answer. */
export async function produceTo(
  client: RawClient,
  topic: string,
  index: number,
  records: Buffer | null,
  version = produceVersion,
): Promise<ProducedPartition> {
  const { responses } = await client.request(produce, version, produceRequest(topic, index, records));
  return responses[0]!.partitionResponses[0]!;
}

export interface FetchPlan {
  readonly offset: number;
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly partitionMaxBytes?: number;
  readonly maxWaitMs?: number;
  readonly isolationLevel?: number;
  readonly currentLeaderEpoch?: number;
  readonly topicId?: string;
  readonly sessionId?: number;
  readonly sessionEpoch?: number;
}

export const fetchRequest = (topic: string, partition: number, plan: FetchPlan): FetchRequest => ({
  clusterId: null,
  replicaId: -1,
  replicaState: { replicaId: -1, replicaEpoch: -1n },
  maxWaitMs: plan.maxWaitMs ?? 0,
  minBytes: plan.minBytes ?? 0,
  maxBytes: plan.maxBytes ?? 50 * 2 ** 20,
  isolationLevel: plan.isolationLevel ?? 0,
  sessionId: plan.sessionId ?? 0,
  sessionEpoch: plan.sessionEpoch ?? -1,
  topics: [
    {
      topic,
      topicId: plan.topicId ?? zeroUuid,
      partitions: [
        {
          partition,
          currentLeaderEpoch: plan.currentLeaderEpoch ?? -1,
          fetchOffset: plan.offset,
          lastFetchedEpoch: -1,
          logStartOffset: -1,
          partitionMaxBytes: plan.partitionMaxBytes ?? 50 * 2 ** 20,
          replicaDirectoryId: zeroUuid,
          highWatermark: Number.MAX_SAFE_INTEGER,
        },
      ],
    },
  ],
  forgottenTopicsData: [],
  rackId: '',
});

/** Fetches from one partition and gives its answer. */
export async function fetchFrom(
  client: RawClient,
  topic: string,
  partition: number,
  plan: FetchPlan,
  version = fetchVersion,
): Promise<FetchedPartition> {
  const { responses } = await client.request(fetch, version, fetchRequest(topic, partition, plan));
  return responses[0]!.partitions[0]!;
}

export const bytesOf = ({ records }: FetchedPartition): Buffer => Buffer.concat(records ?? []);

export const batchesOf = (fetched: FetchedPartition): readonly RecordBatchView[] =>
  splitBatches(bytesOf(fetched)).batches;

/** Fetches until the end of the partition; the answers' bytes one behind the other. */
export async function readAll(client: RawClient, topic: string, partition: number, from = 0): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let offset = from; ;) {
    const fetched = await fetchFrom(client, topic, partition, { offset });
    const batches = batchesOf(fetched);
    if (batches.length === 0) return Buffer.concat(parts);
    parts.push(bytesOf(fetched));
    offset = batches.at(-1)!.nextOffset;
  }
}

/** Creates a topic and gives its id; rejects with the error's code when it was not. */
export async function createTopic(
  client: RawClient,
  name: string,
  partitions = 1,
  configs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { topics } = await client.request(createTopics, 7, {
    topics: [
      {
        name,
        numPartitions: partitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      },
    ],
    timeoutMs: 30_000,
    validateOnly: false,
  });
  const [{ errorCode, errorMessage, topicId }] = topics as [(typeof topics)[number]];
  if (errorCode !== 0) throw new Error(`topic ${name}: error ${errorCode} ${errorMessage ?? ''}`);
  return topicId;
}

/** The leader epoch that Metadata tells. */
export async function leaderEpochOf(client: RawClient, topic: string, partition = 0): Promise<number> {
  const { topics } = await client.request(metadataApi, 12, {
    topics: [{ name: topic, topicId: zeroUuid }],
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  });
  return topics[0]!.partitions.find(({ partitionIndex }) => partitionIndex === partition)!.leaderEpoch;
}
