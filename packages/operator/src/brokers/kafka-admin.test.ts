import {
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  ErrorCode,
  incrementalAlterConfigs,
  listOffsets,
  metadataApi,
  type RequestOf,
} from '@kafscale/protocol';
import { seededRandom, systemClock } from '@kafscale/runtime';
import { FakeKafka, metadataOf } from './fake-kafka-fixture.ts';
import { KafkaAdmin } from './kafka-admin.ts';

const { TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC_OR_PARTITION, NOT_CONTROLLER, REQUEST_TIMED_OUT, NOT_LEADER_OR_FOLLOWER } =
  ErrorCode;

let brokers: FakeKafka[];
let admin: KafkaAdmin;

const start = async (count: number, { deadlineMs = 5_000, requestMs = 1_000 } = {}) => {
  brokers = await Promise.all(Array.from({ length: count }, () => FakeKafka.start()));
  admin = new KafkaAdmin({
    bootstrap: brokers.map(({ port }) => ({ host: '127.0.0.1', port })),
    ...{ clock: systemClock, random: seededRandom(1), deadlineMs, requestMs },
  });
  return brokers as [FakeKafka, FakeKafka, FakeKafka];
};
afterEach(async () => {
  admin.close();
  await Promise.all(brokers.map((broker) => broker.close()));
});

const created =
  (codes: Readonly<Record<string, number>>) =>
  ({ topics }: RequestOf<typeof createTopics>) => ({
    throttleTimeMs: 0,
    topics: topics.map(({ name }) => ({
      ...{ name, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', errorCode: codes[name] ?? 0, errorMessage: null },
      ...{ topicConfigErrorCode: 0, numPartitions: 1, replicationFactor: 1, configs: [] },
    })),
  });
const codesOf = (outcomes: ReadonlyMap<string, { code: number } | undefined>) =>
  Object.fromEntries([...outcomes].map(([name, error]) => [name, error?.code ?? 0]));

describe('the admin client', () => {
  it('creates topics, each with an outcome of its own', async () => {
    const [broker] = await start(1);
    broker.on(createTopics, created({ old: TOPIC_ALREADY_EXISTS }));
    const outcomes = await admin.createTopics([
      { name: 'new', partitions: 6, configs: { 'retention.ms': '1000' } },
      { name: 'old' },
    ]);
    expect(codesOf(outcomes)).toEqual({ new: 0, old: TOPIC_ALREADY_EXISTS });
    expect(outcomes.get('old')).toMatchObject({ codeName: 'TOPIC_ALREADY_EXISTS', retriable: false });
    expect(broker.asked.at(-1)!.request).toMatchObject({
      topics: [
        { name: 'new', numPartitions: 6, replicationFactor: -1, configs: [{ name: 'retention.ms', value: '1000' }] },
        { name: 'old', numPartitions: -1 },
      ],
    });
  });

  it('asks again for those topics alone whose errors may pass', async () => {
    const [broker] = await start(1);
    let attempts = 0;
    broker.on(createTopics, (request) => {
      attempts += 1;
      return created(attempts < 3 ? { slow: REQUEST_TIMED_OUT } : {})(request);
    });
    expect(codesOf(await admin.createTopics([{ name: 'quick' }, { name: 'slow' }]))).toEqual({ quick: 0, slow: 0 });
    expect(
      broker.asked
        .filter(({ api }) => api === 'CreateTopics')
        .map(({ request }) => (request as { topics: unknown[] }).topics.length),
    ).toEqual([2, 1, 1]);
  });

  it('gives the error when its time is over', async () => {
    const [broker] = await start(1, { deadlineMs: 300 });
    broker.on(createTopics, created({ t: REQUEST_TIMED_OUT }));
    const outcomes = await admin.createTopics([{ name: 't' }]);
    expect(outcomes.get('t')).toMatchObject({ code: REQUEST_TIMED_OUT, retriable: true });
  });

  it('goes to another broker when one does not answer, closes the connection, or is not there', async () => {
    const [first, second, third] = await start(3, { requestMs: 200 });
    await first.close();
    second.on(createTopics, () => 'hang');
    third.on(createTopics, created({}));
    let hangUps = 1;
    third.on(metadataApi, (request) => {
      hangUps -= 1;
      return hangUps >= 0 ? 'hang-up' : metadataOf([third], { leaders: [0] })(request);
    });
    const creating = admin.createTopics([{ name: 't' }]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await second.close();
    expect(codesOf(await creating)).toEqual({ t: 0 });
    expect(await admin.topics()).toHaveLength(1);
  });

  it('says so when nobody can be reached in time', async () => {
    const [broker] = await start(1, { deadlineMs: 300 });
    await broker.close();
    await expect(admin.topics()).rejects.toMatchObject({ name: 'KafkaUnreachable' });
  });

  it('goes to the controller where the broker leaves it to that', async () => {
    const [first, second] = await start(2);
    first.on(metadataApi, metadataOf(brokers, { leaders: [0], controllerId: 1 }));
    first.on(createPartitions, ({ topics }) => ({
      throttleTimeMs: 0,
      results: topics.map(({ name }) => ({ name, errorCode: NOT_CONTROLLER, errorMessage: null })),
    }));
    second.on(createPartitions, ({ topics }) => ({
      throttleTimeMs: 0,
      results: topics.map(({ name }) => ({ name, errorCode: 0, errorMessage: null })),
    }));
    expect(codesOf(await admin.createPartitions([{ name: 't', count: 3 }]))).toEqual({ t: 0 });
    expect([first.count(createPartitions), second.count(createPartitions)]).toEqual([1, 1]);
  });

  it('does not wait for a topic that is not there', async () => {
    const [broker] = await start(1);
    broker.on(deleteTopics, ({ topics }) => ({
      throttleTimeMs: 0,
      responses: topics.map(({ name, topicId }) => {
        return { name, topicId, errorCode: UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null };
      }),
    }));
    expect(codesOf(await admin.deleteTopics(['gone']))).toEqual({ gone: UNKNOWN_TOPIC_OR_PARTITION });
    expect(broker.count(deleteTopics)).toBe(1);
  });

  it('describes topics and leaves out those that are not there', async () => {
    const [broker] = await start(1);
    broker.on(metadataApi, metadataOf(brokers, { leaders: [0, -1, 0] }));
    expect(await admin.topics(['t', 'gone'])).toEqual([
      {
        ...{ name: 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' },
        partitions: [0, -1, 0].map((leaderId, partition) => ({ partition, leaderId, leaderEpoch: 1 })),
      },
    ]);
  });

  it('reads settings and changes only those it names', async () => {
    const [broker] = await start(1);
    const config = {
      readOnly: false,
      isDefault: false,
      isSensitive: false,
      synonyms: [],
      configType: 0,
      documentation: null,
    };
    broker.on(describeConfigs, ({ resources }) => ({
      throttleTimeMs: 0,
      results: resources.map(({ resourceType, resourceName }) => ({
        ...{
          errorCode: resourceName === 't' ? 0 : UNKNOWN_TOPIC_OR_PARTITION,
          errorMessage: null,
          resourceType,
          resourceName,
        },
        configs: [
          { name: 'retention.ms', value: '1000', configSource: 1, ...config },
          { name: 'cleanup.policy', value: 'delete', configSource: 5, ...config },
        ],
      })),
    }));
    const configs = await admin.configs(['t', 'gone']);
    expect([...configs.keys()]).toEqual(['t']);
    expect(configs.get('t')).toMatchObject([
      { name: 'retention.ms', value: '1000', isOwn: true },
      { name: 'cleanup.policy', value: 'delete', isOwn: false },
    ]);

    broker.on(incrementalAlterConfigs, ({ resources }) => ({
      throttleTimeMs: 0,
      responses: resources.map(({ resourceType, resourceName }) => {
        return { errorCode: 0, errorMessage: null, resourceType, resourceName };
      }),
    }));
    await admin.alterConfigs([{ name: 't', set: { 'retention.ms': '5' }, unset: ['segment.bytes'] }]);
    expect(broker.asked.at(-1)!.request).toMatchObject({
      resources: [
        {
          ...{ resourceType: 2, resourceName: 't' },
          configs: [
            { name: 'retention.ms', configOperation: 0, value: '5' },
            { name: 'segment.bytes', configOperation: 1, value: null },
          ],
        },
      ],
    });
  });

  it('asks the leaders where partitions begin and end, and the next one when they move', async () => {
    const [first, second] = await start(2);
    let leaders = [0, 1, 1];
    for (const broker of brokers) broker.on(metadataApi, (request) => metadataOf(brokers, { leaders })(request));
    const answer =
      (base: number, refuses: boolean) =>
      ({ topics }: RequestOf<typeof listOffsets>) => ({
        throttleTimeMs: 0,
        topics: topics.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex, timestamp }) => ({
            ...{ partitionIndex, errorCode: refuses ? NOT_LEADER_OR_FOLLOWER : 0, oldStyleOffsets: [], leaderEpoch: 0 },
            ...{ timestamp: -1n, offset: timestamp === -2n ? base : base + 10 + partitionIndex },
          })),
        })),
      });
    first.on(listOffsets, answer(100, false));
    second.on(listOffsets, (request) => {
      leaders = [0, 0, 0];
      return answer(0, true)(request);
    });
    expect(await admin.offsets('t')).toEqual([
      { partition: 0, start: 100, end: 110 },
      { partition: 1, start: 100, end: 111 },
      { partition: 2, start: 100, end: 112 },
    ]);
    expect(await admin.offsets('gone')).toBeUndefined();
  });

  it('asks for the settings that are named, of each topic its own', async () => {
    const [broker] = await start(1);
    broker.on(describeConfigs, ({ resources }) => ({
      throttleTimeMs: 0,
      results: resources.map(({ resourceType, resourceName }) => {
        return { errorCode: 0, errorMessage: null, resourceType, resourceName, configs: [] };
      }),
    }));
    await admin.configs(['t', 'u'], (name) => (name === 't' ? ['retention.ms'] : undefined));
    expect(broker.asked.at(-1)!.request).toMatchObject({
      resources: [
        { resourceName: 't', configurationKeys: ['retention.ms'] },
        { resourceName: 'u', configurationKeys: null },
      ],
    });
  });

  it('asks each leader once for the offsets of many topics', async () => {
    const [first, second] = await start(2);
    for (const broker of brokers) broker.on(metadataApi, metadataOf(brokers, { leaders: [] }));
    const answer =
      (refused: number) =>
      ({ topics }: RequestOf<typeof listOffsets>) => ({
        throttleTimeMs: 0,
        topics: topics.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex, timestamp }) => ({
            ...{ partitionIndex, errorCode: partitionIndex === refused ? NOT_LEADER_OR_FOLLOWER : 0 },
            ...{ oldStyleOffsets: [], leaderEpoch: 0, timestamp: -1n, offset: timestamp === -2n ? 1 : 10 },
          })),
        })),
      });
    first.on(listOffsets, answer(-1));
    second.on(listOffsets, answer(1));
    const topicOf = (name: string, leaders: readonly number[]) => ({
      ...{ name, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' },
      partitions: leaders.map((leaderId, partition) => ({ partition, leaderId, leaderEpoch: 1 })),
    });
    const offsets = await admin.offsetsOf([topicOf('a', [0, 1]), topicOf('b', [1, 0, -1])]);
    const told = (partition: number) => ({ partition, start: 1, end: 10 });
    expect([...offsets]).toEqual([
      ['a', [told(0)]],
      ['b', [told(0), told(1)]],
    ]);
    expect([first.count(listOffsets), second.count(listOffsets)]).toEqual([2, 2]);
  });

  it('leaves out partitions that nobody leads', async () => {
    const [broker] = await start(1, { deadlineMs: 300 });
    broker.on(metadataApi, metadataOf(brokers, { leaders: [-1, -1] }));
    expect(await admin.offsets('t')).toEqual([]);
  });
});
