/** For tests of the handlers that read: services over logs in a memory store, and topics that a test makes. */
import { brokerConfigSchema, KafkaError, parseTopicConfig, type ErrorCode } from '@kafscale/protocol';
import { seededRandom, type Clock } from '@kafscale/runtime';
import { PartitionFinder } from '../cluster/partition-finder.ts';
import { DelayedFetches } from '../log/delayed-fetch.ts';
import type { OwnershipProof } from '../log/ownership-proof.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { PartitionLogs } from '../log/partition-logs.ts';
import { makeLog, ReadingFixture, type ReadingSettings } from '../log/read/log-fixture.ts';
import { TimeIndex } from '../log/time-index.ts';
import type { BrokerImage, ClusterImage, PartitionImage, TopicImage } from '../metadata/metadata-image.ts';
import type { RequestContext } from './define-handler.ts';
import { FetchSessions } from './fetch-sessions.ts';
import { createMetrics } from '../metrics/metrics.ts';
import type { Services } from './services.ts';

export interface HandlerCall {
  readonly context: RequestContext;
  /** What the connection does once the answer is out. */
  release(): void;
}

export interface TopicShape {
  readonly partitionCount?: number;
  /** Partitions that are this broker's, from the first on; all of them unless told. */
  readonly openPartitions?: number;
  readonly leaderEpoch?: number;
}

export class ReadingServices {
  readonly reading: ReadingFixture;
  readonly services: Services;
  readonly brokers: BrokerImage[] = [
    { brokerId: 7, incarnation: 'seven', host: 'seven.local', port: 9092, rack: 'a', draining: false },
  ];
  readonly partitions = new Map<string, PartitionImage>();
  readonly logStartMoves: number[] = [];
  /** Set by a test: this broker's ownership can no longer be shown. */
  proofError: ErrorCode | undefined;
  /** Set by a test: this broker's clock says that its session is over. */
  isSessionOver = false;
  /** Asked for by answers that must be true of now. */
  proofs = 0;
  readonly finder: PartitionFinder;
  readonly #topics = new Map<string, TopicImage>();
  readonly #logs = new PartitionLogs((log) => this.finder.opened(log.topicId, log.partition));

  constructor(clock: Clock, settings: ReadingSettings = { hotTailBytes: 1 << 20 }) {
    this.reading = new ReadingFixture(settings);
    const image: Pick<ClusterImage, 'topic' | 'topicById' | 'partition' | 'brokers' | 'onChange'> = {
      topic: (name) => this.#topics.get(name),
      topicById: (topicId) => [...this.#topics.values()].find((topic) => topic.topicId === topicId),
      partition: (topicId, partition) => this.partitions.get(`${topicId}/${partition}`),
      brokers: () => this.brokers,
      onChange: () => () => undefined,
    };
    this.finder = new PartitionFinder({
      image,
      clock,
      incarnation: 'me',
      waitMs: 500,
      currentOwner: (topicId, partition) => {
        const elsewhere = { owner: 'another', brokerId: 9, leaderEpoch: 0 };
        return Promise.resolve(this.partitions.get(`${topicId}/${partition}`) ?? elsewhere);
      },
    });
    const parts = {
      config: brokerConfigSchema.parse({}),
      clock,
      metrics: createMetrics(),
      image,
      logs: this.#logs,
      finder: this.finder,
      reader: this.reading.reader,
      timeIndex: new TimeIndex(this.reading.reader, this.reading.spans),
      delayedFetches: new DelayedFetches(clock),
      fetchSessions: new FetchSessions(clock, seededRandom(1), {
        maxSessions: 10,
        evictionMs: 120_000,
        maxPartitions: 1_000,
      }),
      ownershipProof: this.#ownershipProof(),
      logStarts: { advanceLogStart: (log: PartitionLog, offset: number) => this.#advanceLogStart(log, offset) },
    };
    this.services = parts as unknown as Services;
  }

  /** A topic whose first `openPartitions` partitions are this broker's. */
  addTopic(name: string, topicId: string, shape: TopicShape = {}): PartitionLog[] {
    const { partitionCount = 1, leaderEpoch = 0 } = shape;
    const openPartitions = shape.openPartitions ?? partitionCount;
    const configs = new Map<string, string>();
    const config = parseTopicConfig(configs);
    const settings = { replicationFactor: 1, configs, config, modRevision: 1, deleting: false };
    this.#topics.set(name, { name, topicId, partitionCount, ...settings });
    return Array.from({ length: openPartitions }, (_, partition) => {
      const log = makeLog({ topicName: name, topicId, partition, leaderEpoch });
      this.#logs.open(log);
      return log;
    });
  }

  /** Opens the partition in a later epoch than before. */
  openPartition(name: string, partition: number, leaderEpoch: number): PartitionLog {
    const { topicId } = this.#topics.get(name)!;
    const log = makeLog({ topicName: name, topicId, partition, leaderEpoch });
    this.#logs.open(log);
    return log;
  }

  removeTopic(name: string): void {
    this.#topics.delete(name);
  }

  configure(name: string, configs: Readonly<Record<string, string>>): void {
    const changed = new Map(Object.entries(configs));
    this.#topics.set(name, { ...this.#topics.get(name)!, configs: changed, config: parseTopicConfig(changed) });
  }

  closePartition({ topicId, partition }: PartitionLog): void {
    this.#logs.close(topicId, partition);
  }

  call(apiVersion: number, signal: AbortSignal = new AbortController().signal): HandlerCall {
    const releases: (() => void)[] = [];
    const context: RequestContext = {
      apiVersion,
      correlationId: 1,
      clientId: 'test',
      principal: 'User:ANONYMOUS',
      connectionId: 1,
      remoteAddress: '127.0.0.1',
      clientSoftware: { name: '', version: '' },
      receivedMs: 0,
      signal,
      afterResponse: (release) => releases.push(release),
      releaseRequest: () => undefined,
    };
    return {
      context,
      release: () => {
        for (const release of releases) release();
      },
    };
  }

  #ownershipProof(): OwnershipProof {
    const isServing = () => !this.isSessionOver;
    const confirm = () => this.#confirm();
    return {
      get mayServe() {
        return isServing();
      },
      confirm,
    };
  }

  #confirm(): Promise<void> {
    this.proofs += 1;
    return this.proofError === undefined ? Promise.resolve() : Promise.reject(new KafkaError(this.proofError));
  }

  async #advanceLogStart(log: PartitionLog, offset: number): Promise<void> {
    if (offset <= log.logStartOffset) return;
    await Promise.resolve();
    this.logStartMoves.push(offset);
    log.advanceLogStart(offset);
  }
}
