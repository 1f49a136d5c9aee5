import { ErrorCode, zeroUuid, type createTopics, type RequestOf } from '@kafscale/protocol';
import { adminFixture, type AdminFixture } from './admin-fixture.ts';
import { createPartitionsHandler } from './create-partitions.ts';
import { createTopicsHandler } from './create-topics.ts';
import { deleteTopicsHandler } from './delete-topics.ts';

type NewTopic = RequestOf<typeof createTopics>['topics'][number];

let fixture: AdminFixture;
beforeEach(async () => (fixture = await adminFixture()));
afterEach(() => fixture.close());

const { NONE, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID } = ErrorCode;

const topic = (name: string, options: Partial<NewTopic> = {}): NewTopic => ({
  name,
  numPartitions: 1,
  replicationFactor: 1,
  assignments: [],
  configs: [],
  ...options,
});

const create = (version: number, topics: NewTopic[], validateOnly = false) =>
  fixture.call(createTopicsHandler, version, { topics, timeoutMs: 1_000, validateOnly });

describe('CreateTopics', () => {
  it.each([0, 1, 4, 5, 7])('creates topics in version %i', async (version) => {
    const configs = [{ name: 'retention.ms', value: '1000' }];
    const response = await create(version, [topic('a', { numPartitions: 2, replicationFactor: 3, configs })]);
    const { topicId } = fixture.image.topic('a')!;
    expect(response.topics).toMatchObject([
      {
        name: 'a',
        topicId: version >= 7 ? topicId : zeroUuid,
        errorCode: NONE,
        errorMessage: version >= 1 ? null : '',
        numPartitions: version >= 5 ? 2 : -1,
        replicationFactor: version >= 5 ? 3 : -1,
      },
    ]);
    const described = response.topics[0]!.configs ?? [];
    expect(described).toHaveLength(version >= 5 ? 33 : 0);
    if (version >= 5) {
      expect(described.find(({ name }) => name === 'retention.ms')).toEqual({
        name: 'retention.ms',
        value: '1000',
        readOnly: false,
        configSource: 1,
        isSensitive: false,
      });
    }
  });

  it('leaves counts of -1 to the broker', async () => {
    const response = await create(7, [topic('a', { numPartitions: -1, replicationFactor: -1 })]);
    expect(response.topics).toMatchObject([{ errorCode: NONE, numPartitions: 1, replicationFactor: 1 }]);
  });

  it('only checks when it is told to', async () => {
    const response = await create(7, [topic('a'), topic('b', { numPartitions: 0 })], true);
    expect(response.topics.map(({ errorCode }) => errorCode)).toEqual([NONE, ErrorCode.INVALID_PARTITIONS]);
    expect(fixture.image.topic('a')).toBeUndefined();
  });

  it('keeps the error of a topic with that topic, with a message', async () => {
    await create(7, [topic('taken')]);
    const response = await create(7, [
      topic('taken'),
      topic('fine'),
      topic('a/b'),
      topic('bad', { configs: [{ name: 'constructor', value: '1' }] }),
    ]);
    expect(response.topics.map(({ name, errorCode, errorMessage }) => [name, errorCode, errorMessage])).toEqual([
      ['taken', ErrorCode.TOPIC_ALREADY_EXISTS, "Topic 'taken' already exists."],
      ['fine', NONE, null],
      [
        'a/b',
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
      ],
      ['bad', ErrorCode.INVALID_CONFIG, 'Unknown topic config name: constructor'],
    ]);
  });

  it('refuses a name that stands twice in the request, and creates the others', async () => {
    const response = await create(7, [topic('dup'), topic('dup', { numPartitions: 2 }), topic('single')]);
    expect(response.topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['single', NONE],
      ['dup', INVALID_REQUEST],
    ]);
    expect(fixture.image.topic('dup')).toBeUndefined();
  });
});

describe('DeleteTopics', () => {
  const remove = (version: number, names: string[], topics: { name: string | null; topicId: string }[] = []) =>
    fixture.call(deleteTopicsHandler, version, { topics, topicNames: names, timeoutMs: 1_000 });

  it.each([0, 1, 5])('deletes by name in version %i', async (version) => {
    await fixture.createTopic('a');
    const response = await remove(version, ['a', 'missing', 'x', 'x']);
    expect(response.responses.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['x', INVALID_REQUEST],
      ['a', NONE],
      ['missing', UNKNOWN_TOPIC_OR_PARTITION],
    ]);
    expect(fixture.image.topic('a')).toBeUndefined();
  });

  it('deletes by name or id in version 6', async () => {
    await fixture.createTopic('a');
    await fixture.createTopic('b');
    const [a, b] = [fixture.image.topic('a')!.topicId, fixture.image.topic('b')!.topicId];
    const unknown = Buffer.alloc(16, 3).toString('base64url');
    const response = await remove(
      6,
      [],
      [
        { name: 'a', topicId: zeroUuid },
        { name: null, topicId: b },
        { name: null, topicId: unknown },
        { name: null, topicId: zeroUuid },
        { name: 'c', topicId: unknown },
      ],
    );
    expect(response.responses.map(({ name, topicId, errorCode }) => [name, topicId, errorCode])).toEqual([
      [null, zeroUuid, INVALID_REQUEST],
      ['c', unknown, INVALID_REQUEST],
      ['a', a, NONE],
      ['b', b, NONE],
      [null, unknown, UNKNOWN_TOPIC_ID],
    ]);
    expect([...fixture.image.topics()]).toEqual([]);
  });

  it('frees the name for a topic with another id', async () => {
    const first = await fixture.createTopic('a');
    await remove(5, ['a']);
    expect((await fixture.createTopic('a')).topicId).not.toBe(first.topicId);
  });
});

describe('CreatePartitions', () => {
  const grow = (
    version: number,
    topics: { name: string; count: number; assignments: { brokerIds: number[] }[] | null }[],
    validateOnly = false,
  ) => fixture.call(createPartitionsHandler, version, { topics, timeoutMs: 1_000, validateOnly });

  it.each([0, 3])('adds partitions in version %i', async (version) => {
    await fixture.createTopic('a');
    const { results } = await grow(version, [{ name: 'a', count: 3, assignments: null }]);
    expect(results).toEqual([{ name: 'a', errorCode: NONE, errorMessage: null }]);
    expect(fixture.image.topic('a')?.partitionCount).toBe(3);
  });

  it('only checks when it is told to', async () => {
    await fixture.createTopic('a');
    const { results } = await grow(3, [{ name: 'a', count: 3, assignments: null }], true);
    expect(results).toMatchObject([{ errorCode: NONE }]);
    expect(fixture.image.topic('a')?.partitionCount).toBe(1);
  });

  it('keeps the error of a topic with that topic, with a message', async () => {
    await fixture.createTopic('a', { numPartitions: 2 });
    await fixture.createTopic('b');
    const { results } = await grow(3, [
      { name: 'a', count: 0, assignments: null },
      { name: 'missing', count: 4, assignments: null },
      { name: 'b', count: 2, assignments: [{ brokerIds: [9] }] },
      { name: 'twice', count: 1, assignments: null },
      { name: 'twice', count: 2, assignments: null },
    ]);
    expect(results.map(({ name, errorCode, errorMessage }) => [name, errorCode, errorMessage])).toEqual([
      ['a', ErrorCode.INVALID_PARTITIONS, 'The topic a currently has 2 partition(s); 0 would not be an increase.'],
      ['missing', UNKNOWN_TOPIC_OR_PARTITION, expect.any(String)],
      [
        'b',
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        'The manual partition assignment includes broker 9, but no such broker is registered.',
      ],
      ['twice', INVALID_REQUEST, 'Duplicate topic name.'],
    ]);
  });
});
