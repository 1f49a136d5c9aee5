/**
 * DeleteRecords v0-2: moves the start of partitions forward (KIP-107); -1 stands for the high watermark. The new start is stored
 * before it is answered. An offset below the start changes nothing and answers with where the log starts. The timeout is not
 * acted on: there are no replicas to wait for.
 */
import { deleteRecords, ErrorCode, KafkaError, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { defineHandler } from './define-handler.ts';
import { findPartitionSoon, type FoundPartition } from './find-partition.ts';
import { inGroups } from './in-groups.ts';
import type { Services } from './services.ts';

type PartitionRequest = RequestOf<typeof deleteRecords>['topics'][number]['partitions'][number];
type PartitionResponse = ResponseOf<typeof deleteRecords>['topics'][number]['partitions'][number];

const toHighWatermark = -1;
/** Moves of one request that wait for their commit together. */
const maxConcurrentMoves = 100;

export const deleteRecordsHandler = defineHandler({
  api: deleteRecords,

  fail: (code, request) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => failed(partitionIndex, code)),
    })),
  }),

  async handle(request, _context, services) {
    const wanted = request.topics.flatMap(({ name, partitions }) => {
      const topic = services.image.topic(name);
      return partitions.map(async (partition) => {
        return { topic, partition, found: await findPartitionSoon(services, topic, partition.partitionIndex) };
      });
    });
    const answers = await inGroups(
      await Promise.all(wanted),
      maxConcurrentMoves,
      async ({ topic, partition, found }) => {
        try {
          return await deleteUpTo(topic, found, partition, services);
        } catch (error) {
          if (!(error instanceof KafkaError)) throw error;
          return failed(partition.partitionIndex, error.code);
        }
      },
    );
    const next = answers.values();
    return {
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(() => next.next().value!),
      })),
    };
  },
});

async function deleteUpTo(
  topic: TopicImage | undefined,
  { log, error }: FoundPartition,
  { partitionIndex, offset }: PartitionRequest,
  services: Services,
): Promise<PartitionResponse> {
  if (topic === undefined || log === undefined)
    return failed(partitionIndex, error ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  if (!topic.config.cleanupPolicy.delete) return failed(partitionIndex, ErrorCode.POLICY_VIOLATION);
  const start = offset === toHighWatermark ? log.highWatermark : offset;
  if (start < 0 || start > log.highWatermark) return failed(partitionIndex, ErrorCode.OFFSET_OUT_OF_RANGE);
  await services.logStarts.advanceLogStart(log, start);
  return { partitionIndex, errorCode: ErrorCode.NONE, lowWatermark: log.logStartOffset };
}

function failed(partitionIndex: number, errorCode: ErrorCode): PartitionResponse {
  return { partitionIndex, errorCode, lowWatermark: -1 };
}
