import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/**
 * AlterPartitionReassignments: moves replicas (KIP-455). v1 can forbid a change of the replication factor (KIP-860).
 */
export const alterPartitionReassignments = defineApi({
  key: 45,
  name: 'AlterPartitionReassignments',
  versions: [0, 1],
  flexibleFrom: 0,
  request: struct({
    timeoutMs: int32(),
    allowReplicationFactorChange: boolean().since(1, true),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            replicas: nullable(array(int32())), // null cancels
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32(),
    allowReplicationFactorChange: boolean().since(1, true),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    responses: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: errorCode(),
            errorMessage: nullable(string()),
          }),
        ),
      }),
    ),
  }),
});
