/** Heartbeat v0-4 of classic groups: renews the member's session, and tells it when it has to join again. Never stored. */
import { heartbeat } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const heartbeatHandler = defineHandler({
  api: heartbeat,
  fail: (errorCode) => ({ throttleTimeMs: 0, errorCode }),
  async handle({ groupId, generationId, memberId, groupInstanceId }, _context, { groups }) {
    const errorCode = await groups.heartbeat({ groupId, generation: generationId, memberId, groupInstanceId });
    return { throttleTimeMs: 0, errorCode };
  },
});
