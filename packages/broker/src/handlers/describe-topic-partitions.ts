/**
 * DescribeTopicPartitions v0 (KIP-966): topics in the order of their names, as many partitions as the limit allows, and a cursor to
 * go on from. No topics named means all of them.
 */
import {
  describeTopicPartitions,
  ErrorCode,
  KafkaError,
  zeroUuid,
  type RequestOf,
  type ResponseOf,
} from '@kafscale/protocol';
import { isInternalTopic, topicNameFault } from '../cluster/topic-rules.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { operationsNotAsked, topicOperations } from './authorized-operations.ts';
import { defineHandler } from './define-handler.ts';
import { Leaderships } from './leadership.ts';
import type { Services } from './services.ts';

type Response = ResponseOf<typeof describeTopicPartitions>;
type TopicEntry = Response['topics'][number];
type Cursor = RequestOf<typeof describeTopicPartitions>['cursor'];

/** Most partitions in one answer, whatever the client asks for. */
const maxPartitions = 2_000;

export const describeTopicPartitionsHandler = defineHandler({
  api: describeTopicPartitions,
  fail(errorCode, { topics }) {
    const entries = topics.map(({ name }) => ({
      ...failed(errorCode, name),
      topicAuthorizedOperations: operationsNotAsked,
    }));
    return { throttleTimeMs: 0, topics: entries, nextCursor: null };
  },
  handle({ topics: asked, responsePartitionLimit, cursor }, _context, services) {
    const names = asked.map(({ name }) => name);
    checkCursor(cursor, names);
    const leaderships = new Leaderships(services.image);
    const entries: TopicEntry[] = [];
    const answer = (nextCursor: Response['nextCursor']): Response => ({
      throttleTimeMs: 0,
      topics: entries,
      nextCursor,
    });
    let left = Math.min(Math.max(responsePartitionLimit, 1), maxPartitions);
    for (const name of namesFrom(names, cursor, services)) {
      if (left === 0) return answer({ topicName: name, partitionIndex: 0 });
      const topic = services.image.topic(name);
      if (topic === undefined) {
        entries.push(failed(faultOf(name), name));
        continue;
      }
      const first = name === cursor?.topicName ? cursor.partitionIndex : 0;
      const end = Math.min(topic.partitionCount, first + left);
      entries.push(describe(topic, first, end, leaderships));
      if (end < topic.partitionCount) return answer({ topicName: name, partitionIndex: end });
      left -= Math.max(0, end - first);
    }
    return answer(null);
  },
});

/** A cursor points into what is asked for. Throws INVALID_REQUEST. */
function checkCursor(cursor: Cursor, asked: readonly string[]): void {
  if (cursor === null) return;
  const { topicName, partitionIndex } = cursor;
  if (topicName === '' || partitionIndex < 0 || (asked.length > 0 && !asked.includes(topicName))) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST);
  }
}

function namesFrom(asked: readonly string[], cursor: Cursor, { image }: Services): string[] {
  const names = asked.length > 0 ? [...new Set(asked)].sort() : Array.from(image.topics(), ({ name }) => name);
  return cursor === null ? names : names.filter((name) => name >= cursor.topicName);
}

function describe(topic: TopicImage, first: number, end: number, leaderships: Leaderships): TopicEntry {
  const partitions = Array.from({ length: Math.max(0, end - first) }, (_, index) => ({
    ...leaderships.of(topic, first + index),
    eligibleLeaderReplicas: [],
    lastKnownElr: [],
  }));
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: isInternalTopic(topic.name),
    partitions,
    topicAuthorizedOperations: topicOperations,
  };
}

const faultOf = (name: string): ErrorCode =>
  topicNameFault(name) === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.INVALID_TOPIC_EXCEPTION;

const failed = (errorCode: ErrorCode, name: string): TopicEntry => ({
  errorCode,
  name,
  topicId: zeroUuid,
  isInternal: isInternalTopic(name),
  partitions: [],
  topicAuthorizedOperations: topicOperations,
});
