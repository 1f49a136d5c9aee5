/**
 * The broker's configuration: every field with its unit, default, bounds, variable and meaning. The broker parses it, the
 * operator renders it, and the configuration reference is printed from it. Names that KafScale users already have keep their
 * meaning; where a field had another variable, the older one is listed second.
 */
import { z } from 'zod';
import { bytes, flag, integer, list, listenAddress, milliseconds, oneOf, ratio, text } from './setting.ts';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const seconds = 1_000;
const minutes = 60 * seconds;
const hours = 60 * minutes;
const days = 24 * hours;
const maxInt32 = 2 ** 31 - 1;

const identity = {
  brokerId: integer({ min: 0, max: maxInt32 }).optional().meta({
    env: 'KAFSCALE_BROKER_ID',
    description: 'Id of this broker, unique in its cluster; the lowest that is free unless set.',
  }),
  role: oneOf(['broker', 'read']).default('broker').meta({
    env: 'KAFSCALE_ROLE',
    description:
      '`read` owns no partition and gives committed records to consumers of its rack, from the read replica if there is one.',
  }),
  rack: text(255).optional().meta({
    env: 'KAFSCALE_RACK',
    description:
      'Rack or availability zone, told to clients in Metadata; consumers with this `client.rack` read from a broker with role `read` here.',
  }),
};

const addresses = {
  kafkaAddress: listenAddress()
    .prefault(':9092')
    .meta({ env: 'KAFSCALE_BROKER_ADDR', description: 'Address the Kafka listener binds to.' }),
  advertisedHost: text(255).optional().meta({
    env: 'KAFSCALE_BROKER_HOST',
    description:
      'Host that clients are told to connect to. In a pod its address unless set, or its name in `KAFSCALE_BROKER_SERVICE`; elsewhere `localhost`.',
  }),
  podIp: text(64).optional().meta({ env: 'POD_IP', description: 'Address of the pod, by the downward API.' }),
  podService: text(255).optional().meta({
    env: 'KAFSCALE_BROKER_SERVICE',
    description:
      'Headless service of the brokers: with it and both `POD_` variables clients are told `10-1-2-3.<service>.<namespace>.svc`.',
  }),
  podNamespace: text(255).optional().meta({
    env: 'POD_NAMESPACE',
    description: 'Namespace of the pod, by the downward API.',
  }),
  advertisedPort: integer({ min: 1, max: 65_535 }).optional().meta({
    env: 'KAFSCALE_BROKER_PORT',
    description: 'Port that clients are told to connect to; the port of the listener unless set.',
  }),
  metricsAddress: listenAddress().prefault(':9093').meta({
    env: 'KAFSCALE_METRICS_ADDR',
    description: 'Address of `/metrics`, `/healthz`, `/startupz` and `/readyz`.',
  }),
};

const control = {
  controlAddress: listenAddress().optional().meta({
    env: 'KAFSCALE_CONTROL_ADDR',
    description:
      'Address of the control API, by which an operator drains this broker: `:9094` as a rule; off unless set. Needs a token or client certificates.',
  }),
  controlTokenFile: text(4_096).optional().meta({
    env: 'KAFSCALE_CONTROL_TOKEN_FILE',
    description:
      'File with the token that every call of the control API must carry; one of each line is taken, so that a token can be replaced. Read again when it changes.',
  }),
  controlTlsCertFile: text(4_096).optional().meta({
    env: 'KAFSCALE_CONTROL_TLS_CERT_FILE',
    description: "File with the control API's certificate; given one, it speaks TLS. Read again when it changes.",
  }),
  controlTlsKeyFile: text(4_096).optional().meta({
    env: 'KAFSCALE_CONTROL_TLS_KEY_FILE',
    description: 'File with the key of that certificate.',
  }),
  controlTlsClientCaFile: text(4_096).optional().meta({
    env: 'KAFSCALE_CONTROL_TLS_CLIENT_CA_FILE',
    description: 'File with the certificates that sign those of clients; given one, every client needs one (mTLS).',
  }),
  operatorMetricsEndpoint: text(512)
    .regex(/^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/, 'expected host:port')
    .optional()
    .meta({
      env: 'KAFSCALE_OPERATOR_METRICS_ENDPOINT',
      description: 'Where the operator takes in the load of brokers, as host:port; the broker tells nobody unless set.',
    }),
  operatorMetricsCaFile: text(4_096).optional().meta({
    env: 'KAFSCALE_OPERATOR_METRICS_CA_FILE',
    description: "File with the certificates that sign the operator's; given one, the load is told by TLS.",
  }),
};

const stores = {
  s3Bucket: text(255).optional().meta({
    env: 'KAFSCALE_S3_BUCKET',
    description: 'Bucket that holds the records; without one the embedded stores are used.',
  }),
  s3Region: text(64).default('us-east-1').meta({ env: 'KAFSCALE_S3_REGION', description: 'Region of the bucket.' }),
  s3Endpoint: text(2_048).optional().meta({
    env: 'KAFSCALE_S3_ENDPOINT',
    description: 'URL of an S3-compatible service; AWS unless set.',
  }),
  s3PathStyle: flag().optional().meta({
    env: 'KAFSCALE_S3_PATH_STYLE',
    description: 'Name the bucket in the path instead of the host; `true` when an endpoint is set.',
  }),
  s3AccessKey: text(1_024).optional().meta({
    env: 'KAFSCALE_S3_ACCESS_KEY',
    description: "Access key; without one the SDK's default credential chain is used, workload identity included.",
  }),
  s3SecretKey: text(1_024).optional().meta({ env: 'KAFSCALE_S3_SECRET_KEY', description: 'Secret of the access key.' }),
  s3SessionToken: text(8_192).optional().meta({
    env: 'KAFSCALE_S3_SESSION_TOKEN',
    description: 'Session token of temporary credentials.',
  }),
  s3KmsArn: text(2_048).optional().meta({
    env: 'KAFSCALE_S3_KMS_ARN',
    description: 'KMS key with which the store encrypts every object (SSE-KMS).',
  }),
  s3BucketOwner: text(12)
    .regex(/^[0-9]{12}$/, 'expected an account id of 12 digits')
    .optional()
    .meta({
      env: 'KAFSCALE_S3_BUCKET_OWNER',
      description: 'Account id that bucket and replica must belong to; every request is refused where they do not.',
    }),
  s3SignPayload: flag().default(false).meta({
    env: 'KAFSCALE_S3_SIGN_PAYLOAD',
    description:
      'Sign the bytes of objects as well (SHA-256), for buckets whose policy refuses unsigned payloads; costs processor time. A CRC-32 that the store checks protects them either way.',
  }),
  s3ReadBucket: text(255).optional().meta({
    env: 'KAFSCALE_S3_READ_BUCKET',
    description: 'Replica of the bucket that reads try first; the bucket itself on a miss or an error.',
  }),
  s3ReadRegion: text(64).optional().meta({
    env: 'KAFSCALE_S3_READ_REGION',
    description: 'Region of the read replica; that of the bucket unless set.',
  }),
  s3ReadEndpoint: text(2_048).optional().meta({
    env: 'KAFSCALE_S3_READ_ENDPOINT',
    description: 'URL of the service that has the read replica; that of the bucket unless set.',
  }),
  s3Concurrency: integer({ min: 1, max: 10_000 })
    .default(64)
    .meta({ env: 'KAFSCALE_S3_CONCURRENCY', description: 'Most requests to the store at once.' }),
  s3HealthWindowMs: milliseconds({ min: 1 * seconds, max: 1 * hours })
    .default(60 * seconds)
    .meta({ env: 'KAFSCALE_S3_HEALTH_WINDOW_MS', description: "Time over which the store's health is judged." }),
  s3LatencyWarnMs: milliseconds({ min: 1 })
    .default(500)
    .meta({ env: 'KAFSCALE_S3_LATENCY_WARN_MS', description: 'Mean latency from which the store counts as degraded.' }),
  s3LatencyCritMs: milliseconds({ min: 1 })
    .default(3 * seconds)
    .meta({
      env: 'KAFSCALE_S3_LATENCY_CRIT_MS',
      description: 'Mean latency from which the store counts as unavailable.',
    }),
  s3ErrorRateWarn: ratio()
    .default(0.2)
    .meta({ env: 'KAFSCALE_S3_ERROR_RATE_WARN', description: 'Share of failed requests: degraded from here on.' }),
  s3ErrorRateCrit: ratio()
    .default(0.6)
    .meta({ env: 'KAFSCALE_S3_ERROR_RATE_CRIT', description: 'Share of failed requests: unavailable from here on.' }),
  startupTimeoutMs: milliseconds({ max: 1 * hours })
    .default(30 * seconds)
    .meta({
      env: 'KAFSCALE_STARTUP_TIMEOUT_MS',
      description: 'How long a starting broker waits for an object store that does not answer.',
    }),
  etcdEndpoints: list().optional().meta({
    env: 'KAFSCALE_ETCD_ENDPOINTS',
    description: 'Addresses of the etcd members, by comma; without one the embedded stores are used.',
  }),
  etcdPrefix: text(512).default('/kafscale').meta({
    env: 'KAFSCALE_ETCD_PREFIX',
    description: "What all keys start with, followed by the cluster's id, so that a role in etcd can be limited to it.",
  }),
  etcdUsername: text(255).optional().meta({ env: 'KAFSCALE_ETCD_USERNAME', description: 'User of etcd.' }),
  etcdPassword: text(1_024).optional().meta({ env: 'KAFSCALE_ETCD_PASSWORD', description: 'Password of that user.' }),
  etcdCaFile: text(4_096).optional().meta({
    env: 'KAFSCALE_ETCD_CA_FILE',
    description: "File with the certificates that sign etcd's; given one, connections are by TLS.",
  }),
  etcdCertFile: text(4_096).optional().meta({
    env: 'KAFSCALE_ETCD_CERT_FILE',
    description: 'File with the client certificate for etcd (mTLS).',
  }),
  etcdKeyFile: text(4_096).optional().meta({
    env: 'KAFSCALE_ETCD_KEY_FILE',
    description: 'File with the key of the client certificate.',
  }),
  etcdQuotaBytes: bytes({ min: 16 * MiB, max: 64 * GiB })
    .optional()
    .meta({
      env: 'KAFSCALE_ETCD_QUOTA_BYTES',
      description:
        "etcd's `--quota-backend-bytes`, from which it refuses to write. etcd 3.6 says it itself; 2 GiB for older ones unless set.",
    }),
  clusterName: text(64)
    .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/, 'expected letters, digits, ".", "_" and "-"')
    .default('default')
    .meta({
      env: 'KAFSCALE_CLUSTER_ID',
      description: 'Tells this cluster from others in the same etcd: part of the prefix of its keys.',
    }),
  dataDir: text(4_096)
    .default('.kafscale')
    .meta({ env: 'KAFSCALE_DATA_DIR', description: 'Folder of the embedded object store and metadata store.' }),
  namespace: text(64)
    .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/, 'expected letters, digits, ".", "_" and "-"')
    .default('default')
    .meta({ env: 'KAFSCALE_S3_NAMESPACE', description: 'First path element of the names of all objects.' }),
  sessionTtlMs: milliseconds({ min: 1 * seconds, max: 5 * minutes })
    .default(10 * seconds)
    .meta({
      env: 'KAFSCALE_SESSION_TTL_MS',
      description: 'How long a broker that no longer answers keeps its partitions.',
    }),
  rebalanceDelayMs: milliseconds({ max: 1 * hours })
    .default(10 * seconds)
    .meta({
      env: 'KAFSCALE_REBALANCE_DELAY_MS',
      description:
        'How long the brokers must have been the same before partitions move only to even them out, so that a restart moves none to and fro.',
    }),
};

const writePath = {
  flushBytes: bytes({ min: 64 * KiB, max: 256 * MiB })
    .default(4 * MiB)
    .meta({
      env: 'KAFSCALE_FLUSH_BYTES',
      description: 'Bytes of record batches that close a flush object before its window ends.',
    }),
  flushIntervalMs: milliseconds({ min: 0, max: 1 * minutes })
    .default(250)
    .meta({
      env: 'KAFSCALE_FLUSH_INTERVAL_MS',
      description:
        'Longest window of the group commit. An idle broker flushes at once; the window grows up to this under load. Behind a flush that takes longer the next one waits for it, up to 50 ms.',
    }),
  flushInFlight: integer({ min: 1, max: 256 }).default(16).meta({
    env: 'KAFSCALE_FLUSH_IN_FLIGHT',
    description: 'Flush objects that may be on their way to the store together.',
  }),
  segmentBytes: bytes({ min: 64 * KiB, max: 1 * GiB })
    .default(16 * MiB)
    .meta({
      env: 'KAFSCALE_SEGMENT_BYTES',
      description:
        "Bytes of record batches from which a partition's records get a segment object of their own; at most half of what a round of folding may hold: 32 MiB, and less with little memory.",
    }),
  foldAfterMs: milliseconds({ min: 100, max: 1 * hours })
    .default(1 * minutes)
    .meta({
      env: 'KAFSCALE_FOLD_AFTER_MS',
      description: 'Age from which flush objects are rewritten by partition and their manifests folded away.',
    }),
  retentionCheckIntervalMs: milliseconds({ min: 1 * seconds })
    .default(5 * minutes)
    .meta({
      env: 'KAFSCALE_RETENTION_CHECK_INTERVAL_MS',
      description: "How often records that have outlived their topic's retention are looked for.",
    }),
  producerIdExpirationMs: milliseconds({ min: 1 * seconds })
    .default(1 * days)
    .meta({
      env: 'KAFSCALE_PRODUCER_ID_EXPIRATION_MS',
      description: 'How long the sequence state of a producer that sends nothing is kept for each partition.',
    }),
};

const memory = {
  memoryBytes: bytes({ min: 192 * MiB, max: 1_024 * GiB })
    .optional()
    .meta({
      env: 'KAFSCALE_MEMORY_BYTES',
      description:
        "Memory that the whole process is to stay within, from which the shares of all purposes follow; nine tenths of the container's limit unless set, 512 MB without one.",
    }),
};

const readPath = {
  hotTailBytes: bytes({ max: 64 * GiB })
    .optional()
    .meta({
      env: 'KAFSCALE_HOT_TAIL_BYTES',
      description:
        'Memory for the newest flush objects, from which consumers at the tail are served; about an eighth of `KAFSCALE_MEMORY_BYTES` unless set, and less while requests need it.',
    }),
  cacheBytes: bytes({ max: 64 * GiB })
    .optional()
    .meta({
      env: ['KAFSCALE_CACHE_BYTES', 'KAFSCALE_CACHE_SIZE'],
      description:
        'Memory for blocks read back from the object store; about a sixteenth of `KAFSCALE_MEMORY_BYTES` unless set.',
    }),
  cacheBlockBytes: bytes({ min: 64 * KiB, max: 64 * MiB })
    .default(1 * MiB)
    .meta({ env: 'KAFSCALE_CACHE_BLOCK_BYTES', description: 'Bytes asked from the object store by one read.' }),
  readaheadBytes: bytes({ max: 1 * GiB })
    .default(4 * MiB)
    .meta({
      env: 'KAFSCALE_READAHEAD_BYTES',
      description: 'Bytes of a partition that are loaded before a sequential reader asks for them; 0 for none.',
    }),
  readaheadSegments: integer({ min: 0, max: 1_000 }).default(2).meta({
    env: 'KAFSCALE_READAHEAD_SEGMENTS',
    description:
      'How many segments behind the one being read those bytes may come from, where segments are small; 0 for no readahead.',
  }),
  takeoverMemoryBytes: bytes({ max: 64 * GiB })
    .default(0)
    .meta({
      env: 'KAFSCALE_TAKEOVER_MEMORY_BYTES',
      description:
        "Memory for what is known beforehand of all brokers' flushes, so that partitions that come from another broker are open at once: about 30 bytes for each run of batches that is not folded yet. What does not fit is read when they come; with 0 everything is.",
    }),
  segmentListBytes: bytes({ max: 64 * GiB })
    .optional()
    .meta({
      env: 'KAFSCALE_SEGMENT_LIST_BYTES',
      description:
        'Memory for lists and indexes of segments of old records, read from the object store when needed; about a twentieth of `KAFSCALE_MEMORY_BYTES` unless set.',
    }),
  fetchMaxBytes: bytes({ min: 1 * KiB, max: 1 * GiB })
    .default(55 * MiB)
    .meta({
      env: 'KAFSCALE_FETCH_MAX_BYTES',
      description: 'Most bytes of record batches in one answer, whatever the client asks for.',
    }),
  maxFetchSessions: integer({ min: 0, max: 1_000_000 }).default(1_000).meta({
    env: 'KAFSCALE_MAX_FETCH_SESSIONS',
    description: 'Fetch sessions that are remembered (KIP-227); a client without one sends every partition each time.',
  }),
  maxFetchSessionPartitions: integer({ min: 0, max: 100_000_000 }).default(200_000).meta({
    env: 'KAFSCALE_MAX_FETCH_SESSION_PARTITIONS',
    description: 'Partitions that all fetch sessions together remember.',
  }),
};

const topics = {
  autoCreateTopics: flag()
    .default(true)
    .meta({ env: 'KAFSCALE_AUTO_CREATE_TOPICS', description: 'Create a topic when a client first asks for it.' }),
  autoCreatePartitions: integer({ min: 1, max: 10_000 }).default(1).meta({
    env: 'KAFSCALE_AUTO_CREATE_PARTITIONS',
    description: 'Partitions of a topic created by itself, or with a partition count of -1.',
  }),
  maxPartitionsPerTopic: integer({ min: 1, max: 1_000_000 })
    .default(10_000)
    .meta({ env: 'KAFSCALE_MAX_PARTITIONS_PER_TOPIC', description: 'Most partitions a topic may be given.' }),
  maxPartitions: integer({ min: 1, max: 10_000_000 })
    .default(200_000)
    .meta({ env: 'KAFSCALE_MAX_PARTITIONS', description: 'Most partitions of all topics together.' }),
};

const groups = {
  groupInitialRebalanceDelayMs: milliseconds({ max: 5 * minutes })
    .default(3 * seconds)
    .meta({
      env: 'KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY_MS',
      description: 'How long an empty group waits for more members after its first one joined.',
    }),
  groupMinSessionTimeoutMs: milliseconds({ min: 1 })
    .default(6 * seconds)
    .meta({
      env: 'KAFSCALE_GROUP_MIN_SESSION_TIMEOUT_MS',
      description: 'Shortest session timeout a member may ask for.',
    }),
  groupMaxSessionTimeoutMs: milliseconds({ min: 1 })
    .default(30 * minutes)
    .meta({
      env: 'KAFSCALE_GROUP_MAX_SESSION_TIMEOUT_MS',
      description: 'Longest session timeout a member may ask for.',
    }),
  groupMaxSize: integer({ min: 1, max: maxInt32 })
    .default(maxInt32)
    .meta({ env: 'KAFSCALE_GROUP_MAX_SIZE', description: 'Most members of a consumer group.' }),
  groupsMax: integer({ min: 16, max: 100_000_000 })
    .default(1_000_000)
    .meta({ env: 'KAFSCALE_GROUPS_MAX', description: 'Most groups a broker coordinates.' }),
  groupMetadataMaxBytes: bytes({ min: 1 * KiB, max: 1_280 * KiB })
    .default(1 * MiB)
    .meta({
      env: 'KAFSCALE_GROUP_METADATA_MAX_BYTES',
      description: 'Most bytes of the metadata and assignments of all members of a group.',
    }),
  groupParkedRequestsMax: integer({ min: 1, max: maxInt32 }).default(100_000).meta({
    env: 'KAFSCALE_GROUP_PARKED_REQUESTS_MAX',
    description: 'Most requests of one shard of groups that wait for their answer.',
  }),
  offsetsRetentionCheckIntervalMs: milliseconds({ min: 1 * seconds })
    .default(10 * minutes)
    .meta({
      env: 'KAFSCALE_OFFSETS_RETENTION_CHECK_INTERVAL_MS',
      description: 'How often committed offsets that have outlived the retention are looked for.',
    }),
  offsetsRetentionMs: milliseconds({ min: 1 * seconds })
    .default(7 * days)
    .meta({
      env: 'KAFSCALE_OFFSETS_RETENTION_MS',
      description: 'How long committed offsets are kept after their group became empty.',
    }),
  offsetMetadataMaxBytes: bytes({ max: 64 * KiB })
    .default(4 * KiB)
    .meta({
      env: 'KAFSCALE_OFFSET_METADATA_MAX_BYTES',
      description: 'Longest text a client may store beside a committed offset.',
    }),
};

const connections = {
  maxConnections: integer({ min: 1, max: 1_000_000 })
    .default(32_768)
    .meta({ env: 'KAFSCALE_MAX_CONNECTIONS', description: 'Most client connections at once; more are closed.' }),
  maxConnectionsPerIp: integer({ min: 1, max: 1_000_000 }).default(16_384).meta({
    env: 'KAFSCALE_MAX_CONNECTIONS_PER_IP',
    description: 'Most client connections at once from one address; more are closed.',
  }),
  maxConnectionsPerSecond: integer({ min: 1, max: 1_000_000 }).default(2_000).meta({
    env: 'KAFSCALE_MAX_CONNECTIONS_PER_SECOND',
    description: 'Connections taken on per second, and in one burst; more wait for their turn.',
  }),
  idleTimeoutMs: milliseconds({ min: 1 * seconds })
    .default(10 * minutes)
    .meta({ env: 'KAFSCALE_IDLE_TIMEOUT_MS', description: 'A connection without requests is closed after this time.' }),
  frameDeadlineMs: milliseconds({ min: 100 })
    .default(30 * seconds)
    .meta({
      env: 'KAFSCALE_FRAME_DEADLINE_MS',
      description:
        'A request has to arrive whole, or grow by 64 KiB, within this time. Time in which the broker does not read is not counted.',
    }),
  writeStallMs: milliseconds({ min: 100 })
    .default(2 * minutes)
    .meta({
      env: 'KAFSCALE_WRITE_STALL_MS',
      description: 'A client that takes none of the bytes sent to it for this time is disconnected.',
    }),
  maxRequestBytes: bytes({ min: 1 * KiB, max: maxInt32 })
    .default(100 * MiB)
    .meta({ env: 'KAFSCALE_MAX_REQUEST_BYTES', description: 'Largest request; a larger one closes its connection.' }),
  maxInFlightRequests: integer({ min: 1, max: 10_000 }).default(128).meta({
    env: 'KAFSCALE_MAX_IN_FLIGHT_REQUESTS',
    description: 'Requests of one connection that may wait for their answers; then its socket is not read.',
  }),
  maxInFlightBytes: bytes({ min: 1 * MiB })
    .optional()
    .meta({
      env: 'KAFSCALE_MAX_IN_FLIGHT_BYTES',
      description:
        'Bytes of requests in work in the whole broker; above it no socket is read. About half of `KAFSCALE_MEMORY_BYTES` unless set: 256 MiB of 512 MB.',
    }),
  shutdownTimeoutMs: milliseconds({ max: 10 * minutes })
    .default(30 * seconds)
    .meta({
      env: 'KAFSCALE_SHUTDOWN_TIMEOUT_MS',
      description: 'How long a stopping broker takes to hand over what it owns and to let requests in work finish.',
    }),
};

const testing = {
  failpoint: text(64)
    .regex(
      /^(after-object|before-commit|after-commit-before-answer)(:[1-9]\d*)?$/,
      'expected the name of a failpoint, with ":count" or without',
    )
    .optional()
    .meta({
      env: 'KAFSCALE_FAILPOINT',
      description:
        'For tests: the process kills itself when it passes this point of the write path for the count-th time (`after-object`, `before-commit` or `after-commit-before-answer`, then `:count`).',
    }),
};

const keeping = {
  checkpointIntervalMs: milliseconds({ min: 1 * seconds, max: 1 * days })
    .default(5 * minutes)
    .meta({
      env: 'KAFSCALE_CHECKPOINT_INTERVAL_MS',
      description:
        'How often the metadata is copied into the bucket. What only the metadata store knows (settings, offsets of groups) and is younger is lost with that store.',
    }),
  garbageCollection: oneOf(['on', 'dry-run', 'off']).default('on').meta({
    env: 'KAFSCALE_GC',
    description: 'Delete objects that nothing refers to any more; `dry-run` only logs which.',
  }),
  garbageIntervalMs: milliseconds({ min: 1 * seconds, max: 1 * days })
    .default(10 * minutes)
    .meta({ env: 'KAFSCALE_GC_INTERVAL_MS', description: 'How often the bucket is searched for garbage.' }),
  garbageGraceMs: milliseconds({ max: 30 * days })
    .default(1 * hours)
    .meta({
      env: 'KAFSCALE_GC_GRACE_MS',
      description: "Age, by the object store's clock, below which no object is deleted.",
    }),
  garbageReaderGraceMs: milliseconds({ max: 1 * days })
    .default(5 * minutes)
    .meta({
      env: 'KAFSCALE_GC_READER_GRACE_MS',
      description: 'How long garbage stays readable after it was found to be garbage, for whoever still reads it.',
    }),
  garbageDeletesPerSecond: integer({ min: 1, max: 100_000 }).default(200).meta({
    env: 'KAFSCALE_GC_DELETES_PER_SECOND',
    description: 'Most objects deleted per second.',
  }),
};

const observability = {
  logLevel: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .meta({ env: 'KAFSCALE_LOG_LEVEL', description: 'Least important log lines that are written.' }),
  logFormat: oneOf(['json', 'pretty'])
    .default('json')
    .meta({ env: 'KAFSCALE_LOG_FORMAT', description: 'Log lines for machines (`json`) or for a terminal (`pretty`).' }),
};

/** Fields by the heading they stand under in the reference. */
export const brokerConfigSections = {
  Identity: identity,
  Addresses: addresses,
  'Control API': control,
  Stores: stores,
  'Write path': writePath,
  Memory: memory,
  'Read path': readPath,
  Topics: topics,
  'Consumer groups': groups,
  'Connections and limits': connections,
  'Checkpoints and garbage': keeping,
  'Logs and metrics': observability,
  Testing: testing,
} as const;

export const brokerConfigSchema = z
  .strictObject({
    ...identity,
    ...addresses,
    ...control,
    ...stores,
    ...writePath,
    ...memory,
    ...readPath,
    ...topics,
    ...groups,
    ...connections,
    ...keeping,
    ...observability,
    ...testing,
  })
  .refine((config) => config.groupMinSessionTimeoutMs <= config.groupMaxSessionTimeoutMs, {
    path: ['groupMinSessionTimeoutMs'],
    message: 'expected at most the longest session timeout',
  })
  .refine((config) => (config.s3AccessKey === undefined) === (config.s3SecretKey === undefined), {
    path: ['s3SecretKey'],
    message: 'expected access key and secret key together, or neither',
  })
  .refine(({ s3Bucket, etcdEndpoints = [] }) => s3Bucket !== undefined || etcdEndpoints.length === 0, {
    path: ['s3Bucket'],
    message: 'expected a bucket beside etcd: a cluster needs both, a broker by itself neither',
  })
  .refine(({ s3Bucket, etcdEndpoints = [] }) => s3Bucket === undefined || etcdEndpoints.length > 0, {
    path: ['etcdEndpoints'],
    message: 'expected etcd beside the bucket: a cluster needs both, a broker by itself neither',
  })
  .refine((config) => (config.etcdUsername === undefined) === (config.etcdPassword === undefined), {
    path: ['etcdPassword'],
    message: 'expected user and password together, or neither',
  })
  .refine((config) => (config.etcdCertFile === undefined) === (config.etcdKeyFile === undefined), {
    path: ['etcdKeyFile'],
    message: 'expected certificate and key together, or neither',
  })
  .refine((config) => (config.controlTlsCertFile === undefined) === (config.controlTlsKeyFile === undefined), {
    path: ['controlTlsKeyFile'],
    message: 'expected certificate and key together, or neither',
  })
  .refine((config) => config.controlTlsClientCaFile === undefined || config.controlTlsCertFile !== undefined, {
    path: ['controlTlsClientCaFile'],
    message: 'expected a certificate of the control API beside the one that signs those of clients',
  })
  .refine(
    ({ controlAddress, controlTokenFile, controlTlsClientCaFile }) =>
      controlAddress === undefined || controlTokenFile !== undefined || controlTlsClientCaFile !== undefined,
    {
      path: ['controlTokenFile'],
      message: 'expected a file with a token, or certificates of clients: nobody else may drain a broker',
    },
  );

export type BrokerConfig = Readonly<z.output<typeof brokerConfigSchema>>;
