import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/** ElectLeaders: elects leaders of partitions (KIP-183). v1 adds the kind of election (KIP-460). */
export const electLeaders = defineApi({
  key: 43,
  name: 'ElectLeaders',
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    electionType: int8().since(1, 0), // 0 preferred, 1 unclean
    topicPartitions: nullable(array(struct({ topic: string(), partitions: array(int32()) }))),
    timeoutMs: int32(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode().since(1, 0),
    replicaElectionResults: array(
      struct({
        topic: string(),
        partitionResult: array(
          struct({
            partitionId: int32(),
            errorCode: errorCode(),
            errorMessage: nullable(string()),
          }),
        ),
      }),
    ),
  }),
});
