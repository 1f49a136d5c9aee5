/** From what a client calls a partition to its log here, or the error that says why not. */
import { ErrorCode } from '@kafscale/protocol';
import type { PartitionLog } from '../log/partition-log.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import type { Services } from './services.ts';

export type FoundPartition =
  { readonly log: PartitionLog; readonly error?: undefined } | { readonly log?: undefined; readonly error: ErrorCode };

/**
 * `topic` is undefined for one that does not exist. NOT_LEADER_OR_FOLLOWER for a partition that exists but is not open here, be it
 * another broker's or nobody's yet.
 */
export function findPartition(
  { logs }: Pick<Services, 'logs'>,
  topic: TopicImage | undefined,
  partition: number,
): FoundPartition {
  if (topic === undefined || partition < 0 || partition >= topic.partitionCount) {
    return { error: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
  }
  const log = logs.get(topic.topicId, partition);
  return log === undefined ? { error: ErrorCode.NOT_LEADER_OR_FOLLOWER } : { log };
}
