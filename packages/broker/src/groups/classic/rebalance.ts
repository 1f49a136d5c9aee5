/** How a group comes from one generation to the next: PreparingRebalance until its members have joined, then CompletingRebalance. */
import { ErrorCode } from '@kafscale/protocol';
import { noAssignment, type GroupChange } from './group-change.ts';
import type { GroupMember, JoinAnswer } from './group-model.ts';
import { chooseProtocol, protocolMetadata } from './protocol-choice.ts';

/** Begins a rebalance, or when one is being prepared already, ends its preparation if everybody is there. */
export function rebalance(change: GroupChange): void {
  if (change.state === 'PreparingRebalance') completeJoinIfReady(change);
  else if (change.state !== 'Dead') prepareRebalance(change);
}

/** Ends the preparation once everybody joined. The first rebalance of an empty group lasts its time, for others to come. */
export function completeJoinIfReady(change: GroupChange): void {
  if (change.state === 'PreparingRebalance' && change.initialRebalance === null && change.allJoined)
    completeJoin(change);
}

function prepareRebalance(change: GroupChange): void {
  withdrawGeneration(change);
  if (change.state === 'Empty') {
    const delayMs = change.settings.groupInitialRebalanceDelayMs;
    change.initialRebalance = {
      delayMs,
      remainingMs: Math.max(change.rebalanceTimeoutMs - delayMs, 0),
      newMemberAdded: false,
    };
    change.moveTo('PreparingRebalance');
    change.setTimer({ type: 'join' }, delayMs);
    return;
  }
  change.moveTo('PreparingRebalance');
  if (change.allJoined) completeJoin(change);
  else change.setTimer({ type: 'join' }, change.rebalanceTimeoutMs);
}

/** Nobody gets an assignment of the current generation any more. */
function withdrawGeneration(change: GroupChange): void {
  change.cancelTimer({ type: 'sync' });
  for (const member of change.members.values()) {
    if (member.syncRequest !== undefined) {
      change.refuseSync(member.syncRequest, ErrorCode.REBALANCE_IN_PROGRESS);
      change.renewSession(member);
    }
    const assignment = change.state === 'CompletingRebalance' ? noAssignment : member.assignment;
    if (member.syncRequest !== undefined || member.awaitsSync || assignment !== member.assignment) {
      change.putMember({ ...member, assignment, syncRequest: undefined, awaitsSync: false });
    }
  }
}

/** The time of the preparation is over. */
export function joinTimerFired(change: GroupChange): void {
  if (change.state !== 'PreparingRebalance') return;
  const initial = change.initialRebalance;
  if (initial === null || !initial.newMemberAdded || initial.remainingMs === 0) {
    completeJoin(change);
    return;
  }
  const delayMs = Math.min(change.settings.groupInitialRebalanceDelayMs, initial.remainingMs);
  const remainingMs = Math.max(initial.remainingMs - initial.delayMs, 0);
  change.initialRebalance = { delayMs, remainingMs, newMemberAdded: false };
  change.setTimer({ type: 'join' }, delayMs);
}

/** Drops the dynamic members that did not come, and begins the next generation with the others. */
function completeJoin(change: GroupChange): void {
  change.cancelTimer({ type: 'join' });
  change.initialRebalance = null;
  for (const member of change.members.values()) {
    if (member.joinRequest === undefined && member.groupInstanceId === null) change.removeMember(member.memberId);
  }
  if (change.members.size > 0 && !electJoinedLeader(change)) {
    change.setTimer({ type: 'join' }, change.rebalanceTimeoutMs);
    return;
  }
  change.generation += 1;
  change.protocolName = chooseProtocol(change.members);
  change.moveTo(change.members.size === 0 ? 'Empty' : 'CompletingRebalance');
  change.store();
  if (change.state === 'CompletingRebalance') announceGeneration(change);
}

/** The leader stays when it joined, else one that did takes its place. False when nobody did. */
function electJoinedLeader(change: GroupChange): boolean {
  const leader = change.leaderId === null ? undefined : change.members.get(change.leaderId);
  if (leader?.joinRequest !== undefined) return true;
  for (const member of change.members.values()) {
    if (member.joinRequest === undefined) continue;
    change.leaderId = member.memberId;
    return true;
  }
  return false;
}

function announceGeneration(change: GroupChange): void {
  const joined = [...change.members.values()].map((member): GroupMember => ({
    ...member,
    assignment: noAssignment,
    joinRequest: undefined,
    isNew: false,
    awaitsSync: true,
  }));
  const requests = new Map([...change.members.values()].map(({ memberId, joinRequest }) => [memberId, joinRequest]));
  for (const member of joined) {
    change.putMember(member);
    change.renewSession(member);
  }
  for (const { memberId } of joined) {
    const request = requests.get(memberId);
    if (request !== undefined) change.answer(request, generationFor(change, memberId));
  }
  change.setTimer({ type: 'sync' }, change.rebalanceTimeoutMs);
}

/** The current generation as a member is told of it; the list of members goes to the leader only. */
export function generationFor(change: GroupChange, memberId: string): JoinAnswer {
  return {
    type: 'join',
    errorCode: ErrorCode.NONE,
    generation: change.generation,
    protocolType: change.protocolType,
    protocolName: change.protocolName,
    leaderId: change.leaderId ?? '',
    skipAssignment: false,
    memberId,
    members: memberId === change.leaderId ? memberList(change) : [],
  };
}

function memberList(change: GroupChange): JoinAnswer['members'] {
  return [...change.members.values()].map((member) => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    metadata: protocolMetadata(member, change.protocolName),
  }));
}
