/** What the objects of one cluster are made from: its resource as it stands, and what the operator knows of itself. */
import type { KafScaleClusterSpec } from '../api/cluster.ts';
import {
  fieldManager,
  instanceLabel,
  managedByLabel,
  type Child,
  type Desired,
  type Kind,
  type KubeObject,
} from '../kube/index.ts';

/** The operator's own settings, as far as objects of clusters depend on them. */
export interface OperatorSettings {
  /** Where the operator runs, which alone may reach control ports and a managed etcd beside the cluster's own pods. */
  readonly namespace: string;
  readonly podLabels: Readonly<Record<string, string>>;
  /** `host:port` at which brokers report their load; none where the operator serves no metrics. */
  readonly metricsEndpoint?: string | undefined;
  readonly images: { readonly broker: string; readonly etcd: string };
  /** Of the brokers, where the resource names none. */
  readonly brokerPullPolicy?: 'Always' | 'IfNotPresent' | 'Never' | undefined;
  /** Of this release. */
  readonly version: string;
}

export interface ClusterPlan {
  readonly name: string;
  readonly namespace: string;
  readonly spec: KafScaleClusterSpec;
  readonly operator: OperatorSettings;
}

/** Every object of a cluster lies in its namespace and says what it is part of; the owner comes when it is applied. */
export function childOf<T extends KubeObject>(
  plan: ClusterPlan,
  kind: Kind<T>,
  { component, object }: { readonly component: Component; readonly object: Desired<T> },
): Child<T> {
  const { metadata } = object;
  return {
    kind,
    object: {
      ...object,
      metadata: {
        ...metadata,
        namespace: plan.namespace,
        labels: { ...metadata.labels, ...labelsOf(plan, component) },
      },
    },
  };
}

export type Component = 'broker' | 'etcd' | 'etcd-snapshot';

/** What pods are selected by. It can never change: a Deployment's selector is immutable. */
export const selectorOf = ({ name }: Pick<ClusterPlan, 'name'>, component: Component) => ({
  'app.kubernetes.io/name': 'kafscale',
  [instanceLabel]: name,
  'app.kubernetes.io/component': component,
});

export const labelsOf = (plan: Pick<ClusterPlan, 'name'>, component: Component) => ({
  ...selectorOf(plan, component),
  'app.kubernetes.io/part-of': 'kafscale',
  [managedByLabel]: fieldManager,
});

/** The selector as text, as the scale subresource wants it. */
export const selectorText = (plan: Pick<ClusterPlan, 'name'>, component: Component): string =>
  Object.entries(selectorOf(plan, component))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');

/** Names of a cluster's objects; users know them, so they never change. */
export const namesOf = (cluster: string) => ({
  broker: `${cluster}-broker`,
  brokerHeadless: `${cluster}-broker-headless`,
  brokerConfig: `${cluster}-broker-config`,
  control: `${cluster}-control`,
  etcd: `${cluster}-etcd`,
  etcdClient: `${cluster}-etcd-client`,
  etcdSnapshot: `${cluster}-etcd-snapshot`,
});

export const ports = { kafka: 9092, metrics: 9093, control: 9094, etcdClient: 2379, etcdPeer: 2380, etcdMetrics: 2381 };
