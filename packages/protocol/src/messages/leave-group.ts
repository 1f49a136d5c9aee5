import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/**
 * LeaveGroup: members leave their group.
 * v0-2 carry one member, v3 a list in which static members can be named by their instance (KIP-345); v5 adds a reason
 * (KIP-800).
 */
export const leaveGroup = defineApi({
  key: 13,
  name: 'LeaveGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    memberId: string().until(3, ''),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: nullable(string()),
        reason: nullable(string()).since(5, null),
      }),
    ).since(3, []),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: nullable(string()),
        errorCode: errorCode(),
      }),
    ).since(3, []),
  }),
});
