import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, string, struct } from '../wire/fields.ts';

/** OffsetDelete: forgets committed offsets of a group (KIP-496). Never flexible. */
export const offsetDelete = defineApi({
  key: 47,
  name: 'OffsetDelete',
  versions: [0, 0],
  flexibleFrom: null,
  request: struct({
    groupId: string(),
    topics: array(
      struct({
        name: string(),
        partitions: array(struct({ partitionIndex: int32() })),
      }),
    ),
  }),
  response: struct({
    errorCode: errorCode(),
    throttleTimeMs: int32(),
    topics: array(
      struct({
        name: string(),
        partitions: array(struct({ partitionIndex: int32(), errorCode: errorCode() })),
      }),
    ),
  }),
});
