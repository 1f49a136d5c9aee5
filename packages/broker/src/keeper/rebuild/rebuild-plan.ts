/**
 * What a rebuilt metadata store will hold, worked out from the bucket without writing anything: the newest checkpoint, carried on by the
 * flushes that came after it (COMMIT.md K8). Garbage collection deletes nothing that this needs (garbage-rule.ts). Folds, shelves, log
 * starts, settings, deletions and group offsets after the checkpoint are not in it; folded records are still where they were before.
 */
import { maxInlineManifestBytes, mayHoldPartition, metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { partitionsOf, tombstonesOf, topicsOf, type StateEntry } from '../cluster-state.ts';
import {
  flushId,
  surveyBucket,
  type BucketSurvey,
  type FoundFlush,
  type LostDescription,
  type SurveyDependencies,
} from './bucket-survey.ts';
import { followChain } from './flush-chains.ts';
import { rebuildLogs, type BaseLog, type BaseManifest, type RebuiltLogs } from './rebuilt-logs.ts';

export interface RebuildPlan {
  readonly clusterId: string;
  readonly generation: number;
  readonly checkpoint: { readonly createdMs: number; readonly revision: number } | undefined;
  /** When the youngest object of the bucket was written, by its own clock. */
  readonly newestMs: number;
  /** Every key of the store but the cluster's, in no order. */
  entries(): AsyncIterable<StateEntry>;
  readonly summary: RebuildSummary;
}

export interface RebuildSummary {
  readonly topics: number;
  readonly partitions: number;
  /** Flush objects that came after the checkpoint and are part of a log again. */
  readonly flushesAdded: number;
  /** Of those that nobody names: they may hold records that were never acknowledged. */
  readonly flushesUnnamed: number;
  /** That were never committed. */
  readonly flushesDropped: number;
  /** Topics of which only the records tell: their settings are lost. */
  readonly topicsWithoutSettings: readonly string[];
  /** Topics that were deleted and created again since the checkpoint. */
  readonly topicsReplaced: readonly string[];
  readonly groups: number;
  readonly nextProducerId: bigint;
  readonly warnings: readonly string[];
  readonly faults: readonly string[];
  /** Objects that cannot be read, and which partitions they may be about: these stay closed. */
  readonly lost: readonly string[];
}

/** Ids may have been handed out, and not used yet, since the checkpoint: far more than any cluster hands out in that time. */
const producerIdGap = 1_000_000_000n;
/** Of a lost object. */
const shownPartitions = 20;
/** Between the clocks of brokers. */
const clockSlackMs = 3_600_000;

/** Undefined when the bucket does not say whose it is. Throws StorageError, DecodeError. */
export async function planRebuild(dependencies: SurveyDependencies): Promise<RebuildPlan | undefined> {
  const survey = await surveyBucket(dependencies);
  if (survey === undefined) return undefined;
  const { checkpoint } = survey;
  const chains = followChains(survey);
  const topics = await rebuildTopics(survey, chains.kept);
  const baseManifests = survey.manifests;
  const logs = rebuildLogs({
    base: await baseLogs(survey),
    baseManifests,
    flushes: chains.kept,
    isAlive: (topicId) => topics.alive.has(topicId),
  });
  for (const { topicId, partition } of logs.records.values()) {
    const topic = topics.alive.get(topicId)!;
    topic.record.partitionCount = Math.max(topic.record.partitionCount, partition + 1);
  }
  const nextProducerId = await producerIdAbove(survey, baseManifests);
  const groups = await countGroups(survey);
  const named = new Set(chains.kept.map(({ incarnation, buildsOn }) => flushId({ incarnation, sequence: buildsOn })));
  return {
    clusterId: survey.clusterId,
    generation: survey.generation + 1,
    checkpoint: checkpoint && {
      createdMs: Number(checkpoint.head.createdMs),
      revision: Number(checkpoint.head.revision),
    },
    newestMs: survey.newestMs,
    entries: () => entriesOf(survey, topics, logs, nextProducerId),
    summary: {
      topics: topics.alive.size,
      partitions: logs.records.size,
      flushesAdded: logs.manifests.length,
      flushesUnnamed: logs.manifests.filter(({ flush }) => !named.has(flushId(flush))).length,
      flushesDropped: chains.dropped,
      topicsWithoutSettings: topics.withoutSettings,
      topicsReplaced: topics.replaced,
      groups,
      nextProducerId,
      warnings: survey.warnings,
      lost: survey.lost.map((one) => lostText(one, logs, topics)),
      faults: logs.faults.map(
        ({ topicId, partition, detail }) => `${topics.alive.get(topicId)?.name ?? topicId}-${partition}: ${detail}`,
      ),
    },
  };
}

/** Names the partitions that a lost object may be about. */
function lostText(
  { objectKey, detail, partitions }: LostDescription,
  logs: RebuiltLogs,
  topics: RebuiltTopics,
): string {
  const names: string[] = [];
  for (const { topicId, partition } of logs.records.values()) {
    if (mayHoldPartition(partitions, topicId, partition)) names.push(`${topics.alive.get(topicId)!.name}-${partition}`);
  }
  const shown = names.slice(0, shownPartitions).join(', ');
  const more = names.length > shownPartitions ? ` and ${names.length - shownPartitions} more` : '';
  return `${objectKey} cannot be read (${detail}); it may hold what describes records of ${names.length === 0 ? 'no partition that is left' : shown + more}`;
}

function followChains({ flushes, known, proof }: BucketSurvey) {
  const kept: FoundFlush[] = [];
  let dropped = 0;
  const byIncarnation = new Map<string, FoundFlush[]>();
  for (const flush of flushes) {
    byIncarnation.set(flush.incarnation, [...(byIncarnation.get(flush.incarnation) ?? []), flush]);
  }
  for (const [incarnation, own] of byIncarnation) {
    const floor = proof.floorOf(incarnation, 'data') ?? 0;
    const chain = followChain(own, (sequence) => sequence < floor || known.has(flushId({ incarnation, sequence })));
    kept.push(...chain.kept);
    dropped += chain.dead.length;
  }
  return { kept, dropped };
}

interface RebuiltTopic {
  readonly name: string;
  readonly record: metadata.TopicRecord;
  /** When its first known record was flushed, or it was created. */
  readonly sinceMs: number;
}

interface RebuiltTopics {
  readonly alive: ReadonlyMap<string, RebuiltTopic>;
  /** Tombstones to put for topics of the base whose names others have by now. */
  readonly buried: ReadonlyMap<string, metadata.TopicTombstone>;
  readonly withoutSettings: readonly string[];
  readonly replaced: readonly string[];
}

async function rebuildTopics(survey: BucketSurvey, flushes: readonly FoundFlush[]): Promise<RebuiltTopics> {
  const { base, checkpoint } = survey;
  const tombstones = await tombstonesOf(base);
  const alive = new Map<string, RebuiltTopic>();
  const ofBase = new Set<string>();
  for await (const { name, topicId, record } of topicsOf(base)) {
    ofBase.add(topicId);
    alive.set(topicId, { name, record, sinceMs: -1 });
  }
  const checkpointMs = checkpoint === undefined ? -Infinity : Number(checkpoint.head.createdMs);
  for (const { topicId: id, name, createdMs } of namedTopics(survey, flushes)) {
    const topicId = id.toString('base64url');
    // One that the checkpoint does not know, although it is older, was deleted, and its tombstone has gone since.
    if (ofBase.has(topicId) || tombstones.has(topicId) || createdMs < checkpointMs - clockSlackMs) continue;
    const before = alive.get(topicId);
    const sinceMs = Math.min(before?.sinceMs ?? Infinity, createdMs);
    const record = {
      topicId: id,
      partitionCount: 1,
      replicationFactor: 1,
      configs: new Map<string, string>(),
      createdMs: BigInt(sinceMs),
      deleting: false,
    };
    alive.set(topicId, { name, record, sinceMs });
  }
  const buried = new Map<string, metadata.TopicTombstone>();
  const byName = new Map<string, [string, RebuiltTopic]>();
  for (const [topicId, topic] of alive) {
    const rival = byName.get(topic.name);
    const [winner, loser] =
      rival === undefined || topic.sinceMs >= rival[1].sinceMs
        ? [[topicId, topic] as [string, RebuiltTopic], rival]
        : [rival, [topicId, topic] as [string, RebuiltTopic]];
    byName.set(topic.name, winner);
    if (loser !== undefined)
      buried.set(loser[0], { name: topic.name, deletedMs: BigInt(Math.max(0, winner[1].sinceMs)) });
  }
  for (const topicId of buried.keys()) alive.delete(topicId);
  return {
    alive,
    buried,
    withoutSettings: [...alive].filter(([topicId]) => !ofBase.has(topicId)).map(([, { name }]) => name),
    replaced: [...buried.values()].map(({ name }) => name),
  };
}

function* namedTopics({ indexes }: BucketSurvey, flushes: readonly FoundFlush[]) {
  for (const { description } of flushes) {
    for (const { topicId, name } of description.topics)
      yield { topicId, name, createdMs: Number(description.createdMs) };
  }
  for (const { topics, createdMs } of indexes) {
    for (const { topicId, name } of topics) yield { topicId, name, createdMs: Number(createdMs) };
  }
}

/** Records of the checkpoint; without one, the furthest that any index object was published with. */
async function baseLogs({ base, indexes }: BucketSurvey): Promise<BaseLog[]> {
  const logs = new Map<string, BaseLog>();
  for await (const { topicId, partition, record } of partitionsOf(base)) {
    logs.set(`${topicId}/${partition}`, { topicId, partition, record });
  }
  for (const { topics } of indexes) {
    for (const { topicId: id, partitions } of topics) {
      for (const { partition, record } of partitions) {
        const topicId = id.toString('base64url');
        const before = logs.get(`${topicId}/${partition}`)?.record;
        if (record === undefined || (before !== undefined && !isFurther(record, before))) continue;
        logs.set(`${topicId}/${partition}`, { topicId, partition, record });
      }
    }
  }
  return [...logs.values()];
}

const isFurther = (one: metadata.PartitionRecord, other: metadata.PartitionRecord): boolean =>
  one.leaderEpoch === other.leaderEpoch ? one.foldedOffset > other.foldedOffset : one.leaderEpoch > other.leaderEpoch;

async function producerIdAbove(
  { base, flushes }: BucketSurvey,
  baseManifests: readonly BaseManifest[],
): Promise<bigint> {
  let next = 0n;
  for await (const { key, value } of base.entries(metadataKeys.producerIds)) {
    if (key === metadataKeys.producerIds) next = metadata.ProducerIdRecord.decode(value).nextProducerId;
  }
  for (const { description } of [...baseManifests, ...flushes]) {
    for (const { extents } of description.topics) {
      for (const { producerBatches } of extents) {
        for (const { producerId } of producerBatches) if (producerId >= next) next = producerId + 1n;
      }
    }
  }
  return next + producerIdGap;
}

/** As a flush is committed: a large description stays in the footer, unless something of it was cut. */
function bodyOf(
  { description: whole, footer }: FoundFlush,
  description: metadata.FlushDescription,
): metadata.FlushManifest['body'] {
  const isWhole = extentCount(whole) === extentCount(description);
  if (!isWhole || footer.length <= maxInlineManifestBytes) return { $case: 'inline', value: description };
  return { $case: 'footer', value: { ...footer, position: BigInt(footer.position) } };
}

const extentCount = ({ topics }: metadata.FlushDescription) =>
  topics.reduce((sum, { extents }) => sum + extents.length, 0);

async function countGroups({ base }: BucketSurvey): Promise<number> {
  const groups = new Set<string>();
  for (const prefix of ['groups/', 'group-offsets/']) {
    for await (const { key } of base.entries(prefix)) groups.add(key.split('/')[2] ?? '');
  }
  return groups.size;
}

/** Ranges that are made anew, or die with the sessions of before. */
const remade: readonly string[] = [
  metadataPrefixes.sessions,
  metadataPrefixes.lanes,
  metadataPrefixes.brokers,
  metadataPrefixes.topics,
];
const keysRemade: ReadonlySet<string> = new Set([
  metadataKeys.cluster,
  metadataKeys.controller,
  metadataKeys.producerIds,
  metadataKeys.rebuild,
]);

async function* entriesOf(
  { base, incarnations }: BucketSurvey,
  { alive, buried }: RebuiltTopics,
  { records, manifests }: RebuiltLogs,
  nextProducerId: bigint,
): AsyncGenerator<StateEntry, void, undefined> {
  const recordKeys = new Map<string, metadata.PartitionRecord>();
  for (const { topicId, partition, record } of records.values()) {
    recordKeys.set(metadataKeys.partition(topicId, partition), record);
  }
  for await (const { key, value } of base.entries('')) {
    if (keysRemade.has(key) || remade.some((prefix) => key.startsWith(prefix)) || recordKeys.has(key)) continue;
    const [range = '', topicId = ''] = key.split('/');
    // A topic that lost its name takes its records along; those of coordinator shards have no topic.
    if (`${range}/` === metadataPrefixes.partitions && buried.has(topicId)) continue;
    yield { key, value };
  }
  for (const [key, record] of recordKeys) yield { key, value: metadata.PartitionRecord.encode(record).finish() };
  for (const { name, record } of alive.values()) {
    yield { key: metadataKeys.topic(name), value: metadata.TopicRecord.encode(record).finish() };
  }
  for (const [topicId, tombstone] of buried) {
    yield { key: metadataKeys.tombstone(topicId), value: metadata.TopicTombstone.encode(tombstone).finish() };
  }
  for (const { flush, description } of manifests) {
    const { objectKey, incarnation, sequence } = flush;
    const manifest = metadata.FlushManifest.encode({ objectKey, body: bodyOf(flush, description) }).finish();
    yield { key: metadataKeys.manifest(incarnation, sequence), value: manifest };
  }
  // Without sessions, lanes say that whatever these left behind is garbage unless something refers to it.
  const lane = metadata.LaneRecord.encode({ counter: 0n, floor: 0n }).finish();
  for (const incarnation of incarnations) {
    for (const name of ['data', 'coordinator', 'upkeep'] as const) {
      yield { key: metadataKeys.lane(incarnation, name), value: lane };
    }
  }
  const producerIds = metadata.ProducerIdRecord.encode({ nextProducerId }).finish();
  yield { key: metadataKeys.producerIds, value: producerIds };
}
