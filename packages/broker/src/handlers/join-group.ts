/**
 * JoinGroup v0-9 of classic groups. The request waits for the end of the rebalance; when its connection breaks meanwhile the member
 * times out like any other. v0 has one timeout for session and rebalance; from v4 on a dynamic member is given its id first
 * (KIP-394); v9 lets a leader skip the assignment. The reason (v8) is for logs only and not kept.
 */
import { joinGroup, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

type Response = ResponseOf<typeof joinGroup>;

export const joinGroupHandler = defineHandler({
  api: joinGroup,
  fail: (errorCode, request): Response => ({
    throttleTimeMs: 0,
    errorCode,
    generationId: -1,
    protocolType: null,
    protocolName: '',
    leader: '',
    skipAssignment: false,
    memberId: request.memberId,
    members: [],
  }),
  async handle(request, { apiVersion, clientId, remoteAddress }, { groups }) {
    const answer = await groups.join({
      groupId: request.groupId,
      memberId: request.memberId,
      groupInstanceId: request.groupInstanceId,
      clientId: clientId ?? '',
      clientHost: `/${remoteAddress}`,
      sessionTimeoutMs: request.sessionTimeoutMs,
      rebalanceTimeoutMs: apiVersion >= 1 ? request.rebalanceTimeoutMs : request.sessionTimeoutMs,
      protocolType: request.protocolType,
      protocols: request.protocols,
      requiresKnownMemberId: apiVersion >= 4,
      supportsSkippingAssignment: apiVersion >= 9,
    });
    return {
      throttleTimeMs: 0,
      errorCode: answer.errorCode,
      generationId: answer.generation,
      protocolType: answer.protocolType,
      protocolName: answer.protocolName ?? (apiVersion >= 7 ? null : ''),
      leader: answer.leaderId,
      skipAssignment: answer.skipAssignment,
      memberId: answer.memberId,
      members: answer.members.map(({ memberId, groupInstanceId, metadata }) => {
        return { memberId, groupInstanceId, metadata: Buffer.from(metadata) };
      }),
    };
  },
});
