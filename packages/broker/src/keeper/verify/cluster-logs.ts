/**
 * All logs of the cluster as one revision describes them: each partition's record, and the extents that manifests and shelves add. It
 * holds what a takeover of everything would hold; chunks of segments are read when their partition's turn comes.
 */
import type { metadata } from '@kafscale/protocol';
import { tilePartition, type TiledPartition } from '../../log/upkeep/tiling.ts';
import type { Extent } from '../../log/partition-log.ts';
import {
  describe,
  liveState,
  manifestKeysOf,
  readShelf,
  shelvesOf,
  partitionsOf,
  tombstonesOf,
  topicsOf,
  type ClusterState,
  type StateManifest,
} from '../cluster-state.ts';
import type { ObjectKey } from '../../storage/object-store.ts';
import type { StoreAccess } from '../store-access.ts';

export interface ClusterLog {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly record: metadata.PartitionRecord;
  /** Of manifests and shelves, in any order. */
  readonly extents: Extent[];
  /** Of the same, of producers that send sequences. */
  readonly producerBatches: metadata.ProducerBatch[];
}

export interface DescribedManifest extends StateManifest {
  readonly description: metadata.FlushDescription;
}

export interface ClusterLogs {
  readonly state: ClusterState;
  readonly logs: ReadonlyMap<string, ClusterLog>;
  readonly topics: ReadonlyMap<string, string>;
  readonly tombstones: ReadonlyMap<string, metadata.TopicTombstone>;
}

export interface ReadLogsOptions {
  /** Told of every manifest that can be read. */
  readonly onManifest?: (manifest: DescribedManifest) => void;
  /** Told of an object that cannot be read, a shelf or one whose manifest is in its footer; its error is thrown unless this is given. */
  readonly onUnreadable?: (objectKey: ObjectKey, error: unknown) => undefined;
  /** Only this topic's logs. */
  readonly topicId?: string;
}

export const logKey = (topicId: string, partition: number): string => `${topicId}/${partition}`;

/** As of a linearizable read. Throws MetadataError, StorageError, DecodeError. */
export async function readClusterLogs(access: StoreAccess, options: ReadLogsOptions = {}): Promise<ClusterLogs> {
  const state = await liveState(access);
  const topics = new Map<string, string>();
  for await (const { name, topicId } of topicsOf(state)) topics.set(topicId, name);
  const tombstones = await tombstonesOf(state);
  const logs = new Map<string, ClusterLog>();
  for await (const { topicId, partition, record } of partitionsOf(state)) {
    if (options.topicId !== undefined && topicId !== options.topicId) continue;
    const topic = topics.get(topicId) ?? tombstones.get(topicId)?.name ?? topicId;
    logs.set(logKey(topicId, partition), { topic, topicId, partition, record, extents: [], producerBatches: [] });
  }
  const unreadable = options.onUnreadable ?? rethrow;
  const take = async (manifest: StateManifest): Promise<void> => {
    const { objectKey } = manifest.manifest;
    const description = await describe(access, manifest).catch((error: unknown) => unreadable(objectKey, error));
    if (description === undefined) return;
    options.onManifest?.({ ...manifest, description });
    addExtents(objectKey, description, logs);
  };
  for await (const manifest of manifestKeysOf(state)) await take(manifest);
  for await (const shelf of shelvesOf(state)) {
    const objectKey = shelf.record.shelf?.objectKey ?? shelf.key;
    const contents = await readShelf(access, shelf).catch((error: unknown) => unreadable(objectKey, error));
    for (const manifest of contents?.manifests ?? []) await take({ key: shelf.key, manifest });
  }
  return { state, logs, topics, tombstones };
}

function rethrow(_objectKey: ObjectKey, error: unknown): never {
  throw error;
}

function addExtents(objectKey: string, description: metadata.FlushDescription, logs: ReadonlyMap<string, ClusterLog>) {
  for (const { topicId, extents } of description.topics) {
    const id = topicId.toString('base64url');
    for (const extent of extents) {
      const log = logs.get(logKey(id, extent.partition));
      log?.extents.push(extentOf(objectKey, extent));
      log?.producerBatches.push(...extent.producerBatches);
    }
  }
}

export const extentOf = (objectKey: string, extent: metadata.FlushExtent): Extent => ({
  objectKey,
  baseOffset: Number(extent.baseOffset),
  nextOffset: Number(extent.nextOffset),
  leaderEpoch: extent.leaderEpoch,
  position: Number(extent.position),
  length: extent.length,
  maxTimestamp: Number(extent.maxTimestamp),
  maxTimestampBaseOffset: Number(extent.maxTimestampBaseOffset),
});

export const tiled = ({ record, extents }: ClusterLog): TiledPartition => tilePartition(record, extents);
