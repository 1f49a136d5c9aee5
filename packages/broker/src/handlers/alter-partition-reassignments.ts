/**
 * AlterPartitionReassignments v0-1: checked as Kafka checks it, and then done, because a partition's records are in reach of every
 * broker and brokers agree among themselves on who owns it. There is never a reassignment that could be cancelled.
 */
import {
  alterPartitionReassignments,
  ErrorCode,
  KafkaError,
  type RequestOf,
  type ResponseOf,
} from '@kafscale/protocol';
import { checkReplicas } from '../cluster/topic-rules.ts';
import { defineHandler } from './define-handler.ts';
import { outcomeOf } from './outcome.ts';
import type { Services } from './services.ts';

type Request = RequestOf<typeof alterPartitionReassignments>;
type Response = ResponseOf<typeof alterPartitionReassignments>;
type Reassignment = Request['topics'][number]['partitions'][number];

export const alterPartitionReassignmentsHandler = defineHandler({
  api: alterPartitionReassignments,
  fail: (code, request) => ({ ...answer(request, []), errorCode: code, errorMessage: new KafkaError(code).message }),
  async handle(request, _context, services) {
    const knownBrokers = new Set(services.image.brokers().map(({ brokerId }) => brokerId));
    const responses = await Promise.all(
      request.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(async (reassignment) => ({
            partitionIndex: reassignment.partitionIndex,
            ...(await outcomeOf(() => reassign(name, reassignment, knownBrokers, services))),
          })),
        ),
      })),
    );
    return answer(request, responses);
  },
});

function reassign(
  name: string,
  { partitionIndex, replicas }: Reassignment,
  knownBrokers: ReadonlySet<number>,
  { image }: Services,
): void {
  if (partitionIndex < 0 || partitionIndex >= (image.topic(name)?.partitionCount ?? 0)) {
    throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find partition ${name}:${partitionIndex}.`);
  }
  if (replicas === null) throw new KafkaError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS);
  checkReplicas(replicas, knownBrokers);
}

const answer = ({ allowReplicationFactorChange }: Request, responses: Response['responses']): Response => ({
  throttleTimeMs: 0,
  allowReplicationFactorChange,
  errorCode: ErrorCode.NONE,
  errorMessage: null,
  responses,
});
