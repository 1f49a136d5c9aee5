/** The fields of a cluster's status beside its conditions. */
import type { KafScaleClusterStatus } from '../../api/cluster.ts';
import type { Condition, Stored } from '../../kube/index.ts';
import { brokerImage } from '../../resources/brokers.ts';
import { namesOf, ports, selectorText, type ClusterPlan } from '../../resources/cluster-plan.ts';
import type { StepTaken } from '../drain/scale-down-executor.ts';
import type { KafScaleCluster } from '../resource-kinds.ts';
import type { ClusterObservation } from './cluster-status.ts';
import type { DeploymentView } from './deployment-state.ts';
import type { EtcdOutcome } from './etcd-reconciler.ts';

interface StatusInput {
  readonly cluster: Stored<KafScaleCluster>;
  readonly findings: {
    readonly plan?: ClusterPlan;
    readonly deployment?: DeploymentView | undefined;
    readonly taken: StepTaken;
    readonly etcd: EtcdOutcome;
  };
  readonly observation: ClusterObservation;
  readonly phase: string;
  readonly conditions: readonly Condition[];
}

export function statusOf(input: StatusInput): KafScaleClusterStatus {
  const { cluster, findings, observation, phase, conditions } = input;
  const { name, namespace = '', generation } = cluster.metadata;
  const { plan, deployment, taken, etcd } = findings;
  const version = plan === undefined ? cluster.status?.version : versionOf(brokerImage(plan));
  const draining = 'pod' in taken.step ? taken.step.pod.name : undefined;
  return {
    ...(generation !== undefined && { observedGeneration: generation }),
    phase,
    ...(version !== undefined && { version }),
    bootstrapServers: `${namesOf(name).broker}.${namespace}.svc:${ports.kafka}`,
    brokers: {
      replicas: deployment?.existing ?? 0,
      ready: deployment?.ready ?? 0,
      selector: selectorText({ name }, 'broker'),
      ...(draining !== undefined && { draining }),
    },
    ...(etcd.status !== undefined && { etcd: etcd.status }),
    topicCount: observation.topics.total,
    conditions: [...conditions],
  };
}

/** The image's tag, or the beginning of its digest. */
function versionOf(image: string): string {
  const digest = /@(sha256:[0-9a-f]{12})/.exec(image)?.[1];
  return digest ?? /:([\w][\w.-]*)$/.exec(image)?.[1] ?? 'latest';
}
