/** From a cluster's resource to the `KAFSCALE_*` variables of its brokers: one table, so that each field has one variable. */
import type { KafScaleClusterSpec } from '../api/cluster.ts';
import { namesOf, ports, type ClusterPlan } from './cluster-plan.ts';

/** Where the files of mounted secrets are. */
export const mountPaths = { control: '/etc/kafscale/control', etcdTls: '/etc/kafscale/etcd-tls' };

type Value = string | number | boolean | undefined;

/** Variables whose values are no secret. Unset fields leave the broker its own default. */
export function brokerEnvironment(plan: ClusterPlan): Readonly<Record<string, string>> {
  const { name, spec, operator } = plan;
  const values: Record<string, Value> = {
    ...fromBrokers(spec.brokers),
    ...fromS3(spec.s3),
    ...fromConfig(spec.config),
    ...fromEtcd(plan),
    KAFSCALE_CLUSTER_ID: clusterIdOf(plan),
    KAFSCALE_BROKER_ADDR: `:${ports.kafka}`,
    KAFSCALE_METRICS_ADDR: `:${ports.metrics}`,
    KAFSCALE_CONTROL_ADDR: `:${ports.control}`,
    KAFSCALE_CONTROL_TOKEN_FILE: `${mountPaths.control}/token`,
    KAFSCALE_BROKER_SERVICE: namesOf(name).brokerHeadless,
    KAFSCALE_OPERATOR_METRICS_ENDPOINT: operator.metricsEndpoint,
  };
  return Object.fromEntries(
    Object.entries(values)
      .filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined)
      .map(([variable, value]) => [variable, String(value)]),
  );
}

/** Names a cluster in etcd: the same for a resource that is deleted and made again, so that it finds its records. */
export const clusterIdOf = ({ namespace, name }: Pick<ClusterPlan, 'namespace' | 'name'>): string =>
  `${namespace}.${name}`;

function fromBrokers({ advertisedHost, advertisedPort, drainTimeoutSeconds }: KafScaleClusterSpec['brokers']) {
  return {
    KAFSCALE_BROKER_HOST: advertisedHost,
    KAFSCALE_BROKER_PORT: advertisedPort,
    KAFSCALE_SHUTDOWN_TIMEOUT_MS: drainTimeoutSeconds * 1_000,
  };
}

/** Where records are stored, and everything else that lies in the bucket. */
export function fromS3(s3: KafScaleClusterSpec['s3']): Readonly<Record<string, Value>> {
  return {
    KAFSCALE_S3_BUCKET: s3.bucket,
    KAFSCALE_S3_REGION: s3.region,
    KAFSCALE_S3_ENDPOINT: s3.endpoint,
    KAFSCALE_S3_PATH_STYLE: s3.pathStyle,
    KAFSCALE_S3_READ_BUCKET: s3.readBucket,
    KAFSCALE_S3_READ_REGION: s3.readRegion,
    KAFSCALE_S3_READ_ENDPOINT: s3.readEndpoint,
    KAFSCALE_S3_KMS_ARN: s3.kmsKeyArn,
  };
}

function fromConfig(config: KafScaleClusterSpec['config']) {
  return {
    KAFSCALE_SEGMENT_BYTES: config.segmentBytes,
    KAFSCALE_FLUSH_INTERVAL_MS: config.flushIntervalMs,
    KAFSCALE_FLUSH_BYTES: config.flushBytes,
    KAFSCALE_CACHE_BYTES: config.cacheSize,
    KAFSCALE_READAHEAD_SEGMENTS: config.readaheadSegments,
    KAFSCALE_SESSION_TTL_MS: config.sessionTtlMs,
    KAFSCALE_AUTO_CREATE_TOPICS: config.autoCreateTopics,
    KAFSCALE_AUTO_CREATE_PARTITIONS: config.autoCreatePartitions,
    KAFSCALE_S3_CONCURRENCY: config.s3Concurrency,
    KAFSCALE_LOG_LEVEL: config.logLevel,
  };
}

function fromEtcd(plan: ClusterPlan) {
  const { endpoints, managed, tlsSecretRef } = plan.spec.etcd;
  return {
    KAFSCALE_ETCD_ENDPOINTS: etcdEndpoints(plan).join(','),
    KAFSCALE_ETCD_QUOTA_BYTES: endpoints.length === 0 ? managed?.quotaBackendBytes : undefined,
    KAFSCALE_ETCD_CA_FILE: tlsSecretRef && `${mountPaths.etcdTls}/ca.crt`,
  };
}

/** The endpoints in the resource, or those of each member of the managed etcd: a broker asks another one when one fails. */
export function etcdEndpoints({ name, namespace, spec }: ClusterPlan): readonly string[] {
  if (spec.etcd.endpoints.length > 0) return spec.etcd.endpoints;
  const { etcd } = namesOf(name);
  const members = spec.etcd.managed?.replicas ?? defaultEtcdMembers;
  return Array.from({ length: members }, (_, member) => {
    return `http://${etcd}-${member}.${etcd}.${namespace}.svc:${ports.etcdClient}`;
  });
}

export const defaultEtcdMembers = 3;

/** A variable that holds a secret's key, where the secret has it. */
const fromSecret = (secret: string, key: string) => ({
  name: key,
  valueFrom: { secretKeyRef: { name: secret, key, optional: true } },
});

const s3SecretKeys = [
  'KAFSCALE_S3_ACCESS_KEY',
  'KAFSCALE_S3_SECRET_KEY',
  'KAFSCALE_S3_SESSION_TOKEN',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
];
const etcdSecretKeys = ['KAFSCALE_ETCD_USERNAME', 'KAFSCALE_ETCD_PASSWORD'];

/** None where the pods' workload identity is used. */
export const s3Credentials = ({ credentialsSecretRef }: KafScaleClusterSpec['s3']) =>
  credentialsSecretRef === undefined ? [] : s3SecretKeys.map((key) => fromSecret(credentialsSecretRef.name, key));

/** Variables that each pod reads of itself or from secrets. Single keys, so that a secret cannot set any other variable. */
export function podEnvironment({ s3, etcd }: KafScaleClusterSpec) {
  const ofPod = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
  });
  return [
    ofPod('POD_NAME', 'metadata.name'),
    ofPod('POD_NAMESPACE', 'metadata.namespace'),
    ofPod('POD_IP', 'status.podIP'),
    // Kubernetes copies the node's zone to the pod, from 1.35 on; empty before.
    ofPod('KAFSCALE_RACK', "metadata.labels['topology.kubernetes.io/zone']"),
    ...s3Credentials(s3),
    ...(etcd.credentialsSecretRef === undefined
      ? []
      : etcdSecretKeys.map((key) => fromSecret(etcd.credentialsSecretRef!.name, key))),
  ];
}
