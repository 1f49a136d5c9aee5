/**
 * Which pod a ReplicaSet takes away first: the order in which its controller sorts pods when there are too many. A victim that is not
 * the first by this order would outlive another pod that has not been drained. Source: Kubernetes, `ActivePodsWithRanks`, as of 1.22,
 * where the deletion cost joined it.
 */
import type { BrokerPod } from './broker-pod.ts';

type Order = (left: RankedPod, right: RankedPod) => number;

interface RankedPod extends BrokerPod {
  /** Pods of the set on the same node, itself included. */
  readonly onItsNode: number;
  readonly nowMs: number;
}

const falseFirst =
  (of: (pod: RankedPod) => boolean): Order =>
  (left, right) =>
    Number(of(left)) - Number(of(right));
const smallestFirst =
  (of: (pod: RankedPod) => number): Order =>
  (left, right) =>
    of(left) - of(right);
const largestFirst =
  (of: (pod: RankedPod) => number): Order =>
  (left, right) =>
    of(right) - of(left);

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Ages count as their logarithm, so that pods of about one age are of one rank. */
const ageRank = (sinceMs: number, nowMs: number): number => {
  const age = nowMs - sinceMs;
  return age <= 1 ? 0 : Math.floor(Math.log2(age * 1e6));
};

/** The first that tells two pods apart decides. */
const orders: readonly Order[] = [
  falseFirst(({ isScheduled }) => isScheduled),
  smallestFirst(({ phase }) => phaseRank[phase] ?? 2),
  falseFirst(({ isReady }) => isReady),
  smallestFirst(({ deletionCost }) => deletionCost),
  largestFirst(({ onItsNode }) => onItsNode),
  smallestFirst(({ isReady, readySinceMs, nowMs }) => (isReady ? ageRank(readySinceMs ?? nowMs, nowMs) : 0)),
  largestFirst(({ restarts }) => restarts),
  smallestFirst(({ createdMs, nowMs }) => ageRank(createdMs, nowMs)),
];

/** The pods as a ReplicaSet would take them away, the first one first. Equal ones stay in their order: which goes is chance. */
export function inDeletionOrder(pods: readonly BrokerPod[], nowMs: number): readonly BrokerPod[] {
  const onNode = new Map<string, number>();
  for (const { node } of pods) if (node !== undefined) onNode.set(node, (onNode.get(node) ?? 0) + 1);
  return pods
    .map((pod) => ({ pod, ranked: { ...pod, onItsNode: onNode.get(pod.node ?? '') ?? 0, nowMs } }))
    .sort((left, right) => {
      for (const order of orders) {
        const difference = order(left.ranked, right.ranked);
        if (difference !== 0) return difference;
      }
      return 0;
    })
    .map(({ pod }) => pod);
}

/** True when `pod` is surely among the first to go: nothing that sorts the same stands beside it. */
export function isSurelyFirst(pod: BrokerPod, pods: readonly BrokerPod[], nowMs: number): boolean {
  const forwards = inDeletionOrder(pods, nowMs)[0];
  const backwards = inDeletionOrder([...pods].reverse(), nowMs)[0];
  return forwards?.uid === pod.uid && backwards?.uid === pod.uid;
}
