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
    const answered = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const errorCode = exists(name, partitionIndex, image) ? errorCodes.get(name) : undefined;
        return { partitionIndex, errorCode: errorCode ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
      }),
    }));
    return { errorCode: ErrorCode.NONE, throttleTimeMs: 0, topics: answered };
  },
});

function knownPartitions({ name, partitions }: Topic, image: MetadataImage) {
  const topic = image.topic(name);
  if (topic === undefined) return [];
  const indexes = partitions.map(({ partitionIndex }) => partitionIndex);
  return [{ name, topicId: topic.topicId, partitions: indexes.filter((index) => exists(name, index, image)) }];
}

function exists(name: string, partition: number, image: MetadataImage): boolean {
  return partition >= 0 && partition < (image.topic(name)?.partitionCount ?? 0);
}
