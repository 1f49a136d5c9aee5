import { ErrorCode, zeroUuid, type Api } from '@kafscale/protocol';
import { CoordinatorFixture, subscription, topicA } from '../groups/coordinator-fixture.ts';
import type { Handler, RequestContext } from './define-handler.ts';
import { deleteGroupsHandler } from './delete-groups.ts';
import { describeGroupsHandler } from './describe-groups.ts';
import { findCoordinatorHandler } from './find-coordinator.ts';
import { heartbeatHandler } from './heartbeat.ts';
import { joinGroupHandler } from './join-group.ts';
import { leaveGroupHandler } from './leave-group.ts';
import { listGroupsHandler } from './list-groups.ts';
import { offsetCommitHandler } from './offset-commit.ts';
import { offsetDeleteHandler } from './offset-delete.ts';
import { offsetFetchHandler } from './offset-fetch.ts';
import type { Services } from './services.ts';
import { syncGroupHandler } from './sync-group.ts';

const unknownTopic = 'AAAAAAAAAAAAAAAAAAAACQ';

const context = (apiVersion: number): RequestContext => ({
  apiVersion,
  correlationId: 1,
  clientId: 'client',
  principal: 'User:ANONYMOUS',
  connectionId: 1,
  remoteAddress: '10.0.0.1',
  clientSoftware: { name: '', version: '' },
  receivedMs: 0,
  signal: new AbortController().signal,
  afterResponse: () => undefined,
  releaseRequest: () => undefined,
});

/** Sends the request through its bytes, and what is answered through its own. */
class Client {
  readonly fixture: CoordinatorFixture;

  constructor(fixture: CoordinatorFixture) {
    this.fixture = fixture;
  }

  static async connected(): Promise<Client> {
    return new Client(await CoordinatorFixture.started());
  }

  async send<Request, Response>(
    handler: Handler<Request, Response>,
    apiVersion: number,
    request: Request,
  ): Promise<Response> {
    const { api } = handler;
    const received = api.request.decode(api.request.encode(request, apiVersion), apiVersion);
    const { coordinator: groups, image, clock } = this.fixture;
    const services = { groups, image, clock } as unknown as Services;
    const answered = (await handler.handle(received, context(apiVersion), services)) as Response;
    return api.response.decode(api.response.encode(answered, apiVersion), apiVersion);
  }

  async join(apiVersion: number, given: { memberId?: string; groupInstanceId?: string } = {}) {
    const request = {
      groupId: 'group',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      memberId: '',
      groupInstanceId: null,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: subscription('a') }],
      reason: null,
      ...given,
    };
    const joined = this.send(joinGroupHandler, apiVersion, request);
    await this.fixture.clock.advanceAsync(3_000);
    return joined;
  }

  commit(apiVersion: number, given: Partial<typeof commitDefaults> = {}) {
    return this.send(offsetCommitHandler, apiVersion, { ...commitDefaults, ...given });
  }

  async stableMember(): Promise<string> {
    const { memberId } = await this.join(0);
    await this.send(syncGroupHandler, 0, {
      groupId: 'group',
      generationId: 1,
      memberId,
      groupInstanceId: null,
      protocolType: null,
      protocolName: null,
      assignments: [{ memberId, assignment: Buffer.from([5]) }],
    });
    return memberId;
  }
}

const partition = {
  partitionIndex: 0,
  committedOffset: 42n,
  committedLeaderEpoch: 3,
  commitTimestamp: -1n,
  committedMetadata: 'text' as string | null,
};

const commitDefaults = {
  groupId: 'group',
  generationIdOrMemberEpoch: -1,
  memberId: '',
  groupInstanceId: null as string | null,
  retentionTimeMs: -1n,
  topics: [{ name: 'a', topicId: topicA, partitions: [partition] }],
};

/** Every version of the API, with the fields of the given ones. */
function versionsOf(handler: { readonly api: Pick<Api<never, never>, 'versions'> }): number[] {
  const [first, last] = handler.api.versions;
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

describe('FindCoordinator', () => {
  it.each(versionsOf(findCoordinatorHandler))(
    'finds groups and transactional ids at the owner of their shard, version %i',
    async (version) => {
      const client = await Client.connected();
      for (const keyType of version >= 1 ? [0, 1] : [0]) {
        const request = { key: version < 4 ? 'k' : '', keyType, coordinatorKeys: version < 4 ? [] : ['k', 'l'] };
        const answer = await client.send(findCoordinatorHandler, version, request);
        const found = { errorCode: ErrorCode.NONE, nodeId: 7, host: 'broker-7', port: 9092 };
        if (version < 4) expect(answer).toMatchObject(found);
        else
          expect(answer.coordinators).toMatchObject([
            { ...found, key: 'k' },
            { ...found, key: 'l' },
          ]);
      }
    },
  );

  it.each([2, 9])('refuses keys of type %i', async (keyType) => {
    const client = await Client.connected();
    const answer = await client.send(findCoordinatorHandler, 6, { key: '', keyType, coordinatorKeys: ['k'] });
    expect(answer.coordinators).toMatchObject([{ errorCode: ErrorCode.INVALID_REQUEST, nodeId: -1 }]);
  });

  it.each(['', 'gone'])(
    'finds nobody while the owner of the shard is "%s", and waits a moment for one',
    async (owner) => {
      const client = await Client.connected();
      client.fixture.image.shardOwner = owner;
      const request = { key: 'k', keyType: 0, coordinatorKeys: [] };
      const asked = client.send(findCoordinatorHandler, 3, request);
      const answer = await client.fixture.clock.runUntilSettled(asked);
      expect(answer.errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
      const waiting = client.send(findCoordinatorHandler, 3, request);
      client.fixture.image.shardOwner = 'seven';
      client.fixture.image.setTopic('c', topicA);
      expect(await waiting).toMatchObject({ errorCode: ErrorCode.NONE, nodeId: 7 });
    },
  );
});

describe('JoinGroup', () => {
  it.each(versionsOf(joinGroupHandler))('lets a member in, version %i', async (version) => {
    const client = await Client.connected();
    const first = await client.join(version);
    if (version >= 4) expect(first).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED, generationId: -1 });
    const joined = version >= 4 ? await client.join(version, { memberId: first.memberId }) : first;
    expect(joined).toMatchObject({
      errorCode: ErrorCode.NONE,
      generationId: 1,
      protocolName: 'range',
      leader: joined.memberId,
      protocolType: version >= 7 ? 'consumer' : null,
      members: [{ memberId: joined.memberId }],
    });
    expect(joined.memberId).toMatch(/^client-id-/);
    expect((await client.fixture.group())?.members.get(joined.memberId)).toMatchObject({
      clientId: 'client',
      clientHost: '/10.0.0.1',
      rebalanceTimeoutMs: version >= 1 ? 60_000 : 10_000,
    });
  });

  it.each(versionsOf(joinGroupHandler))('answers errors, version %i', async (version) => {
    const client = await Client.connected();
    const answer = await client.join(version, { memberId: 'ghost' });
    expect(answer).toMatchObject({
      errorCode: ErrorCode.UNKNOWN_MEMBER_ID,
      memberId: 'ghost',
      protocolName: version >= 7 ? null : '',
    });
  });
});

describe('SyncGroup, Heartbeat and LeaveGroup', () => {
  it.each(versionsOf(syncGroupHandler))('give a member its assignment, version %i of SyncGroup', async (version) => {
    const client = await Client.connected();
    const memberId = await client.stableMember();
    const answer = await client.send(syncGroupHandler, version, {
      groupId: 'group',
      generationId: 1,
      memberId,
      groupInstanceId: null,
      protocolType: version >= 5 ? 'consumer' : null,
      protocolName: version >= 5 ? 'range' : null,
      assignments: [],
    });
    expect(answer).toMatchObject({ errorCode: ErrorCode.NONE, assignment: Buffer.from([5]) });
    expect(answer.protocolName).toBe(version >= 5 ? 'range' : null);
  });

  it.each(versionsOf(heartbeatHandler))('tell a member how it stands, version %i of Heartbeat', async (version) => {
    const client = await Client.connected();
    const memberId = await client.stableMember();
    const request = { groupId: 'group', generationId: 1, memberId, groupInstanceId: null };
    expect((await client.send(heartbeatHandler, version, request)).errorCode).toBe(ErrorCode.NONE);
    const old = { ...request, generationId: 0 };
    expect((await client.send(heartbeatHandler, version, old)).errorCode).toBe(ErrorCode.ILLEGAL_GENERATION);
  });

  it.each(versionsOf(leaveGroupHandler))('let a member go, version %i of LeaveGroup', async (version) => {
    const client = await Client.connected();
    const memberId = await client.stableMember();
    const leave = (id: string) =>
      client.send(leaveGroupHandler, version, {
        groupId: 'group',
        memberId: version < 3 ? id : '',
        members: version < 3 ? [] : [{ memberId: id, groupInstanceId: null, reason: null }],
      });
    const unknown = await leave('ghost');
    const left = await leave(memberId);
    if (version < 3) {
      expect([unknown.errorCode, left.errorCode]).toEqual([ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.NONE]);
    } else {
      expect(unknown).toMatchObject({
        errorCode: ErrorCode.NONE,
        members: [{ errorCode: ErrorCode.UNKNOWN_MEMBER_ID }],
      });
      expect(left).toMatchObject({ errorCode: ErrorCode.NONE, members: [{ memberId, errorCode: ErrorCode.NONE }] });
    }
    expect((await client.fixture.group())?.state).toBe('Empty');
  });
});

describe('OffsetCommit', () => {
  it.each(versionsOf(offsetCommitHandler))('stores offsets, version %i', async (version) => {
    const client = await Client.connected();
    const answer = await client.commit(version);
    expect(answer.topics).toMatchObject([{ partitions: [{ partitionIndex: 0, errorCode: ErrorCode.NONE }] }]);
    expect((await client.fixture.coordinator.committedOffsets('group')).get(topicA)?.get(0)).toMatchObject({
      offset: 42n,
      leaderEpoch: version >= 6 ? 3 : -1,
      metadata: 'text',
    });
  });

  it('refuses what does not exist partition by partition, and stores the rest', async () => {
    const client = await Client.connected();
    const topics = [
      { name: 'a', topicId: topicA, partitions: [partition, { ...partition, partitionIndex: 10 }] },
      { name: 'nothing', topicId: unknownTopic, partitions: [partition] },
    ];
    const codes = async (version: number) =>
      (await client.commit(version, { topics })).topics.map(({ partitions }) =>
        partitions.map(({ errorCode }) => errorCode),
      );
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    expect(await codes(9)).toEqual([[ErrorCode.NONE, unknown], [unknown]]);
    expect(await codes(10)).toEqual([[ErrorCode.NONE, unknown], [ErrorCode.UNKNOWN_TOPIC_ID]]);
  });

  it('refuses text that is too long, and takes no text as none', async () => {
    const client = await Client.connected();
    const long = { ...partition, committedMetadata: 'x'.repeat(4_097) };
    const none = { ...partition, partitionIndex: 1, committedMetadata: null };
    const [topic] = commitDefaults.topics;
    const answer = await client.commit(8, {
      topics: [{ ...topic, name: 'a', topicId: topicA, partitions: [long, none] }],
    });
    expect(answer.topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([
      ErrorCode.OFFSET_METADATA_TOO_LARGE,
      ErrorCode.NONE,
    ]);
    expect((await client.fixture.coordinator.committedOffsets('group')).get(topicA)?.get(1)?.metadata).toBe('');
  });

  it.each([
    [8, ErrorCode.ILLEGAL_GENERATION],
    [9, ErrorCode.GROUP_ID_NOT_FOUND],
  ])('of a generation of no group, version %i, is error %i', async (version, errorCode) => {
    const client = await Client.connected();
    const answer = await client.commit(version, { generationIdOrMemberEpoch: 3, memberId: 'm' });
    expect(answer.topics[0]?.partitions[0]?.errorCode).toBe(errorCode);
  });

  it.each(versionsOf(offsetCommitHandler))('ends when an old client said so, version %i', async (version) => {
    const client = await Client.connected();
    const timed = version >= 2 && version <= 4;
    await client.commit(version, timed ? { retentionTimeMs: 1_000n } : {});
    await client.fixture.clock.advanceAsync(600_000);
    expect(await client.fixture.committed()).toBe(timed ? undefined : 42n);
  });

  it('takes the time that version 1 gives', async () => {
    const client = await Client.connected();
    const timed = { ...partition, commitTimestamp: 1_234n };
    await client.commit(1, { topics: [{ name: 'a', topicId: topicA, partitions: [timed] }] });
    expect((await client.fixture.coordinator.committedOffsets('group')).get(topicA)?.get(0)?.commitMs).toBe(1_234);
  });
});

describe('OffsetCommit of a topic that another broker has just created', () => {
  it('waits until the image knows it', async () => {
    const client = await Client.connected();
    const { image } = client.fixture;
    image.reached = () => {
      image.setTopic('new', 'AAAAAAAAAAAAAAAAAAAAAw');
      return Promise.resolve();
    };
    const topics = [{ name: 'new', topicId: zeroUuid, partitions: [partition] }];
    const answer = await client.send(offsetCommitHandler, 8, { ...commitDefaults, topics });
    expect(answer.topics[0]?.partitions).toMatchObject([{ errorCode: ErrorCode.NONE }]);
  });

  it('is to be tried again while that cannot be known', async () => {
    const client = await Client.connected();
    client.fixture.image.reached = () => Promise.reject(new Error('the store is away'));
    const topics = [{ name: 'new', topicId: zeroUuid, partitions: [partition] }];
    const sent = client.send(offsetCommitHandler, 8, { ...commitDefaults, topics });
    await expect(sent).rejects.toMatchObject({ code: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS });
  });
});

describe('OffsetFetch', () => {
  const ask = (version: number, topics: readonly { name: string; topicId: string }[] | null, groupId = 'group') => {
    const named = topics?.map((topic) => ({ ...topic, partitionIndexes: [0, 1] })) ?? null;
    const group = { groupId, memberId: null, memberEpoch: -1, topics: named };
    return version < 8
      ? { groupId, topics: named, groups: [], requireStable: version >= 7 }
      : { groupId: '', topics: [], groups: [group], requireStable: true };
  };
  const topics = [
    { name: 'a', topicId: topicA },
    { name: 'nothing', topicId: unknownTopic },
  ];
  const fetched = async (client: Client, version: number, request: ReturnType<typeof ask>) => {
    const answer = await client.send(offsetFetchHandler, version, request);
    return version < 8 ? answer : answer.groups[0];
  };

  it.each(versionsOf(offsetFetchHandler))(
    'answers -1 and no error where nothing is committed, version %i',
    async (version) => {
      const client = await Client.connected();
      await client.commit(8);
      const answer = await fetched(client, version, ask(version, topics));
      expect(answer?.errorCode).toBe(ErrorCode.NONE);
      const unknownCode = version >= 10 ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.NONE;
      expect(answer?.topics.map(({ partitions }) => partitions)).toMatchObject([
        [
          {
            committedOffset: 42n,
            metadata: 'text',
            errorCode: ErrorCode.NONE,
            committedLeaderEpoch: version >= 5 ? 3 : -1,
          },
          { committedOffset: -1n, metadata: '', errorCode: ErrorCode.NONE },
        ],
        [
          { committedOffset: -1n, errorCode: unknownCode },
          { committedOffset: -1n, errorCode: unknownCode },
        ],
      ]);
    },
  );

  it.each(versionsOf(offsetFetchHandler).filter((version) => version >= 2))(
    'gives everything, version %i',
    async (version) => {
      const client = await Client.connected();
      await client.commit(8);
      const answer = await fetched(client, version, ask(version, null));
      expect(answer?.topics).toHaveLength(1);
      expect(answer?.topics[0]).toMatchObject(version >= 10 ? { topicId: topicA } : { name: 'a' });
      expect(answer?.topics[0]?.partitions).toMatchObject([{ partitionIndex: 0, committedOffset: 42n }]);
      expect(await fetched(client, version, ask(version, null, 'nobody'))).toMatchObject({ topics: [], errorCode: 0 });
    },
  );

  it.each(versionsOf(offsetFetchHandler))(
    'never says "nothing" while it does not know, version %i',
    async (version) => {
      const client = new Client(await CoordinatorFixture.loading());
      const answer = await fetched(client, version, ask(version, topics));
      const loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
      if (version >= 2) expect(answer).toMatchObject({ errorCode: loading, topics: [] });
      else expect(answer?.topics[0]?.partitions[0]).toMatchObject({ committedOffset: -1n, errorCode: loading });
    },
  );

  it('gives a topic that was created anew nothing of its predecessor', async () => {
    const client = await Client.connected();
    await client.commit(8);
    client.fixture.image.setTopic('a', unknownTopic);
    const answer = await fetched(client, 7, ask(7, [{ name: 'a', topicId: zeroUuid }]));
    expect(answer?.topics[0]?.partitions[0]?.committedOffset).toBe(-1n);
    expect((await fetched(client, 7, ask(7, null)))?.topics).toEqual([]);
  });
});

describe('OffsetDelete', () => {
  it('forgets offsets, and says which partitions there are not', async () => {
    const client = await Client.connected();
    await client.commit(8);
    const answer = await client.send(offsetDeleteHandler, 0, {
      groupId: 'group',
      topics: [
        { name: 'a', partitions: [{ partitionIndex: 0 }, { partitionIndex: 10 }] },
        { name: 'nothing', partitions: [{ partitionIndex: 0 }] },
      ],
    });
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    expect(answer.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([
      [ErrorCode.NONE, unknown],
      [unknown],
    ]);
    expect(await client.fixture.committed()).toBeUndefined();
  });
});

describe('DescribeGroups', () => {
  it.each(versionsOf(describeGroupsHandler))(
    'tells of a stable group and of one that is not there, version %i',
    async (version) => {
      const client = await Client.connected();
      const memberId = await client.stableMember();
      const request = { groups: ['group', 'nobody'], includeAuthorizedOperations: version >= 3 };
      const [group, nobody] = (await client.send(describeGroupsHandler, version, request)).groups;
      expect(group).toMatchObject({
        errorCode: ErrorCode.NONE,
        groupState: 'Stable',
        protocolType: 'consumer',
        protocolData: 'range',
        members: [{ memberId, clientId: 'client', clientHost: '/10.0.0.1', memberMetadata: subscription('a') }],
        authorizedOperations: version >= 3 ? 3_400 : -0x80000000,
      });
      expect(group?.members[0]?.memberAssignment).toEqual(Buffer.from([5]));
      const notFound = version >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.NONE;
      expect(nobody).toMatchObject({ errorCode: notFound, groupState: 'Dead', members: [] });
    },
  );

  it('keeps metadata and assignments to itself unless the group is stable', async () => {
    const client = await Client.connected();
    await client.join(0);
    const request = { groups: ['group'], includeAuthorizedOperations: false };
    const [group] = (await client.send(describeGroupsHandler, 6, request)).groups;
    expect(group).toMatchObject({ groupState: 'CompletingRebalance', protocolData: '' });
    expect(group?.members[0]).toMatchObject({ memberMetadata: Buffer.alloc(0), memberAssignment: Buffer.alloc(0) });
  });
});

describe('ListGroups', () => {
  const listed = async (client: Client, version: number, statesFilter: string[] = [], typesFilter: string[] = []) =>
    (await client.send(listGroupsHandler, version, { statesFilter, typesFilter })).groups;

  it.each(versionsOf(listGroupsHandler))('lists every group, version %i', async (version) => {
    const client = await Client.connected();
    await client.stableMember();
    await client.commit(8, { groupId: 'manual' });
    const groups = [...(await listed(client, version))].sort((a, b) => a.groupId.localeCompare(b.groupId));
    expect(groups).toEqual([
      {
        groupId: 'group',
        protocolType: 'consumer',
        groupState: version >= 4 ? 'Stable' : '',
        groupType: version >= 5 ? 'Classic' : '',
      },
      {
        groupId: 'manual',
        protocolType: '',
        groupState: version >= 4 ? 'Empty' : '',
        groupType: version >= 5 ? 'Classic' : '',
      },
    ]);
  });

  it('filters by state and type, in any case of letters', async () => {
    const client = await Client.connected();
    await client.stableMember();
    await client.commit(8, { groupId: 'manual' });
    const ids = async (states: string[], types: string[] = []) =>
      (await listed(client, 5, states, types)).map(({ groupId }) => groupId);
    expect(await ids(['stable'])).toEqual(['group']);
    expect(await ids(['EMPTY', 'Nonsense'])).toEqual(['manual']);
    expect(await ids([], ['CLASSIC'])).toHaveLength(2);
    expect(await ids([], ['consumer'])).toEqual([]);
    expect(await ids(['Nonsense'])).toEqual([]);
  });
});

describe('DeleteGroups', () => {
  it.each(versionsOf(deleteGroupsHandler))('deletes each group for itself, version %i', async (version) => {
    const client = await Client.connected();
    await client.stableMember();
    await client.commit(8, { groupId: 'manual' });
    const answer = await client.send(deleteGroupsHandler, version, { groupsNames: ['group', 'manual', 'nobody'] });
    expect(answer.results).toEqual([
      { groupId: 'group', errorCode: ErrorCode.NON_EMPTY_GROUP },
      { groupId: 'manual', errorCode: ErrorCode.NONE },
      { groupId: 'nobody', errorCode: ErrorCode.GROUP_ID_NOT_FOUND },
    ]);
  });
});

describe('a request that failed as a whole', () => {
  const member = { groupId: 'group', generationId: 0, memberId: 'm', groupInstanceId: null };
  const joining = {
    ...member,
    sessionTimeoutMs: 1,
    rebalanceTimeoutMs: 1,
    protocolType: '',
    protocols: [],
    reason: null,
  };
  const asked = [{ groupId: 'group', memberId: null, memberEpoch: -1, topics: null }];

  /** What the answer to the request is in bytes, at each version. */
  const failures = <Request, Response>(handler: Handler<Request, Response>, request: Request) =>
    versionsOf(handler).map((version) => {
      const answer = handler.fail(ErrorCode.UNKNOWN_SERVER_ERROR, request, context(version));
      return handler.api.response.encode(answer, version).length;
    });

  it.each([
    ['FindCoordinator', () => failures(findCoordinatorHandler, { key: 'k', keyType: 0, coordinatorKeys: ['k'] })],
    ['JoinGroup', () => failures(joinGroupHandler, joining)],
    [
      'SyncGroup',
      () => failures(syncGroupHandler, { ...member, protocolType: null, protocolName: null, assignments: [] }),
    ],
    ['Heartbeat', () => failures(heartbeatHandler, member)],
    ['LeaveGroup', () => failures(leaveGroupHandler, { groupId: 'group', memberId: 'm', members: [] })],
    ['OffsetCommit', () => failures(offsetCommitHandler, commitDefaults)],
    [
      'OffsetFetch',
      () => failures(offsetFetchHandler, { groupId: 'g', topics: [], groups: asked, requireStable: false }),
    ],
    ['OffsetDelete', () => failures(offsetDeleteHandler, { groupId: 'group', topics: [] })],
    ['DescribeGroups', () => failures(describeGroupsHandler, { groups: ['g'], includeAuthorizedOperations: true })],
    ['ListGroups', () => failures(listGroupsHandler, { statesFilter: [], typesFilter: [] })],
    ['DeleteGroups', () => failures(deleteGroupsHandler, { groupsNames: ['g'] })],
  ])('has an answer at every version of %s', (_name, answerLengths) => {
    for (const length of answerLengths()) expect(length).toBeGreaterThan(0);
  });
});
