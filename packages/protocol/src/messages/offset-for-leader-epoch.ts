import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, offset, string, struct } from '../wire/fields.ts';

/**
 * OffsetForLeaderEpoch: where a leader epoch ended (KIP-101).
 * v1 adds the epoch to the answer (KIP-279); v2 the client's current epoch (KIP-320); v3 the replica id, -2 for one
 * that only looks.
 */
export const offsetForLeaderEpoch = defineApi({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  versions: [0, 4],
  flexibleFrom: 4,
  request: struct({
    replicaId: int32().since(3, -2),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: int32().since(2, -1),
            leaderEpoch: int32(),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32().since(2, 0),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            errorCode: errorCode(),
            partition: int32(),
            leaderEpoch: int32().since(1, -1),
            endOffset: offset(),
          }),
        ),
      }),
    ),
  }),
});
