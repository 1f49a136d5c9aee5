/**
 * DescribeGroups v0-6 of classic groups. Metadata and assignments are told of stable groups only. A group that does not exist is
 * Dead up to v5 and GROUP_ID_NOT_FOUND from v6 on. Without an authorizer every operation on a group is allowed (v3).
 */
import { describeGroups, ErrorCode, KafkaError, type ResponseOf } from '@kafscale/protocol';
import type { ClassicGroup, GroupMember } from '../groups/classic/group-model.ts';
import { protocolMetadata } from '../groups/classic/protocol-choice.ts';
import type { GroupCoordinator } from '../groups/group-coordinator.ts';
import { defineHandler } from './define-handler.ts';

type Described = ResponseOf<typeof describeGroups>['groups'][number];

/** Bits of READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, in KIP-430's numbering of operations. */
const everyGroupOperation = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);
const operationsNotAsked = -0x80000000;

export const describeGroupsHandler = defineHandler({
  api: describeGroups,
  fail: (errorCode, { groups }) => ({ throttleTimeMs: 0, groups: groups.map((id) => nothing(id, errorCode)) }),
  async handle(request, { apiVersion }, { groups }) {
    const authorizedOperations = request.includeAuthorizedOperations ? everyGroupOperation : operationsNotAsked;
    const described = await Promise.all(request.groups.map((id) => describe(id, apiVersion, groups)));
    return { throttleTimeMs: 0, groups: described.map((group) => ({ ...group, authorizedOperations })) };
  },
});

async function describe(groupId: string, apiVersion: number, groups: GroupCoordinator): Promise<Described> {
  try {
    const group = await groups.describe(groupId);
    if (group !== undefined) return described(group);
  } catch (error) {
    if (error instanceof KafkaError) return nothing(groupId, error.code);
    throw error;
  }
  const missing = nothing(groupId, apiVersion >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.NONE);
  return { ...missing, errorMessage: apiVersion >= 6 ? 'There is no such group.' : null, groupState: 'Dead' };
}

function described(group: ClassicGroup): Described {
  const stable = group.state === 'Stable';
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: group.state,
    protocolType: group.protocolType ?? '',
    protocolData: stable ? (group.protocolName ?? '') : '',
    members: [...group.members.values()].map((member) => describedMember(member, stable ? group.protocolName : null)),
    authorizedOperations: operationsNotAsked,
  };
}

function describedMember(member: GroupMember, protocolName: string | null): Described['members'][number] {
  return {
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    memberMetadata: Buffer.from(protocolMetadata(member, protocolName)),
    memberAssignment: protocolName === null ? Buffer.alloc(0) : Buffer.from(member.assignment),
  };
}

const nothing = (groupId: string, errorCode: ErrorCode): Described => ({
  errorCode,
  errorMessage: null,
  groupId,
  groupState: '',
  protocolType: '',
  protocolData: '',
  members: [],
  authorizedOperations: operationsNotAsked,
});
