/**
 * The components of one incarnation, put together by hand in the order they need each other: what rests on ownership is built here
 * and nowhere else. What becomes of them afterwards is incarnation.ts's business.
 */
import { ErrorCode, groupShardsTopicId, KafkaError, type BrokerConfig } from '@kafscale/protocol';
import type { Clock, Logger, Random, RecordMemory, SlabArena } from '@kafscale/runtime';
import { registerBroker, storeStanding } from './cluster/broker-registration.ts';
import { BrokerStanding, inService } from './cluster/broker-standing.ts';
import { Controller } from './cluster/controller.ts';
import { Ownership } from './cluster/ownership.ts';
import { groupShardsView, partitionsView } from './cluster/ownership-view.ts';
import { PartitionFinder } from './cluster/partition-finder.ts';
import { Topics } from './cluster/topics.ts';
import type { MemoryShares } from './config/memory-shares.ts';
import { BrokerControl } from './control/broker-control.ts';
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
import { KeepingUp } from './log/upkeep/keeping-up.ts';
import { KnownFlushes } from './log/upkeep/known-flushes.ts';
import { startProducerExpiry } from './log/upkeep/producer-expiry.ts';
import { RetentionLines } from './log/upkeep/retained-from.ts';
import { retainedFrom, startRetention } from './log/upkeep/retention.ts';
import { longestFoldWaitMs } from './log/upkeep/folding.ts';
import { StorageTiers } from './log/upkeep/storage-tiers.ts';
import { openLogWriting } from './log/write/log-writing.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import type { Session } from './metadata/session.ts';
import { WatchedMetadataImage } from './metadata/watched-metadata-image.ts';
import type { BrokerMetrics } from './metrics/metrics.ts';
import { controllerMetrics, ownershipMetrics } from './metrics/ownership-metrics.ts';
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
  /** What everything that holds records lies in, and how it is divided. */
  readonly memory: RecordMemory;
  readonly shares: MemoryShares;
  /** How the object store is doing; while it cannot be written, batches are refused at once. */
  readonly storeHealth?: StoreHealth;
}

export interface IncarnationParts {
  readonly brokerId: number;
  readonly services: Services;
  readonly session: Session;
  readonly image: WatchedMetadataImage;
  readonly ownerships: readonly Ownership[];
  readonly controller: Controller;
  readonly standing: BrokerStanding;
  readonly control: BrokerControl;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly metrics: BrokerMetrics;
  readonly logger: Logger;
  readonly arena: SlabArena;
  readonly keeper: Keeper;
  readonly tiers: StorageTiers;
  readonly known: KnownFlushes | undefined;
  readonly stopUpkeep: () => void;
  /** What this incarnation holds is not asked for any more. */
  readonly endCounting: () => void;
}

/** How long one call to the metadata store may take. */
export const callDeadlineMs = 5_000;
const randomIdBytes = 16;
const uniqueBytes = 12;
const fetchSessionEvictionMs = 120_000;
/** How long a client waits for a partition that changes hands. */
const partitionWaitMs = 1_000;
/** Logs that a broker follows that only reads. */
const maxFollowedLogs = 10_000;
/** Partitions on their way to a broker that is to have more, at any moment. */
const maxRebalanceMoves = 100;
/** What the metadata store remembers of its past: more than the longest read of all its keys takes. */
const historyMs = 3 * 60_000;

/** Registers the broker, builds its components and starts them. Throws MetadataError or StorageError. */
export async function composeIncarnation(
  session: Session,
  dependencies: IncarnationDependencies,
): Promise<IncarnationParts> {
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
  const { memory, shares } = dependencies;
  const hotTail = new HotTail(shares.hotTailBytes, shares.hotTailKeptBytes);
  const names = new ObjectNames(config.namespace);
  const { appender, arena } = openLogWriting({
    ...{
      config,
      clock,
      random,
      objectStore,
      logs,
      hotTail,
      clusterId,
      incarnation,
      logger,
      metrics,
      pool: memory.pool,
    },
    lane: dataLane,
    isSessionAlive: () => session.alive,
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
    onManifest: (manifest) => tiers.committed(manifest),
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
  const knownBytes = Math.min(config.takeoverMemoryBytes, shares.knownFlushBytes);
  const known =
    ownsNothing || knownBytes === 0
      ? undefined
      : new KnownFlushes({ store, objectStore, clock, callDeadlineMs, budgetBytes: knownBytes });
  const keepingUp =
    known && new KeepingUp({ known, clock, logger: ownershipLogger, hasOthers: () => image.brokers().length > 1 });
  const ownership = new Ownership({
    ...ownershipParts,
    lane: dataLane,
    kind: new OwnedPartitions({
      ...{ store, objectStore, clock, logs, appender, logger: ownershipLogger, callDeadlineMs, known },
      onExpected: () => keepingUp?.expect(),
    }),
    view: partitionsView(image),
    observer: ownershipMetrics(metrics, 'topic'),
  });

  const tiers: StorageTiers = new StorageTiers({
    ...{ store, objectStore, image, logs, hotTail, names, clock, logger, metrics },
    ...{ clusterId, incarnation, brokerId, callDeadlineMs, memory, roundBytes: shares.foldBytes },
    lane: session.lane('upkeep'),
    committedBatchesOf: (log) => appender.committedBatchesOf(log),
    updateRecords: (changes) => ownership.updateRecords(changes),
    retainedFrom: (log) => retainedFrom(log, retention),
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
    shares,
    hotTail,
    objectStore,
    metadataStore: store,
    incarnation,
    clock,
    logger,
    callDeadlineMs,
    refresh: ownsNothing ? new FollowedRecordRefresh({ store, clock, callDeadlineMs }) : undefined,
  });
  const retention = {
    lines: new RetentionLines(spans),
    configOf: (topicId: string) => image.topicById(topicId)?.config,
    clock,
  };
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
    randomId: () => random.bytes(randomIdBytes).toString('hex'),
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
    observer: ownershipMetrics(metrics, 'group_shard'),
  });
  const services: Services = {
    answersAreMany: () => memory.heldFor('answers') > shares.answerBytes,
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
    observer: controllerMetrics(metrics),
  });
  groups.start();
  if (!ownsNothing) {
    await controller.start();
    await Promise.all([ownership.start(), shardOwnership.start()]);
  }
  const stopExpiry = startProducerExpiry(appender, config.producerIdExpirationMs, clock);
  const stopRetention = startRetention({
    ...{ ...retention, logs },
    logStarts: services.logStarts,
    logger: logger.child({ component: 'retention' }),
    intervalMs: config.retentionCheckIntervalMs,
    foldWaitMs: longestFoldWaitMs(config.foldAfterMs),
  });
  const standing = new BrokerStanding({ ...inService, draining: ownsNothing }, (next) =>
    storeStanding(session.lane('upkeep'), brokerId, { ...registration, readOnly: ownsNothing }, next),
  );
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
  const counted = [
    memory.addYielding(hotTail),
    memory.count('hot-tail', () => hotTail.heldBytes),
    memory.count('flushes', () => appender.unsettledBytes),
    memory.count('folding', () => tiers.heldBytes),
    memory.count('answers', () => hotTail.pinnedBytes),
    memory.countOutside('answers', () => cache.pinnedBytes),
    memory.count('cache', () => cache.sizeBytes + cache.loadingBytes),
    memory.countOutside('takeover', () => known?.sizeBytes ?? 0),
  ];
  return {
    brokerId,
    services,
    session,
    image,
    ownerships: [ownership, shardOwnership],
    controller,
    standing,
    control: new BrokerControl({
      ...{ brokerId, incarnation, image, ownership, shardOwnership, logs, appender, standing, clock },
      logger: logger.child({ component: 'control' }),
      isController: () => controller.isController,
      isSessionAlive: () => session.alive,
      objectStoreState: () => dependencies.storeHealth?.report().state ?? 'healthy',
      drainLimitMs: config.shutdownTimeoutMs,
    }),
    hotTail,
    cache,
    metrics,
    logger,
    arena,
    keeper,
    tiers,
    endCounting: () => {
      for (const end of counted) end();
    },
    known,
    stopUpkeep: () => {
      stopExpiry();
      void keepingUp?.stop();
      stopRetention();
    },
  };
}
