/**
 * One event's change in the making: a copy of the group that the rules write to, and the effects they have had so far. The group
 * it started from stays as it was.
 */
import { ErrorCode } from '@kafscale/protocol';
import type {
  ClassicGroup,
  ClassicGroupSettings,
  ClassicGroupState,
  GroupAnswer,
  GroupEffect,
  GroupMember,
  GroupTimer,
  InitialRebalance,
  JoinAnswer,
  Outcome,
  RequestId,
  SyncAnswer,
} from './group-model.ts';

export const noAssignment = new Uint8Array(0);

export class GroupChange {
  readonly settings: ClassicGroupSettings;
  readonly #nowMs: number;
  readonly #before: ClassicGroup;
  readonly #effects: GroupEffect[] = [];
  #state: ClassicGroupState;
  #stateMs: number;
  #members: Map<string, GroupMember> | undefined;
  #staticMembers: Map<string, string> | undefined;
  #pendingMembers: Set<string> | undefined;
  generation: number;
  protocolType: string | null;
  protocolName: string | null;
  leaderId: string | null;
  initialRebalance: InitialRebalance | null;

  constructor(group: ClassicGroup, nowMs: number, settings: ClassicGroupSettings) {
    this.settings = settings;
    this.#nowMs = nowMs;
    this.#before = group;
    this.#state = group.state;
    this.#stateMs = group.stateMs;
    this.generation = group.generation;
    this.protocolType = group.protocolType;
    this.protocolName = group.protocolName;
    this.leaderId = group.leaderId;
    this.initialRebalance = group.initialRebalance;
  }

  get state(): ClassicGroupState {
    return this.#state;
  }

  moveTo(state: ClassicGroupState): void {
    this.#state = state;
    this.#stateMs = this.#nowMs;
  }

  get members(): ReadonlyMap<string, GroupMember> {
    return this.#members ?? this.#before.members;
  }

  get staticMembers(): ReadonlyMap<string, string> {
    return this.#staticMembers ?? this.#before.staticMembers;
  }

  get pendingMembers(): ReadonlySet<string> {
    return this.#pendingMembers ?? this.#before.pendingMembers;
  }

  /** Every member is in a parked JoinGroup, and nobody was given an id to join with. */
  get allJoined(): boolean {
    if (this.pendingMembers.size > 0) return false;
    for (const member of this.members.values()) {
      if (member.joinRequest === undefined) return false;
    }
    return true;
  }

  /** The longest of its members'. */
  get rebalanceTimeoutMs(): number {
    let longestMs = 0;
    for (const member of this.members.values()) longestMs = Math.max(longestMs, member.rebalanceTimeoutMs);
    return longestMs;
  }

  putMember(member: GroupMember): void {
    this.#members ??= new Map(this.#before.members);
    this.#members.set(member.memberId, member);
    if (member.groupInstanceId === null) return;
    this.#staticMembers ??= new Map(this.#before.staticMembers);
    this.#staticMembers.set(member.groupInstanceId, member.memberId);
  }

  /** Forgets the member and its session; whoever waits on its behalf is told that it is unknown. A leader is succeeded at once. */
  removeMember(memberId: string): void {
    const member = this.members.get(memberId);
    if (member === undefined) return;
    this.refuseParked(member, ErrorCode.UNKNOWN_MEMBER_ID, '');
    this.#members ??= new Map(this.#before.members);
    this.#members.delete(memberId);
    if (member.groupInstanceId !== null) {
      this.#staticMembers ??= new Map(this.#before.staticMembers);
      this.#staticMembers.delete(member.groupInstanceId);
    }
    this.cancelTimer({ type: 'session', memberId });
    if (this.leaderId === memberId) this.leaderId = this.#members.keys().next().value ?? null;
  }

  /** Puts a static member's successor in its place, also as leader. */
  replaceMember(old: GroupMember, successor: GroupMember): void {
    const members = new Map<string, GroupMember>();
    for (const member of this.members.values()) {
      const kept = member.memberId === old.memberId ? successor : member;
      members.set(kept.memberId, kept);
    }
    this.#members = members;
    this.putMember(successor);
    this.cancelTimer({ type: 'session', memberId: old.memberId });
    if (this.leaderId === old.memberId) this.leaderId = successor.memberId;
  }

  addPendingMember(memberId: string): void {
    this.#pendingMembers ??= new Set(this.#before.pendingMembers);
    this.#pendingMembers.add(memberId);
  }

  removePendingMember(memberId: string): void {
    this.#pendingMembers ??= new Set(this.#before.pendingMembers);
    this.#pendingMembers.delete(memberId);
  }

  /** Answers the JoinGroup and the SyncGroup that wait for the member with an error. */
  refuseParked(member: GroupMember, errorCode: ErrorCode, memberId = member.memberId): void {
    if (member.joinRequest !== undefined) this.refuseJoin(member.joinRequest, errorCode, memberId);
    if (member.syncRequest !== undefined) this.refuseSync(member.syncRequest, errorCode);
  }

  answer(requestId: RequestId, answer: GroupAnswer): void {
    this.#effects.push({ type: 'answer', requestId, answer });
  }

  refuseJoin(requestId: RequestId, errorCode: ErrorCode, memberId: string): void {
    this.answer(requestId, refusedJoin(errorCode, memberId));
  }

  refuseSync(requestId: RequestId, errorCode: ErrorCode): void {
    this.answer(requestId, refusedSync(errorCode));
  }

  setTimer(timer: GroupTimer, delayMs: number): void {
    this.#effects.push({ type: 'set-timer', timer, delayMs });
  }

  /** Gives the member a full session timeout from now. */
  renewSession(member: GroupMember): void {
    this.setTimer({ type: 'session', memberId: member.memberId }, member.sessionTimeoutMs);
  }

  cancelTimer(timer: GroupTimer): void {
    this.#effects.push({ type: 'cancel-timer', timer });
  }

  store(): void {
    this.#effects.push({ type: 'store' });
  }

  outcome(): Outcome {
    const { groupId } = this.#before;
    const { generation, protocolType, protocolName, leaderId, initialRebalance } = this;
    const { members, staticMembers, pendingMembers } = this;
    return {
      group: {
        groupId,
        state: this.#state,
        stateMs: this.#stateMs,
        generation,
        protocolType,
        protocolName,
        leaderId,
        members,
        staticMembers,
        pendingMembers,
        initialRebalance,
      },
      effects: this.#effects,
    };
  }
}

export function refusedJoin(errorCode: ErrorCode, memberId: string): JoinAnswer {
  return {
    type: 'join',
    errorCode,
    generation: -1,
    protocolType: null,
    protocolName: null,
    leaderId: '',
    skipAssignment: false,
    memberId,
    members: [],
  };
}

export function refusedSync(errorCode: ErrorCode): SyncAnswer {
  return { type: 'sync', errorCode, protocolType: null, protocolName: null, assignment: noAssignment };
}

/** What is said instead of an answer that must not be given. */
export function refusedAnswer(answer: GroupAnswer, errorCode: ErrorCode): GroupAnswer {
  switch (answer.type) {
    case 'join':
      return refusedJoin(errorCode, answer.memberId);
    case 'sync':
      return refusedSync(errorCode);
    case 'leave':
      return { type: 'leave', errorCode, members: [] };
    default:
      return { type: answer.type, errorCode };
  }
}

/** NONE when the request's member is one of the group's, and the instance id it gives is its own. */
export function checkMember(
  group: Pick<ClassicGroup, 'members' | 'staticMembers'>,
  { memberId, groupInstanceId }: { readonly memberId: string; readonly groupInstanceId: string | null },
): ErrorCode {
  if (groupInstanceId !== null) {
    const holder = group.staticMembers.get(groupInstanceId);
    if (holder === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    if (holder !== memberId) return ErrorCode.FENCED_INSTANCE_ID;
  }
  return group.members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID;
}
