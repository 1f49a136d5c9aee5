/**
 * The next step towards fewer brokers, from what is seen now and nothing else, so that an operator that died at any step goes on where it
 * was: choose a broker, have it hand over all it owns, see that Kubernetes will take this very pod, lower the count by one, wait
 * until it is gone. The steps themselves are taken elsewhere.
 */
import type { BrokerStatus } from '@kafscale/protocol';
import { isActive, type BrokerPod } from './broker-pod.ts';
import { inDeletionOrder, isSurelyFirst } from './deletion-order.ts';

export type BlockedReason = 'DrainTimedOut' | 'BrokerNotAnswering' | 'RolloutRunning' | 'NoHeir';

export type Step =
  /** As many as wanted, and no mark left of an earlier attempt. */
  | { readonly type: 'nothing' }
  /** These may stay after all: take the marks away and let them own again. */
  | { readonly type: 'release'; readonly pods: readonly BrokerPod[]; readonly because?: BlockedReason }
  /** Something has to happen first that is under way by itself. */
  | { readonly type: 'wait'; readonly for: string }
  | { readonly type: 'blocked'; readonly reason: BlockedReason; readonly message: string }
  /** It is to go: write it down on the pod. */
  | { readonly type: 'mark'; readonly pod: BrokerPod }
  /** Have it hand over what it owns. */
  | { readonly type: 'drain'; readonly pod: BrokerPod }
  /** Ask for so many pods. The last broker has nobody to hand over to: it stores what it holds before. */
  | { readonly type: 'lower'; readonly to: number; readonly flushFirst?: BrokerPod };

/** What the control port of a pod answered; undefined when nothing did. */
export type StatusOf = (pod: BrokerPod) => BrokerStatus | undefined;

export interface ScaleDownView {
  readonly wanted: number;
  /** Of the Deployment: what it asks for, and whether pods are being replaced. */
  readonly replicas: number;
  readonly isRollingOut: boolean;
  readonly pods: readonly BrokerPod[];
  readonly statusOf: StatusOf;
  readonly nowMs: number;
  readonly drainTimeoutMs: number;
  /** Go on when a broker could not hand over in time: its own drain at SIGTERM has to do. */
  readonly isForced: boolean;
}

export function nextStep(view: ScaleDownView): Step {
  const { wanted, replicas, isRollingOut } = view;
  const pods = view.pods.filter(isActive);
  const marked = pods.filter(({ drainingSinceMs }) => drainingSinceMs !== undefined);
  if (wanted >= replicas) return isEnough(view, pods, marked);
  if (isRollingOut) return blocked('RolloutRunning', 'brokers are being replaced; scaling down goes on afterwards');
  if (view.pods.some(({ isTerminating }) => isTerminating)) return { type: 'wait', for: 'a broker that is ending' };
  if (pods.length > replicas) return { type: 'wait', for: 'Kubernetes to take a pod away' };
  const [victim, ...others] = oldestMarkFirst(marked);
  if (others.length > 0) return { type: 'release', pods: others };
  if (pods.length < replicas) return lowerMissing(view, victim);
  return victim === undefined ? choose(view, pods) : goOn(view, pods, victim);
}

/** A broker that handed over and is about to be taken away keeps its marks: without them Kubernetes might take another one. */
function isEnough(
  { replicas, isRollingOut }: ScaleDownView,
  pods: readonly BrokerPod[],
  marked: readonly BrokerPod[],
): Step {
  if (marked.length === 0) return { type: 'nothing' };
  if (pods.length > replicas && !isRollingOut) return { type: 'wait', for: 'Kubernetes to take a pod away' };
  return { type: 'release', pods: marked };
}

const blocked = (reason: BlockedReason, message: string): Step => ({ type: 'blocked', reason, message });

const oldestMarkFirst = (pods: readonly BrokerPod[]) =>
  [...pods].sort((left, right) => left.drainingSinceMs! - right.drainingSinceMs!);

/** There are fewer pods than asked for (quota, a node that is full): nobody has to go for the count to sink. */
function lowerMissing({ wanted, pods }: ScaleDownView, victim: BrokerPod | undefined): Step {
  if (victim !== undefined) return { type: 'release', pods: [victim] };
  const to = Math.max(wanted, pods.filter(isActive).length);
  return { type: 'lower', to };
}

/** A pod that is not ready goes first whatever its cost, so it is it; otherwise who owns least, of these the newest. */
function choose(view: ScaleDownView, pods: readonly BrokerPod[]): Step {
  const first = inDeletionOrder(pods, view.nowMs)[0]!;
  if (!first.isReady) return { type: 'mark', pod: first };
  const owned = (pod: BrokerPod) => {
    const status = view.statusOf(pod);
    return status === undefined ? Number.POSITIVE_INFINITY : status.partitions.length + status.coordinatorShards.length;
  };
  const cheapest = [...pods].sort(
    (left, right) => compare(owned(left), owned(right)) || compare(right.createdMs, left.createdMs),
  )[0]!;
  if (view.statusOf(cheapest) === undefined) return notAnswering(cheapest);
  return { type: 'mark', pod: cheapest };
}

const compare = (left: number, right: number): number => (left === right ? 0 : left < right ? -1 : 1);

const notAnswering = ({ name }: BrokerPod): Step =>
  blocked('BrokerNotAnswering', `the control port of ${name} does not answer, so nobody can tell what it owns`);

function goOn(view: ScaleDownView, pods: readonly BrokerPod[], victim: BrokerPod): Step {
  const { nowMs, drainTimeoutMs, isForced, replicas } = view;
  const status = view.statusOf(victim);
  const isLate = nowMs - victim.drainingSinceMs! >= drainTimeoutMs;
  const lower: Step = { type: 'lower', to: replicas - 1 };
  // It never began to serve, or its node is gone: there is nothing to hand over.
  if (victim.phase === 'Pending') return lower;
  if (status === undefined) return withoutAnswer(victim, { isLate, isForced, lower });
  if (replicas === 1) return { ...lower, flushFirst: victim };
  const hasHandedOver = status.cordoned && ownsNothing(status);
  if (!hasHandedOver && !pods.some((pod) => pod.uid !== victim.uid && pod.isReady)) {
    return blocked('NoHeir', `no other broker is ready to take over what ${victim.name} owns`);
  }
  if (!hasHandedOver && isLate && !isForced) {
    return { type: 'release', pods: [victim], because: 'DrainTimedOut' };
  }
  if (!hasHandedOver && !isLate) return { type: 'drain', pod: victim };
  if (isSurelyFirst(victim, pods, nowMs)) return lower;
  const first = inDeletionOrder(pods, nowMs)[0]!;
  // One that is not ready goes before any other, so it has to be the one.
  if (first.uid !== victim.uid && !first.isReady) return { type: 'release', pods: [victim] };
  return { type: 'wait', for: `${victim.name} to be the first that Kubernetes takes away` };
}

/** A process that does not answer ends by SIGTERM and hands over then, or is dead and its session ends; but not without a while. */
function withoutAnswer(
  victim: BrokerPod,
  { isLate, isForced, lower }: { readonly isLate: boolean; readonly isForced: boolean; readonly lower: Step },
): Step {
  if (isLate && (isForced || !victim.isReady)) return lower;
  return isLate ? { type: 'release', pods: [victim], because: 'BrokerNotAnswering' } : notAnswering(victim);
}

const ownsNothing = ({ partitions, coordinatorShards }: BrokerStatus): boolean =>
  partitions.length === 0 && coordinatorShards.length === 0;
