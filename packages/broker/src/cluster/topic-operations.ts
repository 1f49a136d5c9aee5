/** What a change of a topic writes and compares in the metadata store, and how a topic gets its id. */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Random } from '@kafscale/runtime';
import type { TopicId, TopicImage } from '../metadata/metadata-image.ts';
import { prefixEnd, type Compare, type Operation, type Revision } from '../metadata/metadata-store.ts';

/** A random UUID (version 4), so never used before; as in Kafka none that a shell would take for an option. */
export function newTopicId(random: Random): TopicId {
  for (;;) {
    const bytes = random.bytes(16);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40; // the version; it also keeps the id apart from the reserved ones, which are nearly zero
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const topicId = bytes.toString('base64url');
    if (!topicId.startsWith('-')) return topicId;
  }
}

export const putTopic = (name: string, record: metadata.TopicRecord) => ({
  type: 'put' as const,
  key: metadataKeys.topic(name),
  value: metadata.TopicRecord.encode(record).finish(),
});

/** The name becomes free, the tombstone says that the id is dead, and nobody owns its partitions any more, nor is to. */
export function deletion({ name, topicId }: Pick<TopicImage, 'name' | 'topicId'>, wallMs: number): Operation[] {
  const partitions = metadataPrefixes.partitionsOf(topicId);
  return [
    { type: 'delete', key: metadataKeys.topic(name) },
    {
      type: 'put',
      key: metadataKeys.tombstone(topicId),
      value: metadata.TopicTombstone.encode({ name, deletedMs: BigInt(wallMs) }).finish(),
    },
    { type: 'delete', key: partitions, end: prefixEnd(partitions) },
    { type: 'delete', key: metadataKeys.assignment(topicId) },
  ];
}

export const absent = (key: string): Compare => ({ key, target: 'createRevision', operator: '=', operand: 0 });

export const unchanged = (key: string, revision: Revision): Compare => ({
  key,
  target: 'modRevision',
  operator: '=',
  operand: revision,
});
