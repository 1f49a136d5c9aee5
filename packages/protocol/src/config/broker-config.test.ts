import { brokerConfigSchema } from './broker-config.ts';

const parse = (values: Record<string, unknown>) => brokerConfigSchema.safeParse(values);
const faults = (values: Record<string, unknown>) =>
  parse(values).error?.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) ?? [];

describe('the broker configuration', () => {
  it('has a default for every field that must have a value', () => {
    expect(brokerConfigSchema.parse({})).toMatchObject({
      kafkaAddress: { port: 9092 },
      metricsAddress: { port: 9093 },
      flushBytes: 4_194_304,
      maxRequestBytes: 104_857_600,
      autoCreateTopics: true,
    });
  });

  it('names a variable and a description on every field', () => {
    for (const [field, type] of Object.entries(brokerConfigSchema.shape)) {
      const { env, description } = type.meta() ?? {};
      for (const name of [env].flat()) expect(`${field} ${String(name)}`).toMatch(/ (KAFSCALE|POD)_[A-Z0-9_]+$/);
      expect(`${field} ${String(description)}`).toMatch(/\.$/);
    }
  });

  it('gives no variable to two fields', () => {
    const names = Object.values(brokerConfigSchema.shape).flatMap((type) => [type.meta()?.['env']].flat());
    expect(new Set(names).size).toBe(names.length);
  });

  it('reads text as the environment gives it', () => {
    expect(
      brokerConfigSchema.parse({
        kafkaAddress: '[::1]:0',
        metricsAddress: 'broker-0.local:9193',
        cacheBytes: '64MiB',
        flushBytes: '1048576',
        autoCreateTopics: 'false',
        flushIntervalMs: '2',
      }),
    ).toMatchObject({
      kafkaAddress: { host: '::1', port: 0 },
      metricsAddress: { host: 'broker-0.local', port: 9193 },
      cacheBytes: 67_108_864,
      flushBytes: 1_048_576,
      autoCreateTopics: false,
      flushIntervalMs: 2,
    });
  });

  it('says what it expected, for every fault', () => {
    expect(
      faults({
        kafkaAddress: '9092',
        brokerId: 'one',
        flushBytes: '4 TB',
        autoCreateTopics: 'yes',
        logFormat: 'xml',
        brokerID: 1,
      }),
    ).toEqual([
      'brokerId: expected a whole number, got "one"',
      'kafkaAddress: expected host:port or :port, got "9092"',
      'flushBytes: expected a number of bytes such as 1048576 or 1MiB, got "4 TB"',
      'autoCreateTopics: expected true or false, got "yes"',
      'logFormat: expected one of json, pretty, got "xml"',
      ': Unrecognized key: "brokerID"',
    ]);
  });

  it('refuses ports and numbers out of bounds', () => {
    expect(faults({ metricsAddress: ':65536' })).toHaveLength(1);
    expect(faults({ flushInFlight: 0 })).toHaveLength(1);
    expect(faults({ maxRequestBytes: '2GiB' })).toHaveLength(1);
  });

  it('refuses a shortest session timeout above the longest', () => {
    expect(faults({ groupMinSessionTimeoutMs: 10_000, groupMaxSessionTimeoutMs: 9_000 })).toEqual([
      'groupMinSessionTimeoutMs: expected at most the longest session timeout',
    ]);
  });

  it('wants etcd and a bucket together, and names the one that is missing', () => {
    expect(faults({ etcdEndpoints: 'etcd:2379' })).toEqual([
      's3Bucket: expected a bucket beside etcd: a cluster needs both, a broker by itself neither',
    ]);
    expect(faults({ s3Bucket: 'records' })).toEqual([
      'etcdEndpoints: expected etcd beside the bucket: a cluster needs both, a broker by itself neither',
    ]);
    expect(faults({ etcdEndpoints: 'etcd:2379', s3Bucket: 'records' })).toEqual([]);
  });

  it('refuses half of the access to etcd', () => {
    expect(faults({ etcdUsername: 'kafscale' })).toHaveLength(1);
    expect(faults({ etcdPassword: 'secret' })).toHaveLength(1);
    expect(faults({ etcdKeyFile: 'key.pem' })).toHaveLength(1);
    expect(faults({ etcdUsername: 'kafscale', etcdPassword: 'secret' })).toEqual([]);
  });
});
