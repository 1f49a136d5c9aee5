/**
 * One life of a broker in its cluster: from opening its session to losing or ending it. Every component that rests on ownership is
 * built here, in the order they need each other, and none outlives the session.
 */
import {
  ErrorCode,
  groupShards,
  groupShardsTopicId,
  KafkaError,
  metadata,
  metadataKeys,
  type BrokerConfig,
} from '@kafscale/protocol';
import { settlesWithin, SlabArena, SlabPool, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { registerBroker } from './cluster/broker-registration.ts';
import { Ownership, type AcquiredPartition } from './cluster/ownership.ts';
import { Topics } from './cluster/topics.ts';
import { BrokerConfigs } from './config/dynamic-config.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { FetchSessions } from './handlers/fetch-sessions.ts';
import type { Services } from './handlers/services.ts';
import type { ClusterIdentity } from './keeper/bucket-identity.ts';
import { Keeper } from './keeper/keeper.ts';
import { DelayedFetches } from './log/delayed-fetch.ts';
import { nothingFolded, PartitionLog } from './log/partition-log.ts';
import { PartitionLogs } from './log/partition-logs.ts';
import type { BlockCache } from './log/read/block-cache.ts';
import { HotTail } from './log/read/hot-tail.ts';
import { openLogReading } from './log/read/log-reading.ts';
import { SessionOwnershipProof } from './log/session-ownership-proof.ts';
import { StoredLogStarts } from './log/stored-log-starts.ts';
import { recoverPartitions } from './log/upkeep/recovery.ts';
import type { Failpoint } from './log/write/failpoint.ts';
import { startRetention } from './log/upkeep/retention.ts';
import { LogAppender } from './log/write/log-appender.ts';
import type { Lane } from './metadata/lane.ts';
import type { MetadataStore, Revision } from './metadata/metadata-store.ts';
import { Session } from './metadata/session.ts';
import { WatchedMetadataImage } from './metadata/watched-metadata-image.ts';
import type { BrokerMetrics } from './metrics/metrics.ts';
import { ObjectNames } from './storage/object-names.ts';
import type { ObjectStore } from './storage/object-store.ts';
import type { StoreHealth } from './storage/store-health.ts';
import { ProducerIds } from './transactions/producer-ids.ts';

export interface IncarnationDependencies {
  readonly config: BrokerConfig;
  readonly identity: ClusterIdentity;
  /** Where clients find the listener. */
  readonly endpoint: { readonly host: string; readonly port: number };
  readonly objectStore: ObjectStore;
  readonly metadataStore: MetadataStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  readonly failpoint: Failpoint;
  /** How the object store is doing; while it cannot be written, batches are refused at once. */
  readonly storeHealth?: StoreHealth;
}

const incarnationBytes = 16;
const uniqueBytes = 12;
const callDeadlineMs = 5_000;
const slabBytes = 4 * 2 ** 20;
/** Bounds a flush's description: well over 16 KiB it lives in the object's footer alone. */
const maxFlushEntries = 20_000;
const uploadAttemptDeadlineMs = 10_000;
const uploadDeadlineMs = 30_000;
const fetchSessionEvictionMs = 120_000;
const expiryIntervalMs = 60_000;

export class Incarnation {
  readonly brokerId: number;
  readonly services: Services;
  readonly #session: Session;
  readonly #image: WatchedMetadataImage;
  readonly #ownership: Ownership;
  readonly #appender: LogAppender;
  readonly #hotTail: HotTail;
  readonly #cache: BlockCache;
  readonly #metrics: BrokerMetrics;
  readonly #logger: Logger;
  readonly #arena: SlabArena;
  readonly #keeper: Keeper;
  readonly #stopUpkeep: () => void;

  private constructor(parts: {
    readonly brokerId: number;
    readonly services: Services;
    readonly session: Session;
    readonly image: WatchedMetadataImage;
    readonly ownership: Ownership;
    readonly hotTail: HotTail;
    readonly cache: BlockCache;
    readonly metrics: BrokerMetrics;
    readonly logger: Logger;
    readonly arena: SlabArena;
    readonly keeper: Keeper;
    readonly stopUpkeep: () => void;
  }) {
    this.brokerId = parts.brokerId;
    this.services = parts.services;
    this.#session = parts.session;
    this.#image = parts.image;
    this.#ownership = parts.ownership;
    this.#appender = parts.services.appender;
    this.#hotTail = parts.hotTail;
    this.#cache = parts.cache;
    this.#metrics = parts.metrics;
    this.#logger = parts.logger;
    this.#arena = parts.arena;
    this.#keeper = parts.keeper;
    this.#stopUpkeep = parts.stopUpkeep;
  }

  /** Resolves when the broker owns its partitions and can serve. Throws MetadataError or StorageError. */
  static async start(dependencies: IncarnationDependencies): Promise<Incarnation> {
    const { config, metadataStore: store, clock, random } = dependencies;
    const incarnation = random.bytes(incarnationBytes).toString('hex');
    const session = await Session.open(incarnation, {
      store,
      clock,
      settings: { ttlMs: config.sessionTtlMs, callDeadlineMs, settleDeadlineMs: config.sessionTtlMs },
    });
    try {
      return await Incarnation.#begin(session, dependencies);
    } catch (error) {
      // Kept alive, it would hold the broker's id against the next attempt for ever. What cannot be revoked expires.
      await session.revoke(new Error('the incarnation could not start', { cause: error })).catch(() => undefined);
      throw error;
    }
  }

  static async #begin(session: Session, dependencies: IncarnationDependencies): Promise<Incarnation> {
    const { config, identity, objectStore, metadataStore: store, clock, random, logger, metrics } = dependencies;
    const { clusterId } = identity;
    const { incarnation } = session;
    const dataLane = session.lane('data');
    const coordinatorLane = session.lane('coordinator');
    const brokerId = await registerBroker(
      { store, lane: dataLane, clock },
      {
        incarnation,
        leaseId: session.leaseId,
        brokerId: config.brokerId,
        endpoint: { ...dependencies.endpoint, rack: config.rack ?? '' },
        waitMs: 2 * config.sessionTtlMs,
      },
    );
    const image = await WatchedMetadataImage.open({ store, clusterId, clock, random, logger });

    const logs = new PartitionLogs();
    const hotTail = new HotTail(config.hotTailBytes);
    const arena = new SlabArena(new SlabPool({ slabBytes, maxIdleSlabs: 8 }));
    const names = new ObjectNames(config.namespace);
    const appender = new LogAppender({
      clock,
      random,
      objectStore,
      arena,
      logs,
      lane: dataLane,
      isSessionAlive: () => session.alive,
      hotTail,
      clusterId,
      incarnation,
      nameObject: (sequence) =>
        names.flush({ incarnation, sequence, unique: random.bytes(uniqueBytes).toString('base64url') }),
      failpoint: dependencies.failpoint,
      refusal: () =>
        dependencies.storeHealth?.canWrite === false
          ? new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS, 'the object store takes no records at the moment')
          : undefined,
      observer: {
        onCommitted(flush) {
          metrics.producedBytes.inc(flush.recordBytes);
          metrics.producedBatches.inc(flush.batchCount);
          metrics.flushBytes.observe(flush.sizeBytes);
          metrics.flushBatches.observe(flush.batchCount);
          metrics.flushPartitions.observe(flush.partitionCount);
          metrics.segmentFlushDurationSeconds.observe(flush.durationMs / 1_000);
          metrics.commitDurationSeconds.observe(flush.commitDurationMs / 1_000);
        },
        onFailed(flushCount) {
          metrics.flushFailures.inc(flushCount);
          logger.error({ flushes: flushCount }, 'flushes failed; their batches were refused');
        },
      },
      settings: {
        windowMs: config.flushIntervalMs,
        maxBytes: config.flushBytes,
        maxEntries: maxFlushEntries,
        maxUploads: config.flushInFlight,
        uploadAttemptDeadlineMs,
        uploadDeadlineMs,
      },
    });

    const closeTopic = async (topicId: string): Promise<void> => {
      const ofTopic = [...logs.all()].filter((log) => log.topicId === topicId);
      await Promise.all(ofTopic.map((log) => appender.close(log)));
    };
    const topics = new Topics({
      store,
      lane: dataLane,
      image,
      clock,
      random,
      limits: {
        defaultPartitions: config.autoCreatePartitions,
        maxPartitionsPerTopic: config.maxPartitionsPerTopic,
        maxPartitions: config.maxPartitions,
      },
      beforeDelete: async ({ topicId }) => {
        await closeTopic(topicId);
        ownership.forget(topicId);
      },
    });
    const ownership = new Ownership({
      store,
      lane: dataLane,
      topics: () => topics.all(),
      image,
      clock,
      random,
      logger: logger.child({ component: 'ownership' }),
      incarnation,
      brokerId,
      callDeadlineMs,
      onAcquired: (acquired, revision) =>
        openPartitions(acquired, revision, { store, objectStore, clock, logs, appender, logger }),
      onTopicGone: (topicId) => void closeTopic(topicId),
    });

    const { cache, spans, reader, timeIndex } = openLogReading({
      config,
      hotTail,
      objectStore,
      metadataStore: store,
      incarnation,
      clock,
      logger,
      callDeadlineMs,
    });
    const ownershipProof = new SessionOwnershipProof({ store, session, clock, callDeadlineMs });
    const groups = new GroupCoordinator({
      store,
      lane: coordinatorLane,
      image,
      clock,
      logger: logger.child({ component: 'groups' }),
      settings: config,
      randomId: () => random.bytes(incarnationBytes).toString('hex'),
      isAlive: () => session.alive,
      proveAlive: () => ownershipProof.isAlive(),
    });
    const services: Services = {
      config,
      clock,
      metrics,
      image,
      topics,
      brokerConfigs: new BrokerConfigs(config, {
        brokerId,
        advertisedHost: dependencies.endpoint.host,
        advertisedPort: dependencies.endpoint.port,
      }),
      logs,
      groups,
      appender,
      producerIds: new ProducerIds({ store, lane: coordinatorLane }),
      reader,
      timeIndex,
      delayedFetches: new DelayedFetches(clock),
      fetchSessions: new FetchSessions(clock, random, {
        maxSessions: config.maxFetchSessions,
        maxPartitions: config.maxFetchSessionPartitions,
        evictionMs: fetchSessionEvictionMs,
      }),
      ownershipProof,
      logStarts: new StoredLogStarts((...change) => ownership.updateRecord(...change)),
    };
    groups.start();
    await Promise.all([ownership.start(), openShards(groups, coordinatorLane, { incarnation, brokerId })]);
    const stopExpiry = expireProducers(appender, config.producerIdExpirationMs, clock);
    const stopRetention = startRetention({
      logs,
      logStarts: services.logStarts,
      spans,
      configOf: (topicId) => image.topicById(topicId)?.config,
      clock,
      logger: logger.child({ component: 'retention' }),
      intervalMs: config.retentionCheckIntervalMs,
    });
    const keeper = Keeper.start({
      metadataStore: store,
      objectStore,
      clock,
      random,
      logger,
      metrics,
      names,
      identity,
      incarnation,
      lane: session.lane('upkeep'),
      isController: () => session.alive && image.controller === incarnation,
      callDeadlineMs,
      settings: config,
    });
    return new Incarnation({
      brokerId,
      services,
      session,
      image,
      ownership,
      hotTail,
      cache,
      metrics,
      logger,
      arena,
      keeper,
      stopUpkeep: () => {
        stopExpiry();
        stopRetention();
      },
    });
  }

  /** Runs once when the session is over: nothing may be served from this incarnation any more. */
  onEnd(listener: (reason: Error) => void): void {
    this.#session.onEnd(listener);
  }

  /** Sets the gauges that are read rather than counted. */
  reportMetrics(): void {
    const metrics = this.#metrics;
    const { hits, misses } = this.#cache.counts;
    const fromMemory = hits + this.#hotTail.hits;
    if (fromMemory + misses > 0) metrics.cacheHitRatio.set(fromMemory / (fromMemory + misses));
    metrics.cacheBytes.set(this.#cache.sizeBytes);
    metrics.hotTailBytes.set(this.#hotTail.sizeBytes);
    metrics.partitions.set(this.services.logs.count);
    metrics.topics.set([...this.services.image.topics()].length);
    metrics.consumerGroups.set(this.services.groups.groupCount);
  }

  /**
   * Lets what was accepted settle, but not for ever, then gives the session up. After a lost session everything without outcome is
   * refused; what a store that does not answer leaves open is never answered, and its lease expires by itself.
   */
  async close(): Promise<void> {
    this.#stopUpkeep();
    this.#ownership.close();
    const { clock, config, groups } = this.services;
    const isSettled = await settlesWithin(
      clock,
      config.shutdownTimeoutMs,
      Promise.all([this.#settled(), groups.close(), this.#keeper.close()]),
    );
    if (!isSettled) this.#logger.error('the stores do not answer: what was accepted last has no outcome');
    if (this.#session.endReason === undefined) await this.#revoke();
    this.#appender.abandon(new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER));
    for (const log of [...this.services.logs.all()]) this.services.logs.close(log.topicId, log.partition);
    await this.#image.close();
    this.#hotTail.clear();
    this.#arena.close();
  }

  async #settled(): Promise<void> {
    if (this.#session.endReason === undefined) await this.#appender.settled();
  }

  async #revoke(): Promise<void> {
    try {
      await this.#session.revoke(new Error('the broker was stopped'));
    } catch (error) {
      this.#logger.warn({ err: error }, 'the session could not be given up; it expires');
    }
  }
}

/** Every shard, for the only broker there is. */
async function openShards(
  groups: GroupCoordinator,
  lane: Lane,
  { incarnation: owner, brokerId }: { readonly incarnation: string; readonly brokerId: number },
): Promise<void> {
  const record = metadata.PartitionRecord.decode(new Uint8Array());
  const value = metadata.PartitionRecord.encode({ ...record, owner, brokerId }).finish();
  const shards = Array.from({ length: groupShards }, (_, shard) => shard);
  const revision = await lane.commit({
    operations: shards.map((shard) => ({ type: 'put', key: metadataKeys.partition(groupShardsTopicId, shard), value })),
  });
  await Promise.all(shards.map((shard) => groups.openShard({ shard, epoch: 0, revision })));
}

interface OpenPartitionsDependencies {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  readonly logs: PartitionLogs;
  readonly appender: LogAppender;
  readonly logger: Logger;
}

/** Opens what was taken over, from the stores alone; one whose extents do not make a log stays closed and is named as an alarm. */
async function openPartitions(
  acquired: readonly AcquiredPartition[],
  revision: Revision,
  { store, objectStore, clock, logs, appender, logger }: OpenPartitionsDependencies,
): Promise<void> {
  const known = acquired.filter(({ isNew }) => !isNew);
  const results =
    known.length === 0 ? [] : await recoverPartitions(known, revision, { store, objectStore, clock, callDeadlineMs });
  const nothing = {
    recovered: { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [] },
    committedBatches: [],
  };
  const inOrder = results.values();
  for (const { topicId, topicName, partition, record, isNew } of acquired) {
    const result = isNew ? nothing : inOrder.next().value!;
    if ('fault' in result && result.fault !== undefined) {
      logger.error(
        { topic: topicName, partition, fault: result.fault },
        'partition stays closed: its extents make no log',
      );
      continue;
    }
    logs.close(topicId, partition);
    const log = new PartitionLog({ topicId, topicName, partition, leaderEpoch: record.leaderEpoch }, result.recovered);
    appender.open(log, result.committedBatches);
  }
}

function expireProducers(appender: LogAppender, expirationMs: number, clock: Clock): () => void {
  let cancel = () => {};
  const plan = () => {
    cancel = clock.schedule(expiryIntervalMs, () => {
      appender.expireProducersBefore(clock.wallMs() - expirationMs);
      plan();
    });
  };
  plan();
  return () => cancel();
}
