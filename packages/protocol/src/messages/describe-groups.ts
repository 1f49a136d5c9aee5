import { defineApi } from '../wire/define-api.ts';
import { array, boolean, bytes, errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/**
 * DescribeGroups: state and members of classic groups.
 * v3 adds authorized operations (KIP-430); v4 static members (KIP-345); v6 answers GROUP_ID_NOT_FOUND instead of the
 * state Dead (KIP-1043).
 */
export const describeGroups = defineApi({
  key: 15,
  name: 'DescribeGroups',
  versions: [0, 6],
  flexibleFrom: 5,
  request: struct({
    groups: array(string()),
    includeAuthorizedOperations: boolean().since(3, false),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    groups: array(
      struct({
        errorCode: errorCode(),
        errorMessage: nullable(string()).since(6, null),
        groupId: string(),
        groupState: string(),
        protocolType: string(),
        protocolData: string(),
        members: array(
          struct({
            memberId: string(),
            groupInstanceId: nullable(string()).since(4, null),
            clientId: string(),
            clientHost: string(),
            memberMetadata: bytes(),
            memberAssignment: bytes(),
          }),
        ),
        authorizedOperations: int32().since(3, -0x80000000),
      }),
    ),
  }),
});
