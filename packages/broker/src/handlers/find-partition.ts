/**
 * From what a client calls a partition to its log here, or the error that says why not. Nobody is sent to another broker on the word
 * of memory alone: see partition-finder.ts.
 */
import { ErrorCode } from '@kafscale/protocol';
import type { PartitionLog } from '../log/partition-log.ts';
import type { PartitionImage, TopicImage } from '../metadata/metadata-image.ts';
import type { Services } from './services.ts';

export interface MissingPartition {
  readonly log?: undefined;
  readonly error: ErrorCode;
  /** Who owns it, where that was looked up. */
  readonly leader?: PartitionImage | undefined;
}

export type FoundPartition = { readonly log: PartitionLog; readonly error?: undefined } | MissingPartition;

/**
 * `topic` is undefined for one that does not exist. NOT_LEADER_OR_FOLLOWER for a partition that exists but is not open here, be it
 * another broker's or nobody's yet; that is for `findPartitionSoon` to tell. KAFKA_STORAGE_ERROR for one that is ours and cannot be opened.
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
  if (log !== undefined) return { log };
  // As from a Kafka broker whose log directory is offline: nobody else has the partition, so clients are not sent to look for it.
  const isUnopened = logs.isUnopened(topic.topicId, partition);
  return { error: isUnopened ? ErrorCode.KAFKA_STORAGE_ERROR : ErrorCode.NOT_LEADER_OR_FOLLOWER };
}

/** Waits up to `waitMs` (the finder's own time unless told) for a partition that is about to be opened here, and knows where others are. */
export async function findPartitionSoon(
  services: Pick<Services, 'logs' | 'finder' | 'image'>,
  topic: TopicImage | undefined,
  partition: number,
  waitMs?: number,
): Promise<FoundPartition> {
  const found = findPartition(services, topic, partition);
  if (topic === undefined || found.error !== ErrorCode.NOT_LEADER_OR_FOLLOWER) return found;
  const whereabouts = await services.finder.find(topic.topicId, partition, waitMs);
  if (services.image.topicById(topic.topicId) === undefined) return { error: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
  if (whereabouts === 'here') return findPartition(services, topic, partition);
  return { error: ErrorCode.NOT_LEADER_OR_FOLLOWER, leader: whereabouts };
}
