/**
 * From what a consumer calls a partition to the log as this broker follows it. Whatever a follower cannot say is for the leader: offsets
 * below the log start, and partitions that cannot be followed now.
 */
import { ErrorCode } from '@kafscale/protocol';
import type { FollowedLogs } from '../log/follow/followed-logs.ts';
import { logReaches } from '../log/follow/log-reaches.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { findPartition, findPartitionSoon, type FoundPartition } from './find-partition.ts';
import type { Services } from './services.ts';

export interface FollowedSearch {
  readonly followed: Pick<FollowedLogs, 'find'>;
  readonly fetchOffset: number;
  /** How long to wait for an offset that the leader has and this broker does not yet. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
}

/** For reading the log together from the metadata. */
const openWaitMs = 1_000;
const leaderWaitMs = 100;

export async function findFollowed(
  services: Services,
  topic: TopicImage | undefined,
  partition: number,
  { followed, fetchOffset, maxWaitMs, signal }: FollowedSearch,
): Promise<FoundPartition> {
  const { image, clock } = services;
  const elsewhere = findPartition(services, topic, partition);
  if (topic === undefined || elsewhere.error !== ErrorCode.NOT_LEADER_OR_FOLLOWER) return elsewhere;
  const { topicId, name: topicName } = topic;
  const hasOwner = image.partition(topicId, partition) !== undefined;
  const log = hasOwner ? await followed.find({ topicId, topicName, partition }, openWaitMs) : undefined;
  if (log === undefined || fetchOffset < log.logStartOffset) {
    return findPartitionSoon(services, topic, partition, leaderWaitMs);
  }
  await logReaches(log, fetchOffset, { clock, waitMs: Math.min(maxWaitMs, openWaitMs), signal });
  return { log };
}
