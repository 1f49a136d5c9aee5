import { defineApi } from '../wire/define-api.ts';
import { array, boolean, bytes, errorCode, int32, nullable, nullableSince, string, struct } from '../wire/fields.ts';

/**
 * JoinGroup: a member enters a rebalance of a classic group and waits for its outcome.
 * v0 has no rebalance timeout, the session timeout stands for it; v4 makes new members come twice, with an id
 * (KIP-394); v5 adds static members (KIP-345); v7 the protocol type (KIP-559); v8 a reason (KIP-800); v9 lets the
 * leader skip the assignment (KIP-814).
 */
export const joinGroup = defineApi({
  key: 11,
  name: 'JoinGroup',
  versions: [0, 9],
  flexibleFrom: 6,
  request: struct({
    groupId: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32().since(1, -1),
    memberId: string(),
    groupInstanceId: nullable(string()).since(5, null), // null for dynamic members
    protocolType: string(),
    protocols: array(struct({ name: string(), metadata: bytes() })),
    reason: nullable(string()).since(8, null),
  }),
  response: struct({
    throttleTimeMs: int32().since(2, 0),
    errorCode: errorCode(),
    generationId: int32(),
    protocolType: nullable(string()).since(7, null),
    protocolName: nullableSince(7, string()),
    leader: string(),
    skipAssignment: boolean().since(9, false),
    memberId: string(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: nullable(string()).since(5, null),
        metadata: bytes(),
      }),
    ),
  }),
});
