/**
 * Everything that the operator follows, kind by kind, in all namespaces or in those it was told. Children are found by the operator's
 * label alone, so that a Kubernetes cluster full of other people's pods costs nothing.
 */
import type { Clock, Logger, Random } from '@kafscale/runtime';
import {
  fieldManager,
  Informer,
  instanceLabel,
  kinds,
  managedByLabel,
  objectKey,
  WatchedKind,
  type IndexFunction,
  type Kind,
  type KubeClient,
  type KubeObject,
  type Pod,
  type Stored,
} from '../kube/index.ts';
import { clusterResource, topicResource, type KafScaleTopic } from './resource-kinds.ts';

export interface WatchSettings {
  readonly client: Pick<KubeClient, 'listPages' | 'watch'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** All of them when absent. */
  readonly namespaces?: readonly string[] | undefined;
}

/** Index of topics: by `namespace/cluster`. */
export const topicsOfCluster = 'cluster';

const byCluster: IndexFunction<KafScaleTopic> = ({ metadata, spec }) => {
  const name = (spec as { readonly clusterRef?: unknown } | undefined)?.clusterRef;
  return typeof name === 'string' ? [objectKey({ namespace: metadata.namespace, name })] : [];
};

/** Index of pods: by `namespace/cluster`. */
export const podsOfCluster = 'cluster';

const byInstance: IndexFunction<Pod> = ({ metadata }) => {
  const name = metadata.labels?.[instanceLabel];
  return name === undefined ? [] : [objectKey({ namespace: metadata.namespace, name })];
};

export type WatchedWorld = ReturnType<typeof watchWorld>;

export function watchWorld({ namespaces, ...common }: WatchSettings) {
  const follow = <T extends KubeObject>(
    kind: Kind<T>,
    more: {
      readonly labelSelector?: string;
      readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
      readonly project?: (object: Stored<T>) => Stored<T>;
    } = {},
  ) => {
    const places = namespaces === undefined ? [undefined] : [...new Set(namespaces)];
    return new WatchedKind(
      kind,
      places.map((namespace) => new Informer({ kind, ...common, ...more, namespace })),
    );
  };
  const ours = { labelSelector: `${managedByLabel}=${fieldManager}` };
  const children = {
    configMaps: follow(kinds.ConfigMap, ours),
    services: follow(kinds.Service, ours),
    serviceAccounts: follow(kinds.ServiceAccount, ours),
    deployments: follow(kinds.Deployment, ours),
    statefulSets: follow(kinds.StatefulSet, ours),
    disruptionBudgets: follow(kinds.PodDisruptionBudget, ours),
    networkPolicies: follow(kinds.NetworkPolicy, ours),
    autoscalers: follow(kinds.HorizontalPodAutoscaler, ours),
    cronJobs: follow(kinds.CronJob, ours),
    jobs: follow(kinds.Job, ours),
  };
  const clusters = follow(clusterResource);
  const topics = follow(topicResource, { indexes: { [topicsOfCluster]: byCluster } });
  const pods = follow(kinds.Pod, { ...ours, indexes: { [podsOfCluster]: byInstance } });
  const all: readonly Followed[] = [clusters, topics, pods, ...Object.values(children)];
  return { clusters, topics, pods, children, all };
}

/** What can be done with a kind whatever its objects are. */
export type Followed = Pick<
  WatchedKind<KubeObject>,
  'start' | 'stop' | 'whenSynced' | 'hasSynced' | 'failures' | 'size'
> & {
  readonly kind: Pick<Kind, 'kind' | 'plural' | 'apiVersion'>;
};
