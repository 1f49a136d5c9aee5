import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int64, int8, offset, string, struct } from '../wire/fields.ts';

/**
 * ListOffsets: the offset at a timestamp, or at one of the special timestamps.
 * -1 is the end, -2 the start, -3 the largest timestamp (v7, KIP-734), -4 the local start (v8, KIP-405), -5 the last
 * tiered offset (v9, KIP-1005), -6 the earliest offset to upload (v11, KIP-1023). v0 has a shape of its own: up to
 * `maxNumOffsets` segment starts. v2 adds the isolation level (KIP-98), v4 leader epochs (KIP-320), v10 a timeout for
 * offsets held remotely (KIP-1075).
 */
export const listOffsets = defineApi({
  key: 2,
  name: 'ListOffsets',
  versions: [0, 11],
  flexibleFrom: 6,
  request: struct({
    replicaId: int32(), // -1 for consumers
    isolationLevel: int8().since(2, 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            currentLeaderEpoch: int32().since(4, -1),
            timestamp: int64(),
            maxNumOffsets: int32().until(1, 1),
          }),
        ),
      }),
    ),
    timeoutMs: int32().since(10, 0),
  }),
  response: struct({
    throttleTimeMs: int32().since(2, 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: errorCode(),
            oldStyleOffsets: array(offset()).until(1, []),
            timestamp: int64().since(1, -1n),
            offset: offset().since(1, -1),
            leaderEpoch: int32().since(4, -1),
          }),
        ),
      }),
    ),
  }),
});
