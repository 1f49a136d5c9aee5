/**
 * The broker's configuration: every field with its unit, default, bounds, variable and meaning. The broker parses it, the
 * operator renders it, and the configuration reference is printed from it. Names that KafScale users already have keep their
 * meaning; where a field had another variable, the older one is listed second.
 */
import { z } from 'zod';
import { bytes, flag, integer, listenAddress, milliseconds, oneOf, text } from './setting.ts';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const seconds = 1_000;
const minutes = 60 * seconds;
const hours = 60 * minutes;
const days = 24 * hours;
const maxInt32 = 2 ** 31 - 1;

const identity = {
  brokerId: integer({ min: 0, max: maxInt32 })
    .default(0)
    .meta({ env: 'KAFSCALE_BROKER_ID', description: 'Id of this broker, unique in its cluster.' }),
  rack: text(255)
    .optional()
    .meta({ env: 'KAFSCALE_RACK', description: 'Rack or availability zone, told to clients in Metadata.' }),
};

const addresses = {
  kafkaAddress: listenAddress()
    .prefault(':9092')
    .meta({ env: 'KAFSCALE_BROKER_ADDR', description: 'Address the Kafka listener binds to.' }),
  advertisedHost: text(255)
    .default('localhost')
    .meta({ env: 'KAFSCALE_BROKER_HOST', description: 'Host that clients are told to connect to.' }),
  advertisedPort: integer({ min: 1, max: 65_535 }).optional().meta({
    env: 'KAFSCALE_BROKER_PORT',
    description: 'Port that clients are told to connect to; the port of the listener unless set.',
  }),
  metricsAddress: listenAddress()
    .prefault(':9093')
    .meta({ env: 'KAFSCALE_METRICS_ADDR', description: 'Address of `/metrics`, `/healthz` and `/readyz`.' }),
};

const stores = {
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
};

const writePath = {
  flushBytes: bytes({ min: 64 * KiB, max: 256 * MiB })
    .default(4 * MiB)
    .meta({
      env: 'KAFSCALE_SEGMENT_BYTES',
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

const readPath = {
  hotTailBytes: bytes({ max: 64 * GiB })
    .default(64 * MiB)
    .meta({
      env: 'KAFSCALE_HOT_TAIL_BYTES',
      description: 'Memory for the newest flush objects, from which consumers at the tail are served.',
    }),
  cacheBytes: bytes({ max: 64 * GiB })
    .default(32 * MiB)
    .meta({
      env: ['KAFSCALE_CACHE_BYTES', 'KAFSCALE_CACHE_SIZE'],
      description: 'Memory for blocks read back from the object store.',
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
    .default(256 * MiB)
    .meta({
      env: 'KAFSCALE_MAX_IN_FLIGHT_BYTES',
      description: 'Bytes of requests in work in the whole broker; above it no socket is read.',
    }),
  shutdownTimeoutMs: milliseconds({ max: 10 * minutes })
    .default(30 * seconds)
    .meta({
      env: 'KAFSCALE_SHUTDOWN_TIMEOUT_MS',
      description: 'How long a stopping broker lets requests in work finish.',
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
  Stores: stores,
  'Write path': writePath,
  'Read path': readPath,
  Topics: topics,
  'Consumer groups': groups,
  'Connections and limits': connections,
  'Logs and metrics': observability,
  Testing: testing,
} as const;

export const brokerConfigSchema = z
  .strictObject({
    ...identity,
    ...addresses,
    ...stores,
    ...writePath,
    ...readPath,
    ...topics,
    ...groups,
    ...connections,
    ...observability,
    ...testing,
  })
  .refine((config) => config.groupMinSessionTimeoutMs <= config.groupMaxSessionTimeoutMs, {
    path: ['groupMinSessionTimeoutMs'],
    message: 'expected at most the longest session timeout',
  });

export type BrokerConfig = Readonly<z.output<typeof brokerConfigSchema>>;
