import { KafkaError, metadata, metadataKeys, metadataPrefixes, type ErrorName } from '@kafscale/protocol';
import { settled } from '@kafscale/testkit';
import { prefixEnd } from '../metadata/metadata-store.ts';
import { topicsFixture, type TopicsFixture, type TopicsFixtureOptions } from './topics-fixture.ts';
import type { NewTopic } from './topics.ts';

const byDefault: Omit<NewTopic, 'name'> = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] };
const wait = { timeoutMs: 5_000 };

const outcome = (promise: Promise<unknown>): Promise<'done' | ErrorName> =>
  promise.then(
    () => 'done' as const,
    (error: unknown) => {
      if (error instanceof KafkaError) return error.codeName;
      throw error;
    },
  );

let fixture: TopicsFixture;
const setUp = async (options?: TopicsFixtureOptions) => (fixture = await topicsFixture(options));
afterEach(() => fixture.close());

const create = (name: string, options: Partial<NewTopic> = {}) =>
  outcome(fixture.topics.create({ ...byDefault, name, ...options }, wait));

const keys = async (prefix: string) =>
  (await fixture.store.range({ key: prefix, end: prefixEnd(prefix) })).items.map(({ key }) => key.slice(prefix.length));

describe('creating topics', () => {
  it('stores the topic and answers when each partition has an owner', async () => {
    const { topics, image } = await setUp({ owners: false });
    let done = false;
    const creating = topics
      .create(
        {
          ...byDefault,
          name: 'a',
          numPartitions: 3,
          replicationFactor: 2,
          configs: [{ name: 'retention.ms', value: ' 7 ' }],
        },
        wait,
      )
      .finally(() => (done = true));
    await settled();
    expect(image.topic('a')).toMatchObject({ partitionCount: 3, replicationFactor: 2, config: { retentionMs: 7 } });
    expect(done).toBe(false);
    await fixture.own();
    await settled();
    expect(done).toBe(true);
    const { items } = await fixture.store.range({ key: metadataKeys.topic('a') });
    const record = metadata.TopicRecord.decode(items[0]!.value);
    expect(record.topicId.toString('base64url')).toBe((await creating).topicId);
    expect(record.configs).toEqual(new Map([['retention.ms', '7']]));
  });

  it('answers after the timeout although partitions have no owner yet', async () => {
    const { clock, image } = await setUp({ owners: false });
    const creating = create('a');
    await clock.advanceAsync(5_000);
    expect(await creating).toBe('done');
    expect(image.topic('a')).toBeDefined();
  });

  it('gives each topic its own id, also after its name was free again', async () => {
    const { topics, image } = await setUp();
    await create('a');
    const first = image.topic('a')!.topicId;
    await topics.delete({ name: 'a' }, wait);
    await create('a');
    expect(image.topic('a')!.topicId).not.toBe(first);
    expect(image.topic('a')!.topicId).toHaveLength(22);
  });

  it('creates one of two topics of one name that come at once', async () => {
    await setUp();
    const outcomes = await Promise.all([create('a'), create('a')]);
    expect(outcomes).toEqual(['done', 'TOPIC_ALREADY_EXISTS']);
  });

  it('finds a topic that another broker created and the image does not show yet', async () => {
    const { store } = await setUp();
    const value = metadata.TopicRecord.encode({
      topicId: Buffer.alloc(16, 9),
      partitionCount: 1,
      replicationFactor: 1,
      configs: new Map(),
      createdMs: 0n,
      deleting: false,
    }).finish();
    const other = store.transact({ compare: [], success: [{ type: 'put', key: metadataKeys.topic('a'), value }] });
    expect(await create('a')).toBe('TOPIC_ALREADY_EXISTS');
    await other;
  });

  it('loses to a broker that creates the name between its look and its commit', async () => {
    const { store, lane } = await setUp();
    const value = metadata.TopicRecord.encode({
      topicId: Buffer.alloc(16, 9),
      partitionCount: 1,
      replicationFactor: 1,
      configs: new Map(),
      createdMs: 0n,
      deleting: false,
    }).finish();
    const commit = lane.commit.bind(lane);
    lane.commit = async (change) => {
      await store.transact({ compare: [], success: [{ type: 'put', key: metadataKeys.topic('a'), value }] });
      return commit(change);
    };
    expect(await create('a')).toBe('TOPIC_ALREADY_EXISTS');
  });

  it.each<[string, Partial<NewTopic>, 'done' | ErrorName]>([
    ['__proto__', {}, 'done'],
    ['constructor', {}, 'done'],
    ['a'.repeat(249), {}, 'done'],
    ['a'.repeat(250), {}, 'INVALID_TOPIC_EXCEPTION'],
    ['', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['.', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['..', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['../x', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['a\0b', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['a\n', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['tüpik', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['__cluster_metadata', {}, 'INVALID_REQUEST'],
    ['a', { numPartitions: 0 }, 'INVALID_PARTITIONS'],
    ['a', { numPartitions: -2 }, 'INVALID_PARTITIONS'],
    ['a', { numPartitions: 101 }, 'INVALID_PARTITIONS'],
    ['a', { numPartitions: -2, replicationFactor: 0 }, 'INVALID_REPLICATION_FACTOR'],
    ['a', { replicationFactor: -2 }, 'INVALID_REPLICATION_FACTOR'],
    ['a', { replicationFactor: 32_767 }, 'done'],
    ['a', { numPartitions: 0, configs: [{ name: 'nope', value: '1' }] }, 'INVALID_CONFIG'],
    ['a', { configs: [{ name: 'retention.ms', value: null }] }, 'INVALID_CONFIG'],
    ['a', { assignments: [{ partitionIndex: 0, brokerIds: [1] }] }, 'done'],
    ['a', { numPartitions: 1, assignments: [{ partitionIndex: 0, brokerIds: [1] }] }, 'INVALID_REQUEST'],
    ['a', { replicationFactor: 1, assignments: [{ partitionIndex: 0, brokerIds: [1] }] }, 'INVALID_REQUEST'],
    ['a', { assignments: [{ partitionIndex: 1, brokerIds: [1] }] }, 'INVALID_REPLICA_ASSIGNMENT'],
    ['a', { assignments: [{ partitionIndex: 0, brokerIds: [] }] }, 'INVALID_REPLICA_ASSIGNMENT'],
    ['a', { assignments: [{ partitionIndex: 0, brokerIds: [1, 1] }] }, 'INVALID_REPLICA_ASSIGNMENT'],
    ['a', { assignments: [{ partitionIndex: 0, brokerIds: [2] }] }, 'INVALID_REPLICA_ASSIGNMENT'],
  ])('answers %j with %j by %s', async (name, options, expected) => {
    await setUp();
    expect(await create(name, options)).toBe(expected);
    expect(await keys(metadataPrefixes.topics)).toHaveLength(expected === 'done' ? 1 : 0);
  });

  it('refuses names that meet when dots become underscores', async () => {
    await setUp();
    await create('x.y');
    expect(await create('x_y')).toBe('INVALID_TOPIC_EXCEPTION');
    expect(await Promise.all([create('p.q'), create('p_q')])).toEqual(['done', 'INVALID_TOPIC_EXCEPTION']);
  });

  it('keeps the number of all partitions below its limit', async () => {
    await setUp({ limits: { maxPartitions: 5 } });
    expect(await create('a', { numPartitions: 4 })).toBe('done');
    expect(await create('b', { numPartitions: 2 })).toBe('INVALID_PARTITIONS');
    expect(await create('b', { numPartitions: 1 })).toBe('done');
  });

  it('writes nothing when it only validates', async () => {
    const { topics } = await setUp();
    const topic = await topics.create({ ...byDefault, name: 'a' }, { ...wait, validateOnly: true });
    expect(topic.partitionCount).toBe(1);
    expect(await keys(metadataPrefixes.topics)).toEqual([]);
    expect(await create('a')).toBe('done');
  });

  it('tells the client to try again when the session is over', async () => {
    const { session } = await setUp();
    session.end(new Error('over'));
    expect(await create('a')).toBe('REQUEST_TIMED_OUT');
  });
});

describe('deleting topics', () => {
  it('ends the wait of whoever created the topic a moment before', async () => {
    const { topics } = await setUp({ owners: false });
    const creating = create('a');
    await settled();
    await topics.delete({ name: 'a' }, wait);
    expect(await creating).toBe('done');
  });

  it('knows neither topics nor ids that do not exist', async () => {
    const { topics, image } = await setUp();
    await create('a');
    const { topicId } = image.topic('a')!;
    expect(await outcome(topics.delete({ name: 'b' }, wait))).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect(await outcome(topics.delete({ name: '../a' }, wait))).toBe('UNKNOWN_TOPIC_OR_PARTITION');
    expect(await outcome(topics.delete({ name: 'a', topicId: 'x'.repeat(22) }, wait))).toBe('UNKNOWN_TOPIC_ID');
    expect(await outcome(topics.delete({ name: 'a', topicId }, wait))).toBe('done');
    expect(await outcome(topics.delete({ name: 'a', topicId }, wait))).toBe('UNKNOWN_TOPIC_ID');
  });

  it('never brings a topic back by a late copy of its creation (K1)', async () => {
    const { topics, store } = await setUp();
    const sent: Parameters<typeof store.transact>[0][] = [];
    const transact = store.transact.bind(store);
    store.transact = (transaction, signal) => {
      sent.push(transaction);
      return transact(transaction, signal);
    };
    await create('a');
    await topics.delete({ name: 'a' }, wait);
    for (const late of sent.filter(({ compare }) => compare.length > 0)) {
      expect((await transact(late)).succeeded).toBe(false);
    }
    expect(await keys(metadataPrefixes.topics)).toEqual([]);
  });
});

describe('growing topics', () => {
  const grow = (name: string, count: number, assignments: { brokerIds: number[] }[] | null = null) =>
    outcome(fixture.topics.grow({ name, count, assignments }, wait));

  it('adds partitions and answers when they have owners', async () => {
    const { image } = await setUp();
    await create('a', { numPartitions: 2 });
    const { topicId } = image.topic('a')!;
    expect(await grow('a', 4)).toBe('done');
    expect(image.topic('a')).toMatchObject({ topicId, partitionCount: 4 });
    expect(image.partition(topicId, 3)?.owner).toBe('incarnation-1');
  });

  it.each<[number, { brokerIds: number[] }[] | null, 'done' | ErrorName]>([
    [2, null, 'INVALID_PARTITIONS'],
    [1, null, 'INVALID_PARTITIONS'],
    [-5, null, 'INVALID_PARTITIONS'],
    [101, null, 'INVALID_PARTITIONS'],
    [3, [], 'INVALID_REPLICA_ASSIGNMENT'],
    [3, [{ brokerIds: [9] }], 'INVALID_REPLICA_ASSIGNMENT'],
    [3, [{ brokerIds: [1] }], 'done'],
  ])('answers a growth from 2 to %j with assignments %j by %s', async (count, assignments, expected) => {
    await setUp();
    await create('a', { numPartitions: 2 });
    expect(await grow('a', count, assignments)).toBe(expected);
  });

  it('does not know a topic that does not exist', async () => {
    await setUp();
    expect(await grow('a', 3)).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  });
});

describe('changing the settings of topics', () => {
  it('stores what the change makes of the settings and shows it', async () => {
    const { topics, image } = await setUp();
    await create('a', { configs: [{ name: 'retention.ms', value: '1' }] });
    await topics.alterConfigs('a', (configs) => new Map([...configs, ['max.message.bytes', ' 5 ']]), wait);
    expect(image.topic('a')?.configs).toEqual(
      new Map([
        ['retention.ms', '1'],
        ['max.message.bytes', '5'],
      ]),
    );
  });

  it('keeps the partitions that another broker added meanwhile', async () => {
    const { topics, image, lane, store } = await setUp();
    await create('a');
    const commit = lane.commit.bind(lane);
    let interfered = false;
    lane.commit = async (change) => {
      if (!interfered) {
        interfered = true;
        const key = metadataKeys.topic('a');
        const { items } = await store.range({ key });
        const record = { ...metadata.TopicRecord.decode(items[0]!.value), partitionCount: 9 };
        const value = metadata.TopicRecord.encode(record).finish();
        await store.transact({ compare: [], success: [{ type: 'put', key, value }] });
      }
      return commit(change);
    };
    await topics.alterConfigs('a', () => new Map([['retention.ms', '3']]), wait);
    await settled();
    expect(image.topic('a')).toMatchObject({ partitionCount: 9, config: { retentionMs: 3 } });
  });

  it('changes nothing when it only validates, and refuses what is not allowed', async () => {
    const { topics, image } = await setUp();
    await create('a');
    const change = (name: string, value: string) => () => new Map([[name, value]]);
    await topics.alterConfigs('a', change('retention.ms', '1'), { ...wait, validateOnly: true });
    expect(image.topic('a')?.configs.size).toBe(0);
    expect(await outcome(topics.alterConfigs('a', change('retention.ms', 'x'), wait))).toBe('INVALID_CONFIG');
    expect(await outcome(topics.alterConfigs('b', change('retention.ms', '1'), wait))).toBe(
      'UNKNOWN_TOPIC_OR_PARTITION',
    );
  });
});
