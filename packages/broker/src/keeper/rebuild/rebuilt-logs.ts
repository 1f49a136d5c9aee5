/**
 * The logs as a rebuilt store will describe them: records of the base, its extents, and those of flushes that were found beside it, less
 * what was never committed. Pure: everything was read before.
 */
import type { metadata } from '@kafscale/protocol';
import { tilePartition } from '../../log/upkeep/tiling.ts';
import { extentOf, logKey } from '../verify/cluster-logs.ts';
import type { FoundFlush } from './bucket-survey.ts';
import { cutByHigherEpochs } from './epoch-cuts.ts';

export interface BaseLog {
  readonly topicId: string;
  readonly partition: number;
  readonly record: metadata.PartitionRecord;
}

export interface BaseManifest {
  readonly objectKey: string;
  readonly description: metadata.FlushDescription;
}

export interface RebuiltLogs {
  /** By `topic id/partition`, with nobody as the owner and the end of the log as it is now. */
  readonly records: ReadonlyMap<string, BaseLog>;
  /** The found flushes that hold something alive, with that alone. */
  readonly manifests: readonly { readonly flush: FoundFlush; readonly description: metadata.FlushDescription }[];
  /** Extents of found flushes that were never committed, or are dead by now. */
  readonly droppedExtents: number;
  /** Logs that are not whole; they stay closed until somebody has looked at them. */
  readonly faults: readonly { readonly topicId: string; readonly partition: number; readonly detail: string }[];
}

export interface LogsToRebuild {
  readonly base: readonly BaseLog[];
  readonly baseManifests: readonly BaseManifest[];
  /** On their chains. */
  readonly flushes: readonly FoundFlush[];
  /** Whether records of the topic count. */
  readonly isAlive: (topicId: string) => boolean;
}

interface Claim {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  readonly objectKey: string;
  readonly extent: metadata.FlushExtent;
  /** Undefined for one of the base. */
  readonly flush: FoundFlush | undefined;
}

const newRecord: metadata.PartitionRecord = {
  owner: '',
  brokerId: -1,
  leaderEpoch: 0,
  logStartOffset: 0n,
  foldedOffset: 0n,
  epochStarts: [],
  nextOffset: 0n,
  chunks: [],
  segments: [],
  producerSnapshot: undefined,
};

/**
 * Owners that wrote nothing since the checkpoint left no trace of their epochs; clients may know these, and take no older one for
 * newer (I17). Far more than a partition changes owners between two checkpoints.
 */
const leaderEpochGap = 1_000;

export function rebuildLogs({ base, baseManifests, flushes, isAlive }: LogsToRebuild): RebuiltLogs {
  const bases = new Map(base.map((log) => [logKey(log.topicId, log.partition), log]));
  const claims = new Map<string, Claim[]>();
  for (const { objectKey, description } of baseManifests) collect(claims, objectKey, description, undefined, isAlive);
  for (const flush of flushes) collect(claims, flush.objectKey, flush.description, flush, isAlive);

  const records = new Map<string, BaseLog>();
  const faults: { topicId: string; partition: number; detail: string }[] = [];
  const alive = new Set<metadata.FlushExtent>();
  for (const key of new Set([...bases.keys(), ...claims.keys()])) {
    const [topicId = '', partition = ''] = key.split('/');
    if (!isAlive(topicId)) continue;
    const place = { topicId, partition: Number(partition) };
    const record = bases.get(key)?.record ?? newRecord;
    const kept = keptClaims(record, claims.get(key) ?? []);
    const rebuilt = rebuildRecord(record, kept);
    records.set(key, { ...place, record: rebuilt.record });
    if (rebuilt.fault !== undefined) faults.push({ ...place, detail: rebuilt.fault });
    for (const { flush, extent } of kept) if (flush !== undefined) alive.add(extent);
  }

  let droppedExtents = 0;
  const manifests: { flush: FoundFlush; description: metadata.FlushDescription }[] = [];
  for (const flush of flushes) {
    const topics = flush.description.topics
      .map((topic) => ({ ...topic, extents: topic.extents.filter((extent) => alive.has(extent)) }))
      .filter(({ extents }) => extents.length > 0);
    const count = (of: readonly metadata.FlushTopic[]) => of.reduce((sum, { extents }) => sum + extents.length, 0);
    droppedExtents += count(flush.description.topics) - count(topics);
    if (topics.length > 0) manifests.push({ flush, description: { ...flush.description, topics } });
  }
  return { records, manifests, droppedExtents, faults };
}

function collect(
  claims: Map<string, Claim[]>,
  objectKey: string,
  { topics }: metadata.FlushDescription,
  flush: FoundFlush | undefined,
  isAlive: (topicId: string) => boolean,
): void {
  for (const { topicId, extents } of topics) {
    const id = topicId.toString('base64url');
    if (!isAlive(id)) continue;
    for (const extent of extents) {
      const key = logKey(id, extent.partition);
      const of = claims.get(key) ?? [];
      claims.set(key, of);
      const { leaderEpoch } = extent;
      const [baseOffset, nextOffset] = [Number(extent.baseOffset), Number(extent.nextOffset)];
      of.push({ baseOffset, nextOffset, leaderEpoch, objectKey, extent, flush });
    }
  }
}

/**
 * A found extent of an epoch below the record's was not committed: the record was changed behind every flush of its former owner, and the
 * base was read after that. What the base names was committed, and is not judged.
 */
function keptClaims(record: metadata.PartitionRecord, claims: readonly Claim[]): Claim[] {
  const floor = Math.max(Number(record.foldedOffset), Number(record.logStartOffset));
  const alive = claims.filter(
    ({ flush, leaderEpoch, nextOffset }) =>
      flush === undefined || (leaderEpoch >= record.leaderEpoch && nextOffset > floor),
  );
  const cut = cutByHigherEpochs(alive);
  return alive.filter((claim) => claim.flush === undefined || !cut.has(claim));
}

function rebuildRecord(record: metadata.PartitionRecord, claims: readonly Claim[]) {
  const extents = claims.map(({ objectKey, extent }) => extentOf(objectKey, extent));
  let { leaderEpoch } = record;
  for (const claim of claims) leaderEpoch = Math.max(leaderEpoch, claim.leaderEpoch);
  leaderEpoch += leaderEpochGap;
  const ownerless = { ...record, owner: '', leaderEpoch };
  const tiled = tilePartition(ownerless, extents);
  if (tiled.fault !== undefined) return { record: ownerless, fault: tiled.fault };
  return { record: { ...ownerless, nextOffset: BigInt(tiled.recovered.nextOffset) } };
}
