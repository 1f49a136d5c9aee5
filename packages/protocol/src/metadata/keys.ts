/**
 * Every metadata key, relative to the cluster's prefix (the store adds it). Ids that clients choose are base64url-encoded, so no
 * input can reach another key; topic names are safe as they are (`[a-zA-Z0-9._-]`). Numbers are zero-padded where order matters.
 */
import { createHash } from 'node:crypto';

/**
 * Which of an incarnation's lanes: flushes and changes of ownership, coordinators, or upkeep (publications, shelves, log starts, what
 * the controller decides), so that none waits for another.
 */
export type LaneName = 'data' | 'coordinator' | 'upkeep';

/** Stands where a topic id does in the keys of the group shards' ownership; no topic has it, since it is no UUID. */
export const groupShardsTopicId = 'group-shards';

const sequenceDigits = 16;
const partitionDigits = 10;
const shardDigits = 4;

const padded = (value: number, digits: number) => value.toString().padStart(digits, '0');

/** Client-chosen text as a key segment. */
export const encodeSegment = (text: string): string => Buffer.from(text, 'utf8').toString('base64url');
export const decodeSegment = (segment: string): string => Buffer.from(segment, 'base64url').toString('utf8');

/** How many shards the groups are spread over; part of the keys, so fixed for the life of a cluster. */
export const groupShards = 16;

/** The shard a group lives in: FNV-1a of the id's UTF-16 code units. */
export function groupShard(groupId: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < groupId.length; index += 1) {
    hash = Math.imul(hash ^ groupId.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % groupShards;
}

const shardOf = (groupId: string) => padded(groupShard(groupId), shardDigits);

/** Longest group id, in bytes of base64url, that stands in its keys as it is. */
const maxGroupIdSegment = 200;

/** A group id as a key segment; one too long for a key gives its SHA-256 after a `~`, which base64url has not. The values name the id. */
function encodeGroupId(groupId: string): string {
  const segment = encodeSegment(groupId);
  if (segment.length <= maxGroupIdSegment) return segment;
  return `~${createHash('sha256').update(groupId, 'utf8').digest('base64url')}`;
}

export const metadataKeys = {
  cluster: 'cluster',
  controller: 'controller',
  producerIds: 'producer-ids',
  rebuild: 'rebuild',
  session: (incarnation: string) => `sessions/${incarnation}`,
  lane: (incarnation: string, lane: LaneName) => `lanes/${incarnation}/${lane}`,
  broker: (brokerId: number) => `brokers/${padded(brokerId, partitionDigits)}`,
  topic: (name: string) => `topics/${name}`,
  tombstone: (topicId: string) => `tombstones/${topicId}`,
  partition: (topicId: string, partition: number) => `partitions/${topicId}/${padded(partition, partitionDigits)}`,
  assignment: (topicId: string) => `assignments/${topicId}`,
  manifest: (incarnation: string, sequence: number) => `manifests/${incarnation}/${padded(sequence, sequenceDigits)}`,
  shelf: (incarnation: string, sequence: number) => `shelves/${incarnation}/${padded(sequence, sequenceDigits)}`,
  garbage: (incarnation: string, sequence: number) => `garbage/${incarnation}/${padded(sequence, sequenceDigits)}`,
  group: (groupId: string) => `groups/${shardOf(groupId)}/${encodeGroupId(groupId)}`,
  groupOffsets: (groupId: string, topicId: string, block: number) =>
    `group-offsets/${shardOf(groupId)}/${encodeGroupId(groupId)}/${topicId}/${padded(block, partitionDigits)}`,
  groupDelta: (shard: number, sequence: number) =>
    `group-deltas/${padded(shard, shardDigits)}/${padded(sequence, sequenceDigits)}`,
} as const;

/** Prefixes of the ranges that are read as a whole. */
export const metadataPrefixes = {
  sessions: 'sessions/',
  brokers: 'brokers/',
  topics: 'topics/',
  tombstones: 'tombstones/',
  partitions: 'partitions/',
  partitionsOf: (topicId: string) => `partitions/${topicId}/`,
  assignments: 'assignments/',
  lanes: 'lanes/',
  manifests: 'manifests/',
  manifestsOf: (incarnation: string) => `manifests/${incarnation}/`,
  shelves: 'shelves/',
  shelvesOf: (incarnation: string) => `shelves/${incarnation}/`,
  garbage: 'garbage/',
  groups: (shard: number) => `groups/${padded(shard, shardDigits)}/`,
  groupOffsets: (shard: number) => `group-offsets/${padded(shard, shardDigits)}/`,
  groupDeltas: (shard: number) => `group-deltas/${padded(shard, shardDigits)}/`,
} as const;
