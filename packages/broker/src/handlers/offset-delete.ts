/**
 * OffsetDelete v0 (KIP-496). The answer is given when the offsets are gone from the store. A group of consumers keeps the offsets of
 * topics it is subscribed to; a group of another kind has to be empty.
 */
import { ErrorCode, offsetDelete, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { MetadataImage } from '../metadata/metadata-image.ts';
import { defineHandler } from './define-handler.ts';

type Topic = RequestOf<typeof offsetDelete>['topics'][number];

export const offsetDeleteHandler = defineHandler({
  api: offsetDelete,
  fail: (errorCode): ResponseOf<typeof offsetDelete> => ({ errorCode, throttleTimeMs: 0, topics: [] }),
  async handle({ groupId, topics }, _context, { groups, image }) {
    const known = topics.flatMap((topic) => knownPartitions(topic, image));
    const errorCodes = await groups.deleteOffsets(groupId, known);
    const partitionsOf = new Map(known.map(({ name, partitions }) => [name, new Set(partitions)]));
    const answered = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const exists = partitionsOf.get(name)?.has(partitionIndex) === true;
        const errorCode = exists ? errorCodes.get(name) : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        return { partitionIndex, errorCode: errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR };
      }),
    }));
    return { errorCode: ErrorCode.NONE, throttleTimeMs: 0, topics: answered };
  },
});

function knownPartitions({ name, partitions }: Topic, image: MetadataImage) {
  const topic = image.topic(name);
  if (topic === undefined) return [];
  const existing = partitions
    .map(({ partitionIndex }) => partitionIndex)
    .filter((index) => index >= 0 && index < topic.partitionCount);
  return [{ name, topicId: topic.topicId, partitions: existing }];
}
