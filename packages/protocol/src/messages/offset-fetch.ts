import { defineApi } from '../wire/define-api.ts';
import {
  array,
  boolean,
  errorCode,
  int32,
  int64,
  nullable,
  nullableSince,
  string,
  struct,
  uuid,
  zeroUuid,
} from '../wire/fields.ts';

/**
 * OffsetFetch: a group's committed positions.
 * From v2 on null topics mean all; v7 adds requireStable (KIP-447); v8 asks for many groups at once (KIP-709), so the
 * single group's fields are gone from there on; v9 adds the member of the consumer protocol (KIP-848); v10 names
 * topics by id.
 */
export const offsetFetch = defineApi({
  key: 9,
  name: 'OffsetFetch',
  versions: [0, 10],
  flexibleFrom: 6,
  request: struct({
    groupId: string().until(8, ''),
    topics: nullableSince(2, array(struct({ name: string(), partitionIndexes: array(int32()) }))).until(8, []),
    groups: array(
      struct({
        groupId: string(),
        memberId: nullable(string()).since(9, null),
        memberEpoch: int32().since(9, -1),
        topics: nullable(
          array(
            struct({
              name: string().until(10, ''),
              topicId: uuid().since(10, zeroUuid),
              partitionIndexes: array(int32()),
            }),
          ),
        ),
      }),
    ).since(8, []),
    requireStable: boolean().since(7, false),
  }),
  response: struct({
    throttleTimeMs: int32().since(3, 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32().since(5, -1),
            metadata: nullable(string()),
            errorCode: errorCode(),
          }),
        ),
      }),
    ).until(8, []),
    errorCode: errorCode().between(2, 8, 0),
    groups: array(
      struct({
        groupId: string(),
        topics: array(
          struct({
            name: string().until(10, ''),
            topicId: uuid().since(10, zeroUuid),
            partitions: array(
              struct({
                partitionIndex: int32(),
                committedOffset: int64(),
                committedLeaderEpoch: int32(),
                metadata: nullable(string()),
                errorCode: errorCode(),
              }),
            ),
          }),
        ),
        errorCode: errorCode(),
      }),
    ).since(8, []),
  }),
});
