import { ErrorCode, type describeConfigs, type RequestOf } from '@kafscale/protocol';
import { adminFixture, type AdminFixture } from './admin-fixture.ts';
import { alterConfigsHandler } from './alter-configs.ts';
import { ConfigResourceType } from './config-resource.ts';
import { describeConfigsHandler } from './describe-configs.ts';
import { incrementalAlterConfigsHandler } from './incremental-alter-configs.ts';

type Resource = RequestOf<typeof describeConfigs>['resources'][number];

let fixture: AdminFixture;
beforeEach(async () => (fixture = await adminFixture()));
afterEach(() => fixture.close());

const { TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP } = ConfigResourceType;
const { NONE, INVALID_REQUEST, INVALID_CONFIG, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode;

const describeResources = (version: number, resources: Resource[], { synonyms = false, documentation = false } = {}) =>
  fixture.call(describeConfigsHandler, version, {
    resources,
    includeSynonyms: synonyms,
    includeDocumentation: documentation,
  });

const resource = (resourceType: number, resourceName: string, keys: string[] | null = null): Resource => ({
  resourceType,
  resourceName,
  configurationKeys: keys,
});

describe('DescribeConfigs', () => {
  it.each([0, 1, 3, 4])('tells the settings of a topic in version %i', async (version) => {
    await fixture.createTopic('a', { configs: [{ name: 'retention.ms', value: '1000' }] });
    const keys = ['retention.ms', 'cleanup.policy', 'nope'];
    const options = { synonyms: version >= 1, documentation: version >= 3 };
    const { results } = await describeResources(version, [resource(TOPIC, 'a', keys)], options);
    expect(results).toMatchObject([{ errorCode: NONE, resourceType: TOPIC, resourceName: 'a' }]);
    expect(results[0]!.configs).toEqual([
      {
        name: 'cleanup.policy',
        value: 'delete',
        readOnly: false,
        isDefault: version === 0,
        configSource: version >= 1 ? 5 : -1,
        isSensitive: false,
        synonyms: version >= 1 ? [{ name: 'log.cleanup.policy', value: 'delete', source: 5 }] : [],
        configType: version >= 3 ? 7 : 0,
        documentation: version >= 3 ? (expect.stringContaining('compact') as string) : '',
      },
      {
        name: 'retention.ms',
        value: '1000',
        readOnly: false,
        isDefault: false,
        configSource: version >= 1 ? 1 : -1,
        isSensitive: false,
        synonyms:
          version >= 1
            ? [
                { name: 'retention.ms', value: '1000', source: 1 },
                { name: 'log.retention.ms', value: '604800000', source: 5 },
              ]
            : [],
        configType: version >= 3 ? 5 : 0,
        documentation: version >= 3 ? (expect.any(String) as string) : '',
      },
    ]);
  });

  it('tells all settings for no names or an empty list of them, bare unless asked for more', async () => {
    await fixture.createTopic('a');
    const { results } = await describeResources(4, [resource(TOPIC, 'a', []), resource(TOPIC, 'a', null)]);
    expect(results.map(({ configs }) => configs.length)).toEqual([33, 33]);
    expect(results[0]!.configs[0]).toMatchObject({ synonyms: [], documentation: null });
  });

  it('tells the settings of this broker, and none that brokers share', async () => {
    const { results } = await describeResources(4, [resource(BROKER, '1', ['node.id']), resource(BROKER, '')]);
    expect(results[0]!.configs).toMatchObject([{ name: 'node.id', value: '1', readOnly: true }]);
    expect(results[1]).toMatchObject({ errorCode: NONE, configs: [] });
  });

  it.each<[number, string, number]>([
    [TOPIC, 'missing', UNKNOWN_TOPIC_OR_PARTITION],
    [TOPIC, 'a/b', INVALID_TOPIC_EXCEPTION],
    [TOPIC, '', INVALID_TOPIC_EXCEPTION],
    [BROKER, '7', INVALID_REQUEST],
    [BROKER, 'abc', INVALID_REQUEST],
    [BROKER_LOGGER, '1', NONE],
    [BROKER_LOGGER, '9', INVALID_REQUEST],
    [BROKER_LOGGER, '', INVALID_REQUEST],
    [CLIENT_METRICS, 'm', NONE],
    [CLIENT_METRICS, '', INVALID_REQUEST],
    [GROUP, 'g', NONE],
    [GROUP, '', INVALID_REQUEST],
    [3, 'x', INVALID_REQUEST],
    [0, 'x', INVALID_REQUEST],
    [99, 'x', INVALID_REQUEST],
  ])('answers resource type %i named %j by %i', async (type, name, errorCode) => {
    const { results } = await describeResources(4, [resource(type, name)]);
    expect(results).toMatchObject([{ errorCode, resourceType: type, resourceName: name, configs: [] }]);
  });
});

const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;
type Entry = [name: string, operation: number, value: string | null];

const incremental = (
  resources: [type: number, name: string, entries: Entry[]][],
  { version = 1, validateOnly = false } = {},
) =>
  fixture.call(incrementalAlterConfigsHandler, version, {
    resources: resources.map(([resourceType, resourceName, entries]) => ({
      resourceType,
      resourceName,
      configs: entries.map(([name, configOperation, value]) => ({ name, configOperation, value })),
    })),
    validateOnly,
  });

const configsOf = (name: string) => Object.fromEntries(fixture.image.topic(name)!.configs);

describe('IncrementalAlterConfigs', () => {
  it.each([0, 1])('changes single settings and leaves the others in version %i', async (version) => {
    await fixture.createTopic('a', { configs: [{ name: 'retention.ms', value: '1' }] });
    const entries: Entry[] = [
      ['max.message.bytes', SET, '99'],
      ['cleanup.policy', APPEND, 'compact'],
    ];
    const { responses } = await incremental([[TOPIC, 'a', entries]], { version });
    expect(responses).toEqual([{ errorCode: NONE, errorMessage: null, resourceType: TOPIC, resourceName: 'a' }]);
    expect(configsOf('a')).toEqual({
      'retention.ms': '1',
      'max.message.bytes': '99',
      'cleanup.policy': 'delete,compact',
    });
    expect(fixture.image.topic('a')!.config.cleanupPolicy).toEqual({ delete: true, compact: true });
  });

  it('extends and reduces lists, each item once', async () => {
    await fixture.createTopic('a');
    const alter = (operation: number, value: string) =>
      incremental([[TOPIC, 'a', [['cleanup.policy', operation, value]]]]);
    await alter(APPEND, 'compact');
    await alter(APPEND, 'compact');
    expect(configsOf('a')).toEqual({ 'cleanup.policy': 'delete,compact' });
    await alter(SUBTRACT, 'delete');
    expect(configsOf('a')).toEqual({ 'cleanup.policy': 'compact' });
    await alter(SUBTRACT, 'compact,delete');
    expect(configsOf('a')).toEqual({ 'cleanup.policy': '' });
  });

  it('deletes settings, also such as never were', async () => {
    await fixture.createTopic('a', { configs: [{ name: 'retention.ms', value: '1' }] });
    const { responses } = await incremental([
      [
        TOPIC,
        'a',
        [
          ['retention.ms', DELETE, null],
          ['nope', DELETE, null],
        ],
      ],
    ]);
    expect(responses).toMatchObject([{ errorCode: NONE }]);
    expect(configsOf('a')).toEqual({});
  });

  it('only checks when it is told to', async () => {
    await fixture.createTopic('a');
    const { responses } = await incremental([[TOPIC, 'a', [['retention.ms', SET, '1']]]], { validateOnly: true });
    expect(responses).toMatchObject([{ errorCode: NONE }]);
    expect(configsOf('a')).toEqual({});
  });

  it.each<[number, string, Entry[], number, string]>([
    [
      TOPIC,
      'a',
      [['retention.ms', APPEND, '1']],
      INVALID_CONFIG,
      "Can't APPEND to key retention.ms because its type is not LIST.",
    ],
    [TOPIC, 'a', [['nope', APPEND, '1']], INVALID_CONFIG, "Can't APPEND to key nope because its type is not LIST."],
    [TOPIC, 'a', [['retention.ms', SET, null]], INVALID_REQUEST, 'Null value not supported for : retention.ms'],
    [
      TOPIC,
      'a',
      [['retention.ms', SET, 'abc']],
      INVALID_CONFIG,
      'Invalid value abc for configuration retention.ms: Not a number of type LONG',
    ],
    [TOPIC, 'a', [['constructor', SET, '1']], INVALID_CONFIG, 'Unknown topic config name: constructor'],
    [
      TOPIC,
      'a',
      [
        ['retention.ms', SET, '1'],
        ['retention.ms', DELETE, null],
      ],
      INVALID_REQUEST,
      'Error due to duplicate config keys',
    ],
    [TOPIC, 'a', [['retention.ms', 9, '1']], INVALID_REQUEST, 'Unknown operation 9 for retention.ms'],
    [TOPIC, 'missing', [], UNKNOWN_TOPIC_OR_PARTITION, "The topic 'missing' does not exist."],
    [TOPIC, '', [['retention.ms', SET, '1']], INVALID_REQUEST, 'Default topic resources are not allowed.'],
    [BROKER, '1', [['node.id', SET, '1']], INVALID_REQUEST, 'Cannot update these configs dynamically: [node.id]'],
    [
      BROKER,
      '',
      [['log.retention.ms', SET, '1']],
      INVALID_REQUEST,
      'Cannot update these configs dynamically: [log.retention.ms]',
    ],
    [
      BROKER,
      '9',
      [['node.id', SET, '1']],
      INVALID_REQUEST,
      'Unexpected broker id, expected 1 or empty string, but received 9',
    ],
    [3, 'x', [['node.id', SET, '1']], INVALID_REQUEST, 'Unknown resource type 3'],
  ])('answers type %i named %j with %j by %i: %s', async (type, name, entries, errorCode, errorMessage) => {
    await fixture.createTopic('a');
    const { responses } = await incremental([[type, name, entries]]);
    expect(responses).toMatchObject([{ errorCode, errorMessage }]);
    expect(configsOf('a')).toEqual({});
  });

  it('takes back settings of a broker that were never changed', async () => {
    const { responses } = await incremental([[BROKER, '1', [['leader.replication.throttled.rate', DELETE, null]]]]);
    expect(responses).toMatchObject([{ errorCode: 0, errorMessage: null }]);
  });

  it('refuses a resource that stands twice in the request, and changes the others', async () => {
    await fixture.createTopic('a');
    await fixture.createTopic('b');
    const { responses } = await incremental([
      [TOPIC, 'a', [['retention.ms', SET, '5']]],
      [TOPIC, 'a', [['flush.ms', SET, '5']]],
      [TOPIC, 'b', [['flush.ms', SET, '5']]],
    ]);
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([INVALID_REQUEST, INVALID_REQUEST, NONE]);
    expect(configsOf('a')).toEqual({});
  });
});

describe('AlterConfigs', () => {
  const alter = (version: number, resources: [type: number, name: string, entries: [string, string | null][]][]) =>
    fixture.call(alterConfigsHandler, version, {
      resources: resources.map(([resourceType, resourceName, entries]) => ({
        resourceType,
        resourceName,
        configs: entries.map(([name, value]) => ({ name, value })),
      })),
      validateOnly: false,
    });

  it.each([0, 2])('puts the given settings in the place of all in version %i', async (version) => {
    await fixture.createTopic('a', { configs: [{ name: 'retention.ms', value: '1' }] });
    const { responses } = await alter(version, [[TOPIC, 'a', [['flush.ms', '77']]]]);
    expect(responses).toMatchObject([{ errorCode: NONE, errorMessage: null }]);
    expect(configsOf('a')).toEqual({ 'flush.ms': '77' });
    await alter(version, [[TOPIC, 'a', []]]);
    expect(configsOf('a')).toEqual({});
  });

  it('keeps the error of a resource with that resource', async () => {
    await fixture.createTopic('a');
    await fixture.createTopic('b');
    const { responses } = await alter(2, [
      [TOPIC, 'a', [['flush.ms', null]]],
      [TOPIC, 'missing', [['flush.ms', '1']]],
      [TOPIC, 'b', [['nope', '1']]],
      [BROKER, '1', [['node.id', '7']]],
      [GROUP, 'g', [['x', '1']]],
    ]);
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([
      INVALID_REQUEST,
      UNKNOWN_TOPIC_OR_PARTITION,
      INVALID_CONFIG,
      INVALID_REQUEST,
      INVALID_REQUEST,
    ]);
  });
});
