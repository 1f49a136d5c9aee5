import { defineApi } from '../wire/define-api.ts';
import { array, bytes, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/**
 * SyncGroup: the leader hands in the assignment, every member gets its part.
 * v3 adds static members (KIP-345); v5 the protocol's type and name, which must be the group's (KIP-559).
 */
export const syncGroup = defineApi({
  key: 14,
  name: 'SyncGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: nullable(string()).since(3, null), // null for dynamic members
    protocolType: nullable(string()).since(5, null),
    protocolName: nullable(string()).since(5, null),
    assignments: array(struct({ memberId: string(), assignment: bytes() })),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode(),
    protocolType: nullable(string()).since(5, null),
    protocolName: nullable(string()).since(5, null),
    assignment: bytes(),
  }),
});
