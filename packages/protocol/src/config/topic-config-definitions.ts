/**
 * Every topic setting that Kafka 4.3 knows: its kind and bounds, its default, the broker setting it stands for, and what comes of
 * it here. The reference page of topic settings is printed from this table; reading a topic's settings is topic-config.ts.
 */
import { boolean, double, int, intOr, listOf, long, oneOf, throttledReplicas, type ConfigKind } from './config-kind.ts';

/** What a setting does: it changes how the broker acts, or it is stored and reported and changes nothing (yet, or ever). */
export type ConfigEffect = 'acted on' | 'stored only';

export interface TopicConfigDefinition<T = unknown> {
  readonly kind: ConfigKind<T>;
  readonly defaultValue: string;
  /** The broker setting that gives the default in Kafka; absent for settings that only topics have. */
  readonly brokerName?: string;
  readonly effect: ConfigEffect;
  /** A sentence for people; of a setting that is stored only, also why. */
  readonly documentation: string;
  /** Accepted, and not reported: Kafka's own tests use it. */
  readonly hidden?: true;
}

const define = <T>(definition: TopicConfigDefinition<T>): TopicConfigDefinition<T> => definition;

const maxInt64 = '9223372036854775807';

const noTieredStorage = 'All records are in object storage here; there is no other tier to choose.';
const noLogFiles = 'There are no log files on brokers here.';
const noReplicas = 'There are no replicas here: the object store keeps every record safe.';
const compactionLater = 'Compaction by key does not run yet.';
const garbageLater = 'What went can no longer be read; its objects stay in the store for now.';
const storedAsProduced = 'Batches are kept as their producer compressed them.';

export const topicConfigs = {
  'cleanup.policy': define({
    kind: listOf('compact', 'delete'),
    defaultValue: 'delete',
    brokerName: 'log.cleanup.policy',
    effect: 'acted on',
    documentation:
      'Whether old records go by age and size (`delete`), superseded ones by key (`compact`), or both. ' +
      'A topic with `compact` takes only records that have a key, and one without `delete` refuses DeleteRecords. ' +
      `Without \`delete\` nothing goes by age or size. ${garbageLater} ${compactionLater}`,
  }),
  'compression.gzip.level': define({
    kind: intOr(-1, 1, 9),
    defaultValue: '-1',
    brokerName: 'compression.gzip.level',
    effect: 'stored only',
    documentation: `Level for gzip where the broker compresses. ${storedAsProduced}`,
  }),
  'compression.lz4.level': define({
    kind: int({ min: 1, max: 17 }),
    defaultValue: '9',
    brokerName: 'compression.lz4.level',
    effect: 'stored only',
    documentation: `Level for lz4 where the broker compresses. ${storedAsProduced}`,
  }),
  'compression.type': define({
    kind: oneOf('uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'),
    defaultValue: 'producer',
    brokerName: 'compression.type',
    effect: 'stored only',
    documentation: `Codec of stored batches; \`producer\` keeps the one they came with. ${storedAsProduced}`,
  }),
  'compression.zstd.level': define({
    kind: int({ min: -131_072, max: 22 }),
    defaultValue: '3',
    brokerName: 'compression.zstd.level',
    effect: 'stored only',
    documentation: `Level for zstd where the broker compresses. ${storedAsProduced}`,
  }),
  'delete.retention.ms': define({
    kind: long({ min: 0n }),
    defaultValue: '86400000',
    brokerName: 'log.cleaner.delete.retention.ms',
    effect: 'stored only',
    documentation: `How long a compacted topic keeps the mark that a key was deleted, milliseconds. ${compactionLater}`,
  }),
  'file.delete.delay.ms': define({
    kind: long({ min: 0n }),
    defaultValue: '60000',
    brokerName: 'log.segment.delete.delay.ms',
    effect: 'stored only',
    documentation: `How long a deleted log file stays on disk, milliseconds. ${noLogFiles}`,
  }),
  'flush.messages': define({
    kind: long({ min: 1n }),
    defaultValue: maxInt64,
    brokerName: 'log.flush.interval.messages',
    effect: 'stored only',
    documentation: 'Records between two forced writes to disk. Every record is durable here before it is acknowledged.',
  }),
  'flush.ms': define({
    kind: long({ min: 0n }),
    defaultValue: maxInt64,
    brokerName: 'log.flush.interval.ms',
    effect: 'stored only',
    documentation:
      'Milliseconds between two forced writes to disk. Every record is durable here before it is acknowledged.',
  }),
  'follower.replication.throttled.replicas': define({
    kind: throttledReplicas('follower.replication.throttled.replicas'),
    defaultValue: '',
    effect: 'stored only',
    documentation: `Replicas whose replication is throttled on the follower's side. ${noReplicas}`,
  }),
  'index.interval.bytes': define({
    kind: int({ min: 0 }),
    defaultValue: '4096',
    brokerName: 'log.index.interval.bytes',
    effect: 'stored only',
    documentation: `Bytes between two entries of a log file's offset index. ${noLogFiles}`,
  }),
  'internal.segment.bytes': define({
    kind: int(),
    defaultValue: '1073741824',
    effect: 'stored only',
    documentation: 'Size of a log file in tests of Kafka itself.',
    hidden: true,
  }),
  'leader.replication.throttled.replicas': define({
    kind: throttledReplicas('leader.replication.throttled.replicas'),
    defaultValue: '',
    effect: 'stored only',
    documentation: `Replicas whose replication is throttled on the leader's side. ${noReplicas}`,
  }),
  'local.retention.bytes': define({
    kind: long({ min: -2n }),
    defaultValue: '-2',
    brokerName: 'log.local.retention.bytes',
    effect: 'stored only',
    documentation: `Bytes of a partition kept on the broker beside tiered storage. ${noTieredStorage}`,
  }),
  'local.retention.ms': define({
    kind: long({ min: -2n }),
    defaultValue: '-2',
    brokerName: 'log.local.retention.ms',
    effect: 'stored only',
    documentation: `How long records stay on the broker beside tiered storage, milliseconds. ${noTieredStorage}`,
  }),
  'max.compaction.lag.ms': define({
    kind: long({ min: 1n }),
    defaultValue: maxInt64,
    brokerName: 'log.cleaner.max.compaction.lag.ms',
    effect: 'stored only',
    documentation: `Longest time a record may stay uncompacted, milliseconds. ${compactionLater}`,
  }),
  'max.message.bytes': define({
    kind: int({ min: 0 }),
    defaultValue: '1048588',
    brokerName: 'message.max.bytes',
    effect: 'acted on',
    documentation: 'Largest record batch the topic takes, bytes, as its producer compressed it.',
  }),
  'message.timestamp.after.max.ms': define({
    kind: long({ min: 0n }),
    defaultValue: '3600000',
    brokerName: 'log.message.timestamp.after.max.ms',
    effect: 'acted on',
    documentation:
      "How far a record's timestamp may lie ahead of the broker's clock, milliseconds; with `CreateTime` only.",
  }),
  'message.timestamp.before.max.ms': define({
    kind: long({ min: 0n }),
    defaultValue: maxInt64,
    brokerName: 'log.message.timestamp.before.max.ms',
    effect: 'acted on',
    documentation:
      "How far a record's timestamp may lie behind the broker's clock, milliseconds; with `CreateTime` only.",
  }),
  'message.timestamp.type': define({
    kind: oneOf('CreateTime', 'LogAppendTime'),
    defaultValue: 'CreateTime',
    brokerName: 'log.message.timestamp.type',
    effect: 'acted on',
    documentation: "Whether a record's timestamp is the one its producer gave or the time of its append.",
  }),
  'min.cleanable.dirty.ratio': define({
    kind: double({ min: 0, max: 1 }),
    defaultValue: '0.5',
    brokerName: 'log.cleaner.min.cleanable.ratio',
    effect: 'stored only',
    documentation: `Share of uncompacted bytes from which on a log is worth compacting. ${compactionLater}`,
  }),
  'min.compaction.lag.ms': define({
    kind: long({ min: 0n }),
    defaultValue: '0',
    brokerName: 'log.cleaner.min.compaction.lag.ms',
    effect: 'stored only',
    documentation: `Shortest time a record stays uncompacted, milliseconds. ${compactionLater}`,
  }),
  'min.insync.replicas': define({
    kind: int({ min: 1 }),
    defaultValue: '1',
    brokerName: 'min.insync.replicas',
    effect: 'stored only',
    documentation: `Replicas that must have a record before \`acks=all\` is answered. ${noReplicas}`,
  }),
  preallocate: define({
    kind: boolean(),
    defaultValue: 'false',
    brokerName: 'log.preallocate',
    effect: 'stored only',
    documentation: `Whether a log file gets its full size when it is made. ${noLogFiles}`,
  }),
  'remote.log.copy.disable': define({
    kind: boolean(),
    defaultValue: 'false',
    effect: 'stored only',
    documentation: `Whether tiered storage takes no more records of the topic. ${noTieredStorage}`,
  }),
  'remote.log.delete.on.disable': define({
    kind: boolean(),
    defaultValue: 'false',
    effect: 'stored only',
    documentation: `Whether tiered records go when tiered storage is turned off. ${noTieredStorage}`,
  }),
  'remote.storage.enable': define({
    kind: boolean(),
    defaultValue: 'false',
    effect: 'stored only',
    documentation: `Whether the topic uses tiered storage; only \`false\` is accepted. ${noTieredStorage}`,
  }),
  'retention.bytes': define({
    kind: long(),
    defaultValue: '-1',
    brokerName: 'log.retention.bytes',
    effect: 'acted on',
    documentation: `Bytes of a partition that are kept; older records go, with \`cleanup.policy\` \`delete\`. -1 for no limit. ${garbageLater}`,
  }),
  'retention.ms': define({
    kind: long({ min: -1n }),
    defaultValue: '604800000',
    brokerName: 'log.retention.ms',
    effect: 'acted on',
    documentation: `How long records are kept, milliseconds; older ones go, with \`cleanup.policy\` \`delete\`. -1 for ever. ${garbageLater}`,
  }),
  'segment.bytes': define({
    kind: int({ min: 1_048_576 }),
    defaultValue: '1073741824',
    brokerName: 'log.segment.bytes',
    effect: 'stored only',
    documentation: `Size of a log file, bytes. ${noLogFiles}`,
  }),
  'segment.index.bytes': define({
    kind: int({ min: 4 }),
    defaultValue: '10485760',
    brokerName: 'log.index.size.max.bytes',
    effect: 'stored only',
    documentation: `Largest index of a log file, bytes. ${noLogFiles}`,
  }),
  'segment.jitter.ms': define({
    kind: long({ min: 0n }),
    defaultValue: '0',
    brokerName: 'log.roll.jitter.ms',
    effect: 'stored only',
    documentation: `Random part of \`segment.ms\`, milliseconds. ${noLogFiles}`,
  }),
  'segment.ms': define({
    kind: long({ min: 1n }),
    defaultValue: '604800000',
    brokerName: 'log.roll.ms',
    effect: 'stored only',
    documentation: `Age at which a new log file is begun, milliseconds. ${noLogFiles}`,
  }),
  'unclean.leader.election.enable': define({
    kind: boolean(),
    defaultValue: 'false',
    brokerName: 'unclean.leader.election.enable',
    effect: 'stored only',
    documentation: `Whether a replica that lags may become leader and lose records. ${noReplicas}`,
  }),
} as const;

export type TopicConfigName = keyof typeof topicConfigs;

/** By name, for names that came from outside: `constructor` is none of ours. */
export const topicConfigDefinitions: ReadonlyMap<string, TopicConfigDefinition> = new Map<
  string,
  TopicConfigDefinition
>(Object.entries(topicConfigs) as [string, TopicConfigDefinition][]);
