import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int64, nullable, string, struct, uuid, zeroUuid } from '../wire/fields.ts';

/**
 * OffsetCommit: a group's positions.
 * v1 adds the generation and a timestamp per partition, which v2 replaces by a retention time for the whole commit,
 * gone in v5 for the broker's own (KIP-211); v6 adds leader epochs (KIP-320); v7 static members (KIP-345); v9 serves
 * the consumer protocol (KIP-848); v10 names topics by id.
 */
export const offsetCommit = defineApi({
  key: 8,
  name: 'OffsetCommit',
  versions: [0, 10],
  flexibleFrom: 8,
  request: struct({
    groupId: string(),
    generationIdOrMemberEpoch: int32().since(1, -1), // -1 for a commit from outside the group
    memberId: string().since(1, ''),
    groupInstanceId: nullable(string()).since(7, null), // null for dynamic members
    retentionTimeMs: int64().between(2, 5, -1n), // -1 for the broker's own
    topics: array(
      struct({
        name: string().until(10, ''),
        topicId: uuid().since(10, zeroUuid),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32().since(6, -1),
            commitTimestamp: int64().between(1, 2, -1n),
            committedMetadata: nullable(string()),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32().since(3, 0),
    topics: array(
      struct({
        name: string().until(10, ''),
        topicId: uuid().since(10, zeroUuid),
        partitions: array(struct({ partitionIndex: int32(), errorCode: errorCode() })),
      }),
    ),
  }),
});
