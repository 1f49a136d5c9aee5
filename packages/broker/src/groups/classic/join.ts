/** JoinGroup: who may come in, under which id, and whether a rebalance follows. */
import { ErrorCode } from '@kafscale/protocol';
import { checkMember, noAssignment, type GroupChange } from './group-change.ts';
import type { GroupMember, JoinEvent } from './group-model.ts';
import { metadataBytes } from './metadata-bytes.ts';
import { chooseProtocol, sameProtocols, supportsProtocols } from './protocol-choice.ts';
import { completeJoinIfReady, generationFor, rebalance } from './rebalance.ts';

/** How long the JoinGroup of a member that never had an answer may wait. */
const newMemberJoinTimeoutMs = 5 * 60 * 1_000;

/** Most ids given out by one group to members that have not joined yet. */
const maxPendingMembers = 10_000;

export function join(change: GroupChange, event: JoinEvent): void {
  if (change.state === 'Dead') {
    change.refuseJoin(event.requestId, ErrorCode.COORDINATOR_NOT_AVAILABLE, event.memberId);
  } else if (!hasRoomFor(change, event)) {
    turnAway(change, event);
  } else if (!supportsProtocols(change, event)) {
    change.refuseJoin(event.requestId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL, event.memberId);
  } else if (event.memberId === '') {
    joinWithoutId(change, event);
  } else {
    joinWithId(change, event);
  }
}

/**
 * While a rebalance is prepared the members that have joined count, so that after a lowering of the limit the last ones to come
 * are refused; otherwise all members do.
 */
function hasRoomFor(change: GroupChange, event: JoinEvent): boolean {
  const { groupMaxSize, groupMetadataMaxBytes } = change.settings;
  const known = change.members.get(event.memberId) ?? staticHolder(change, event);
  let [count, bytes] = [0, metadataBytes(event)];
  for (const member of change.members.values()) {
    if (member === known) continue;
    if (change.state !== 'PreparingRebalance' || member.joinRequest !== undefined) count += 1;
    bytes += metadataBytes(member);
  }
  if (bytes > groupMetadataMaxBytes) return false;
  if (known !== undefined && (change.state !== 'PreparingRebalance' || known.joinRequest !== undefined)) return true;
  const asksForId = event.memberId === '' && event.groupInstanceId === null && event.requiresKnownMemberId;
  return count < groupMaxSize && (!asksForId || change.pendingMembers.size < Math.min(groupMaxSize, maxPendingMembers));
}

function turnAway(change: GroupChange, event: JoinEvent): void {
  change.refuseJoin(event.requestId, ErrorCode.GROUP_MAX_SIZE_REACHED, '');
  change.removePendingMember(event.memberId);
  if (change.members.has(event.memberId)) {
    change.removeMember(event.memberId);
    rebalance(change);
  } else {
    completeJoinIfReady(change);
  }
}

function staticHolder(change: GroupChange, { memberId, groupInstanceId }: JoinEvent): GroupMember | undefined {
  if (memberId !== '' || groupInstanceId === null) return undefined;
  return change.members.get(change.staticMembers.get(groupInstanceId) ?? '');
}

function joinWithoutId(change: GroupChange, event: JoinEvent): void {
  const holder = staticHolder(change, event);
  if (holder !== undefined) {
    replaceStaticMember(change, event, holder);
  } else if (event.groupInstanceId === null && event.requiresKnownMemberId) {
    change.addPendingMember(event.newMemberId);
    change.setTimer({ type: 'session', memberId: event.newMemberId }, event.sessionTimeoutMs);
    change.refuseJoin(event.requestId, ErrorCode.MEMBER_ID_REQUIRED, event.newMemberId);
  } else {
    addMember(change, event, event.newMemberId);
  }
}

function joinWithId(change: GroupChange, event: JoinEvent): void {
  if (change.pendingMembers.has(event.memberId) && event.groupInstanceId === null) {
    change.removePendingMember(event.memberId);
    addMember(change, event, event.memberId);
    return;
  }
  const errorCode = checkMember(change, event);
  const member = change.members.get(event.memberId);
  if (errorCode !== ErrorCode.NONE || member === undefined) {
    change.refuseJoin(event.requestId, errorCode, event.memberId);
    return;
  }
  const unchanged = sameProtocols(member.protocols, event.protocols);
  const missedTheAnswer = change.state === 'CompletingRebalance' && unchanged;
  // A leader joins again to have the group assigned anew, for instance after its topics got more partitions.
  const knowsTheGeneration = change.state === 'Stable' && unchanged && change.leaderId !== event.memberId;
  if (missedTheAnswer || knowsTheGeneration) {
    change.answer(event.requestId, generationFor(change, event.memberId));
    return;
  }
  park(change, event, member);
  rebalance(change);
}

function addMember(change: GroupChange, event: JoinEvent, memberId: string): void {
  if (change.members.size === 0) change.protocolType = event.protocolType;
  if (change.initialRebalance !== null) change.initialRebalance = { ...change.initialRebalance, newMemberAdded: true };
  change.leaderId ??= memberId;
  change.putMember({
    memberId,
    groupInstanceId: event.groupInstanceId,
    ...describedBy(event),
    assignment: noAssignment,
    joinRequest: event.requestId,
    syncRequest: undefined,
    isNew: true,
    awaitsSync: false,
  });
  // It cannot heartbeat before its JoinGroup is answered; a client that gave up meanwhile must not stay for ever.
  change.setTimer({ type: 'session', memberId }, newMemberJoinTimeoutMs);
  rebalance(change);
}

/** Takes over what the member says of itself, and lets the request wait; one that waited before it is told to ask again. */
function park(change: GroupChange, event: JoinEvent, member: GroupMember): void {
  change.refuseParked(member, ErrorCode.REBALANCE_IN_PROGRESS);
  change.putMember({ ...member, ...describedBy(event), joinRequest: event.requestId, syncRequest: undefined });
}

function describedBy({ clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, protocols }: JoinEvent) {
  return { clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, protocols };
}

/** A static member came back without its id: it gets a new one, the old one is fenced, and a stable group goes on as it was. */
function replaceStaticMember(change: GroupChange, event: JoinEvent, old: GroupMember): void {
  const formerLeaderId = change.leaderId ?? '';
  const member: GroupMember = {
    ...old,
    ...describedBy(event),
    memberId: event.newMemberId,
    joinRequest: undefined,
    syncRequest: undefined,
    isNew: false,
  };
  change.refuseParked(old, ErrorCode.FENCED_INSTANCE_ID);
  change.replaceMember(old, member);
  change.renewSession(member);

  if (change.state !== 'Stable' || chooseProtocol(change.members) !== change.protocolName) {
    change.putMember({ ...member, joinRequest: event.requestId });
    rebalance(change);
    return;
  }
  change.store();
  const current = generationFor(change, member.memberId);
  // A client that is told it leads assigns the group anew, unless it can be told to skip that; so others are told the former id.
  const answer = event.supportsSkippingAssignment
    ? { ...current, skipAssignment: change.leaderId === member.memberId }
    : { ...current, leaderId: formerLeaderId, members: [] };
  change.answer(event.requestId, answer);
}
