import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/** ListPartitionReassignments: the moves of replicas under way (KIP-455). Null topics mean all. */
export const listPartitionReassignments = defineApi({
  key: 46,
  name: 'ListPartitionReassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    timeoutMs: int32(),
    topics: nullable(array(struct({ name: string(), partitionIndexes: array(int32()) }))),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            replicas: array(int32()),
            addingReplicas: array(int32()),
            removingReplicas: array(int32()),
          }),
        ),
      }),
    ),
  }),
});
