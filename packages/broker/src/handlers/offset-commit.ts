/**
 * OffsetCommit v0-10. The answer is given when the offsets are stored. Up to v9 topics come by name, from v10 on by id; v1 carries
 * a time per partition and v2-4 a retention of their own. v0 (once kept elsewhere than in a group) is a commit from outside the
 * group. Partitions that do not exist are answered one by one and never reach the group; before that the image is brought up to date,
 * because some consumers end on that answer.
 */
import { ErrorCode, offsetCommit, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { TopicCommit } from '../groups/group-shard.ts';
import type { CommittedOffset } from '../groups/offset-store.ts';
import type { MetadataImage, TopicImage } from '../metadata/metadata-image.ts';
import { defineHandler } from './define-handler.ts';

type Request = RequestOf<typeof offsetCommit>;
type Partition = Request['topics'][number]['partitions'][number];

export const offsetCommitHandler = defineHandler({
  api: offsetCommit,
  fail: (errorCode, request) => answer(request, () => errorCode),
  async handle(request, { apiVersion }, { groups, image, clock }) {
    if (!isKnown(request, apiVersion, image)) await groups.catchUp();
    const refused = new Map<Partition, ErrorCode>();
    const topics: TopicCommit[] = [];
    for (const { name, topicId, partitions } of request.topics) {
      const topic = apiVersion >= 10 ? image.topicById(topicId) : image.topic(name);
      const unknown = apiVersion >= 10 ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      const offsets = new Map<number, CommittedOffset>();
      for (const partition of partitions) {
        const errorCode = topic === undefined ? unknown : check(partition, topic, groups.offsetMetadataMaxBytes);
        if (errorCode !== ErrorCode.NONE) refused.set(partition, errorCode);
        else offsets.set(partition.partitionIndex, committedOffset(request, partition, clock.wallMs()));
      }
      if (topic !== undefined && offsets.size > 0) topics.push({ topicId: topic.topicId, offsets });
    }
    if (topics.length === 0) return answer(request, (partition) => refused.get(partition) ?? ErrorCode.NONE);

    const errorCode = await groups.commitOffsets({
      groupId: request.groupId,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      generation: request.generationIdOrMemberEpoch,
      topics,
    });
    // Clients before v9 know no missing group, only a generation that is not the current one.
    const missing = errorCode === ErrorCode.GROUP_ID_NOT_FOUND && apiVersion < 9;
    const groupError = missing ? ErrorCode.ILLEGAL_GENERATION : errorCode;
    return answer(request, (partition) => refused.get(partition) ?? groupError);
  },
});

/** Whether the image has every topic and partition that is named. */
function isKnown({ topics }: Request, apiVersion: number, image: MetadataImage): boolean {
  return topics.every(({ name, topicId, partitions }) => {
    const count = (apiVersion >= 10 ? image.topicById(topicId) : image.topic(name))?.partitionCount ?? 0;
    return partitions.every(({ partitionIndex }) => partitionIndex < count);
  });
}

function check(
  { partitionIndex, committedMetadata }: Partition,
  { partitionCount }: TopicImage,
  metadataMax: number,
): ErrorCode {
  if (partitionIndex < 0 || partitionIndex >= partitionCount) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  if ((committedMetadata?.length ?? 0) > metadataMax) return ErrorCode.OFFSET_METADATA_TOO_LARGE;
  return ErrorCode.NONE;
}

function committedOffset({ retentionTimeMs }: Request, partition: Partition, nowMs: number): CommittedOffset {
  return {
    offset: partition.committedOffset,
    leaderEpoch: partition.committedLeaderEpoch,
    metadata: partition.committedMetadata ?? '',
    commitMs: partition.commitTimestamp >= 0n ? storableMs(partition.commitTimestamp) : nowMs,
    expireMs: retentionTimeMs >= 0n ? storableMs(BigInt(nowMs) + retentionTimeMs) : undefined,
  };
}

/** A client may name any time; no clock here reaches the largest that is kept. */
const storableMs = (ms: bigint): number =>
  ms > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(ms);

function answer(
  { topics }: Request,
  errorCodeOf: (partition: Partition) => ErrorCode,
): ResponseOf<typeof offsetCommit> {
  return {
    throttleTimeMs: 0,
    topics: topics.map(({ name, topicId, partitions }) => ({
      name,
      topicId,
      partitions: partitions.map((partition) => {
        return { partitionIndex: partition.partitionIndex, errorCode: errorCodeOf(partition) };
      }),
    })),
  };
}
