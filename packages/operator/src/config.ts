/** The operator's configuration: every field with its variable, default and meaning; the reference page is printed from it. */
import { flag, list, listenAddress, oneOf, text } from '@kafscale/protocol';
import { logFormats, logLevels } from '@kafscale/runtime';
import { z } from 'zod';

/** Of this release. */
export const operatorVersion = '0.1.0';

/** `name=value,name=value`, as selectors are written. */
const labels = () =>
  z.string().transform((value, context): Readonly<Record<string, string>> => {
    const pairs = value.split(',').map((pair) => /^\s*([^=\s]+)=([^=\s]*)\s*$/.exec(pair));
    if (pairs.every((pair) => pair !== null))
      return Object.fromEntries(pairs.map(([, name, label]) => [name!, label!]));
    context.addIssue({ code: 'custom', message: `expected name=value,name=value, got "${value}"` });
    return z.NEVER;
  });

const place = {
  namespace: text(253).optional().meta({
    env: 'POD_NAMESPACE',
    description: "The operator's own namespace, for its lease; that of its service account or kubeconfig unless set.",
  }),
  podName: text(253)
    .default('kafscale-operator')
    .meta({ env: 'POD_NAME', description: 'Name of the pod, shown in the lease and in Events.' }),
  podLabels: labels().prefault('app.kubernetes.io/name=kafscale-operator').meta({
    env: 'KAFSCALE_OPERATOR_POD_LABELS',
    description: "Labels by which NetworkPolicies know the operator's pods, as name=value,name=value.",
  }),
  watchNamespaces: list().optional().meta({
    env: 'KAFSCALE_OPERATOR_WATCH_NAMESPACES',
    description: 'Namespaces to look after, separated by commas; all unless set.',
  }),
  kubernetesHost: text(253).optional().meta({
    env: 'KUBERNETES_SERVICE_HOST',
    description: 'Where the API server is, as Kubernetes tells every pod; without it a kubeconfig is read.',
  }),
  kubernetesPort: text(5)
    .default('443')
    .meta({ env: 'KUBERNETES_SERVICE_PORT', description: 'Port of the API server, as Kubernetes tells every pod.' }),
};

const leading = {
  leaderElect: flag().default(true).meta({
    env: 'KAFSCALE_OPERATOR_LEADER_ELECT',
    description: 'Act only while holding the lease. Off where there is surely one operator, as on a workstation.',
  }),
  leaderKey: text(63).default('kafscale-operator').meta({
    env: 'KAFSCALE_OPERATOR_LEADER_KEY',
    description: 'Name of the lease; the Service and the certificate of external metrics are named after it.',
  }),
};

const images = {
  brokerImage: text(512).default(`kafscale/kafscale:${operatorVersion}`).meta({
    env: 'BROKER_IMAGE',
    description: 'Image of brokers whose resource names none.',
  }),
  brokerPullPolicy: oneOf(['Always', 'IfNotPresent', 'Never']).optional().meta({
    env: 'BROKER_IMAGE_PULL_POLICY',
    description: 'When that image is pulled; as Kubernetes decides unless set.',
  }),
  etcdImage: text(512).default('kafscale/etcd:3.6.16').meta({
    env: 'KAFSCALE_OPERATOR_ETCD_IMAGE',
    description: 'Image of managed etcds whose resource names none.',
  }),
};

const addresses = {
  metricsAddress: listenAddress().prefault(':8080').meta({
    env: 'KAFSCALE_OPERATOR_METRICS_ADDR',
    description: 'Address of `/metrics`, `/healthz` and `/readyz`.',
  }),
  streamAddress: listenAddress().prefault(':9095').meta({
    env: 'KAFSCALE_OPERATOR_STREAM_METRICS_ADDR',
    description: 'Address at which brokers report their load, while this operator leads.',
  }),
  metricsEndpoint: text(512).optional().meta({
    env: 'KAFSCALE_OPERATOR_METRICS_ENDPOINT',
    description: 'How brokers reach that address, as host:port; they report nothing unless set.',
  }),
  externalMetricsAddress: listenAddress().optional().meta({
    env: 'KAFSCALE_OPERATOR_EXTERNAL_METRICS_ADDR',
    description: 'Address of external.metrics.k8s.io, by which autoscalers ask for bytes per second; off unless set.',
  }),
};

const logging = {
  logLevel: oneOf(logLevels).default('info').meta({ env: 'KAFSCALE_LOG_LEVEL', description: 'What is logged.' }),
  logFormat: oneOf(logFormats)
    .default('json')
    .meta({ env: 'KAFSCALE_LOG_FORMAT', description: '`pretty` for a terminal.' }),
};

/** By heading of the reference page. */
export const operatorConfigSections = {
  'Where it runs': place,
  Leading: leading,
  Images: images,
  Addresses: addresses,
  Logging: logging,
};

export const operatorConfigSchema = z.strictObject({ ...place, ...leading, ...images, ...addresses, ...logging });

export type OperatorConfig = z.output<typeof operatorConfigSchema>;
