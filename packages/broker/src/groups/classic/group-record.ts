/** A generation as it is stored: what a restarted coordinator needs to go on without a rebalance. Parked requests and timers are not. */
import type { metadata } from '@kafscale/protocol';
import type { ClassicGroup, GroupMember } from './group-model.ts';

/** The record of a group that just began a generation, got its assignment, or exchanged a static member. */
export function groupRecord(group: ClassicGroup): metadata.GroupRecord {
  return {
    groupId: group.groupId,
    generation: group.generation,
    protocolType: group.protocolType ?? '',
    protocolName: group.protocolName ?? '',
    leaderId: group.leaderId ?? '',
    assigned: group.state === 'Stable',
    stateMs: BigInt(Math.trunc(group.stateMs)),
    members: [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      ...(member.groupInstanceId !== null && { groupInstanceId: member.groupInstanceId }),
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeoutMs,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      protocols: member.protocols.map(({ name, metadata: bytes }) => ({ name, metadata: asBuffer(bytes) })),
      assignment: asBuffer(member.assignment),
    })),
  };
}

/** The group as it was stored, its members connected to nobody. */
export function groupFromRecord(record: metadata.GroupRecord): ClassicGroup {
  const members = record.members.map((member): GroupMember => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId ?? null,
    clientId: member.clientId,
    clientHost: member.clientHost,
    sessionTimeoutMs: member.sessionTimeoutMs,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    protocols: member.protocols,
    assignment: member.assignment,
    joinRequest: undefined,
    syncRequest: undefined,
    isNew: false,
    awaitsSync: !record.assigned,
  }));
  const staticMembers = new Map<string, string>();
  for (const { memberId, groupInstanceId } of members) {
    if (groupInstanceId !== null) staticMembers.set(groupInstanceId, memberId);
  }
  const occupied = record.assigned ? 'Stable' : 'CompletingRebalance';
  return {
    groupId: record.groupId,
    state: members.length === 0 ? 'Empty' : occupied,
    stateMs: Number(record.stateMs),
    generation: record.generation,
    protocolType: textOrNull(record.protocolType),
    protocolName: textOrNull(record.protocolName),
    leaderId: textOrNull(record.leaderId),
    members: new Map(members.map((member) => [member.memberId, member])),
    staticMembers,
    pendingMembers: new Set(),
    initialRebalance: null,
  };
}

/** The same bytes, not a copy. */
const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

const textOrNull = (text: string) => (text === '' ? null : text);
