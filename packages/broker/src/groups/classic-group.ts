/**
 * A classic consumer group as a pure state machine: `(group, event, now) → { group, effects }`. No I/O, no timers, no randomness:
 * the shell (`group-shard.ts`) hands out ids, carries out the effects in order, and stores the group before it gives an answer
 * that comes with a `store`. Any protocol type and assignor; what members say of themselves is never read here.
 *
 * Empty → PreparingRebalance → CompletingRebalance → Stable, from any of them back to PreparingRebalance, in the end Dead.
 */
import { ErrorCode, unreachable } from '@kafscale/protocol';
import { checkMember, GroupChange } from './classic/group-change.ts';
import type {
  ClassicGroup,
  ClassicGroupSettings,
  CommitEvent,
  GroupEvent,
  HeartbeatEvent,
  LeaveAnswer,
  LeaveEvent,
  MemberIdentity,
  Outcome,
  RequestId,
} from './classic/group-model.ts';
import { join } from './classic/join.ts';
import { completeJoinIfReady, joinTimerFired, rebalance } from './classic/rebalance.ts';
import { sync, syncTimerFired } from './classic/sync.ts';

/** A group nobody has joined. */
export function emptyGroup(groupId: string, nowMs: number): ClassicGroup {
  return {
    groupId,
    state: 'Empty',
    stateMs: nowMs,
    generation: 0,
    protocolType: null,
    protocolName: null,
    leaderId: null,
    members: new Map(),
    staticMembers: new Map(),
    pendingMembers: new Set(),
    initialRebalance: null,
  };
}

/** What `event` at wall time `nowMs` makes of the group. The group itself stays as it was. */
export function step(group: ClassicGroup, event: GroupEvent, nowMs: number, settings: ClassicGroupSettings): Outcome {
  const change = new GroupChange(group, nowMs, settings);
  apply(change, event);
  return change.outcome();
}

/**
 * The group as a restarted coordinator found it: every member gets a full session timeout, and nobody has to join again. A group
 * that became too large for the settings rebalances, so that the last members to join are turned away.
 */
export function resume(group: ClassicGroup, nowMs: number, settings: ClassicGroupSettings): Outcome {
  const change = new GroupChange(group, nowMs, settings);
  for (const member of group.members.values()) change.renewSession(member);
  if (group.state === 'CompletingRebalance') change.setTimer({ type: 'sync' }, change.rebalanceTimeoutMs);
  if (group.members.size > settings.groupMaxSize) rebalance(change);
  return change.outcome();
}

function apply(change: GroupChange, event: GroupEvent): void {
  switch (event.type) {
    case 'join':
      return join(change, event);
    case 'sync':
      return sync(change, event);
    case 'heartbeat':
      return heartbeat(change, event);
    case 'leave':
      return leave(change, event);
    case 'commit':
      return change.answer(event.requestId, { type: 'commit', errorCode: commit(change, event) });
    case 'timer':
      if (event.timer.type === 'join') return joinTimerFired(change);
      if (event.timer.type === 'sync') return syncTimerFired(change);
      return sessionEnded(change, event.timer.memberId);
    case 'delete':
      return change.answer(event.requestId, { type: 'delete', errorCode: remove(change) });
    case 'record-refused':
      return forgetAnswered(change, event.answered);
    default:
      return unreachable(event);
  }
}

/** Anything but a rebalance in preparation is fine for the member; the session is renewed in any case. */
function heartbeat(change: GroupChange, event: HeartbeatEvent): void {
  const errorCode = checkHeartbeat(change, event);
  const member = change.members.get(event.memberId);
  if (member !== undefined && (errorCode === ErrorCode.NONE || errorCode === ErrorCode.REBALANCE_IN_PROGRESS)) {
    change.renewSession(member);
  }
  change.answer(event.requestId, { type: 'heartbeat', errorCode });
}

function checkHeartbeat(change: GroupChange, event: HeartbeatEvent): ErrorCode {
  if (change.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  const memberError = checkMember(change, event);
  if (memberError !== ErrorCode.NONE) return memberError;
  if (event.generation !== change.generation) return ErrorCode.ILLEGAL_GENERATION;
  return change.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
}

/**
 * Generation -1 is a client that manages its partitions itself: allowed while the group is empty. A member commits in its own
 * generation, also while the next one is prepared, but not between its JoinGroup and its SyncGroup.
 */
function commit(change: GroupChange, event: CommitEvent): ErrorCode {
  if (change.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
  if (event.generation < 0 && change.state === 'Empty') return ErrorCode.NONE;
  const memberError = checkMember(change, event);
  if (memberError !== ErrorCode.NONE) return memberError;
  if (event.generation !== change.generation) return ErrorCode.ILLEGAL_GENERATION;
  if (change.state === 'CompletingRebalance') return ErrorCode.REBALANCE_IN_PROGRESS;
  const member = change.members.get(event.memberId);
  if (member !== undefined) change.renewSession(member);
  return ErrorCode.NONE;
}

function leave(change: GroupChange, event: LeaveEvent): void {
  if (change.state === 'Dead') {
    change.answer(event.requestId, leaveAnswer(ErrorCode.COORDINATOR_NOT_AVAILABLE, []));
    return;
  }
  const before = change.members.size;
  const members = event.members.map((identity) => ({ ...identity, errorCode: leaveOne(change, identity) }));
  if (change.members.size < before) rebalance(change);
  else completeJoinIfReady(change);
  change.answer(event.requestId, leaveAnswer(ErrorCode.NONE, members));
}

function leaveOne(change: GroupChange, identity: MemberIdentity): ErrorCode {
  const { groupInstanceId } = identity;
  if (identity.memberId === '') {
    const holder = groupInstanceId === null ? undefined : change.staticMembers.get(groupInstanceId);
    if (holder === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    change.removeMember(holder);
    return ErrorCode.NONE;
  }
  if (change.pendingMembers.has(identity.memberId)) {
    change.removePendingMember(identity.memberId);
    change.cancelTimer({ type: 'session', memberId: identity.memberId });
    return ErrorCode.NONE;
  }
  const errorCode = checkMember(change, identity);
  if (errorCode === ErrorCode.NONE) change.removeMember(identity.memberId);
  return errorCode;
}

const leaveAnswer = (errorCode: ErrorCode, members: LeaveAnswer['members']): LeaveAnswer => ({
  type: 'leave',
  errorCode,
  members,
});

/** A member that waits for the group is alive, unless it never had an answer: then it may be a client that gave up long ago. */
function sessionEnded(change: GroupChange, memberId: string): void {
  if (change.pendingMembers.has(memberId)) {
    change.removePendingMember(memberId);
    completeJoinIfReady(change);
    return;
  }
  const member = change.members.get(memberId);
  if (member === undefined) return;
  const waits = member.joinRequest !== undefined || member.syncRequest !== undefined;
  if (waits && !member.isNew) return;
  change.removeMember(memberId);
  rebalance(change);
}

function remove(change: GroupChange): ErrorCode {
  if (change.state === 'Dead') return ErrorCode.GROUP_ID_NOT_FOUND;
  if (change.state !== 'Empty') return ErrorCode.NON_EMPTY_GROUP;
  change.moveTo('Dead');
  return ErrorCode.NONE;
}

/** The event whose record was refused has not happened; the members it answered come back as if their connection had broken. */
function forgetAnswered(change: GroupChange, answered: ReadonlySet<RequestId>): void {
  for (const member of change.members.values()) {
    const joinRequest = isIn(answered, member.joinRequest) ? undefined : member.joinRequest;
    const syncRequest = isIn(answered, member.syncRequest) ? undefined : member.syncRequest;
    if (joinRequest !== member.joinRequest || syncRequest !== member.syncRequest) {
      change.putMember({ ...member, joinRequest, syncRequest, isNew: false });
    }
    change.renewSession(member);
  }
  if (change.state === 'PreparingRebalance') change.setTimer({ type: 'join' }, change.rebalanceTimeoutMs);
  if (change.state === 'CompletingRebalance') change.setTimer({ type: 'sync' }, change.rebalanceTimeoutMs);
}

const isIn = (requests: ReadonlySet<RequestId>, request: RequestId | undefined) =>
  request !== undefined && requests.has(request);
