import type { EtcdClient } from '../../etcd/etcd-client.ts';
import type { EtcdView, SeenMember } from './etcd-view.ts';
import { hasQuorum, nextStep, type EtcdSituation } from './next-step.ts';

const mebibyte = 2 ** 20;
const quotaBytes = 100 * mebibyte;

interface MemberInput {
  readonly sizeMb?: number;
  readonly inUseMb?: number;
  readonly isLearner?: boolean;
  readonly isDown?: boolean;
  readonly hasNoPlace?: boolean;
}

/** The first one leads. */
function viewOf(inputs: readonly MemberInput[], alarms: readonly string[] = []): EtcdView {
  const members = inputs.map((input, ordinal): SeenMember => {
    const { sizeMb = 1, inUseMb = sizeMb, isLearner = false, isDown = false, hasNoPlace = false } = input;
    const isHealthy = !isDown && !isLearner && !hasNoPlace;
    const status = {
      ...{ memberId: String(ordinal), leaderId: '0', version: '3.6.16', revision: 1, isLearner },
      ...{ sizeBytes: sizeMb * mebibyte, inUseBytes: inUseMb * mebibyte },
    };
    return {
      ...{ ordinal, isLearner, isHealthy, isLeader: isHealthy && ordinal === 0 },
      client: { url: `http://${ordinal}` } as EtcdClient,
      status: isDown ? undefined : status,
      memberId: hasNoPlace ? undefined : String(ordinal),
    };
  });
  const places = members.filter(({ memberId }) => memberId !== undefined);
  return {
    members,
    membership: {
      clusterId: '1',
      members: places.map(({ memberId, isLearner, ordinal }) => ({
        ...{ id: memberId!, name: String(ordinal), peerUrls: [], clientUrls: [], isLearner },
      })),
    },
    alarms: alarms.map((alarm) => ({ memberId: '0', alarm })),
  };
}

const well: readonly MemberInput[] = [{}, {}, {}];

function step(inputs: readonly MemberInput[], change: Partial<EtcdSituation> = {}, alarms: readonly string[] = []) {
  const view = viewOf(inputs, alarms);
  const replicas = inputs.length;
  return nextStep({ view, replicas, wanted: replicas, quotaBytes, lost: new Set(), ...change });
}

test('nothing is done to an etcd that is well, or that has no quorum', () => {
  expect(step(well).type).toBe('nothing');
  const view = { ...viewOf(well, ['NOSPACE']), membership: undefined };
  expect(step(well, { view, wanted: 5 }).type).toBe('nothing');
});

test('a member that has caught up becomes a voter before files are made smaller or members added', () => {
  const learning = [{ sizeMb: 90, inUseMb: 1 }, {}, { isLearner: true }];
  expect(step(learning, { wanted: 5 })).toMatchObject({ type: 'promote', memberId: '2', by: { url: 'http://0' } });
});

describe('a full file', () => {
  const fat = { sizeMb: 80, inUseMb: 10 };

  it('is made smaller at one follower, then the next, and at the leader only after it led no more', () => {
    expect(step([fat, fat, fat])).toMatchObject({ type: 'defragment', member: { ordinal: 1 } });
    expect(step([fat, {}, fat])).toMatchObject({ type: 'defragment', member: { ordinal: 2 } });
    expect(step([fat, {}, {}])).toMatchObject({ type: 'move-leader', from: { ordinal: 0 }, toMemberId: '1' });
    expect(step([fat])).toMatchObject({ type: 'defragment', member: { ordinal: 0 } });
  });

  it.each<[string, readonly MemberInput[]]>([
    ['while a member does not answer', [{}, fat, { isDown: true }]],
    ['while a member has no place', [{}, fat, { hasNoPlace: true }]],
    ['that is in use', [{}, { sizeMb: 80, inUseMb: 70 }, {}]],
    ['that is small beside the quota', [{}, { sizeMb: 30, inUseMb: 1 }, {}]],
  ])('stays as it is %s', (_, members) => {
    expect(step(members).type).toBe('nothing');
  });
});

describe('an etcd that refuses writes', () => {
  const full = { sizeMb: 100, inUseMb: 30 };
  const noSpace = ['NOSPACE'];

  it('is made smaller member by member, the leader last, and takes writes again then', () => {
    expect(step([full, full, {}], {}, noSpace)).toMatchObject({ type: 'defragment', member: { ordinal: 1 } });
    expect(step([full, {}, {}], {}, noSpace)).toMatchObject({ type: 'defragment', member: { ordinal: 0 } });
    expect(step(well, {}, noSpace)).toMatchObject({ type: 'disarm', alarm: { memberId: '0', alarm: 'NOSPACE' } });
  });

  it('is helped although a member is down', () => {
    expect(step([full, full, { isDown: true }], {}, noSpace)).toMatchObject({ type: 'defragment' });
  });

  it('is helped before a member that does not catch up is asked for', () => {
    expect(step([{}, {}, { isLearner: true }], {}, noSpace).type).toBe('disarm');
  });

  it('is tried at every member, since what is in use shows with the next write alone, and then left for a while', () => {
    const inUse = { sizeMb: 100, inUseMb: 98 };
    const all = [inUse, inUse, inUse];
    const rested = (...ordinals: readonly number[]) => ({ rested: new Set(ordinals) });
    expect(step(all, rested(1), noSpace)).toMatchObject({ type: 'defragment', member: { ordinal: 2 } });
    expect(step(all, rested(0, 1, 2), noSpace).type).toBe('nothing');
    expect(step([inUse, full, inUse], rested(0, 1, 2), noSpace)).toMatchObject({ member: { ordinal: 1 } });
  });
});

describe('the number of members', () => {
  it('grows by one, when all are well', () => {
    expect(step([{}], { wanted: 3 })).toEqual({ type: 'scale', to: 2 });
    expect(step([{}, { isDown: true }, {}], { wanted: 5 }).type).toBe('nothing');
  });

  it('shrinks by one: the lead first, then the place, then the pod', () => {
    const five = [{}, {}, {}, {}, {}];
    expect(step(five, { wanted: 3 })).toMatchObject({ type: 'remove', memberId: '4' });
    expect(step([{}, {}, {}, {}, { hasNoPlace: true }], { wanted: 3 })).toEqual({ type: 'scale', to: 4 });
    const view = viewOf(five);
    const members = view.members.map((member, ordinal) => ({ ...member, isLeader: ordinal === 4 }));
    expect(step(five, { wanted: 3, view: { ...view, members } })).toMatchObject({
      ...{ type: 'move-leader', from: { ordinal: 4 }, toMemberId: '0' },
    });
  });

  it('shrinks only while those who stay are well', () => {
    expect(step([{}, { isDown: true }, {}], { wanted: 1 }).type).toBe('nothing');
    expect(step([{}, {}, { isDown: true }], { wanted: 1 })).toMatchObject({ type: 'remove', memberId: '2' });
  });
});

test('a pod whose etcd has no place decides anew how to start', () => {
  expect(step([{}, {}, { hasNoPlace: true }], { lost: new Set([2]) })).toEqual({ type: 'recreate', ordinal: 2 });
});

test('a quorum is one of voters that agree who leads', () => {
  expect(hasQuorum(viewOf([{}, {}, { isDown: true }]))).toBe(true);
  expect(hasQuorum(viewOf([{}, { isDown: true }, { isDown: true }]))).toBe(false);
  expect(hasQuorum(viewOf([{}, { isLearner: true }]))).toBe(true);
});
