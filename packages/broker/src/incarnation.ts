/**
 * One life of a broker in its cluster: from opening its session to losing or ending it. Every component that rests on ownership is
 * built here, in the order they need each other, and none outlives the session.
 */
import { ErrorCode, groupShardsTopicId, KafkaError, type BrokerConfig } from '@kafscale/protocol';
import {
  settlesWithin,
  SlabArena,
  SlabPool,
  type Clock,
  type Logger,
  type Random,
  type SlabPoolSettings,
} from '@kafscale/runtime';
import { registerBroker, setDraining } from './cluster/broker-registration.ts';
import { Controller } from './cluster/controller.ts';
import { drain } from './cluster/drain.ts';
import { Ownership } from './cluster/ownership.ts';
import { groupShardsView, partitionsView } from './cluster/ownership-view.ts';
import { PartitionFinder } from './cluster/partition-finder.ts';
import { Topics } from './cluster/topics.ts';
import { BrokerConfigs } from './config/dynamic-config.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { OwnedShards } from './groups/owned-shards.ts';
import { FetchSessions } from './handlers/fetch-sessions.ts';
import { ReadReplicas } from './handlers/read-replicas.ts';
import type { Services } from './handlers/services.ts';
import type { ClusterIdentity } from './keeper/bucket-identity.ts';
import { Keeper } from './keeper/keeper.ts';
import { FollowedLogs } from './log/follow/followed-logs.ts';
import { FollowedRecordRefresh } from './log/follow/followed-record-refresh.ts';
import { followerProof } from './log/follow/follower-proof.ts';
import { DelayedFetches } from './log/delayed-fetch.ts';
import { PartitionLogs } from './log/partition-logs.ts';
import type { BlockCache } from './log/read/block-cache.ts';
import { HotTail } from './log/read/hot-tail.ts';
import { openLogReading } from './log/read/log-reading.ts';
import { SessionOwnershipProof } from './log/session-ownership-proof.ts';
import { StoredLogStarts } from './log/stored-log-starts.ts';
import type { Failpoint } from './log/write/failpoint.ts';
import { startRetention } from './log/upkeep/retention.ts';
import { StorageTiers } from './log/upkeep/storage-tiers.ts';
import { LogAppender } from './log/write/log-appender.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import { Session } from './metadata/session.ts';
import { WatchedMetadataImage } from './metadata/watched-metadata-image.ts';
import type { BrokerMetrics } from './metrics/metrics.ts';
import { OwnedPartitions } from './owned-partitions.ts';
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
const minSlabBytes = 4 * 2 ** 20;
const maxSlabBytes = 16 * 2 ** 20;
const maxIdleBytes = 64 * 2 ** 20;
/** What a full flush has beside its batches: its footer, nearly always. */
const footerBytes = 256 * 1_024;
/** Bounds a flush's description: well over 16 KiB it lives in the object's footer alone. */
const maxFlushEntries = 20_000;
const uploadAttemptDeadlineMs = 10_000;
const uploadDeadlineMs = 30_000;
const fetchSessionEvictionMs = 120_000;
/** How long a client waits for a partition that changes hands. */
const partitionWaitMs = 1_000;
const expiryIntervalMs = 60_000;
/**
 * How long the upkeep of a lost session is waited for: nothing of it can be published any more, and while a store hangs it does not
 * end, which must not keep the next life from beginning.
 */
const lostSessionLimitMs = 500;
/** A broker that has handed everything over answers for so long: clients hear from it who has their partitions now. */
const farewellMs = 500;
/** Logs that a broker follows that only reads. */
const maxFollowedLogs = 10_000;
/** Partitions on their way to a broker that is to have more, at any moment. */
const maxRebalanceMoves = 100;
/** What the metadata store remembers of its past: more than the longest read of all its keys takes. */
const historyMs = 3 * 60_000;

export class Incarnation {
  readonly brokerId: number;
  readonly services: Services;
  readonly #session: Session;
  readonly #image: WatchedMetadataImage;
  readonly #ownerships: readonly Ownership[];
  readonly #controller: Controller;
  readonly #announceDrain: () => Promise<void>;
  readonly #appender: LogAppender;
  readonly #hotTail: HotTail;
  readonly #cache: BlockCache;
  readonly #metrics: BrokerMetrics;
  readonly #logger: Logger;
  readonly #arena: SlabArena;
  readonly #keeper: Keeper;
  readonly #tiers: StorageTiers;
  readonly #stopUpkeep: () => void;

  private constructor(parts: {
    readonly brokerId: number;
    readonly services: Services;
    readonly session: Session;
    readonly image: WatchedMetadataImage;
    readonly ownerships: readonly Ownership[];
    readonly controller: Controller;
    readonly announceDrain: () => Promise<void>;
    readonly hotTail: HotTail;
    readonly cache: BlockCache;
    readonly metrics: BrokerMetrics;
    readonly logger: Logger;
    readonly arena: SlabArena;
    readonly keeper: Keeper;
    readonly tiers: StorageTiers;
    readonly stopUpkeep: () => void;
  }) {
    this.brokerId = parts.brokerId;
    this.services = parts.services;
    this.#session = parts.session;
    this.#image = parts.image;
    this.#ownerships = parts.ownerships;
    this.#controller = parts.controller;
    this.#announceDrain = parts.announceDrain;
    this.#appender = parts.services.appender;
    this.#hotTail = parts.hotTail;
    this.#cache = parts.cache;
    this.#metrics = parts.metrics;
    this.#logger = parts.logger;
    this.#arena = parts.arena;
    this.#keeper = parts.keeper;
    this.#tiers = parts.tiers;
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
    const ownsNothing = config.role === 'read';
    const registration = {
      incarnation,
      leaseId: session.leaseId,
      endpoint: { ...dependencies.endpoint, rack: config.rack ?? '' },
    };
    const brokerId = await registerBroker(
      { store, lane: dataLane, clock },
      {
        ...registration,
        brokerId: config.brokerId,
        waitMs: 2 * config.sessionTtlMs,
        draining: ownsNothing,
        readOnly: ownsNothing,
      },
    );
    const image = await WatchedMetadataImage.open({ store, clusterId, clock, random, logger });

    const logs = new PartitionLogs((log) => finder.opened(log.topicId, log.partition));
    const hotTail = new HotTail(config.hotTailBytes);
    const arena = new SlabArena(new SlabPool(arenaSettings(config)));
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
      refusal: () => {
        if (dependencies.storeHealth?.canWrite === false)
          return new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS, 'the object store takes no records at the moment');
        if (tiers.throttle.refuses)
          return new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS, 'too much metadata waits to be folded away');
        return undefined;
      },
      observer: {
        onCommitted(flush) {
          tiers.committed(flush.manifest);
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

    const topics = new Topics({
      store,
      lane: dataLane,
      image,
      clock,
      random,
      logger: logger.child({ component: 'topics' }),
      callDeadlineMs,
      limits: {
        defaultPartitions: config.autoCreatePartitions,
        maxPartitionsPerTopic: config.maxPartitionsPerTopic,
        maxPartitions: config.maxPartitions,
      },
    });
    const ownershipLogger = logger.child({ component: 'ownership' });
    const ownershipParts = {
      ...{ store, upkeepLane: session.lane('upkeep'), clock, random, logger: ownershipLogger },
      ...{ incarnation, brokerId, callDeadlineMs },
    };
    const ownership = new Ownership({
      ...ownershipParts,
      lane: dataLane,
      kind: new OwnedPartitions({
        ...{ store, objectStore, clock, logs, appender, logger: ownershipLogger, callDeadlineMs },
      }),
      view: partitionsView(image),
    });

    const tiers: StorageTiers = new StorageTiers({
      ...{ store, objectStore, image, logs, hotTail, names, clock, logger, metrics },
      ...{ clusterId, incarnation, brokerId, callDeadlineMs },
      lane: session.lane('upkeep'),
      committedBatchesOf: (log) => appender.committedBatchesOf(log),
      updateRecords: (changes) => ownership.updateRecords(changes),
      isController: () => controller.isController,
      canStore: () => dependencies.storeHealth?.canWrite !== false,
      unique: () => random.bytes(uniqueBytes).toString('base64url'),
      settings: config,
    });
    const finder: PartitionFinder = new PartitionFinder({
      ...{ image, clock, incarnation, waitMs: partitionWaitMs },
      currentOwner: (topicId, partition) => {
        const owner = topicId === groupShardsTopicId ? shardOwnership : ownership;
        return owner.currentOwner(topicId, partition);
      },
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
      refresh: ownsNothing ? new FollowedRecordRefresh({ store, clock, callDeadlineMs }) : undefined,
    });
    const followed = ownsNothing
      ? new FollowedLogs({
          ...{ store, objectStore, clock, random, callDeadlineMs },
          logger: logger.child({ component: 'followed-logs' }),
          maxLogs: maxFollowedLogs,
        })
      : undefined;
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
      whenShardKnown: (shard) => finder.find(groupShardsTopicId, shard),
      onShardOpen: (shard) => finder.opened(groupShardsTopicId, shard),
    });
    const shardOwnership = new Ownership({
      ...ownershipParts,
      lane: coordinatorLane,
      kind: new OwnedShards(groups, ownershipLogger),
      view: groupShardsView(image),
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
      produceThrottle: tiers.throttle,
      producerIds: new ProducerIds({ store, lane: coordinatorLane }),
      reader,
      timeIndex,
      finder,
      delayedFetches: new DelayedFetches(clock),
      fetchSessions: new FetchSessions(clock, random, {
        maxSessions: config.maxFetchSessions,
        maxPartitions: config.maxFetchSessionPartitions,
        evictionMs: fetchSessionEvictionMs,
      }),
      readReplicas: new ReadReplicas(clock),
      followed,
      ownershipProof: ownsNothing ? followerProof : ownershipProof,
      logStarts: new StoredLogStarts((...change) => ownership.updateRecord(...change)),
    };
    const controller = new Controller({
      ...{ store, lane: session.lane('upkeep'), image, clock, random, incarnation, callDeadlineMs },
      logger: logger.child({ component: 'controller' }),
      settings: { rebalanceDelayMs: config.rebalanceDelayMs, maxMoves: maxRebalanceMoves, historyMs },
      finishDeletion: (topic) => topics.finishDeletion(topic),
    });
    groups.start();
    if (!ownsNothing) {
      await controller.start();
      await Promise.all([ownership.start(), shardOwnership.start()]);
    }
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
      image,
      lane: session.lane('upkeep'),
      isController: () => session.alive && image.controller === incarnation,
      onMismatch: (mismatch) => void session.revoke(mismatch).catch(() => undefined),
      callDeadlineMs,
      settings: config,
    });
    return new Incarnation({
      brokerId,
      services,
      session,
      image,
      ownerships: [ownership, shardOwnership],
      controller,
      announceDrain: () => setDraining(session.lane('upkeep'), brokerId, registration, true),
      hotTail,
      cache,
      metrics,
      logger,
      arena,
      keeper,
      tiers,
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

  /** Memory of records beside the requests they came in: on their way to the object store, or being folded. */
  get heldBytes(): number {
    return this.#appender.unsettledBytes + this.#tiers.heldBytes;
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
    metrics.followedPartitions.set(this.services.followed?.count ?? 0);
    metrics.topics.set([...this.services.image.topics()].length);
    metrics.consumerGroups.set(this.services.groups.groupCount);
    this.#tiers.reportMetrics();
  }

  /**
   * Hands everything over that others can take, while clients are served. What is not handed over within `limitMs` is given up with
   * the session, as in a crash.
   */
  async drain(limitMs: number): Promise<void> {
    if (this.#session.endReason !== undefined) return;
    const { incarnation } = this.#session;
    const { clock } = this.services;
    try {
      const outcome = await drain(
        { ownerships: this.#ownerships, image: this.#image, incarnation, clock, announce: this.#announceDrain },
        limitMs,
      );
      if (outcome === 'empty') await clock.sleep(farewellMs);
      if (outcome !== 'late') return;
      const partitions = this.#ownerships.reduce((sum, { count }) => sum + count, 0);
      this.#logger.warn({ partitions }, 'not everything could be handed over in time; the others take it over');
      await this.#revoke();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the broker could not hand over what it owns');
    }
  }

  /**
   * Lets what was accepted settle, but not for ever, then gives the session up. After a lost session everything without outcome is
   * refused; what a store that does not answer leaves open is never answered, and its lease expires by itself.
   */
  async close(): Promise<void> {
    this.#stopUpkeep();
    this.#controller.close();
    this.services.topics.close();
    this.services.finder.close();
    for (const ownership of this.#ownerships) ownership.close();
    const { clock, config, groups, followed } = this.services;
    const isLost = this.#session.endReason !== undefined;
    const isSettled = await settlesWithin(
      clock,
      isLost ? Math.min(config.shutdownTimeoutMs, lostSessionLimitMs) : config.shutdownTimeoutMs,
      Promise.all([this.#settled(), groups.close(), this.#keeper.close(), this.#tiers.stop(), followed?.close()]),
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

/**
 * A full flush fits into one slab: memory of its own would be fresh each time, and left to the garbage collector. What is on its way
 * to the store when it fails comes back all at once, and is kept for what follows.
 */
function arenaSettings({ flushBytes, flushInFlight }: BrokerConfig): SlabPoolSettings {
  const slabBytes = Math.min(maxSlabBytes, Math.max(minSlabBytes, flushBytes + footerBytes));
  return { slabBytes, maxIdleSlabs: Math.min(flushInFlight, Math.ceil(maxIdleBytes / slabBytes)) };
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
