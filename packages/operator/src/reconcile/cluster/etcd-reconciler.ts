/**
 * The cluster's etcd, as its reconciler sees it: one implementation runs it, another only asks after one that somebody else runs. It
 * makes and keeps its own objects by `Children.apply` (and takes its own away), never by a sync of all that the owner has.
 */
import type { BrokerStatus } from '@kafscale/protocol';
import type { KafScaleClusterStatus } from '../../api/cluster.ts';
import type { Owner } from '../../kube/index.ts';
import type { ClusterPlan } from '../../resources/cluster-plan.ts';
import type { KafScaleCluster } from '../resource-kinds.ts';
import type { EtcdState, SnapshotState } from './cluster-status.ts';

export interface EtcdContext {
  readonly signal: AbortSignal;
  /** What brokers answered lately; each says whether it reaches etcd. */
  readonly brokers: readonly BrokerStatus[];
}

export interface EtcdOutcome {
  readonly state: EtcdState;
  readonly snapshot: SnapshotState;
  /** For `status.etcd`. */
  readonly status?: KafScaleClusterStatus['etcd'];
  /** Wants to be called again after so long even if nothing changes. */
  readonly requeueAfterMs?: number | undefined;
}

export interface EtcdReconciler {
  /** Throws ChildRefused and KubeError; what etcd itself does is a state, never an error. */
  reconcile(owner: Owner<KafScaleCluster>, plan: ClusterPlan, context: EtcdContext): Promise<EtcdOutcome>;
  /** The cluster is gone: nothing of it is kept. Its objects go by themselves. */
  forget(cluster: { readonly namespace: string; readonly name: string; readonly uid: string }): void;
}
