import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/** CreatePartitions: more partitions for topics (KIP-195). v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599). */
export const createPartitions = defineApi({
  key: 37,
  name: 'CreatePartitions',
  versions: [0, 3],
  flexibleFrom: 2,
  request: struct({
    topics: array(
      struct({
        name: string(),
        count: int32(),
        assignments: nullable(array(struct({ brokerIds: array(int32()) }))),
      }),
    ),
    timeoutMs: int32(),
    validateOnly: boolean(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    results: array(struct({ name: string(), errorCode: errorCode(), errorMessage: nullable(string()) })),
  }),
});
