/**
 * The next thing to do for a managed etcd, one at a time: pure, from what was seen, so an operator that dies is followed by one that
 * does the same. Nothing is done to one member while another is not well, except where etcd refuses writes anyway.
 */
import type { EtcdAlarm, EtcdClient } from '../../etcd/etcd-client.ts';
import { quorumOf } from '../../resources/etcd.ts';
import type { EtcdView, SeenMember } from './etcd-view.ts';

/**
 * - `promote`: a member that has caught up becomes a voter. `disarm`: etcd takes writes again. `defragment`: one member gives free space
 *   back. `move-leader`: the lead goes to another member before something is done to this one. `remove`: a place beyond those wanted.
 * - `scale`: so many pods. `recreate`: a pod whose etcd cannot get on decides anew how to start.
 */
export type EtcdStep =
  | { readonly type: 'nothing' }
  | { readonly type: 'promote' | 'remove'; readonly memberId: string; readonly by: EtcdClient }
  | { readonly type: 'disarm'; readonly alarm: EtcdAlarm; readonly by: EtcdClient }
  | { readonly type: 'defragment'; readonly member: SeenMember }
  | { readonly type: 'move-leader'; readonly from: SeenMember; readonly toMemberId: string }
  | { readonly type: 'scale'; readonly to: number }
  | { readonly type: 'recreate'; readonly ordinal: number };

export interface EtcdSituation {
  readonly view: EtcdView;
  /** Pods asked for now. */
  readonly replicas: number;
  readonly wanted: number;
  readonly quotaBytes: number;
  /** Members whose pods have run for a while without getting a place or agreeing with the others. */
  readonly lost: ReadonlySet<number>;
  /** Members that were defragmented a short while ago. */
  readonly rested?: ReadonlySet<number>;
}

/** From this share of the quota on a file is worth being made smaller, if this share of it is free. */
const worthFrom = 0.5;
const worthFree = 0.4;
/** Below this share etcd may take writes again. */
const disarmBelow = 0.9;

const nothing = { type: 'nothing' } as const;

export function nextStep(situation: EtcdSituation): EtcdStep {
  const { view } = situation;
  if (view.membership === undefined) return nothing;
  return (
    outOfSpace(situation) ??
    promotion(view) ??
    recreation(situation) ??
    scaling(situation) ??
    defragmentation(situation) ??
    nothing
  );
}

/** Who is asked for what concerns all of them. */
const speaker = ({ members }: EtcdView): EtcdClient | undefined => members.find(({ isHealthy }) => isHealthy)?.client;

function promotion(view: EtcdView): EtcdStep | undefined {
  const { members } = view;
  const by = speaker(view);
  const learner = members.find(({ isLearner, status }) => isLearner && status !== undefined);
  if (learner?.memberId === undefined || by === undefined) return undefined;
  return { type: 'promote', memberId: learner.memberId, by };
}

/**
 * Brokers have compacted; what is left is to give space back and to say so. Writes are refused, so a pause costs nothing. What a member
 * says to be in use is not up to date before its next write, which does not come: so each is tried, and again after a while.
 */
function outOfSpace(situation: EtcdSituation): EtcdStep | undefined {
  const { view, quotaBytes, rested = new Set() } = situation;
  const alarm = view.alarms.find((one) => one.alarm === 'NOSPACE');
  const by = speaker(view);
  if (alarm === undefined || by === undefined) return undefined;
  const fat = view.members.filter(({ status }) => status !== undefined && status.sizeBytes >= disarmBelow * quotaBytes);
  const shrinkable = fat.filter(
    ({ ordinal, status }) => !rested.has(ordinal) || status!.inUseBytes < disarmBelow * status!.sizeBytes,
  );
  if (fat.length === 0) return { type: 'disarm', alarm, by };
  // The leader last: while it is away nobody can even read.
  const [member] = shrinkable.sort((left, right) => Number(left.isLeader) - Number(right.isLeader));
  return member && { type: 'defragment', member };
}

function recreation({ view, replicas, lost }: EtcdSituation): EtcdStep | undefined {
  const stray = view.members.find(({ ordinal }) => ordinal < replicas && lost.has(ordinal));
  return stray && { type: 'recreate', ordinal: stray.ordinal };
}

/** Up by one when all are well; down by one, the place before the pod, and never below what makes a quorum. */
function scaling({ view, replicas, wanted }: EtcdSituation): EtcdStep | undefined {
  const allWell = view.members.every(({ isHealthy }) => isHealthy);
  if (wanted > replicas) return allWell ? { type: 'scale', to: replicas + 1 } : undefined;
  if (wanted >= replicas) return undefined;
  const victim = view.members[replicas - 1];
  if (victim?.memberId === undefined) return { type: 'scale', to: replicas - 1 };
  const others = view.members.slice(0, replicas - 1);
  if (!others.every(({ isHealthy }) => isHealthy)) return undefined;
  if (victim.isLeader) return moveLeader(victim, others);
  return { type: 'remove', memberId: victim.memberId, by: others[0]!.client };
}

function defragmentation({ view, quotaBytes }: EtcdSituation): EtcdStep | undefined {
  const { members } = view;
  if (!members.every(({ isHealthy }) => isHealthy)) return undefined;
  if (view.membership!.members.length !== members.length) return undefined;
  const worth = members.filter(({ status }) => {
    const { sizeBytes, inUseBytes } = status!;
    return sizeBytes >= worthFrom * quotaBytes && sizeBytes - inUseBytes >= worthFree * sizeBytes;
  });
  const member = worth.find(({ isLeader }) => !isLeader) ?? worth[0];
  if (member === undefined) return undefined;
  const others = members.filter((other) => other !== member);
  if (!member.isLeader || others.length === 0) return { type: 'defragment', member };
  return moveLeader(member, others);
}

function moveLeader(from: SeenMember, others: readonly SeenMember[]): EtcdStep | undefined {
  const heir = others.find(({ isHealthy }) => isHealthy);
  return heir && { type: 'move-leader', from, toMemberId: heir.memberId! };
}

/** True when so many of the members answer and vote that etcd can decide. */
export const hasQuorum = ({ membership, members }: EtcdView): boolean => {
  const voters = membership?.members.filter(({ isLearner }) => !isLearner).length ?? 0;
  return voters > 0 && members.filter(({ isHealthy }) => isHealthy).length >= quorumOf(voters);
};
