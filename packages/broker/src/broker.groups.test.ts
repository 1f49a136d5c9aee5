/** Consumer groups through the whole broker: members on connections of their own, restarts under them, offsets at every version. */
import { jest } from '@jest/globals';
import {
  deleteGroups,
  deleteTopics,
  describeGroups,
  ErrorCode,
  findCoordinator,
  listGroups,
  offsetCommit,
  offsetFetch,
  zeroUuid,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import type { RunningBroker } from './broker.ts';
import { BrokerFixture, createTopic, LeapingClock } from './broker-fixture.ts';
import { committedPartition, Member } from './group-member-fixture.ts';

jest.setTimeout(30_000);

const { NONE, REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID } = ErrorCode;

describe('Consumer groups, in the whole broker', () => {
  const fixture = new BrokerFixture();
  let broker: RunningBroker;

  beforeEach(async () => {
    broker = await fixture.start();
    await createTopic(await fixture.connect(broker), 't');
  });

  afterEach(() => fixture.closeAll());

  const newMember = async (groupId: string, instanceId: string | null = null) =>
    new Member(await fixture.connect(broker), groupId, instanceId);

  /** Brings the members into one generation; each is assigned its own number. */
  const settle = async (members: readonly Member[]): Promise<void> => {
    const joins = await Promise.all(members.map((member) => member.join()));
    expect(joins.map(({ errorCode }) => errorCode)).toEqual(members.map(() => NONE));
    const assignments = new Map(members.map(({ memberId }, index) => [memberId, `${index}`]));
    const synced = await Promise.all(
      members.map((member, index) => member.sync(joins[index]!.leader === member.memberId ? assignments : new Map())),
    );
    expect(synced).toEqual(members.map((_, index) => `${index}`));
  };

  /** A group of two that has settled. */
  const groupOfTwo = async (groupId: string): Promise<[Member, Member]> => {
    const [one, two] = [await newMember(groupId), await newMember(groupId)];
    await settle([one]);
    const joined = two.join();
    while ((await one.beat()) !== REBALANCE_IN_PROGRESS);
    const [first, second] = await Promise.all([one.join(), joined]);
    expect([first.generationId, second.generationId]).toEqual([2, 2]);
    expect([first.members.length, second.members.length]).toEqual([2, 0]);
    const assignments = new Map([
      [one.memberId, 'a'],
      [two.memberId, 'b'],
    ]);
    expect(await Promise.all([one.sync(assignments), two.sync()])).toEqual(['a', 'b']);
    return [one, two];
  };

  it('rebalance when a member comes and when one goes', async () => {
    const [one, two] = await groupOfTwo('g');
    expect([await one.beat(), await two.beat()]).toEqual([NONE, NONE]);
    expect(await two.leave()).toBe(NONE);
    expect(await two.beat()).toBe(UNKNOWN_MEMBER_ID);
    expect(await one.beat()).toBe(REBALANCE_IN_PROGRESS);
    await settle([one]);
    expect(one.generationId).toBe(3);
  });

  it('give the assignment of its leader to a static member that comes back, without a rebalance', async () => {
    const one = await newMember('g', 'instance-1');
    await settle([one]);
    const returned = await newMember('g', 'instance-1');
    const joined = await returned.join();
    expect(joined).toMatchObject({ errorCode: NONE, generationId: 1, skipAssignment: true });
    expect(await returned.sync()).toBe('0');
    expect(await one.beat()).toBe(FENCED_INSTANCE_ID);
    expect(await one.commit(5n)).toBe(FENCED_INSTANCE_ID);
    expect(await returned.commit(6n)).toBe(NONE);
  });

  it('go on through a restart of the broker without a rebalance', async () => {
    const dataDir = await fixture.folder();
    broker = await fixture.start({ dataDir });
    await createTopic(await fixture.connect(broker), 't');
    const members = await groupOfTwo('g');
    expect(await members[0].commit(7n)).toBe(NONE);
    await broker.close();

    broker = await fixture.start({ dataDir });
    for (const member of members) {
      const moved = member.on(await fixture.connect(broker));
      expect(await moved.beat()).toBe(NONE);
      expect(await moved.commit(8n)).toBe(NONE);
    }
    const { groups } = await (
      await fixture.connect(broker)
    ).request(describeGroups, 5, {
      groups: ['g'],
      includeAuthorizedOperations: false,
    });
    expect(groups[0]).toMatchObject({ groupState: 'Stable', protocolData: 'range' });
    expect(groups[0]!.members.map(({ memberAssignment }) => memberAssignment.toString()).sort()).toEqual(['a', 'b']);
  });

  it('end a rebalance that a restart cut short', async () => {
    const dataDir = await fixture.folder();
    broker = await fixture.start({ dataDir });
    await createTopic(await fixture.connect(broker), 't');
    const one = await newMember('g');
    const two = await newMember('g');
    await settle([one]);
    const parked = two.join().catch(() => 'closed');
    while ((await one.beat()) !== REBALANCE_IN_PROGRESS);
    await broker.close();
    await parked;

    broker = await fixture.start({ dataDir });
    const [again, newcomer] = [one.on(await fixture.connect(broker)), await newMember('g')];
    const joined = newcomer.join();
    while ((await again.beat()) === NONE);
    const [first, second] = await Promise.all([again.join(), joined]);
    expect([first.errorCode, second.errorCode]).toEqual([NONE, NONE]);
    expect(second.generationId).toBe(first.generationId);
  });

  it('go on when the broker lost its session and began again in place', async () => {
    const clock = new LeapingClock();
    broker = await fixture.start({ clock, config: { sessionTtlMs: 1_000 } });
    const client = await fixture.connect(broker);
    await createTopic(client, 't');
    const members = await groupOfTwo('g');
    clock.leap(1_001);
    await client.closed;
    let again: RawClient | undefined;
    while (again === undefined) again = await fixture.connect(broker).catch(() => undefined);
    for (const member of members) expect(await member.on(again).beat()).toBe(NONE);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
    'keep offsets that are committed and fetched at version %i',
    async (version) => {
      const client = await fixture.connect(broker);
      const topicId = await createTopic(client, 'u');
      const id = version >= 10 ? topicId : zeroUuid;
      const name = version >= 10 ? '' : 'u';
      const commit = await client.request(offsetCommit, version, {
        groupId: 'g',
        generationIdOrMemberEpoch: -1,
        memberId: '',
        groupInstanceId: null,
        retentionTimeMs: -1n,
        topics: [{ name, topicId: id, partitions: [committedPartition(42n)] }],
      });
      expect(commit.topics[0]!.partitions[0]!.errorCode).toBe(NONE);

      const topics = [{ name, topicId: id, partitionIndexes: [0] }];
      const fetched = await client.request(offsetFetch, version, {
        groupId: 'g',
        topics,
        groups: [
          { groupId: 'g', memberId: null, memberEpoch: -1, topics },
          { groupId: 'unknown', memberId: null, memberEpoch: -1, topics },
        ],
        requireStable: false,
      });
      const found = { partitionIndex: 0, committedOffset: 42n, metadata: 'noted', errorCode: NONE };
      if (version < 8) expect(fetched.topics[0]!.partitions[0]).toMatchObject(found);
      else {
        const [known, unknown] = fetched.groups.map((group) => group.topics[0]!.partitions[0]!);
        expect(known).toMatchObject(found);
        expect(unknown).toMatchObject({ committedOffset: -1n, errorCode: NONE });
      }
    },
  );

  it('lose the offsets of a deleted topic, also for one of its name', async () => {
    const client = await fixture.connect(broker);
    const member = await newMember('g');
    await settle([member]);
    expect(await member.commit(9n)).toBe(NONE);
    await client.request(deleteTopics, 5, { topics: [], topicNames: ['t'], timeoutMs: 5_000 });
    await createTopic(client, 't');
    const { topics } = await client.request(offsetFetch, 5, {
      groupId: 'g',
      topics: [{ name: 't', partitionIndexes: [0] }],
      groups: [],
      requireStable: false,
    });
    expect(topics[0]!.partitions[0]).toMatchObject({ committedOffset: -1n, errorCode: NONE });
  });

  it('are found, listed, and deleted once they are empty', async () => {
    const client = await fixture.connect(broker);
    const { coordinators } = await client.request(findCoordinator, 4, {
      key: '',
      keyType: 0,
      coordinatorKeys: ['g', '/\0'],
    });
    expect(coordinators.map(({ nodeId, port, errorCode }) => [nodeId, port, errorCode])).toEqual([
      [0, broker.port, NONE],
      [0, broker.port, NONE],
    ]);
    const member = await newMember('g');
    await settle([member]);
    const listed = async () =>
      (await client.request(listGroups, 5, { statesFilter: [], typesFilter: [] })).groups.map(({ groupId }) => groupId);
    const deleted = async () =>
      (await client.request(deleteGroups, 2, { groupsNames: ['g'] })).results.map(({ errorCode }) => errorCode);
    expect(await listed()).toEqual(['g']);
    expect(await deleted()).toEqual([ErrorCode.NON_EMPTY_GROUP]);
    await member.leave();
    expect(await deleted()).toEqual([NONE]);
    expect(await listed()).toEqual([]);
    expect(await deleted()).toEqual([ErrorCode.GROUP_ID_NOT_FOUND]);
  });

  it('keep commits with any retention apart from what else is stored', async () => {
    const client = await fixture.connect(broker);
    for (const retentionTimeMs of [2n ** 63n - 1n, -(2n ** 63n), 0n]) {
      const { topics } = await client.request(offsetCommit, 2, {
        groupId: `keeps-${retentionTimeMs}`,
        generationIdOrMemberEpoch: -1,
        memberId: '',
        groupInstanceId: null,
        retentionTimeMs,
        topics: [{ name: 't', topicId: zeroUuid, partitions: [committedPartition(1n)] }],
      });
      expect(topics[0]!.partitions[0]!.errorCode).toBe(NONE);
    }
  });
});
