/**
 * Every metadata key, relative to the cluster's prefix (the store adds it). Ids that clients choose are base64url-encoded, so no
 * input can reach another key; topic names are safe as they are (`[a-zA-Z0-9._-]`). Numbers are zero-padded where order matters.
 */

/** Which of an incarnation's two lanes: flushes and ownership, or coordinators, so that commits do not wait for flushes. */
export type LaneName = 'data' | 'coordinator';

const sequenceDigits = 16;
const partitionDigits = 10;

const padded = (value: number, digits: number) => value.toString().padStart(digits, '0');

/** Client-chosen text as a key segment. */
export const encodeSegment = (text: string): string => Buffer.from(text, 'utf8').toString('base64url');
export const decodeSegment = (segment: string): string => Buffer.from(segment, 'base64url').toString('utf8');

export const metadataKeys = {
  cluster: 'cluster',
  producerIds: 'producer-ids',
  session: (incarnation: string) => `sessions/${incarnation}`,
  lane: (incarnation: string, lane: LaneName) => `lanes/${incarnation}/${lane}`,
  broker: (brokerId: number) => `brokers/${padded(brokerId, partitionDigits)}`,
  topic: (name: string) => `topics/${name}`,
  tombstone: (topicId: string) => `tombstones/${topicId}`,
  partition: (topicId: string, partition: number) => `partitions/${topicId}/${padded(partition, partitionDigits)}`,
  manifest: (incarnation: string, sequence: number) => `manifests/${incarnation}/${padded(sequence, sequenceDigits)}`,
} as const;

/** Prefixes of the ranges that are read as a whole. */
export const metadataPrefixes = {
  sessions: 'sessions/',
  brokers: 'brokers/',
  topics: 'topics/',
  tombstones: 'tombstones/',
  partitions: 'partitions/',
  partitionsOf: (topicId: string) => `partitions/${topicId}/`,
  manifests: 'manifests/',
} as const;
