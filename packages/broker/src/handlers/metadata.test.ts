import { ErrorCode, zeroUuid, type RequestOf, type metadataApi } from '@kafscale/protocol';
import { adminFixture, type AdminFixture } from './admin-fixture.ts';
import { metadataHandler } from './metadata.ts';

type Request = RequestOf<typeof metadataApi>;

let fixture: AdminFixture;
const setUp = async (options?: Parameters<typeof adminFixture>[0]) => (fixture = await adminFixture(options));
afterEach(() => fixture.close());

const named = (...names: string[]) => names.map((name) => ({ name, topicId: zeroUuid }));
const byId = (...ids: string[]) => ids.map((topicId) => ({ name: null, topicId }));

const ask = (version: number, topics: Request['topics'], options: Partial<Request> = {}) =>
  fixture.call(metadataHandler, version, {
    topics,
    allowAutoTopicCreation: true,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
    ...options,
  });

const { NONE, UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, INVALID_TOPIC_EXCEPTION } = ErrorCode;

describe('Metadata', () => {
  it.each([0, 1, 4, 8, 9, 12, 13])('tells brokers and leaders in version %i', async (version) => {
    const { image, createTopic } = await setUp();
    await createTopic('a', { numPartitions: 2 });
    const response = await ask(version, named('a'));
    expect(response.brokers).toEqual([{ nodeId: 1, host: 'localhost', port: 9092, rack: null }]);
    expect(response.controllerId).toBe(version >= 1 ? 1 : -1);
    expect(response.clusterId).toBe(version >= 2 ? 'test-cluster' : null);
    expect(response.errorCode).toBe(NONE);
    expect(response.topics).toHaveLength(1);
    expect(response.topics[0]).toMatchObject({
      errorCode: NONE,
      name: 'a',
      topicId: version >= 10 ? image.topic('a')!.topicId : zeroUuid,
      isInternal: false,
      topicAuthorizedOperations: -0x80000000,
    });
    expect(response.topics[0]!.partitions[1]).toEqual({
      errorCode: NONE,
      partitionIndex: 1,
      leaderId: 1,
      leaderEpoch: version >= 7 ? 0 : -1,
      replicaNodes: [1],
      isrNodes: [1],
      offlineReplicas: [],
    });
  });

  it('takes no topics for all of them in version 0, and for none from version 1 on', async () => {
    const { createTopic } = await setUp();
    await createTopic('b');
    await createTopic('a');
    const names = async (version: number, topics: Request['topics']) =>
      (await ask(version, topics)).topics.map(({ name }) => name);
    expect(await names(0, [])).toEqual(['a', 'b']);
    expect(await names(1, [])).toEqual([]);
    expect(await names(1, null)).toEqual(['a', 'b']);
    expect(await names(13, [])).toEqual([]);
    expect(await names(13, null)).toEqual(['a', 'b']);
  });

  it('creates what is missing and answers when it is ready', async () => {
    const { image } = await setUp();
    const { topics } = await ask(13, named('auto', '__proto__', 'auto'));
    expect(topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['auto', NONE],
      ['__proto__', NONE],
    ]);
    expect(topics[0]!.partitions).toMatchObject([{ errorCode: NONE, leaderId: 1 }]);
    expect(image.topic('auto')?.partitionCount).toBe(1);
  });

  it('tells the client to ask again when a created topic has no leaders within a moment', async () => {
    const { clock } = await setUp({ owners: false });
    const asking = ask(13, named('auto'));
    await clock.advanceAsync(1_000);
    expect((await asking).topics[0]).toMatchObject({
      errorCode: NONE,
      partitions: [{ errorCode: LEADER_NOT_AVAILABLE, leaderId: -1 }],
    });
  });

  it.each<[string, Parameters<typeof adminFixture>[0], Partial<Request>]>([
    ['the client', {}, { allowAutoTopicCreation: false }],
    ['the broker', { config: { autoCreateTopics: false } }, {}],
  ])('creates nothing when %s does not allow it', async (_who, options, request) => {
    const { image } = await setUp(options);
    const { topics } = await ask(13, named('missing'), request);
    expect(topics).toMatchObject([{ name: 'missing', errorCode: UNKNOWN_TOPIC_OR_PARTITION, partitions: [] }]);
    expect([...image.topics()]).toEqual([]);
  });

  it('creates for clients too old to say whether they want it', async () => {
    const { image } = await setUp();
    await ask(0, named('auto'));
    expect(image.topic('auto')).toBeDefined();
  });

  it('never creates topics of bad names, the internal ones, or such as collide', async () => {
    const { image } = await setUp();
    const { topics } = await ask(4, named('x.y', '', 'a/b', '..', '__consumer_offsets'));
    expect(topics.map(({ name, errorCode, isInternal }) => [name, errorCode, isInternal])).toEqual([
      ['x.y', NONE, false],
      ['', INVALID_TOPIC_EXCEPTION, false],
      ['a/b', INVALID_TOPIC_EXCEPTION, false],
      ['..', INVALID_TOPIC_EXCEPTION, false],
      ['__consumer_offsets', UNKNOWN_TOPIC_OR_PARTITION, true],
    ]);
    expect((await ask(4, named('x_y'))).topics[0]!.errorCode).toBe(INVALID_TOPIC_EXCEPTION);
    expect([...image.topics()]).toHaveLength(1);
  });

  it('finds topics by id from version 12 on, and then looks at no names', async () => {
    const { image, createTopic } = await setUp();
    await createTopic('a');
    const { topicId } = image.topic('a')!;
    const unknown = Buffer.alloc(16, 3).toString('base64url');
    const { topics } = await ask(12, [...byId(topicId, unknown, unknown), ...named('other')]);
    expect(topics).toMatchObject([
      { name: 'a', topicId, errorCode: NONE },
      { name: null, topicId: unknown, errorCode: ErrorCode.UNKNOWN_TOPIC_ID, partitions: [] },
    ]);
    expect(topics).toHaveLength(2);
  });

  it.each([10, 11])('refuses ids in version %i, which has the field and not the meaning', async (version) => {
    await setUp();
    const topicId = Buffer.alloc(16, 3).toString('base64url');
    const response = await ask(version, [{ name: 'a', topicId }]);
    expect(response.brokers).toEqual([]);
    expect(response.topics).toMatchObject([{ name: 'a', topicId, errorCode: ErrorCode.INVALID_REQUEST }]);
    expect((await ask(version, byId(zeroUuid))).topics).toMatchObject([
      { name: '', errorCode: ErrorCode.INVALID_REQUEST },
    ]);
  });

  it('says what a client may do when it asks', async () => {
    const { createTopic } = await setUp();
    await createTopic('a');
    const asked = { includeClusterAuthorizedOperations: true, includeTopicAuthorizedOperations: true };
    const response = await ask(8, named('a'), asked);
    expect(response.clusterAuthorizedOperations).toBe(8096);
    expect(response.topics[0]!.topicAuthorizedOperations).toBe(3576);
  });

  it('has no leader for a partition whose broker is gone', async () => {
    const { session, store, createTopic } = await setUp();
    await createTopic('a');
    await store.revokeLease(session.leaseId);
    const { topics, brokers } = await ask(13, named('a'));
    expect(brokers).toEqual([]);
    expect(topics[0]!.partitions).toEqual([
      {
        errorCode: LEADER_NOT_AVAILABLE,
        partitionIndex: 0,
        leaderId: -1,
        leaderEpoch: 0,
        replicaNodes: [1],
        isrNodes: [],
        offlineReplicas: [1],
      },
    ]);
  });
});
