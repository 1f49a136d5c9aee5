/**
 * OffsetForLeaderEpoch v0-4: where a leader epoch ended, by which a client finds out after a change of leaders whether it read
 * records that are no more (KIP-101, KIP-320). An epoch that is not known answers -1 for epoch and offset.
 */
import { ErrorCode, offsetForLeaderEpoch, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { endOfEpoch } from '../log/leader-epochs.ts';
import { leaderEpochError } from '../log/read/fetch-records.ts';
import { defineHandler } from './define-handler.ts';
import { findPartitionSoon } from './find-partition.ts';
import type { Services } from './services.ts';

type TopicRequest = RequestOf<typeof offsetForLeaderEpoch>['topics'][number];
type PartitionRequest = TopicRequest['partitions'][number];
type PartitionResponse = ResponseOf<typeof offsetForLeaderEpoch>['topics'][number]['partitions'][number];

export const offsetForLeaderEpochHandler = defineHandler({
  api: offsetForLeaderEpoch,

  fail: (code, request) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition }) => failed(partition, code)),
    })),
  }),

  async handle(request, _context, services) {
    const wanted = request.topics.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    const ends = await Promise.all(wanted.map(({ topic, partition }) => endOf(topic, partition, services)));
    const next = ends.values();
    const topics = request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(() => next.next().value!),
    }));
    return { throttleTimeMs: 0, topics };
  },
});

async function endOf(topic: string, request: PartitionRequest, services: Services): Promise<PartitionResponse> {
  const { partition, currentLeaderEpoch, leaderEpoch } = request;
  const { log, error } = await findPartitionSoon(services, services.image.topic(topic), partition);
  if (log === undefined) return failed(partition, error);
  const epochError = leaderEpochError(log, currentLeaderEpoch, services.ownershipProof);
  if (epochError !== undefined) return failed(partition, epochError);
  const end = endOfEpoch(log, leaderEpoch) ?? { leaderEpoch: -1, endOffset: -1 };
  return { partition, errorCode: ErrorCode.NONE, ...end };
}

function failed(partition: number, errorCode: ErrorCode): PartitionResponse {
  return { partition, errorCode, leaderEpoch: -1, endOffset: -1 };
}
