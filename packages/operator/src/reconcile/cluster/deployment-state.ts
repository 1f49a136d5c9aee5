/** What the brokers' Deployment and pods say of themselves, in the words of a cluster's status. Sentences are steady: no counters, no times. */
import type { Deployment, Pod, Stored } from '../../kube/index.ts';
import type { DeploymentState, PodTrouble } from './cluster-status.ts';

export interface DeploymentView extends DeploymentState {
  /** Kubernetes has not looked at the last change yet: what it says is of the one before. */
  readonly isBehind: boolean;
  /** Pods there are, of whatever template. */
  readonly existing: number;
  /** The API server refuses pods: quota, admission. */
  readonly denial?: string | undefined;
}

export function deploymentView({ metadata, spec, status }: Stored<Deployment>): DeploymentView {
  const conditions = status?.conditions ?? [];
  const failed = conditions.find(({ type, status: holds }) => type === 'ReplicaFailure' && holds === 'True');
  const stuck = conditions.find(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded');
  return {
    replicas: spec?.replicas ?? 1,
    ready: status?.readyReplicas ?? 0,
    existing: status?.replicas ?? 0,
    // Pods of an earlier template are still there.
    isRollingOut: (status?.replicas ?? 0) > (status?.updatedReplicas ?? 0),
    isBehind: (status?.observedGeneration ?? 0) < (metadata.generation ?? 0),
    trouble: failed?.message ?? (stuck && 'brokers with the newest change do not become ready; it can be taken back'),
    denial: failed?.message,
  };
}

const imageReasons = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);
/** A pod may take so long to be ready before it counts as trouble. */
export const startTakesMs = 5 * 60_000;

/** Of the pods that do not get on, what is wrong, in the order of their names. */
export function podTroubles(pods: readonly Stored<Pod>[], nowMs: number): readonly PodTrouble[] {
  return [...pods]
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .sort((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1))
    .flatMap((pod) => troubleOf(pod, nowMs) ?? []);
}

function troubleOf({ metadata, spec, status }: Stored<Pod>, nowMs: number): PodTrouble | undefined {
  const isReady = status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
  if (isReady) return undefined;
  const trouble = (reason: PodTrouble['reason'], message: string): PodTrouble => ({
    ...{ pod: metadata.name, reason, message },
  });
  const [container] = status?.containerStatuses ?? [];
  const waiting = container?.state?.waiting;
  const image = spec?.containers[0]?.image ?? 'its image';
  if (waiting?.reason !== undefined && imageReasons.has(waiting.reason)) {
    return waiting.reason.startsWith('CreateContainer') || waiting.reason === 'RunContainerError'
      ? trouble('ImageUnavailable', `its container cannot be started: ${waiting.message ?? waiting.reason}`)
      : trouble('ImageUnavailable', `the image ${image} cannot be pulled`);
  }
  if (waiting?.reason === 'CrashLoopBackOff') {
    const code = container?.lastState?.terminated?.exitCode;
    const ended = code === undefined ? '' : ` with exit code ${code}`;
    return trouble('BrokersUnavailable', `its process ends again and again${ended}; its log says why`);
  }
  const unscheduled = status?.conditions?.find(
    ({ type, status: holds }) => type === 'PodScheduled' && holds === 'False',
  );
  if (unscheduled?.reason === 'Unschedulable') {
    return trouble('BrokersUnavailable', `no node takes it: ${unscheduled.message ?? 'unschedulable'}`);
  }
  const ageMs = nowMs - Date.parse(metadata.creationTimestamp ?? '');
  return ageMs > startTakesMs ? trouble('BrokersUnavailable', 'it has not been ready for minutes') : undefined;
}
