/** SyncGroup: the leader brings the assignment of its generation, and every member gets its part once that is stored. */
import { ErrorCode } from '@kafscale/protocol';
import { checkMember, noAssignment, type GroupChange } from './group-change.ts';
import type { GroupMember, SyncAnswer, SyncEvent } from './group-model.ts';
import { metadataBytes } from './metadata-bytes.ts';
import { rebalance } from './rebalance.ts';

export function sync(change: GroupChange, event: SyncEvent): void {
  const errorCode = check(change, event);
  const member = change.members.get(event.memberId);
  if (errorCode !== ErrorCode.NONE || member === undefined) {
    change.refuseSync(event.requestId, errorCode);
    return;
  }
  const synced = { ...member, awaitsSync: false };
  change.putMember(synced);
  if (change.state === 'Stable') {
    change.answer(event.requestId, assignmentFor(change, member));
  } else {
    if (member.syncRequest !== undefined) change.refuseSync(member.syncRequest, ErrorCode.REBALANCE_IN_PROGRESS);
    change.putMember({ ...synced, syncRequest: event.requestId });
    if (change.leaderId === event.memberId) acceptAssignments(change, event.assignments);
  }
  if (!awaitsAnySync(change)) change.cancelTimer({ type: 'sync' });
}

function check(change: GroupChange, event: SyncEvent): ErrorCode {
  if (change.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  const memberError = checkMember(change, event);
  if (memberError !== ErrorCode.NONE) return memberError;
  if (event.generation !== change.generation) return ErrorCode.ILLEGAL_GENERATION;
  const { protocolType, protocolName } = event;
  if (protocolType !== null && protocolType !== change.protocolType) return ErrorCode.INCONSISTENT_GROUP_PROTOCOL;
  if (protocolName !== null && change.protocolName !== null && protocolName !== change.protocolName) {
    return ErrorCode.INCONSISTENT_GROUP_PROTOCOL;
  }
  return change.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
}

/** A member the leader left out gets empty bytes; an assignment for anybody else is ignored. */
function acceptAssignments(change: GroupChange, assignments: SyncEvent['assignments']): void {
  const assigned = [...change.members.values()].map((member): GroupMember => ({
    ...member,
    assignment: assignments.get(member.memberId) ?? noAssignment,
  }));
  const bytes = assigned.reduce((sum, member) => sum + metadataBytes(member), 0);
  if (bytes > change.settings.groupMetadataMaxBytes) {
    refuseAssignments(change);
    return;
  }
  change.moveTo('Stable');
  for (const member of assigned) change.putMember({ ...member, syncRequest: undefined });
  change.store();
  for (const member of assigned) {
    if (member.syncRequest === undefined) continue;
    change.renewSession(member);
    change.answer(member.syncRequest, assignmentFor(change, member));
  }
}

/** What cannot be stored is given to nobody. */
function refuseAssignments(change: GroupChange): void {
  for (const member of change.members.values()) {
    if (member.syncRequest === undefined) continue;
    change.refuseSync(member.syncRequest, ErrorCode.UNKNOWN_SERVER_ERROR);
    change.renewSession(member);
    change.putMember({ ...member, syncRequest: undefined });
  }
  rebalance(change);
}

/** Members that were told of a generation, and did not ask for their assignment in time, are out. */
export function syncTimerFired(change: GroupChange): void {
  if (change.state !== 'CompletingRebalance' && change.state !== 'Stable') return;
  if (!awaitsAnySync(change)) return;
  for (const member of change.members.values()) {
    if (member.awaitsSync) change.removeMember(member.memberId);
  }
  rebalance(change);
}

function awaitsAnySync(change: GroupChange): boolean {
  for (const member of change.members.values()) {
    if (member.awaitsSync) return true;
  }
  return false;
}

function assignmentFor(change: GroupChange, member: GroupMember): SyncAnswer {
  return {
    type: 'sync',
    errorCode: ErrorCode.NONE,
    protocolType: change.protocolType,
    protocolName: change.protocolName,
    assignment: member.assignment,
  };
}
