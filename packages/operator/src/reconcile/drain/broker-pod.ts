/** What scaling down has to know of a broker's pod, read off the object; and the marks that a drain leaves on it. */
import type { Pod, Stored } from '../../kube/index.ts';

/** When the pod was chosen to go: survives the operator, and is taken away when it may stay. */
export const drainingSinceAnnotation = 'kafscale.io/draining-since';
/** Kubernetes' own: pods with less go first. */
export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';
/** Lower than anybody sets by hand, and still an int32 as the API server wants it. */
export const lowestDeletionCost = '-2147483647';

export interface BrokerPod {
  readonly name: string;
  readonly uid: string;
  readonly ip?: string | undefined;
  readonly node?: string | undefined;
  readonly phase: string;
  readonly isScheduled: boolean;
  readonly isReady: boolean;
  readonly readySinceMs?: number | undefined;
  readonly createdMs: number;
  readonly restarts: number;
  readonly deletionCost: number;
  readonly isTerminating: boolean;
  readonly drainingSinceMs?: number | undefined;
}

export function brokerPodOf({ metadata, spec, status }: Stored<Pod>): BrokerPod {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const isReady = ready?.status === 'True';
  const { annotations = {} } = metadata;
  return {
    name: metadata.name,
    uid: metadata.uid,
    ip: status?.podIP,
    node: spec?.nodeName,
    phase: status?.phase ?? 'Pending',
    isScheduled: (spec?.nodeName ?? '') !== '',
    isReady,
    readySinceMs: isReady ? timeOf(ready.lastTransitionTime) : undefined,
    createdMs: timeOf(metadata.creationTimestamp) ?? 0,
    restarts: Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount)),
    deletionCost: Number(annotations[deletionCostAnnotation] ?? 0) || 0,
    isTerminating: metadata.deletionTimestamp !== undefined,
    drainingSinceMs: timeOf(annotations[drainingSinceAnnotation]),
  };
}

/** Whether the pod counts as one of a ReplicaSet's: neither ended nor ending. */
export const isActive = ({ phase, isTerminating }: BrokerPod): boolean =>
  !isTerminating && phase !== 'Succeeded' && phase !== 'Failed';

function timeOf(text: string | undefined): number | undefined {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
