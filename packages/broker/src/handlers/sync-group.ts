/** SyncGroup v0-5 of classic groups. A follower waits until the leader's assignment is stored; v5 checks the protocol's type and name. */
import { syncGroup, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const syncGroupHandler = defineHandler({
  api: syncGroup,
  fail: (errorCode): ResponseOf<typeof syncGroup> => ({
    throttleTimeMs: 0,
    errorCode,
    protocolType: null,
    protocolName: null,
    assignment: Buffer.alloc(0),
  }),
  async handle(request, _context, { groups }) {
    const { errorCode, protocolType, protocolName, assignment } = await groups.sync({
      groupId: request.groupId,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      generation: request.generationId,
      protocolType: request.protocolType,
      protocolName: request.protocolName,
      assignments: new Map(request.assignments.map(({ memberId, assignment: bytes }) => [memberId, bytes])),
    });
    return { throttleTimeMs: 0, errorCode, protocolType, protocolName, assignment: Buffer.from(assignment) };
  },
});
