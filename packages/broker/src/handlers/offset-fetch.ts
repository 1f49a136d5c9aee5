/**
 * OffsetFetch v0-10: one group up to v7, many from v8 on; no topics given (v2+) means all of them; v10 names topics by id. A partition
 * without a committed offset, also one of a group or a topic that does not exist, is answered with -1 and no error. Offsets are as
 * they are stored at a moment after the request, so requireStable (v7) asks for nothing more while there are no transactions. Up to v1
 * an error has its place in the partitions only.
 */
import { ErrorCode, KafkaError, offsetFetch, zeroUuid, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { CommittedOffset, TopicOffsets } from '../groups/offset-store.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';
import { defineHandler } from './define-handler.ts';
import type { Services } from './services.ts';

type GroupRequest = RequestOf<typeof offsetFetch>['groups'][number];
type Response = ResponseOf<typeof offsetFetch>;
type GroupAnswer = Response['groups'][number];
type TopicAnswer = GroupAnswer['topics'][number];

export const offsetFetchHandler = defineHandler({
  api: offsetFetch,
  fail(errorCode, request, { apiVersion }) {
    return answer(askedGroups(request, apiVersion).map((group) => refuse(group, errorCode, apiVersion)));
  },
  async handle(request, { apiVersion }, services) {
    const asked = askedGroups(request, apiVersion);
    return answer(await Promise.all(asked.map((group) => fetchGroup(group, apiVersion, services))));
  },
});

/** The group of an old request in the shape of the new ones. */
function askedGroups(
  { groupId, topics, groups }: RequestOf<typeof offsetFetch>,
  apiVersion: number,
): readonly GroupRequest[] {
  if (apiVersion >= 8) return groups;
  const named = topics?.map(({ name, partitionIndexes }) => ({ name, topicId: zeroUuid, partitionIndexes })) ?? null;
  return [{ groupId, memberId: null, memberEpoch: -1, topics: named }];
}

async function fetchGroup(
  request: GroupRequest,
  apiVersion: number,
  { groups, image }: Services,
): Promise<GroupAnswer> {
  const { groupId } = request;
  try {
    const committed = await groups.committedOffsets(groupId);
    const topics =
      request.topics === null
        ? [...committed].flatMap(([topicId, offsets]) => everythingOf(topicId, offsets, image))
        : request.topics.map((topic) => askedOf(topic, apiVersion, image, (topicId) => committed.get(topicId)));
    return { groupId, topics, errorCode: ErrorCode.NONE };
  } catch (error) {
    if (error instanceof KafkaError) return refuse(request, error.code, apiVersion);
    throw error;
  }
}

/** Nothing of a topic that is gone. */
function everythingOf(topicId: string, offsets: TopicOffsets, image: MetadataImage): TopicAnswer[] {
  const topic = image.topicById(topicId);
  if (topic === undefined) return [];
  return [{ name: topic.name, topicId, partitions: [...offsets].map(([index, offset]) => found(index, offset)) }];
}

function askedOf(
  { name, topicId, partitionIndexes }: NonNullable<GroupRequest['topics']>[number],
  apiVersion: number,
  image: MetadataImage,
  committed: (topicId: string) => TopicOffsets | undefined,
): TopicAnswer {
  const topic = apiVersion >= 10 ? image.topicById(topicId) : image.topic(name);
  const errorCode = topic === undefined && apiVersion >= 10 ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.NONE;
  const offsets = topic === undefined ? undefined : committed(topic.topicId);
  const partitions = partitionIndexes.map((index) => {
    const offset = offsets?.get(index);
    return offset === undefined ? nothing(index, errorCode) : found(index, offset);
  });
  return { name, topicId, partitions };
}

const found = (partitionIndex: number, { offset, leaderEpoch, metadata }: CommittedOffset) => ({
  partitionIndex,
  committedOffset: offset,
  committedLeaderEpoch: leaderEpoch,
  metadata,
  errorCode: ErrorCode.NONE as ErrorCode,
});

const nothing = (partitionIndex: number, errorCode: ErrorCode) => ({
  partitionIndex,
  committedOffset: -1n,
  committedLeaderEpoch: -1,
  metadata: '',
  errorCode,
});

function refuse({ groupId, topics }: GroupRequest, errorCode: ErrorCode, apiVersion: number): GroupAnswer {
  if (apiVersion >= 2) return { groupId, topics: [], errorCode };
  const refused = (topics ?? []).map(({ name, topicId, partitionIndexes }) => {
    return { name, topicId, partitions: partitionIndexes.map((index) => nothing(index, errorCode)) };
  });
  return { groupId, topics: refused, errorCode };
}

/** Old versions see the only group in the fields of their own. */
function answer(groups: GroupAnswer[]): Response {
  const [first] = groups;
  const errorCode = first?.errorCode ?? ErrorCode.NONE;
  return { throttleTimeMs: 0, topics: first?.topics ?? [], errorCode, groups };
}
