/**
 * ElectLeaders v0-2: no partition ever needs an election, because whoever owns it is its only leader. A partition that exists is
 * answered ELECTION_NOT_NEEDED; no partitions named means all, of which none is worth mentioning.
 */
import { electLeaders, ErrorCode, KafkaError, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { failure, type Outcome } from './outcome.ts';

type ElectLeadersRequest = RequestOf<typeof electLeaders>;
type ElectLeadersResponse = ResponseOf<typeof electLeaders>;

const electionTypes: readonly number[] = [0, 1]; // preferred, unclean

export const electLeadersHandler = defineHandler({
  api: electLeaders,
  fail: (code, request) => answer(request, code, () => failure(new KafkaError(code))),
  handle(request, _context, { image }) {
    if (!electionTypes.includes(request.electionType)) {
      const code = ErrorCode.INVALID_REQUEST;
      return answer(request, code, () =>
        failure(new KafkaError(code, `Unknown election type ${request.electionType}`)),
      );
    }
    return answer(request, ErrorCode.NONE, (name, partition) => {
      const known = partition >= 0 && partition < (image.topic(name)?.partitionCount ?? 0);
      if (known) return failure(new KafkaError(ErrorCode.ELECTION_NOT_NEEDED));
      return failure(new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `No such partition as ${name}-${partition}`));
    });
  },
});

function answer(
  { topicPartitions }: ElectLeadersRequest,
  errorCode: ErrorCode,
  outcome: (topic: string, partition: number) => Outcome,
): ElectLeadersResponse {
  const results = (topicPartitions ?? []).map(({ topic, partitions }) => ({
    topic,
    partitionResult: partitions.map((partitionId) => ({ partitionId, ...outcome(topic, partitionId) })),
  }));
  return { throttleTimeMs: 0, errorCode, replicaElectionResults: results };
}
