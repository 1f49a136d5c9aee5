import { brokerConfigSchema, ConfigType, KafkaError } from '@kafscale/protocol';
import { ConfigSource, describeTopicConfigs } from './described-config.ts';
import { BrokerConfigs } from './dynamic-config.ts';

const identity = { brokerId: 4, advertisedHost: 'broker.example', advertisedPort: 9099 };
const brokerConfigs = (config: Record<string, unknown> = {}) =>
  new BrokerConfigs(brokerConfigSchema.parse(config), identity);

describe("a topic's settings", () => {
  it('are its own before the defaults, and say what gives them', () => {
    const described = describeTopicConfigs(new Map([['retention.ms', '5']]));
    expect(described.find(({ name }) => name === 'retention.ms')).toEqual({
      name: 'retention.ms',
      value: '5',
      source: ConfigSource.TOPIC,
      readOnly: false,
      type: ConfigType.LONG,
      documentation: expect.stringContaining('milliseconds') as string,
      synonyms: [
        { name: 'retention.ms', value: '5', source: ConfigSource.TOPIC },
        { name: 'log.retention.ms', value: '604800000', source: ConfigSource.DEFAULT },
      ],
    });
    expect(described.find(({ name }) => name === 'cleanup.policy')).toMatchObject({
      value: 'delete',
      source: ConfigSource.DEFAULT,
      synonyms: [{ name: 'log.cleanup.policy', value: 'delete', source: ConfigSource.DEFAULT }],
    });
  });

  it('are all there in the order of their names, without the one Kafka hides', () => {
    const names = describeTopicConfigs(new Map()).map(({ name }) => name);
    expect(names).toHaveLength(33);
    expect(names).toEqual([...names].sort());
    expect(names).not.toContain('internal.segment.bytes');
  });
});

describe("a broker's settings", () => {
  const valueOf = (configs: BrokerConfigs, wanted: string) => configs.describe().find(({ name }) => name === wanted);

  it('name what tools look for', () => {
    const configs = brokerConfigs({ autoCreatePartitions: 3 });
    expect(valueOf(configs, 'node.id')).toMatchObject({
      value: '4',
      source: ConfigSource.STATIC_BROKER,
      readOnly: true,
    });
    expect(valueOf(configs, 'advertised.listeners')?.value).toBe('PLAINTEXT://broker.example:9099');
    expect(valueOf(configs, 'num.partitions')).toMatchObject({ value: '3', source: ConfigSource.STATIC_BROKER });
    expect(valueOf(configs, 'default.replication.factor')).toMatchObject({ value: '1', source: ConfigSource.DEFAULT });
    expect(valueOf(configs, 'log.retention.ms')).toMatchObject({ value: '604800000', type: ConfigType.LONG });
    expect(valueOf(configs, 'broker.rack')).toMatchObject({ value: null, synonyms: [] });
    expect(valueOf(configs, 'inter.broker.protocol.version')?.value).toMatch(/^\d+\.\d+/);
  });

  it('appear once each', () => {
    const names = brokerConfigs()
      .describe()
      .map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('cannot be altered while the broker runs', () => {
    const configs = brokerConfigs();
    expect(() => configs.refuseChange(['node.id'])).toThrow(KafkaError);
    expect(() => configs.refuseChange([])).not.toThrow();
  });
});
