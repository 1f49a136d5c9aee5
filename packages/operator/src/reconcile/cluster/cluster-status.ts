/**
 * What a cluster's status says, from what was observed: pure, so that the same observations give the same status and a reconcile that
 * found nothing new writes nothing. Every condition is there from the start; what nobody could look at is `Unknown`.
 */
import type { BrokerStatus } from '@kafscale/protocol';
import type { ClusterConditionReason, ClusterConditionType } from '../../api/conditions.ts';
import type { ConditionStatus, Observation } from '../../kube/index.ts';
import type { Step } from '../drain/scale-down.ts';

/** What keeps anything from being made of the resource. */
export interface ClusterFault {
  readonly reason: 'InvalidSpec' | 'MissingSecret' | 'Denied';
  readonly message: string;
}

export interface DeploymentState {
  readonly replicas: number;
  readonly ready: number;
  readonly isRollingOut: boolean;
  /** Kubernetes gave up waiting for progress, or could not make pods; in its words. */
  readonly trouble?: string | undefined;
}

/** A pod that does not get on, such as by an image that cannot be pulled. */
export interface PodTrouble {
  readonly pod: string;
  readonly reason: 'ImageUnavailable' | 'BrokersUnavailable';
  readonly message: string;
}

export interface EtcdState {
  readonly isManaged: boolean;
  readonly reason: ClusterConditionReason<'EtcdAvailable'>;
  readonly message: string;
  /** Of a managed one. */
  readonly members?: number | undefined;
  readonly ready?: number | undefined;
  readonly isRestoring?: boolean | undefined;
  /** Of the fullest member, from 0 to 1. */
  readonly quotaUsed?: number | undefined;
}

export interface SnapshotState {
  readonly reason: ClusterConditionReason<'SnapshotHealthy'>;
  readonly message: string;
}

export interface ClusterObservation {
  readonly wanted: number;
  readonly fault?: ClusterFault | undefined;
  readonly deployment?: DeploymentState | undefined;
  readonly troubles: readonly PodTrouble[];
  /** What the control ports answered; those that did not are missing. */
  readonly brokers: readonly BrokerStatus[];
  readonly step: Step;
  readonly etcd: EtcdState;
  readonly snapshot: SnapshotState;
  readonly topics: { readonly total: number; readonly notSynced: readonly string[] };
}

/** From this share of its quota on a person should look at etcd. */
const nearlyFull = 0.75;

type Observe = (observation: ClusterObservation) => Omit<Observation, 'type'>;

function say<Type extends ClusterConditionType>(
  status: ConditionStatus,
  reason: ClusterConditionReason<Type>,
  message: string,
): Omit<Observation, 'type'> {
  return { status, reason, message };
}

/** One rule for each condition; `Ready` alone looks at more than its own matter. */
const observe: Readonly<Record<ClusterConditionType, Observe>> = {
  Ready({ wanted, fault, deployment, etcd }) {
    if (fault !== undefined) return say<'Ready'>('False', fault.reason, fault.message);
    if (etcd.isManaged && etcd.reason !== 'Answering') return say<'Ready'>('False', 'EtcdNotReady', etcd.message);
    const ready = deployment?.ready ?? 0;
    if (wanted === 0 && (deployment?.replicas ?? 0) === 0) {
      return say<'Ready'>('True', 'ScaledToZero', 'no broker is wanted; every record is kept');
    }
    return ready >= wanted
      ? say<'Ready'>('True', 'AllBrokersReady', `${ready} of ${wanted} brokers are ready`)
      : say<'Ready'>('False', 'BrokersNotReady', `${ready} of ${wanted} brokers are ready`);
  },

  Progressing({ wanted, deployment, step, etcd }) {
    if (etcd.isRestoring === true) return say<'Progressing'>('True', 'Restoring', etcd.message);
    if (etcd.isManaged && etcd.reason === 'Starting') return say<'Progressing'>('True', 'StartingEtcd', etcd.message);
    const replicas = deployment?.replicas ?? 0;
    if (deployment?.isRollingOut === true) {
      return say<'Progressing'>('True', 'RollingOut', 'brokers are replaced one after another');
    }
    if (wanted < replicas) {
      const victim = 'pod' in step ? `; ${step.pod.name} goes next` : '';
      return say<'Progressing'>('True', 'ScalingDown', `from ${replicas} to ${wanted} brokers${victim}`);
    }
    if ((deployment?.ready ?? 0) < wanted) {
      return say<'Progressing'>('True', 'ScalingUp', `${deployment?.ready ?? 0} of ${wanted} brokers are ready`);
    }
    return say<'Progressing'>('False', 'Settled', 'nothing is changing');
  },

  Degraded({ deployment, troubles, brokers, etcd }) {
    const [trouble] = troubles;
    if (trouble !== undefined) return say<'Degraded'>('True', trouble.reason, `${trouble.pod}: ${trouble.message}`);
    if (deployment?.trouble !== undefined) return say<'Degraded'>('True', 'RolloutStuck', deployment.trouble);
    if (etcd.isManaged && etcd.reason === 'Answering' && (etcd.ready ?? 0) < (etcd.members ?? 0)) {
      const message = `${etcd.ready ?? 0} of ${etcd.members ?? 0} members of etcd are ready`;
      return say<'Degraded'>('True', 'EtcdMemberLost', message);
    }
    if ((etcd.quotaUsed ?? 0) >= nearlyFull) {
      const message = `etcd uses ${Math.round(etcd.quotaUsed! * 100)} % of its quota`;
      return say<'Degraded'>('True', 'EtcdNearlyFull', message);
    }
    const unwell = brokers.filter(({ objectStoreState }) => objectStoreState !== 'healthy');
    if (unwell.length > 0) {
      const message = `${unwell.length} of ${brokers.length} brokers report a bucket that is not healthy`;
      return say<'Degraded'>('True', 'ObjectStoreDegraded', message);
    }
    return say<'Degraded'>('False', 'Healthy', 'nothing needs attention');
  },

  EtcdAvailable({ etcd }) {
    const status = { Answering: 'True', Unknown: 'Unknown', Starting: 'False' }[etcd.reason as string] ?? 'False';
    return say<'EtcdAvailable'>(status as ConditionStatus, etcd.reason, etcd.message);
  },

  S3Reachable({ brokers }) {
    const worst = worstOf(brokers.map(({ objectStoreState }) => objectStoreState));
    const rule = worst === undefined ? undefined : storeStates[worst];
    if (rule === undefined) return say<'S3Reachable'>('Unknown', 'Unknown', 'no broker has reported yet');
    return say<'S3Reachable'>(rule.status, rule.reason, rule.message);
  },

  SnapshotHealthy({ snapshot: { reason, message } }) {
    const status = reason === 'Fresh' ? 'True' : reason === 'NotManaged' ? 'Unknown' : 'False';
    return say<'SnapshotHealthy'>(status, reason, message);
  },

  ScaleDownBlocked({ step }) {
    if (step.type === 'blocked') return say<'ScaleDownBlocked'>('True', step.reason, step.message);
    if (step.type === 'release' && step.because !== undefined) {
      const message = `${step.pods.map(({ name }) => name).join(', ')} could not go and stays; trying again`;
      return say<'ScaleDownBlocked'>('True', step.because, message);
    }
    return say<'ScaleDownBlocked'>('False', 'NotBlocked', 'nothing is in the way of fewer brokers');
  },

  TopicsSynced({ topics: { total, notSynced } }) {
    if (notSynced.length === 0) {
      return say<'TopicsSynced'>('True', 'AllSynced', `${total} topics are as their resources say`);
    }
    const some = notSynced.slice(0, 5).join(', ');
    const message = `${notSynced.length} of ${total} topics are not as their resources say: ${some}`;
    return say<'TopicsSynced'>('False', 'SomeNotSynced', message);
  },
};

const storeStates: Readonly<
  Record<string, { status: ConditionStatus; reason: ClusterConditionReason<'S3Reachable'>; message: string }>
> = {
  unavailable: { status: 'False', reason: 'Unavailable', message: 'brokers cannot store anything' },
  degraded: { status: 'True', reason: 'Degraded', message: 'some calls to the bucket fail or are slow' },
  healthy: { status: 'True', reason: 'Healthy', message: 'every broker stores and reads objects' },
};

const worstOf = (states: readonly string[]): string | undefined =>
  Object.keys(storeStates).find((state) => states.includes(state));

/** Every condition, in the order of the table. */
export const clusterObservations = (observation: ClusterObservation): readonly Observation[] =>
  (Object.keys(observe) as ClusterConditionType[]).map((type) => ({ type, ...observe[type](observation) }));

/** In a word, for the column that people read first. */
export function phaseOf(observations: readonly Observation[]): string {
  const of = (type: ClusterConditionType) => observations.find((one) => one.type === type);
  const isTrue = (type: ClusterConditionType) => of(type)?.status === 'True';
  if (isTrue('ScaleDownBlocked')) return 'ScaleDownBlocked';
  if (isTrue('Progressing')) return of('Progressing')!.reason;
  if (!isTrue('Ready')) return of('Ready')!.reason;
  return isTrue('Degraded') ? 'Degraded' : 'Ready';
}
