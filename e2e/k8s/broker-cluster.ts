/** Brokers as the operator would run them, made of its own builders and without it: what its pods do by themselves is shown on these. */
import { brokerDeployment, brokerObjects, clusterSchema, type ClusterPlan } from '@kafscale/operator';
import { images } from './images.ts';
import type { Scenario } from './scenario.ts';
import type { StoresOfCluster } from './stores.ts';

/** Of the one cluster in a namespace; names of its objects follow from it. */
export const clusterName = 'kafscale';
export const brokers = `${clusterName}-broker`;
/** All brokers of the cluster. */
export const brokerSelector = `app.kubernetes.io/instance=${clusterName},app.kubernetes.io/component=broker`;

/** Small enough for several on one machine that has other things to do. */
const resources = { requests: { cpu: '20m', memory: '256Mi' }, limits: { memory: '1Gi' } };
const drainTimeoutSeconds = 60;

export interface BrokerSettings {
  readonly replicas: number;
  readonly image?: string;
  /** Where clients that are not in the cluster find the only broker. */
  readonly advertisedHost?: string;
  readonly advertisedPort?: number;
}

export async function applyBrokers(
  scenario: Scenario,
  stores: StoresOfCluster,
  settings: BrokerSettings,
): Promise<void> {
  const { replicas, image = images.kafscale, advertisedHost, advertisedPort } = settings;
  const advertised = { ...(advertisedHost && { advertisedHost }), ...(advertisedPort && { advertisedPort }) };
  const plan: ClusterPlan = {
    name: clusterName,
    namespace: scenario.namespace,
    spec: clusterSchema.spec.parse({ ...stores, brokers: { replicas, resources, drainTimeoutSeconds, ...advertised } }),
    operator: {
      namespace: 'nowhere',
      podLabels: {},
      images: { broker: image, etcd: images.etcd },
      brokerPullPolicy: 'Never',
      version: 'e2e',
    },
  };
  const children = [...brokerObjects(plan), brokerDeployment(plan, { replicas, secretsHash: 'same' })];
  const token = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: scenario.place(`${clusterName}-control`),
    stringData: { token: 'token-of-the-tests-0123456789abcdef' },
  };
  await scenario.apply(
    token,
    ...children.map(({ kind: { apiVersion, kind }, object }) => ({ apiVersion, kind, ...object })),
  );
}
