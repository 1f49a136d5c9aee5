/**
 * What a classic group is, what can happen to it and what follows from that: the words in which `classic-group.ts` speaks. All
 * of it is readonly data; times are delays, and requests are numbers that the shell handed out.
 */
import type { ErrorCode } from '@kafscale/protocol';

export type ClassicGroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead';

/** A request that waits for its answer. */
export type RequestId = number;

export interface GroupProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

export interface GroupMember {
  readonly memberId: string;
  /** Set for a static member (KIP-345). */
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** In the member's order of preference. */
  readonly protocols: readonly GroupProtocol[];
  readonly assignment: Uint8Array;
  /** The JoinGroup that is parked. */
  readonly joinRequest: RequestId | undefined;
  /** The SyncGroup that is parked. */
  readonly syncRequest: RequestId | undefined;
  /** In a JoinGroup that never was answered: the member knows no id to heartbeat with, and is timed out while it waits. */
  readonly isNew: boolean;
  /** Was told of the generation and has not asked for its assignment yet. */
  readonly awaitsSync: boolean;
}

/** The first rebalance of an empty group, which waits for more members. */
export interface InitialRebalance {
  readonly delayMs: number;
  readonly remainingMs: number;
  readonly newMemberAdded: boolean;
}

export interface ClassicGroup {
  readonly groupId: string;
  readonly state: ClassicGroupState;
  /** Wall time at which the group came into its state. */
  readonly stateMs: number;
  readonly generation: number;
  /** Null until the first member joined. */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string | null;
  readonly members: ReadonlyMap<string, GroupMember>;
  /** Member ids by group instance id. */
  readonly staticMembers: ReadonlyMap<string, string>;
  /** Ids given out with MEMBER_ID_REQUIRED whose owners have not joined yet (KIP-394). */
  readonly pendingMembers: ReadonlySet<string>;
  readonly initialRebalance: InitialRebalance | null;
}

/** The rules that can be configured. */
export interface ClassicGroupSettings {
  readonly groupInitialRebalanceDelayMs: number;
  /** Most members of one group. */
  readonly groupMaxSize: number;
  /** Most bytes of all members' names, metadata and assignments. */
  readonly groupMetadataMaxBytes: number;
}

export interface JoinEvent {
  readonly type: 'join';
  readonly requestId: RequestId;
  /** Empty for a member that has no id yet. */
  readonly memberId: string;
  /** The id to give to a member that has none. */
  readonly newMemberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly GroupProtocol[];
  /** JoinGroup v4+: a dynamic member has to come back with the id it is given (KIP-394). */
  readonly requiresKnownMemberId: boolean;
  /** JoinGroup v9+: a leader can be told to keep the assignment as it is. */
  readonly supportsSkippingAssignment: boolean;
}

export interface SyncEvent {
  readonly type: 'sync';
  readonly requestId: RequestId;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly generation: number;
  /** Null when the version of the request has none. */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  /** By member id; only the leader's count. */
  readonly assignments: ReadonlyMap<string, Uint8Array>;
}

export interface HeartbeatEvent {
  readonly type: 'heartbeat';
  readonly requestId: RequestId;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly generation: number;
}

export interface MemberIdentity {
  /** Empty to name a static member by its instance id alone. */
  readonly memberId: string;
  readonly groupInstanceId: string | null;
}

export interface LeaveEvent {
  readonly type: 'leave';
  readonly requestId: RequestId;
  readonly members: readonly MemberIdentity[];
}

/** Someone asks whether the member may commit offsets; a commit keeps the session alive. */
export interface CommitEvent {
  readonly type: 'commit';
  readonly requestId: RequestId;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly generation: number;
}

export type GroupTimer =
  | { readonly type: 'session'; readonly memberId: string }
  /** The end of PreparingRebalance. */
  | { readonly type: 'join' }
  /** The end of the wait for SyncGroup. */
  | { readonly type: 'sync' };

export type GroupEvent =
  | JoinEvent
  | SyncEvent
  | HeartbeatEvent
  | LeaveEvent
  | CommitEvent
  | { readonly type: 'timer'; readonly timer: GroupTimer }
  /** DeleteGroups, or the end of an empty group's offsets. */
  | { readonly type: 'delete'; readonly requestId: RequestId }
  /** The record of an earlier event was refused, and those requests were answered with an error. */
  | { readonly type: 'record-refused'; readonly answered: ReadonlySet<RequestId> };

export interface JoinAnswer {
  readonly type: 'join';
  readonly errorCode: ErrorCode;
  readonly generation: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string;
  readonly skipAssignment: boolean;
  readonly memberId: string;
  /** Only the leader gets them. */
  readonly members: readonly {
    readonly memberId: string;
    readonly groupInstanceId: string | null;
    readonly metadata: Uint8Array;
  }[];
}

export interface SyncAnswer {
  readonly type: 'sync';
  readonly errorCode: ErrorCode;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignment: Uint8Array;
}

export interface HeartbeatAnswer {
  readonly type: 'heartbeat';
  readonly errorCode: ErrorCode;
}

export interface LeaveAnswer {
  readonly type: 'leave';
  readonly errorCode: ErrorCode;
  readonly members: readonly (MemberIdentity & { readonly errorCode: ErrorCode })[];
}

export interface CommitAnswer {
  readonly type: 'commit';
  readonly errorCode: ErrorCode;
}

export interface DeleteAnswer {
  readonly type: 'delete';
  readonly errorCode: ErrorCode;
}

export type GroupAnswer = JoinAnswer | SyncAnswer | HeartbeatAnswer | LeaveAnswer | CommitAnswer | DeleteAnswer;

export type GroupEffect =
  | { readonly type: 'answer'; readonly requestId: RequestId; readonly answer: GroupAnswer }
  /** Replaces the timer of the same name. */
  | { readonly type: 'set-timer'; readonly timer: GroupTimer; readonly delayMs: number }
  | { readonly type: 'cancel-timer'; readonly timer: GroupTimer }
  /** The group after the event must be stored before any answer of the same event is given. */
  | { readonly type: 'store' };

export interface Outcome {
  readonly group: ClassicGroup;
  /** In the order in which they are to be carried out. */
  readonly effects: readonly GroupEffect[];
}
