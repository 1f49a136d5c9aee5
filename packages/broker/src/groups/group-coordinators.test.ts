/** One group at several coordinators, one after the other: what a failover or a hand-over may not do to it (COMMIT.md F2, F22, F23). */
import { ErrorCode } from '@kafscale/protocol';
import { settled } from '@kafscale/testkit';
import type { MetadataCall, MetadataFault } from '../metadata/faulty-metadata-store.ts';
import { subscription, topicA } from './coordinator-fixture.ts';
import { GroupCoordinators, type CoordinatorLife } from './group-coordinators-fixture.ts';

const groupId = 'group';

let cluster: GroupCoordinators;
const setUp = async () => {
  cluster = await GroupCoordinators.started(2);
  const [first, second] = cluster.lives as [CoordinatorLife, CoordinatorLife];
  await cluster.assign([groupId], first);
  await cluster.clock.advanceAsync(100);
  return { cluster, first, second };
};
afterEach(() => cluster.close());

const isDelta = ({ transaction }: MetadataCall) =>
  transaction?.success.some(({ type, key }) => type === 'put' && key.startsWith('group-deltas/')) === true;

/** What becomes of the next write of a delta, and of nothing else. */
function nextDelta(fault: MetadataFault): void {
  let isDone = false;
  cluster.plan = (call) => {
    if (isDone || !isDelta(call)) return 'ok';
    isDone = true;
    return fault;
  };
}

/** From now on deltas arrive so much later, until a broker dies; those that are on their way then arrive all the same. */
function delayDeltas(deliverAfterMs: number): void {
  cluster.plan = (call) => (isDelta(call) ? { deliverAfterMs } : 'ok');
}

const join = ({ coordinator }: CoordinatorLife, memberId = '') =>
  coordinator.join({
    groupId,
    memberId,
    groupInstanceId: null,
    clientId: 'client',
    clientHost: '/127.0.0.1',
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: subscription('a') }],
    requiresKnownMemberId: false,
    supportsSkippingAssignment: false,
  });

const sync = ({ coordinator }: CoordinatorLife, memberId: string, generation: number, assigned: string[]) =>
  coordinator.sync({
    groupId,
    memberId,
    groupInstanceId: null,
    generation,
    protocolType: null,
    protocolName: null,
    assignments: new Map(assigned.map((member, index) => [member, Buffer.from(`${generation}/${index}`)])),
  });

const beat = ({ coordinator }: CoordinatorLife, memberId: string, generation: number) =>
  coordinator.heartbeat({ groupId, memberId, groupInstanceId: null, generation });

const commit = ({ coordinator }: CoordinatorLife, memberId: string, generation: number, offset: bigint) => {
  const commitMs = cluster.clock.wallMs();
  const offsets = new Map([[0, { offset, leaderEpoch: -1, metadata: '', commitMs, expireMs: undefined }]]);
  const topics = [{ topicId: topicA, offsets }];
  return coordinator.commitOffsets({ groupId, memberId, groupInstanceId: null, generation, topics });
};

const committed = async ({ coordinator }: CoordinatorLife) =>
  (await coordinator.committedOffsets(groupId)).get(topicA)?.get(0)?.offset;

/** A stable group of as many members in generation 1. */
async function stableGroup(life: CoordinatorLife, size: number): Promise<string[]> {
  const joining = Array.from({ length: size }, () => join(life));
  const joins = await cluster.clock.runUntilSettled(Promise.all(joining));
  expect(joins.map(({ errorCode }) => errorCode)).toEqual(joins.map(() => ErrorCode.NONE));
  const members = joins.map(({ memberId }) => memberId);
  const leader = joins[0]!.leaderId;
  const ordered = [leader, ...members.filter((member) => member !== leader)];
  await Promise.all(ordered.map((member, index) => sync(life, member, 1, index === 0 ? ordered : [])));
  return ordered;
}

async function takenOver(from: CoordinatorLife, by: CoordinatorLife, notices: boolean): Promise<void> {
  cluster.plan = () => 'ok';
  await cluster.kill(from, notices);
  await cluster.assign([groupId], by);
  await cluster.clock.advanceAsync(500);
  expect(await cluster.ownerOf(groupId)).toBe(by);
}

async function handedOver(to: CoordinatorLife): Promise<void> {
  await cluster.assign([groupId], to);
  await cluster.clock.advanceAsync(100);
  expect(await cluster.ownerOf(groupId)).toBe(to);
}

describe('a group whose coordinator dies', () => {
  it('goes on in its generation, with its assignment and its offsets', async () => {
    const { first, second } = await setUp();
    const [leader = '', follower = ''] = await stableGroup(first, 2);
    expect(await commit(first, leader, 1, 7n)).toBe(ErrorCode.NONE);
    await takenOver(first, second, true);
    expect(await Promise.all([beat(second, leader, 1), beat(second, follower, 1)])).toEqual([0, 0]);
    const assignment = (await sync(second, follower, 1, [])).assignment;
    expect(Buffer.from(assignment).toString()).toBe('1/1');
    expect(await committed(second)).toBe(7n);
    expect(await beat(first, leader, 1)).toBe(ErrorCode.NOT_COORDINATOR);
  });

  it('before a generation is stored has told it to nobody, and no late delivery brings it back (F23)', async () => {
    const { first, second } = await setUp();
    const [leader = ''] = await stableGroup(first, 1);
    delayDeltas(20_000);
    const newcomer = join(first);
    const rejoin = join(first, leader);
    await cluster.clock.advanceAsync(2_000);
    await takenOver(first, second, true);
    expect((await newcomer).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect((await rejoin).errorCode).toBe(ErrorCode.NOT_COORDINATOR);

    // Generation 2 is another one here, with other members.
    expect(await beat(second, leader, 1)).toBe(ErrorCode.NONE);
    const alone = await cluster.clock.runUntilSettled(join(second, leader));
    expect(alone).toMatchObject({ errorCode: ErrorCode.NONE, generation: 2 });
    await sync(second, leader, 2, [leader]);
    await cluster.clock.advanceAsync(20_000);
    expect(await second.coordinator.describe(groupId)).toMatchObject({ generation: 2, state: 'Stable' });
    await handedOver(await cluster.add());
    const third = cluster.lives[2]!;
    const group = await third.coordinator.describe(groupId);
    expect([...(group?.members.keys() ?? [])]).toEqual([leader]);
    expect(await beat(third, leader, 2)).toBe(ErrorCode.NONE);
  });

  it('keeps no commit of the old generation that is delivered after the new one began (F22)', async () => {
    const { first, second } = await setUp();
    const [leader = '', follower = ''] = await stableGroup(first, 2);
    expect(await commit(first, follower, 1, 50n)).toBe(ErrorCode.NONE);
    delayDeltas(20_000);
    const slow = commit(first, follower, 1, 100n);
    await takenOver(first, second, false);
    const rejoined = join(second, leader);
    await cluster.clock.advanceAsync(31_000); // the follower does not come
    expect(await rejoined).toMatchObject({ errorCode: ErrorCode.NONE, generation: 2 });
    expect((await sync(second, leader, 2, [leader])).errorCode).toBe(ErrorCode.NONE);
    expect(await committed(second)).toBe(50n);
    expect(await commit(second, leader, 2, 60n)).toBe(ErrorCode.NONE);
    await cluster.clock.advanceAsync(30_000);
    expect(await slow).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await committed(second)).toBe(60n);
    await handedOver(await cluster.add());
    expect(await committed(cluster.lives[2]!)).toBe(60n);
  });

  it('hears nothing from a coordinator that has not noticed its death', async () => {
    const { first, second } = await setUp();
    const [leader = ''] = await stableGroup(first, 1);
    expect(await commit(first, leader, 1, 5n)).toBe(ErrorCode.NONE);
    await takenOver(first, second, false);
    expect(await commit(second, leader, 1, 6n)).toBe(ErrorCode.NONE);
    await expect(committed(first)).rejects.toMatchObject({ code: ErrorCode.NOT_COORDINATOR });
    expect(await cluster.clock.runUntilSettled(commit(first, leader, 1, 9n))).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await committed(second)).toBe(6n);
  });
});

describe('a group whose shard is handed over', () => {
  it('goes on in its generation; who waits is sent to the heir', async () => {
    const { first, second } = await setUp();
    const [leader = '', follower = ''] = await stableGroup(first, 2);
    const waiting = join(first);
    await settled();
    await handedOver(second);
    expect((await waiting).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await Promise.all([beat(second, leader, 1), beat(second, follower, 1)])).toEqual([0, 0]);
    expect(await beat(first, leader, 1)).toBe(ErrorCode.NOT_COORDINATOR);
  });

  it('has the commits that were accepted before, however slowly they are stored', async () => {
    const { first, second } = await setUp();
    const [leader = ''] = await stableGroup(first, 1);
    nextDelta({ deliverAfterMs: 700, replyAfterMs: 100 });
    const accepted = commit(first, leader, 1, 5n);
    await cluster.assign([groupId], second);
    await cluster.clock.advanceAsync(2_000);
    expect(await accepted).toBe(ErrorCode.NONE);
    expect(await cluster.ownerOf(groupId)).toBe(second);
    expect(await committed(second)).toBe(5n);
  });

  it('is not changed by a delta that is delivered a second time (F2)', async () => {
    const { first, second } = await setUp();
    const [leader = ''] = await stableGroup(first, 1);
    nextDelta({ deliverAgainAfterMs: [1_000, 40_000, 90_000] });
    expect(await commit(first, leader, 1, 100n)).toBe(ErrorCode.NONE);
    await handedOver(second);
    for (const offset of [200n, 300n]) expect(await commit(second, leader, 1, offset)).toBe(ErrorCode.NONE);
    for (let turn = 0; turn < 7; turn += 1) {
      await cluster.clock.advanceAsync(15_000);
      await beat(second, leader, 1);
    }
    expect(await committed(second)).toBe(300n);
    await handedOver(first);
    expect(await committed(first)).toBe(300n);
    expect(await beat(first, leader, 1)).toBe(ErrorCode.NONE);
  });
});
