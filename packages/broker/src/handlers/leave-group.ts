/**
 * LeaveGroup v0-5 of classic groups: one member up to v2, whose error is the whole answer's; a list from v3 on, in which a static
 * member can be named by its instance id alone. The reason (v5) is for logs only and not kept.
 */
import { ErrorCode, leaveGroup, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const leaveGroupHandler = defineHandler({
  api: leaveGroup,
  fail: (errorCode): ResponseOf<typeof leaveGroup> => ({ throttleTimeMs: 0, errorCode, members: [] }),
  async handle({ groupId, memberId, members }, { apiVersion }, { groups }) {
    const leaving = apiVersion >= 3 ? members : [{ memberId, groupInstanceId: null }];
    const answer = await groups.leave({
      groupId,
      members: leaving.map(({ memberId: id, groupInstanceId }) => ({ memberId: id, groupInstanceId })),
    });
    const [first] = answer.members;
    const single = answer.errorCode === ErrorCode.NONE && first !== undefined ? first.errorCode : answer.errorCode;
    return { throttleTimeMs: 0, errorCode: apiVersion >= 3 ? answer.errorCode : single, members: [...answer.members] };
  },
});
