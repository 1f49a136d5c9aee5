import { ErrorCode } from '@kafscale/protocol';
import { adminFixture, type AdminFixture } from './admin-fixture.ts';
import { alterClientQuotasHandler } from './alter-client-quotas.ts';
import { alterPartitionReassignmentsHandler } from './alter-partition-reassignments.ts';
import { alterUserScramCredentialsHandler } from './alter-user-scram-credentials.ts';
import { createAclsHandler } from './create-acls.ts';
import { deleteAclsHandler } from './delete-acls.ts';
import { describeAclsHandler } from './describe-acls.ts';
import { describeClientQuotasHandler } from './describe-client-quotas.ts';
import { describeClusterHandler } from './describe-cluster.ts';
import { describeLogDirsHandler } from './describe-log-dirs.ts';
import { describeTopicPartitionsHandler } from './describe-topic-partitions.ts';
import { describeUserScramCredentialsHandler } from './describe-user-scram-credentials.ts';
import { electLeadersHandler } from './elect-leaders.ts';
import { listPartitionReassignmentsHandler } from './list-partition-reassignments.ts';

let fixture: AdminFixture;
beforeEach(async () => (fixture = await adminFixture()));
afterEach(() => fixture.close());

const { NONE, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION, SECURITY_DISABLED } = ErrorCode;

describe('DescribeCluster', () => {
  const ask = (version: number, endpointType: number, operations = false) =>
    fixture.call(describeClusterHandler, version, {
      includeClusterAuthorizedOperations: operations,
      endpointType,
      includeFencedBrokers: false,
    });

  it.each([0, 1, 2])('names the brokers in version %i', async (version) => {
    expect(await ask(version, 1, true)).toEqual({
      throttleTimeMs: 0,
      errorCode: NONE,
      errorMessage: null,
      endpointType: 1,
      clusterId: 'test-cluster',
      controllerId: 1,
      brokers: [{ brokerId: 1, host: 'localhost', port: 9092, rack: null, isFenced: false }],
      clusterAuthorizedOperations: 8096,
    });
  });

  it('has no controllers to connect to', async () => {
    expect(await ask(1, 2)).toMatchObject({
      errorCode: ErrorCode.MISMATCHED_ENDPOINT_TYPE,
      brokers: [],
      clusterId: '',
    });
    expect(await ask(2, 3)).toMatchObject({ errorCode: ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, brokers: [] });
  });
});

describe('DescribeTopicPartitions', () => {
  type Cursor = { topicName: string; partitionIndex: number } | null;

  const ask = async (names: string[], limit: number, cursor: Cursor = null) => {
    const response = await fixture.call(describeTopicPartitionsHandler, 0, {
      topics: names.map((name) => ({ name })),
      responsePartitionLimit: limit,
      cursor,
    });
    const topics = response.topics.map(({ name, errorCode, partitions }) => [
      name,
      errorCode,
      partitions.map(({ partitionIndex }) => partitionIndex),
    ]);
    return { topics, next: response.nextCursor, response };
  };

  beforeEach(async () => {
    await fixture.createTopic('x', { numPartitions: 1 });
    await fixture.createTopic('a', { numPartitions: 3 });
  });

  it('tells topics in the order of their names, each once', async () => {
    const { topics, next, response } = await ask(['x', 'missing', 'a/b', 'a', 'a'], 2_000);
    expect(topics).toEqual([
      ['a', NONE, [0, 1, 2]],
      ['a/b', ErrorCode.INVALID_TOPIC_EXCEPTION, []],
      ['missing', UNKNOWN_TOPIC_OR_PARTITION, []],
      ['x', NONE, [0]],
    ]);
    expect(next).toBeNull();
    expect(response.topics[0]!.partitions[0]).toEqual({
      errorCode: NONE,
      partitionIndex: 0,
      leaderId: 1,
      leaderEpoch: 0,
      replicaNodes: [1],
      isrNodes: [1],
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
      offlineReplicas: [],
    });
  });

  it.each([1, 2, 3, 4])('tells everything in pages of %i partitions', async (limit) => {
    const seen: unknown[] = [];
    let cursor: Cursor = null;
    let pages = 0;
    do {
      const page = await ask([], limit, cursor);
      for (const { name, partitions } of page.response.topics) {
        for (const { partitionIndex } of partitions) seen.push([name, partitionIndex]);
      }
      expect(page.response.topics.flatMap(({ partitions }) => partitions).length).toBeLessThanOrEqual(limit);
      cursor = page.next;
      pages += 1;
    } while (cursor !== null);
    expect(seen).toEqual([
      ['a', 0],
      ['a', 1],
      ['a', 2],
      ['x', 0],
    ]);
    expect(pages).toBe(Math.ceil(4 / limit));
  });

  it('goes on from a cursor whose topic or partition is gone', async () => {
    expect((await ask([], 10, { topicName: 'b', partitionIndex: 5 })).topics).toEqual([['x', NONE, [0]]]);
    expect((await ask([], 10, { topicName: 'a', partitionIndex: 77 })).topics).toEqual([
      ['a', NONE, []],
      ['x', NONE, [0]],
    ]);
  });

  it.each([0, -1])('tells one partition at a limit of %i', async (limit) => {
    expect(await ask([], limit)).toMatchObject({
      topics: [['a', NONE, [0]]],
      next: { topicName: 'a', partitionIndex: 1 },
    });
  });

  it.each([
    { topicName: 'a', partitionIndex: -1 },
    { topicName: '', partitionIndex: 0 },
    { topicName: 'x', partitionIndex: 0 },
  ])('refuses the cursor %j', async (cursor) => {
    expect((await ask(['a'], 10, cursor)).topics).toEqual([['a', INVALID_REQUEST, []]]);
  });
});

describe('DescribeLogDirs', () => {
  const ask = (version: number, topics: { topic: string; partitions: number[] }[] | null) =>
    fixture.call(describeLogDirsHandler, version, { topics });

  it.each([0, 2, 5])('tells the sizes of the partitions that are here in version %i', async (version) => {
    await fixture.createTopic('a', { numPartitions: 2 });
    await fixture.createTopic('b');
    fixture.openLog('a', 0, 100);
    fixture.openLog('a', 1, 200);
    fixture.openLog('b', 0, 300);
    const size = (partitionIndex: number, bytes: bigint) => ({
      partitionIndex,
      partitionSize: bytes,
      offsetLag: 0,
      isFutureKey: false,
    });
    const all = await ask(version, null);
    expect(all).toMatchObject({
      errorCode: NONE,
      results: [{ errorCode: NONE, logDir: '.kafscale', totalBytes: -1n }],
    });
    expect(all.results[0]!.topics).toEqual([
      { name: 'a', partitions: [size(0, 100n), size(1, 200n)] },
      { name: 'b', partitions: [size(0, 300n)] },
    ]);
    const some = await ask(version, [
      { topic: 'a', partitions: [1, 9, 1] },
      { topic: 'missing', partitions: [0] },
    ]);
    expect(some.results[0]!.topics).toEqual([{ name: 'a', partitions: [size(1, 200n)] }]);
    expect((await ask(version, [])).results[0]!.topics).toEqual([]);
  });
});

describe('ElectLeaders', () => {
  it.each([0, 1, 2])('never needs an election in version %i', async (version) => {
    await fixture.createTopic('a');
    const response = await fixture.call(electLeadersHandler, version, {
      electionType: 0,
      topicPartitions: [{ topic: 'a', partitions: [0, 77, -1] }],
      timeoutMs: 1_000,
    });
    expect(response.errorCode).toBe(NONE);
    const [result] = response.replicaElectionResults;
    expect(result!.partitionResult.map(({ partitionId, errorCode }) => [partitionId, errorCode])).toEqual([
      [0, ErrorCode.ELECTION_NOT_NEEDED],
      [77, UNKNOWN_TOPIC_OR_PARTITION],
      [-1, UNKNOWN_TOPIC_OR_PARTITION],
    ]);
  });

  it('refuses a kind of election it does not know, and has nothing to say of all partitions', async () => {
    const partitions = [{ topic: 'a', partitions: [0] }];
    const request = { electionType: 9, topicPartitions: partitions, timeoutMs: 1_000 };
    expect(await fixture.call(electLeadersHandler, 2, request)).toMatchObject({
      errorCode: INVALID_REQUEST,
      replicaElectionResults: [{ partitionResult: [{ errorCode: INVALID_REQUEST }] }],
    });
    const all = { electionType: 0, topicPartitions: null, timeoutMs: 1_000 };
    expect(await fixture.call(electLeadersHandler, 2, all)).toMatchObject({
      errorCode: NONE,
      replicaElectionResults: [],
    });
  });
});

describe('partition reassignments', () => {
  it.each([0, 1])('are checked, and done at once, in version %i', async (version) => {
    await fixture.createTopic('a', { numPartitions: 4 });
    const partitions = [
      { partitionIndex: 0, replicas: [1] },
      { partitionIndex: 1, replicas: null },
      { partitionIndex: 2, replicas: [9] },
      { partitionIndex: 3, replicas: [] },
      { partitionIndex: 77, replicas: [1] },
    ];
    const request = { timeoutMs: 1_000, allowReplicationFactorChange: true, topics: [{ name: 'a', partitions }] };
    const response = await fixture.call(alterPartitionReassignmentsHandler, version, request);
    expect(response.errorCode).toBe(NONE);
    expect(
      response.responses[0]!.partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
    ).toEqual([
      [0, NONE],
      [1, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS],
      [2, ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [3, ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [77, UNKNOWN_TOPIC_OR_PARTITION],
    ]);
  });

  it('are never under way', async () => {
    const response = await fixture.call(listPartitionReassignmentsHandler, 0, { timeoutMs: 1_000, topics: null });
    expect(response).toEqual({ throttleTimeMs: 0, errorCode: NONE, errorMessage: null, topics: [] });
  });
});

describe('ACLs, without an authorizer', () => {
  const filter = { resourceTypeFilter: 1, resourceNameFilter: null, patternTypeFilter: 3, principalFilter: null };
  const anything = { ...filter, hostFilter: null, operation: 1, permissionType: 1 };
  const grant = { resourceType: 2, resourceName: 't', resourcePatternType: 3, principal: 'User:a', host: '*' };

  it.each([0, 1, 3])('are disabled in version %i', async (version) => {
    expect(await fixture.call(describeAclsHandler, version, anything)).toMatchObject({
      errorCode: SECURITY_DISABLED,
      resources: [],
    });
    const creations = [{ ...grant, operation: 3, permissionType: 3 }];
    expect(await fixture.call(createAclsHandler, version, { creations })).toMatchObject({
      results: [{ errorCode: SECURITY_DISABLED }],
    });
    expect(await fixture.call(deleteAclsHandler, version, { filters: [anything, anything] })).toMatchObject({
      filterResults: [{ errorCode: SECURITY_DISABLED, matchingAcls: [] }, { errorCode: SECURITY_DISABLED }],
    });
  });
});

describe('client quotas', () => {
  it.each([0, 1])('are none, and cannot be set, in version %i', async (version) => {
    const described = await fixture.call(describeClientQuotasHandler, version, { components: [], strict: false });
    expect(described).toMatchObject({ errorCode: NONE, entries: [] });
    const entity = [{ entityType: 'user', entityName: null }];
    const altered = await fixture.call(alterClientQuotasHandler, version, {
      entries: [{ entity, ops: [{ key: 'producer_byte_rate', value: 1.5, remove: false }] }],
      validateOnly: false,
    });
    expect(altered.entries).toMatchObject([{ errorCode: INVALID_REQUEST, entity }]);
  });
});

describe('SCRAM credentials', () => {
  it('nobody has any', async () => {
    const ask = (users: string[] | null) =>
      fixture.call(describeUserScramCredentialsHandler, 0, { users: users?.map((name) => ({ name })) ?? null });
    expect(await ask(null)).toMatchObject({ errorCode: NONE, results: [] });
    const { results } = await ask(['a', 'b', 'a']);
    expect(results.map(({ user, errorCode }) => [user, errorCode])).toEqual([
      ['a', ErrorCode.DUPLICATE_RESOURCE],
      ['b', ErrorCode.RESOURCE_NOT_FOUND],
    ]);
  });

  it('nobody can be given any', async () => {
    const secret = Buffer.from('x');
    const { results } = await fixture.call(alterUserScramCredentialsHandler, 0, {
      deletions: [{ name: 'a', mechanism: 1 }],
      upsertions: [{ name: 'b', mechanism: 1, iterations: 4_096, salt: secret, saltedPassword: secret }],
    });
    expect(results.map(({ user, errorCode }) => [user, errorCode])).toEqual([
      ['a', ErrorCode.RESOURCE_NOT_FOUND],
      ['b', ErrorCode.UNSUPPORTED_SASL_MECHANISM],
    ]);
  });
});
