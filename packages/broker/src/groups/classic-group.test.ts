import { ErrorCode } from '@kafscale/protocol';
import { SimulatedGroup } from './simulated-group.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);
const range = { name: 'range', metadata: bytes(0) };
const sticky = { name: 'sticky', metadata: bytes(1) };

/** A group whose members have all joined and synced; the first one leads. */
function stableGroup(
  size: number,
  given: Parameters<SimulatedGroup['join']>[0] = {},
  simulated = new SimulatedGroup(),
) {
  const requests = Array.from({ length: size }, () => simulated.join(given));
  simulated.advance(6_000);
  const members = requests.map((request) => simulated.joinAnswer(request)?.memberId ?? '');
  return syncAll(simulated, members);
}

function syncAll(simulated: SimulatedGroup, members: readonly string[]) {
  const [leader = ''] = members;
  const assignments = new Map(members.map((member, index) => [member, bytes(simulated.group.generation, index)]));
  for (const memberId of members) if (memberId !== leader) simulated.sync({ memberId });
  simulated.sync({ memberId: leader, assignments });
  expect(simulated.group.state).toBe('Stable');
  return { simulated, members, leader, follower: members[1] ?? '' };
}

describe('a member without an id', () => {
  it('is given one and told to come back with it, from JoinGroup version 4 on', () => {
    const simulated = new SimulatedGroup();
    const answer = simulated.joinAnswer(simulated.join({ requiresKnownMemberId: true, newMemberId: 'given' }));
    expect(answer).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED, memberId: 'given', generation: -1 });
    expect(simulated.group.pendingMembers).toEqual(new Set(['given']));
    const joined = simulated.join({ memberId: 'given', requiresKnownMemberId: true });
    simulated.advance(3_000);
    expect(simulated.joinAnswer(joined)).toMatchObject({ errorCode: ErrorCode.NONE, memberId: 'given', generation: 1 });
    expect(simulated.group.pendingMembers.size).toBe(0);
  });

  it('joins at once before version 4', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join({ newMemberId: 'given' });
    expect(simulated.joinAnswer(request)).toBeUndefined();
    simulated.advance(3_000);
    expect(simulated.joinAnswer(request)).toMatchObject({ errorCode: ErrorCode.NONE, memberId: 'given' });
  });

  it('joins at once when it is static, at any version', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join({ requiresKnownMemberId: true, groupInstanceId: 'pod-0' });
    simulated.advance(3_000);
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.NONE);
  });

  it('loses the id it was given when it does not join within its session timeout', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ requiresKnownMemberId: true, newMemberId: 'given', sessionTimeoutMs: 6_000 });
    simulated.advance(6_000);
    expect(simulated.group.pendingMembers.size).toBe(0);
    expect(simulated.joinAnswer(simulated.join({ memberId: 'given' }))?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });
});

describe('a member with an id', () => {
  it('is unknown to an empty group', () => {
    const simulated = new SimulatedGroup();
    expect(simulated.joinAnswer(simulated.join({ memberId: 'ghost' }))?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('is unknown when it names an id that is pending together with an instance id', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ requiresKnownMemberId: true, newMemberId: 'given' });
    const request = simulated.join({ memberId: 'given', groupInstanceId: 'pod-0' });
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('updates its metadata and waits while a rebalance is prepared', () => {
    const { simulated, members, follower } = stableGroup(3);
    const first = simulated.join({ memberId: members[0] ?? '' });
    const second = simulated.join({ memberId: follower, protocols: [range, sticky] });
    expect(simulated.answers.has(first) || simulated.answers.has(second)).toBe(false);
    expect(simulated.group.members.get(follower)?.protocols).toEqual([range, sticky]);
  });

  it('is told the current generation again while it completes, when it comes with the same metadata', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join();
    simulated.advance(3_000);
    const first = simulated.joinAnswer(request);
    const again = simulated.joinAnswer(simulated.join({ memberId: first?.memberId ?? '' }));
    expect(again).toEqual(first);
    expect(again?.members).toHaveLength(1);
  });

  it('starts a rebalance with changed metadata while a generation completes', () => {
    const simulated = new SimulatedGroup();
    const [one, two] = [simulated.join(), simulated.join()];
    simulated.advance(6_000);
    const follower = simulated.joinAnswer(two)?.memberId ?? '';
    const parked = simulated.sync({ memberId: follower });
    simulated.join({ memberId: follower, protocols: [range, sticky] });
    expect(simulated.group.state).toBe('PreparingRebalance');
    expect(simulated.syncAnswer(parked)?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
    expect(simulated.joinAnswer(one)?.generation).toBe(1);
  });

  it('starts a rebalance when it leads a stable group', () => {
    const { simulated, leader } = stableGroup(2);
    const request = simulated.join({ memberId: leader });
    expect(simulated.group.state).toBe('PreparingRebalance');
    expect(simulated.answers.has(request)).toBe(false);
  });

  it('starts a rebalance of a stable group with changed metadata', () => {
    const { simulated, follower } = stableGroup(2);
    simulated.join({ memberId: follower, protocols: [{ name: 'range', metadata: bytes(9) }] });
    expect(simulated.group.state).toBe('PreparingRebalance');
  });

  it('is told the current generation when it follows a stable group and nothing changed', () => {
    const { simulated, leader, follower } = stableGroup(2);
    const answer = simulated.joinAnswer(simulated.join({ memberId: follower }));
    expect(answer).toMatchObject({ errorCode: ErrorCode.NONE, generation: 1, leaderId: leader, members: [] });
    expect(simulated.group.state).toBe('Stable');
  });

  it('that asks again while its JoinGroup waits has the first one answered, and the second one counts', () => {
    const { simulated, leader, follower } = stableGroup(2);
    const first = simulated.join({ memberId: leader });
    const second = simulated.join({ memberId: leader });
    expect(simulated.joinAnswer(first)?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
    simulated.join({ memberId: follower });
    expect(simulated.joinAnswer(second)).toMatchObject({ errorCode: ErrorCode.NONE, generation: 2 });
  });
});

describe('the first rebalance', () => {
  it('waits for the initial delay', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join();
    simulated.advance(2_999);
    expect(simulated.answers.has(request)).toBe(false);
    simulated.advance(1);
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.NONE);
  });

  it('is extended by the delay while new members come', () => {
    const simulated = new SimulatedGroup();
    const first = simulated.join();
    simulated.advance(2_000);
    simulated.join();
    simulated.advance(3_999);
    expect(simulated.answers.has(first)).toBe(false);
    simulated.advance(1);
    expect(simulated.joinAnswer(first)?.members).toHaveLength(2);
  });

  it('is extended no further than the rebalance timeout', () => {
    const simulated = new SimulatedGroup();
    const first = simulated.join({ rebalanceTimeoutMs: 8_000 });
    for (let second = 0; second < 8; second += 1) {
      expect(simulated.answers.has(first)).toBe(false);
      simulated.join({ rebalanceTimeoutMs: 8_000 });
      simulated.advance(1_000);
    }
    simulated.advance(1_000);
    expect(simulated.joinAnswer(first)?.errorCode).toBe(ErrorCode.NONE);
  });

  it('goes on when nobody is left at its end, and the group is empty', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'm' });
    simulated.leave({ memberId: 'm', groupInstanceId: null });
    simulated.advance(3_000);
    expect(simulated.group).toMatchObject({ state: 'Empty', generation: 1, leaderId: null, protocolName: null });
  });
});

describe('a rebalance', () => {
  it('ends as soon as all members have joined, with the next generation', () => {
    const { simulated, leader, follower } = stableGroup(2);
    const first = simulated.join({ memberId: leader });
    const second = simulated.join({ memberId: follower });
    expect(simulated.joinAnswer(first)).toMatchObject({ generation: 2, leaderId: leader });
    expect(simulated.joinAnswer(second)).toMatchObject({ generation: 2, leaderId: leader });
  });

  it('tells only the leader who the members are', () => {
    const { simulated, leader, follower } = stableGroup(2);
    const first = simulated.join({ memberId: leader });
    const second = simulated.join({ memberId: follower });
    expect(simulated.joinAnswer(first)?.members).toEqual([
      { memberId: leader, groupInstanceId: null, metadata: bytes(0) },
      { memberId: follower, groupInstanceId: null, metadata: bytes(0) },
    ]);
    expect(simulated.joinAnswer(second)?.members).toEqual([]);
  });

  it('waits for an id that was given out and not joined with', () => {
    const { simulated, leader, follower } = stableGroup(2);
    simulated.join({ requiresKnownMemberId: true, newMemberId: 'given' });
    const first = simulated.join({ memberId: leader });
    simulated.join({ memberId: follower });
    expect(simulated.answers.has(first)).toBe(false);
    simulated.join({ memberId: 'given' });
    expect(simulated.joinAnswer(first)?.members).toHaveLength(3);
  });

  it('drops dynamic members that do not join within the longest rebalance timeout', () => {
    const { simulated, leader, follower } = stableGroup(2, { sessionTimeoutMs: 600_000 });
    const request = simulated.join({ memberId: leader, sessionTimeoutMs: 600_000 });
    simulated.advance(59_999);
    expect(simulated.answers.has(request)).toBe(false);
    simulated.advance(1);
    expect(simulated.joinAnswer(request)?.members).toHaveLength(1);
    expect(simulated.heartbeat({ memberId: follower })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('keeps absent static members', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a', sessionTimeoutMs: 600_000 });
    simulated.join({ newMemberId: 'b', sessionTimeoutMs: 600_000 });
    simulated.advance(6_000);
    syncAll(simulated, ['a', 'b']);
    const request = simulated.join({ memberId: 'b', protocols: [range, sticky] });
    simulated.advance(60_000);
    expect(simulated.joinAnswer(request)).toMatchObject({ generation: 2, leaderId: 'b' });
    expect(simulated.group.members.has('a')).toBe(true);
  });

  it('elects another leader when the leader does not join', () => {
    const { simulated, leader, follower } = stableGroup(2, { sessionTimeoutMs: 600_000 });
    const request = simulated.join({ memberId: follower, protocols: [range, sticky] });
    simulated.advance(60_000);
    expect(simulated.joinAnswer(request)).toMatchObject({ leaderId: follower, generation: 2 });
    expect(simulated.group.members.has(leader)).toBe(false);
  });

  it('goes on waiting while only absent static members are left', () => {
    const simulated = new SimulatedGroup();
    const given = { sessionTimeoutMs: 600_000, rebalanceTimeoutMs: 10_000 };
    simulated.join({ ...given, groupInstanceId: 'pod-0', newMemberId: 'a' });
    simulated.join({ ...given, newMemberId: 'b' });
    simulated.advance(6_000);
    syncAll(simulated, ['a', 'b']);
    simulated.join({ ...given, memberId: 'b', protocols: [range, sticky] });
    simulated.leave({ memberId: 'b', groupInstanceId: null });
    simulated.advance(10_000);
    expect(simulated.group).toMatchObject({ state: 'PreparingRebalance', generation: 1 });
    const back = simulated.join({ ...given, memberId: 'a', groupInstanceId: 'pod-0' });
    expect(simulated.joinAnswer(back)).toMatchObject({ generation: 2, leaderId: 'a' });
  });

  it('stores the generation with its answers, not later', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join({ newMemberId: 'm' });
    expect(simulated.stored).toBeUndefined();
    simulated.advance(3_000);
    expect(simulated.answers.has(request)).toBe(true);
    simulated.failOver();
    expect(simulated.group).toMatchObject({ state: 'CompletingRebalance', generation: 1, leaderId: 'm' });
  });
});

describe('the protocol', () => {
  it('type has to match', () => {
    const { simulated } = stableGroup(1);
    const request = simulated.join({ protocolType: 'connect' });
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  });

  it('has to be one that all members list', () => {
    const { simulated } = stableGroup(1);
    const request = simulated.join({ protocols: [sticky] });
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  });

  it('has to be given', () => {
    const simulated = new SimulatedGroup();
    const none = simulated.join({ protocols: [] });
    expect(simulated.joinAnswer(none)?.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    const untyped = simulated.join({ protocolType: '' });
    expect(simulated.joinAnswer(untyped)?.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  });

  it('is the one with the most votes, each for the first choice that all list', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join({ protocols: [{ name: 'own', metadata: bytes() }, range, sticky] });
    simulated.join({ protocols: [sticky, range] });
    simulated.join({ protocols: [sticky, range] });
    simulated.advance(6_000);
    expect(simulated.joinAnswer(request)).toMatchObject({ protocolName: 'sticky', protocolType: 'consumer' });
  });

  it('of members that are not consumers works the same', () => {
    const { simulated } = stableGroup(2, {
      protocolType: 'connect',
      protocols: [{ name: 'sessioned', metadata: bytes(255) }],
    });
    expect(simulated.group).toMatchObject({ protocolType: 'connect', protocolName: 'sessioned', state: 'Stable' });
  });
});

describe('SyncGroup', () => {
  const completing = () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'leader' });
    simulated.join({ newMemberId: 'follower' });
    simulated.advance(6_000);
    return simulated;
  };

  it('of a follower waits for the leader', () => {
    const simulated = completing();
    const parked = simulated.sync({ memberId: 'follower' });
    expect(simulated.answers.has(parked)).toBe(false);
    simulated.sync({ memberId: 'leader', assignments: new Map([['follower', bytes(7)]]) });
    expect(simulated.syncAnswer(parked)).toMatchObject({
      errorCode: ErrorCode.NONE,
      assignment: bytes(7),
      protocolType: 'consumer',
      protocolName: 'range',
    });
  });

  it('gives empty bytes to a member the leader left out', () => {
    const simulated = completing();
    const request = simulated.sync({ memberId: 'leader', assignments: new Map([['stranger', bytes(1)]]) });
    expect(simulated.syncAnswer(request)?.assignment).toEqual(bytes());
  });

  it('after the leader is answered from the stored assignment', () => {
    const simulated = completing();
    simulated.sync({ memberId: 'leader', assignments: new Map([['follower', bytes(7)]]) });
    expect(simulated.syncAnswer(simulated.sync({ memberId: 'follower' }))?.assignment).toEqual(bytes(7));
  });

  it('of another generation is ILLEGAL_GENERATION', () => {
    const simulated = completing();
    const request = simulated.sync({ memberId: 'leader', generation: 7 });
    expect(simulated.syncAnswer(request)?.errorCode).toBe(ErrorCode.ILLEGAL_GENERATION);
  });

  it('while a rebalance is prepared is REBALANCE_IN_PROGRESS', () => {
    const { simulated, leader, follower } = stableGroup(2);
    simulated.join({ memberId: leader });
    const request = simulated.sync({ memberId: follower });
    expect(simulated.syncAnswer(request)?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('of a stranger is UNKNOWN_MEMBER_ID', () => {
    expect(new SimulatedGroup().sync({ memberId: 'ghost' })).toBe(1);
    const simulated = completing();
    expect(simulated.syncAnswer(simulated.sync({ memberId: 'ghost' }))?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it.each([
    ['type', { protocolType: 'connect' }],
    ['name', { protocolName: 'sticky' }],
  ])('with another protocol %s is INCONSISTENT_GROUP_PROTOCOL', (_what, given) => {
    const simulated = completing();
    const request = simulated.sync({ memberId: 'leader', ...given });
    expect(simulated.syncAnswer(request)?.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  });

  it('that never comes within the rebalance timeout costs the membership', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'leader', sessionTimeoutMs: 600_000 });
    simulated.join({ newMemberId: 'follower', sessionTimeoutMs: 600_000 });
    simulated.advance(6_000);
    simulated.sync({ memberId: 'leader' });
    simulated.advance(60_000);
    expect([...simulated.group.members.keys()]).toEqual(['leader']);
    expect(simulated.group.state).toBe('PreparingRebalance');
  });

  it('that never comes from the leader sends the waiting followers back to join', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'leader', sessionTimeoutMs: 600_000 });
    simulated.join({ newMemberId: 'follower', sessionTimeoutMs: 600_000 });
    simulated.advance(6_000);
    const parked = simulated.sync({ memberId: 'follower' });
    simulated.advance(60_000);
    expect(simulated.syncAnswer(parked)?.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
    expect(simulated.group).toMatchObject({ state: 'PreparingRebalance', leaderId: 'follower' });
  });

  it('with more than may be stored is refused, and the group joins again', () => {
    const simulated = new SimulatedGroup({ groupMetadataMaxBytes: 1_000 });
    simulated.join({ newMemberId: 'm' });
    simulated.advance(3_000);
    const request = simulated.sync({ memberId: 'm', assignments: new Map([['m', new Uint8Array(1_000)]]) });
    expect(simulated.syncAnswer(request)?.errorCode).toBe(ErrorCode.UNKNOWN_SERVER_ERROR);
    expect(simulated.group.state).toBe('PreparingRebalance');
  });
});

describe('Heartbeat', () => {
  it('of a stranger, also of an empty group, is UNKNOWN_MEMBER_ID', () => {
    expect(new SimulatedGroup().heartbeat({ memberId: 'ghost' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(stableGroup(1).simulated.heartbeat({ memberId: 'ghost' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('of another generation is ILLEGAL_GENERATION', () => {
    const { simulated, leader } = stableGroup(1);
    expect(simulated.heartbeat({ memberId: leader, generation: 0 })).toBe(ErrorCode.ILLEGAL_GENERATION);
  });

  it('while a rebalance is prepared is REBALANCE_IN_PROGRESS and renews the session', () => {
    const { simulated, leader, follower } = stableGroup(2);
    simulated.join({ memberId: leader });
    for (let beat = 0; beat < 4; beat += 1) {
      simulated.advance(8_000);
      expect(simulated.heartbeat({ memberId: follower })).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
    }
    expect(simulated.group.members.has(follower)).toBe(true);
  });

  it('is fine while a generation completes', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'm' });
    simulated.advance(3_000);
    expect(simulated.heartbeat({ memberId: 'm' })).toBe(ErrorCode.NONE);
  });

  it('is fine in a stable group and renews the session', () => {
    const { simulated, leader } = stableGroup(1);
    for (let beat = 0; beat < 4; beat += 1) {
      simulated.advance(9_999);
      expect(simulated.heartbeat({ memberId: leader })).toBe(ErrorCode.NONE);
    }
  });

  it('of a dead group is COORDINATOR_NOT_AVAILABLE', () => {
    const simulated = new SimulatedGroup();
    expect(simulated.delete()).toBe(ErrorCode.NONE);
    expect(simulated.heartbeat({ memberId: 'm' })).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    expect(simulated.commit({ generation: -1 })).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    expect(simulated.joinAnswer(simulated.join())?.errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    expect(simulated.syncAnswer(simulated.sync())?.errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    expect(simulated.leave().errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    expect(simulated.delete()).toBe(ErrorCode.GROUP_ID_NOT_FOUND);
  });
});

describe('the session', () => {
  it('that ends removes the member and starts a rebalance', () => {
    const { simulated, leader, follower } = stableGroup(2);
    simulated.advance(9_000);
    simulated.heartbeat({ memberId: leader });
    simulated.advance(1_000);
    expect(simulated.group.members.has(follower)).toBe(false);
    expect(simulated.heartbeat({ memberId: leader })).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('of the last member leaves the group empty, with the next generation', () => {
    const { simulated } = stableGroup(1);
    simulated.advance(10_000);
    expect(simulated.group).toMatchObject({ state: 'Empty', generation: 2, protocolType: 'consumer', leaderId: null });
  });

  it('does not end while the member waits in JoinGroup', () => {
    const { simulated, leader, follower } = stableGroup(2, { rebalanceTimeoutMs: 30_000 });
    const request = simulated.join({ memberId: leader, rebalanceTimeoutMs: 30_000 });
    for (let beat = 0; beat < 3; beat += 1) {
      simulated.advance(9_000);
      simulated.heartbeat({ memberId: follower });
    }
    expect(simulated.group.members.has(leader)).toBe(true);
    simulated.advance(9_000);
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.NONE);
  });

  it('does not end while the member waits in SyncGroup', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'leader' });
    simulated.join({ newMemberId: 'follower' });
    simulated.advance(6_000);
    const parked = simulated.sync({ memberId: 'follower' });
    simulated.advance(8_000);
    simulated.heartbeat({ memberId: 'leader' });
    simulated.advance(8_000);
    simulated.sync({ memberId: 'leader', assignments: new Map([['follower', bytes(1)]]) });
    expect(simulated.syncAnswer(parked)?.errorCode).toBe(ErrorCode.NONE);
    simulated.advance(9_999);
    expect(simulated.group.members.has('follower')).toBe(true);
  });

  it('of a new member that waits in JoinGroup ends after the time for new members', () => {
    const given = { rebalanceTimeoutMs: 900_000, sessionTimeoutMs: 900_000 };
    const { simulated } = stableGroup(1, given);
    const request = simulated.join({ ...given, newMemberId: 'late' });
    simulated.advance(299_999);
    expect(simulated.answers.has(request)).toBe(false);
    simulated.advance(1);
    expect(simulated.joinAnswer(request)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID, memberId: '' });
  });

  it('is renewed by a commit', () => {
    const { simulated, leader } = stableGroup(1);
    for (let commit = 0; commit < 3; commit += 1) {
      simulated.advance(9_000);
      expect(simulated.commit({ memberId: leader })).toBe(ErrorCode.NONE);
    }
  });
});

describe('a static member', () => {
  const staticGroup = () => {
    const simulated = new SimulatedGroup();
    simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a', protocols: [range, sticky] });
    simulated.join({ groupInstanceId: 'pod-1', newMemberId: 'b', protocols: [range, sticky] });
    simulated.advance(6_000);
    return syncAll(simulated, ['a', 'b']).simulated;
  };

  it('that comes back without its id keeps its assignment and disturbs nobody', () => {
    const simulated = staticGroup();
    const request = simulated.join({ groupInstanceId: 'pod-1', newMemberId: 'b2', protocols: [range, sticky] });
    expect(simulated.joinAnswer(request)).toMatchObject({
      errorCode: ErrorCode.NONE,
      memberId: 'b2',
      generation: 1,
      leaderId: 'a',
      members: [],
      skipAssignment: false,
    });
    expect(simulated.group.state).toBe('Stable');
    const assignment = simulated.syncAnswer(simulated.sync({ memberId: 'b2', groupInstanceId: 'pod-1' }))?.assignment;
    expect(assignment).toEqual(bytes(1, 1));
  });

  it('that comes back is stored before it is answered', () => {
    const simulated = staticGroup();
    simulated.join({ groupInstanceId: 'pod-1', newMemberId: 'b2', protocols: [range, sticky] });
    simulated.failOver();
    expect(simulated.heartbeat({ memberId: 'b2', groupInstanceId: 'pod-1' })).toBe(ErrorCode.NONE);
  });

  it('that led is told to skip the assignment, from JoinGroup version 9 on', () => {
    const simulated = staticGroup();
    const request = simulated.join({
      groupInstanceId: 'pod-0',
      newMemberId: 'a2',
      protocols: [range, sticky],
      supportsSkippingAssignment: true,
    });
    expect(simulated.joinAnswer(request)).toMatchObject({ memberId: 'a2', leaderId: 'a2', skipAssignment: true });
    expect(simulated.joinAnswer(request)?.members.map(({ memberId }) => memberId)).toEqual(['a2', 'b']);
  });

  it('that led is told the former id of the leader before version 9', () => {
    const simulated = staticGroup();
    const request = simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a2', protocols: [range, sticky] });
    expect(simulated.joinAnswer(request)).toMatchObject({ memberId: 'a2', leaderId: 'a', skipAssignment: false });
    expect(simulated.group.leaderId).toBe('a2');
  });

  it('fences the member that held its instance id', () => {
    const simulated = staticGroup();
    simulated.join({ groupInstanceId: 'pod-1', newMemberId: 'b2', protocols: [range, sticky] });
    const old = { memberId: 'b', groupInstanceId: 'pod-1' };
    expect(simulated.heartbeat(old)).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(simulated.commit(old)).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(simulated.syncAnswer(simulated.sync(old))?.errorCode).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(simulated.joinAnswer(simulated.join({ ...old }))?.errorCode).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(simulated.leave(old).members[0]?.errorCode).toBe(ErrorCode.FENCED_INSTANCE_ID);
  });

  it('has a waiting JoinGroup of its former id fenced', () => {
    const simulated = staticGroup();
    const waiting = simulated.join({ memberId: 'a', groupInstanceId: 'pod-0', protocols: [range, sticky] });
    simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a2', protocols: [range, sticky] });
    expect(simulated.joinAnswer(waiting)).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID, memberId: 'a' });
  });

  it('that comes back with a change of the chosen protocol starts a rebalance', () => {
    const simulated = staticGroup();
    const request = simulated.join({ groupInstanceId: 'pod-1', newMemberId: 'b2', protocols: [sticky] });
    expect(simulated.group.state).toBe('PreparingRebalance');
    expect(simulated.answers.has(request)).toBe(false);
  });

  it('that comes back while a generation completes starts a rebalance', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a' });
    simulated.advance(3_000);
    const request = simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a2' });
    expect(simulated.joinAnswer(request)).toMatchObject({ memberId: 'a2', generation: 2 });
  });

  it('keeps its place until its session ends', () => {
    const simulated = staticGroup();
    simulated.advance(9_999);
    expect(simulated.group.members.size).toBe(2);
    simulated.heartbeat({ memberId: 'a', groupInstanceId: 'pod-0' });
    simulated.advance(1);
    expect([...simulated.group.members.keys()]).toEqual(['a']);
  });

  it('with an instance id the group does not know is UNKNOWN_MEMBER_ID', () => {
    const simulated = staticGroup();
    expect(simulated.heartbeat({ memberId: 'a', groupInstanceId: 'pod-9' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });
});

describe('LeaveGroup', () => {
  it('removes the member and starts a rebalance', () => {
    const { simulated, leader, follower } = stableGroup(2);
    const answer = simulated.leave({ memberId: follower, groupInstanceId: null });
    expect(answer.members).toEqual([{ memberId: follower, groupInstanceId: null, errorCode: ErrorCode.NONE }]);
    expect(simulated.heartbeat({ memberId: leader })).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('removes static members by instance id alone', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ groupInstanceId: 'pod-0' });
    simulated.advance(3_000);
    const answer = simulated.leave(
      { memberId: '', groupInstanceId: 'pod-0' },
      { memberId: '', groupInstanceId: 'pod-1' },
      { memberId: '', groupInstanceId: null },
    );
    expect(answer.members.map(({ errorCode }) => errorCode)).toEqual([
      ErrorCode.NONE,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
    ]);
    expect(simulated.group.state).toBe('Empty');
  });

  it('of a pending id forgets it, and disturbs nobody', () => {
    const { simulated } = stableGroup(1);
    simulated.join({ requiresKnownMemberId: true, newMemberId: 'given' });
    expect(simulated.leave({ memberId: 'given', groupInstanceId: null }).members[0]?.errorCode).toBe(ErrorCode.NONE);
    expect(simulated.group).toMatchObject({ state: 'Stable', pendingMembers: new Set() });
  });

  it('answers what the member waits for', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'leader' });
    simulated.join({ newMemberId: 'follower' });
    simulated.advance(6_000);
    const parked = simulated.sync({ memberId: 'follower' });
    simulated.leave({ memberId: 'follower', groupInstanceId: null });
    expect(simulated.syncAnswer(parked)?.errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });
});

describe('an offset commit', () => {
  it('without a generation is accepted while the group is empty', () => {
    expect(new SimulatedGroup().commit({ generation: -1 })).toBe(ErrorCode.NONE);
  });

  it('without a generation is refused while the group has members', () => {
    const { simulated } = stableGroup(1);
    expect(simulated.commit({ generation: -1 })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('of a member is checked against its generation', () => {
    const { simulated, leader } = stableGroup(1);
    expect(simulated.commit({ memberId: leader })).toBe(ErrorCode.NONE);
    expect(simulated.commit({ memberId: leader, generation: 0 })).toBe(ErrorCode.ILLEGAL_GENERATION);
    expect(simulated.commit({ memberId: leader, generation: 2 })).toBe(ErrorCode.ILLEGAL_GENERATION);
    expect(simulated.commit({ memberId: 'ghost' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('is accepted while a rebalance is prepared', () => {
    const { simulated, leader, follower } = stableGroup(2);
    simulated.join({ memberId: leader });
    expect(simulated.commit({ memberId: follower })).toBe(ErrorCode.NONE);
  });

  it('is REBALANCE_IN_PROGRESS while a generation completes', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'm' });
    simulated.advance(3_000);
    expect(simulated.commit({ memberId: 'm' })).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
  });
});

describe('the limits', () => {
  it('turn new members away from a full group', () => {
    const { simulated } = stableGroup(2, {}, new SimulatedGroup({ groupMaxSize: 2 }));
    const request = simulated.join();
    expect(simulated.joinAnswer(request)).toMatchObject({ errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED, memberId: '' });
    expect(simulated.group.state).toBe('Stable');
  });

  it('turn the last members to rejoin away after the limit was lowered', () => {
    const { simulated, members } = stableGroup(3);
    const shrunk = new SimulatedGroup({ groupMaxSize: 2 });
    shrunk.stored = simulated.stored;
    shrunk.failOver();
    expect(shrunk.group.state).toBe('PreparingRebalance');
    const requests = members.map((memberId) => shrunk.join({ memberId }));
    expect(requests.map((request) => shrunk.joinAnswer(request)?.errorCode)).toEqual([
      ErrorCode.NONE,
      ErrorCode.NONE,
      ErrorCode.GROUP_MAX_SIZE_REACHED,
    ]);
  });

  it('bound the ids given out to members that have not joined', () => {
    const simulated = new SimulatedGroup({ groupMaxSize: 2 });
    const codes = [1, 2, 3].map(() => simulated.joinAnswer(simulated.join({ requiresKnownMemberId: true }))?.errorCode);
    expect(codes).toEqual([
      ErrorCode.MEMBER_ID_REQUIRED,
      ErrorCode.MEMBER_ID_REQUIRED,
      ErrorCode.GROUP_MAX_SIZE_REACHED,
    ]);
  });

  it('bound what the members of a group say of themselves', () => {
    const { simulated } = stableGroup(1, {}, new SimulatedGroup({ groupMetadataMaxBytes: 1_000 }));
    const request = simulated.join({ protocols: [{ name: 'range', metadata: new Uint8Array(1_000) }] });
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.GROUP_MAX_SIZE_REACHED);
  });

  it('remove a member whose metadata outgrew them, and the others rebalance', () => {
    const { simulated, leader, follower } = stableGroup(2, {}, new SimulatedGroup({ groupMetadataMaxBytes: 1_000 }));
    simulated.join({ memberId: follower, protocols: [{ name: 'range', metadata: new Uint8Array(1_000) }] });
    expect([...simulated.group.members.keys()]).toEqual([leader]);
    expect(simulated.group.state).toBe('PreparingRebalance');
  });
});

describe('another coordinator', () => {
  it('goes on with a stable group as it was, dynamic or static', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ groupInstanceId: 'pod-0', newMemberId: 'a' });
    simulated.join({ newMemberId: 'b' });
    simulated.advance(6_000);
    syncAll(simulated, ['a', 'b']);
    simulated.advance(9_999);
    simulated.failOver();
    expect(simulated.heartbeat({ memberId: 'a', groupInstanceId: 'pod-0', generation: 1 })).toBe(ErrorCode.NONE);
    expect(simulated.commit({ memberId: 'b', generation: 1 })).toBe(ErrorCode.NONE);
    expect(simulated.syncAnswer(simulated.sync({ memberId: 'b' }))?.assignment).toEqual(bytes(1, 1));
    expect(simulated.joinAnswer(simulated.join({ memberId: 'b' }))?.generation).toBe(1);
    expect(simulated.group.state).toBe('Stable');
  });

  it('gives each member a full session timeout', () => {
    const { simulated, leader } = stableGroup(1);
    simulated.advance(9_999);
    simulated.failOver();
    simulated.advance(9_999);
    expect(simulated.heartbeat({ memberId: leader })).toBe(ErrorCode.NONE);
  });

  it('still waits for the assignment of a generation that was announced', () => {
    const simulated = new SimulatedGroup();
    simulated.join({ newMemberId: 'a' });
    simulated.join({ newMemberId: 'b' });
    simulated.advance(6_000);
    simulated.failOver();
    const parked = simulated.sync({ memberId: 'b', generation: 1 });
    simulated.sync({ memberId: 'a', generation: 1, assignments: new Map([['b', bytes(4)]]) });
    expect(simulated.syncAnswer(parked)).toMatchObject({ errorCode: ErrorCode.NONE, assignment: bytes(4) });
  });

  it('has every parked request answered by the former one', () => {
    const { simulated, leader } = stableGroup(2);
    const request = simulated.join({ memberId: leader });
    simulated.failOver();
    expect(simulated.joinAnswer(request)?.errorCode).toBe(ErrorCode.NOT_COORDINATOR);
  });
});

describe('a refused record', () => {
  it('leaves the group as it was, and the members it answered can join again', () => {
    const simulated = new SimulatedGroup();
    const request = simulated.join({ newMemberId: 'm' });
    simulated.handle({ type: 'record-refused', answered: new Set([request]) });
    expect(simulated.group).toMatchObject({ state: 'PreparingRebalance', generation: 0 });
    expect(simulated.group.members.get('m')).toMatchObject({ joinRequest: undefined });
    simulated.join({ memberId: 'm' });
    simulated.advance(3_000);
    simulated.advance(60_000);
    expect(simulated.group.state).not.toBe('PreparingRebalance');
  });
});
