import { ErrorCode } from '../errors/error-codes.ts';
import { KafkaError } from '../errors/kafka-error.ts';
import { ConfigType } from './config-kind.ts';
import { checkTopicConfigs, parseTopicConfig } from './topic-config.ts';
import { topicConfigDefinitions } from './topic-config-definitions.ts';

const check = (configs: Record<string, string>) =>
  Object.fromEntries(checkTopicConfigs(new Map(Object.entries(configs))));

function refusal(...configs: [name: string, value: string][]): string {
  try {
    checkTopicConfigs(new Map(configs));
  } catch (error) {
    if (error instanceof KafkaError && error.code === ErrorCode.INVALID_CONFIG) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('the table of topic settings', () => {
  it('has every setting of Kafka 4.3 with its type, default and broker setting', () => {
    const table = [...topicConfigDefinitions]
      .filter(([, definition]) => definition.hidden !== true)
      .map(([name, { kind, defaultValue, brokerName }]) => [name, kind.type, defaultValue, brokerName]);
    expect(table).toEqual(kafkaSettings);
  });

  it('has defaults that are written as they are read', () => {
    for (const [name, { kind, defaultValue }] of topicConfigDefinitions) {
      expect([name, kind.format(kind.parse(defaultValue))]).toEqual([name, defaultValue]);
    }
  });

  const kafkaSettings = [
    ['cleanup.policy', ConfigType.LIST, 'delete', 'log.cleanup.policy'],
    ['compression.gzip.level', ConfigType.INT, '-1', 'compression.gzip.level'],
    ['compression.lz4.level', ConfigType.INT, '9', 'compression.lz4.level'],
    ['compression.type', ConfigType.STRING, 'producer', 'compression.type'],
    ['compression.zstd.level', ConfigType.INT, '3', 'compression.zstd.level'],
    ['delete.retention.ms', ConfigType.LONG, '86400000', 'log.cleaner.delete.retention.ms'],
    ['file.delete.delay.ms', ConfigType.LONG, '60000', 'log.segment.delete.delay.ms'],
    ['flush.messages', ConfigType.LONG, '9223372036854775807', 'log.flush.interval.messages'],
    ['flush.ms', ConfigType.LONG, '9223372036854775807', 'log.flush.interval.ms'],
    ['follower.replication.throttled.replicas', ConfigType.LIST, '', undefined],
    ['index.interval.bytes', ConfigType.INT, '4096', 'log.index.interval.bytes'],
    ['leader.replication.throttled.replicas', ConfigType.LIST, '', undefined],
    ['local.retention.bytes', ConfigType.LONG, '-2', 'log.local.retention.bytes'],
    ['local.retention.ms', ConfigType.LONG, '-2', 'log.local.retention.ms'],
    ['max.compaction.lag.ms', ConfigType.LONG, '9223372036854775807', 'log.cleaner.max.compaction.lag.ms'],
    ['max.message.bytes', ConfigType.INT, '1048588', 'message.max.bytes'],
    ['message.timestamp.after.max.ms', ConfigType.LONG, '3600000', 'log.message.timestamp.after.max.ms'],
    ['message.timestamp.before.max.ms', ConfigType.LONG, '9223372036854775807', 'log.message.timestamp.before.max.ms'],
    ['message.timestamp.type', ConfigType.STRING, 'CreateTime', 'log.message.timestamp.type'],
    ['min.cleanable.dirty.ratio', ConfigType.DOUBLE, '0.5', 'log.cleaner.min.cleanable.ratio'],
    ['min.compaction.lag.ms', ConfigType.LONG, '0', 'log.cleaner.min.compaction.lag.ms'],
    ['min.insync.replicas', ConfigType.INT, '1', 'min.insync.replicas'],
    ['preallocate', ConfigType.BOOLEAN, 'false', 'log.preallocate'],
    ['remote.log.copy.disable', ConfigType.BOOLEAN, 'false', undefined],
    ['remote.log.delete.on.disable', ConfigType.BOOLEAN, 'false', undefined],
    ['remote.storage.enable', ConfigType.BOOLEAN, 'false', undefined],
    ['retention.bytes', ConfigType.LONG, '-1', 'log.retention.bytes'],
    ['retention.ms', ConfigType.LONG, '604800000', 'log.retention.ms'],
    ['segment.bytes', ConfigType.INT, '1073741824', 'log.segment.bytes'],
    ['segment.index.bytes', ConfigType.INT, '10485760', 'log.index.size.max.bytes'],
    ['segment.jitter.ms', ConfigType.LONG, '0', 'log.roll.jitter.ms'],
    ['segment.ms', ConfigType.LONG, '604800000', 'log.roll.ms'],
    ['unclean.leader.election.enable', ConfigType.BOOLEAN, 'false', 'unclean.leader.election.enable'],
  ];
});

describe('checking topic settings', () => {
  it('keeps values in their one written form', () => {
    expect(
      check({
        'retention.ms': ' 5 ',
        'retention.bytes': '+10',
        preallocate: 'TRUE',
        'min.cleanable.dirty.ratio': '1',
        'cleanup.policy': ' compact , delete ',
        'leader.replication.throttled.replicas': '*',
        'follower.replication.throttled.replicas': '0:1, 1:2',
      }),
    ).toEqual({
      'retention.ms': '5',
      'retention.bytes': '10',
      preallocate: 'true',
      'min.cleanable.dirty.ratio': '1.0',
      'cleanup.policy': 'compact,delete',
      'leader.replication.throttled.replicas': '*',
      'follower.replication.throttled.replicas': '0:1,1:2',
    });
  });

  it.each([
    ['nope', '1', 'Unknown topic config name: nope'],
    ['constructor', '1', 'Unknown topic config name: constructor'],
    ['__proto__', '1', 'Unknown topic config name: __proto__'],
    ['', 'x', 'Unknown topic config name: '],
    ['message.format.version', '2.8', 'Unknown topic config name: message.format.version'],
    ['retention.ms', 'abc', 'Invalid value abc for configuration retention.ms: Not a number of type LONG'],
    ['retention.ms', '', 'Invalid value  for configuration retention.ms: Not a number of type LONG'],
    ['retention.ms', '-2', 'Invalid value -2 for configuration retention.ms: Value must be at least -1'],
    [
      'retention.ms',
      '9223372036854775808',
      'Invalid value 9223372036854775808 for configuration retention.ms: Not a number of type LONG',
    ],
    [
      'max.message.bytes',
      '3000000000',
      'Invalid value 3000000000 for configuration max.message.bytes: Not a number of type INT',
    ],
    [
      'cleanup.policy',
      'compact,foo',
      'Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete',
    ],
    [
      'compression.type',
      'lzma',
      'Invalid value lzma for configuration compression.type: ' +
        'String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer',
    ],
    [
      'compression.gzip.level',
      '0',
      'Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1',
    ],
    [
      'preallocate',
      'yes',
      'Invalid value yes for configuration preallocate: Expected value to be either true or false',
    ],
    [
      'min.cleanable.dirty.ratio',
      '1.5',
      'Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1',
    ],
    ['segment.bytes', '10', 'Invalid value 10 for configuration segment.bytes: Value must be at least 1048576'],
    [
      'leader.replication.throttled.replicas',
      'foo',
      'Invalid value [foo] for configuration leader.replication.throttled.replicas: ' +
        "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: " +
        '[partitionId]:[brokerId],[partitionId]:[brokerId],...',
    ],
    [
      'remote.storage.enable',
      'true',
      'Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.',
    ],
  ])('refuses %s=%s as Kafka does', (name, value, message) => {
    expect(refusal([name, value])).toBe(message);
  });

  it('names an unknown setting before it looks at any value', () => {
    expect(refusal(['retention.ms', 'abc'], ['nope', '1'])).toBe('Unknown topic config name: nope');
  });

  it('refuses lags that contradict each other', () => {
    expect(refusal(['min.compaction.lag.ms', '100'], ['max.compaction.lag.ms', '50'])).toBe(
      'conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)',
    );
  });

  it('accepts a topic that is neither compacted nor deleted from', () => {
    expect(refusal(['cleanup.policy', ''])).toBe('accepted');
  });
});

describe('the settings a topic has', () => {
  it('are the defaults where none were given', () => {
    expect(parseTopicConfig(new Map())).toEqual({
      cleanupPolicy: { delete: true, compact: false },
      compressionType: 'producer',
      maxMessageBytes: 1_048_588,
      messageTimestampType: 'CreateTime',
      messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
      messageTimestampAfterMaxMs: 3_600_000,
      retentionMs: 604_800_000,
      retentionBytes: -1,
      deleteRetentionMs: 86_400_000,
      minCompactionLagMs: 0,
      maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
      minCleanableDirtyRatio: 0.5,
      segmentBytes: 1_073_741_824,
      segmentMs: 604_800_000,
      minInsyncReplicas: 1,
    });
  });

  it('are the given ones, and defaults for what cannot be read', () => {
    const config = parseTopicConfig(
      new Map([
        ['cleanup.policy', 'compact,delete'],
        ['retention.ms', '-1'],
        ['max.message.bytes', 'from the future'],
        ['some.new.setting', 'x'],
      ]),
    );
    expect(config.cleanupPolicy).toEqual({ delete: true, compact: true });
    expect(config.retentionMs).toBe(-1);
    expect(config.maxMessageBytes).toBe(1_048_588);
  });
});
