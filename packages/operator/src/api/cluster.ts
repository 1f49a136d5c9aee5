/**
 * `KafScaleCluster`: brokers, the bucket they store records in, and the etcd they keep metadata in. Its replica count is the scale
 * subresource's: whoever scales, scales the resource, and the operator drains before a pod goes.
 */
import { z } from 'zod';
import { conditionList } from './conditions.ts';
import {
  annotations,
  httpUrl,
  immutable,
  nodePort,
  objectName,
  opaque,
  port,
  positiveInt,
  quantity,
  resources,
  rules,
  secretRef,
} from './fields.ts';

const image = z.strictObject({
  repository: z.string().min(1).max(512).optional(),
  tag: z.string().min(1).max(128).optional(),
  digest: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/)
    .optional()
    .describe('Wins over `tag`.'),
  pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional(),
  pullSecrets: z.array(secretRef()).max(16).optional(),
});

const autoscaling = z
  .strictObject({
    minReplicas: z.int().min(1).max(1_000).default(1),
    maxReplicas: z.int().min(1).max(1_000),
    targetCPUUtilizationPercentage: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe('Of the CPU request. Needs metrics-server in the Kubernetes cluster.'),
    targetMemoryUtilizationPercentage: z.int().min(1).max(100).optional().describe('Of the memory request.'),
    targetBytesInPerSecond: quantity()
      .optional()
      .describe('Bytes produced per second and broker. Needs nothing but the operator.'),
    targetBytesOutPerSecond: quantity()
      .optional()
      .describe('Bytes fetched per second and broker. Needs nothing but the operator.'),
    scaleDownStabilizationSeconds: z
      .int()
      .min(0)
      .max(3_600)
      .default(300)
      .describe('How long less must have been needed before a broker goes.'),
    scaleDownPeriodSeconds: z.int().min(1).max(1_800).default(60).describe('At most one broker goes in this time.'),
  })
  .meta(
    rules(
      { rule: 'self.maxReplicas >= self.minReplicas', message: 'maxReplicas must not be lower than minReplicas' },
      {
        rule: 'has(self.targetCPUUtilizationPercentage) || has(self.targetMemoryUtilizationPercentage) || has(self.targetBytesInPerSecond) || has(self.targetBytesOutPerSecond)',
        message:
          'autoscaling needs a target: set targetCPUUtilizationPercentage, targetBytesInPerSecond or another one',
      },
    ),
  );

const service = z
  .strictObject({
    type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']).default('ClusterIP'),
    annotations: annotations().optional(),
    loadBalancerIP: z.string().max(64).optional(),
    loadBalancerClass: z.string().max(253).optional(),
    loadBalancerSourceRanges: z.array(z.string().max(64)).max(64).optional(),
    externalTrafficPolicy: z.enum(['Cluster', 'Local']).optional(),
    kafkaNodePort: nodePort().optional(),
    metricsNodePort: nodePort().optional(),
  })
  .meta(
    rules(
      {
        rule: "self.type != 'ClusterIP' || (!has(self.kafkaNodePort) && !has(self.metricsNodePort) && !has(self.externalTrafficPolicy))",
        message: 'node ports and externalTrafficPolicy need type NodePort or LoadBalancer',
      },
      {
        rule: "self.type == 'LoadBalancer' || (!has(self.loadBalancerIP) && !has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges))",
        message: 'loadBalancerIP, loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer',
      },
    ),
  );

const brokers = z
  .strictObject({
    replicas: z
      .int()
      .min(0)
      .max(1_000)
      .default(3)
      .describe('Number of brokers; 0 stops them all and keeps every record. `kubectl scale` and the HPA change it.'),
    autoscaling: autoscaling.optional().describe('Lets a HorizontalPodAutoscaler change `replicas`.'),
    image: image.optional().describe("The operator's own release unless set."),
    resources: resources().optional(),
    advertisedHost: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe(
        'The host that brokers tell clients, for one broker behind an address of its own; pods tell their own unless set.',
      ),
    advertisedPort: port().optional(),
    service: service.prefault({}),
    drainTimeoutSeconds: z
      .int()
      .min(5)
      .max(3_600)
      .default(60)
      .describe('How long a broker may take to hand over what it owns before it goes.'),
    serviceAccountAnnotations: annotations()
      .optional()
      .describe("Of the brokers' ServiceAccount, for instance an IAM role."),
    podAnnotations: annotations().optional(),
    podLabels: annotations().optional(),
    affinity: opaque().optional(),
    nodeSelector: annotations().optional(),
    tolerations: z.array(opaque()).max(64).optional(),
    topologySpreadConstraints: z.array(opaque()).max(16).optional(),
    priorityClassName: objectName().optional(),
  })
  .meta(
    rules({
      rule: '!has(self.advertisedPort) || has(self.advertisedHost)',
      message: 'advertisedPort needs advertisedHost',
    }),
  );

const s3 = z
  .strictObject({
    bucket: z
      .string()
      .min(3)
      .max(63)
      .regex(/^[a-z0-9][a-z0-9.-]*[a-z0-9]$/)
      .meta(immutable('the bucket holds the records: it')),
    region: z.string().min(1).max(64),
    endpoint: httpUrl().optional().describe('Of an S3-compatible service; AWS unless set.'),
    pathStyle: z.boolean().optional().describe('On where `endpoint` is set, unless told otherwise.'),
    readBucket: z.string().min(3).max(63).optional().describe('A replica of the bucket, asked first when reading.'),
    readRegion: z.string().min(1).max(64).optional(),
    readEndpoint: httpUrl().optional(),
    kmsKeyArn: z.string().max(2_048).optional().describe('Objects are encrypted with it (SSE-KMS).'),
    credentialsSecretRef: secretRef()
      .optional()
      .describe(
        "Holds KAFSCALE_S3_ACCESS_KEY and KAFSCALE_S3_SECRET_KEY, or AWS's own names. The pods' workload identity is used unless set.",
      ),
  })
  .meta(
    rules({
      rule: 'has(self.readBucket) || (!has(self.readRegion) && !has(self.readEndpoint))',
      message: 'readRegion and readEndpoint need readBucket',
    }),
  );

const snapshots = z.strictObject({
  schedule: z.string().max(128).default('0 * * * *').describe('In cron form.'),
  keep: positiveInt(1_000).default(48).describe('Snapshots kept; older ones are deleted once a newer one is whole.'),
  staleAfterSeconds: positiveInt().default(7_200).describe('From this age on the newest one is too old.'),
  suspend: z.boolean().default(false),
});

const managedEtcd = z.strictObject({
  replicas: z
    .int()
    .min(1)
    .max(7)
    .default(3)
    .meta(rules({ rule: 'self % 2 == 1', message: 'etcd needs an odd number of members: 1, 3, 5 or 7' })),
  image: image.optional(),
  storage: z
    .strictObject({
      size: quantity()
        .default('10Gi')
        .meta(
          rules({
            rule: 'quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0',
            message: 'storage cannot shrink',
          }),
        ),
      storageClassName: objectName().optional().meta(immutable('storageClassName')),
      medium: z
        .enum(['Disk', 'Memory'])
        .default('Disk')
        .describe('Memory loses everything with its pods: for trying out.'),
    })
    .prefault({}),
  resources: resources().optional(),
  quotaBackendBytes: positiveInt(Number.MAX_SAFE_INTEGER)
    .default(4 * 2 ** 30)
    .describe('From this size on etcd refuses writes.'),
  autoCompactionRetention: z
    .string()
    .regex(/^\d+[smh]$/)
    .default('5m'),
  snapshots: snapshots.prefault({}),
  restoreFrom: z
    .string()
    .max(1_024)
    .optional()
    .describe('Key of a snapshot in the bucket that an empty etcd starts from.'),
});

const etcd = z
  .strictObject({
    endpoints: z
      .array(z.string().min(1).max(512))
      .max(16)
      .default([])
      .describe('Of an etcd that somebody else runs; the operator runs one where there are none.'),
    credentialsSecretRef: secretRef().optional().describe('Holds KAFSCALE_ETCD_USERNAME and KAFSCALE_ETCD_PASSWORD.'),
    tlsSecretRef: secretRef()
      .optional()
      .describe('Holds ca.crt, and tls.crt and tls.key where etcd wants to know its clients.'),
    managed: managedEtcd.optional(),
  })
  .meta(
    rules(
      {
        rule: '!has(self.endpoints) || size(self.endpoints) == 0 || !has(self.managed)',
        message: 'set either endpoints or managed: an etcd of its own is not run beside another one',
      },
      {
        rule: '(!has(self.endpoints) || size(self.endpoints) == 0) == (!has(oldSelf.endpoints) || size(oldSelf.endpoints) == 0)',
        message: 'a cluster cannot move between a managed etcd and another one: its metadata would be left behind',
      },
      {
        rule: '(has(self.endpoints) && size(self.endpoints) > 0) || (!has(self.credentialsSecretRef) && !has(self.tlsSecretRef))',
        message: 'credentialsSecretRef and tlsSecretRef are for endpoints; a managed etcd has its own',
      },
    ),
  );

const config = z.strictObject({
  segmentBytes: positiveInt(2 ** 31 - 1)
    .optional()
    .describe('KAFSCALE_SEGMENT_BYTES.'),
  flushIntervalMs: z.int().min(0).max(60_000).optional().describe('KAFSCALE_FLUSH_INTERVAL_MS.'),
  flushBytes: positiveInt(2 ** 31 - 1)
    .optional()
    .describe('KAFSCALE_FLUSH_BYTES.'),
  cacheSize: z.int().min(0).optional().describe('Bytes of the cache for older records. KAFSCALE_CACHE_BYTES.'),
  readaheadSegments: z.int().min(0).max(64).optional().describe('KAFSCALE_READAHEAD_SEGMENTS.'),
  sessionTtlMs: z.int().min(3_000).max(300_000).optional().describe('KAFSCALE_SESSION_TTL_MS.'),
  autoCreateTopics: z.boolean().optional().describe('KAFSCALE_AUTO_CREATE_TOPICS.'),
  autoCreatePartitions: positiveInt(10_000).optional().describe('KAFSCALE_AUTO_CREATE_PARTITIONS.'),
  s3Concurrency: positiveInt(10_000).optional().describe('KAFSCALE_S3_CONCURRENCY.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error']).optional().describe('KAFSCALE_LOG_LEVEL.'),
});

const clusterSpec = z.strictObject({
  brokers: brokers.prefault({}),
  s3,
  etcd: etcd.prefault({}),
  config: config.prefault({}),
});

const clusterStatus = z.strictObject({
  observedGeneration: z.int().optional(),
  phase: z.string().optional().describe('Of `conditions`, in a word, for people.'),
  version: z.string().optional().describe("Of the brokers' image."),
  bootstrapServers: z.string().optional().describe('What clients in the Kubernetes cluster connect to.'),
  brokers: z
    .strictObject({
      replicas: z.int().min(0).optional(),
      ready: z.int().min(0).optional(),
      selector: z.string().optional().describe("Of the brokers' pods, for the scale subresource."),
      draining: z.string().optional().describe('The pod that is handing over what it owns.'),
    })
    .optional(),
  etcd: z
    .strictObject({
      members: z.int().min(0).optional(),
      ready: z.int().min(0).optional(),
      sizeBytes: z.int().min(0).optional(),
      lastSnapshot: z.string().optional().describe('Key of the newest whole snapshot.'),
      lastSnapshotTime: z.string().optional().meta({ format: 'date-time' }),
    })
    .optional(),
  topicCount: z.int().min(0).optional(),
  conditions: conditionList().optional(),
});

export const clusterSchema = { spec: clusterSpec, status: clusterStatus };

export type KafScaleClusterSpec = z.output<typeof clusterSpec>;
export type ManagedEtcdSpec = z.output<typeof managedEtcd>;

/** Of the etcd that the operator runs; what the resource leaves open is as the schema has it. Undefined where somebody else runs one. */
export const managedEtcdOf = ({ etcd: { endpoints, managed } }: KafScaleClusterSpec): ManagedEtcdSpec | undefined =>
  endpoints.length > 0 ? undefined : (managed ?? managedEtcd.parse({}));
export type KafScaleClusterStatus = z.output<typeof clusterStatus>;
