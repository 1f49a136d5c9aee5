import { ErrorCode, groupShard, KafkaError, metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { settled } from '@kafscale/testkit';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import { CoordinatorFixture, openAll, subscription, topicA, topicB } from './coordinator-fixture.ts';

const isPending = async (promise: Promise<unknown>): Promise<boolean> => {
  let pending = true;
  const finish = () => (pending = false);
  promise.then(finish, finish);
  await settled();
  return pending;
};

/** Changes of the deltas that were stored, in order. */
const storedChanges = ({ lane }: CoordinatorFixture) =>
  lane.commits.flatMap(({ operations }) =>
    operations.flatMap((operation) =>
      operation.type === 'put' && operation.key.startsWith('group-deltas/')
        ? metadata.GroupDelta.decode(operation.value).changes.map(({ change }) => change)
        : [],
    ),
  );

describe('until it is loaded', () => {
  const blocked = () => {
    const fixture = new CoordinatorFixture();
    let release = () => undefined as void;
    const gate = new Promise<void>((resolve) => (release = resolve));
    fixture.image.reached = () => gate;
    const started = openAll(fixture.coordinator);
    return { fixture, started, release };
  };

  it('answers COORDINATOR_LOAD_IN_PROGRESS, never that there is no offset', async () => {
    const { fixture } = blocked();
    await settled();
    const loading = new KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    expect((await fixture.join()).errorCode).toBe(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    expect(await fixture.commit(1n)).toBe(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    expect(await fixture.coordinator.delete('group')).toBe(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    expect((await fixture.coordinator.leave({ groupId: 'group', members: [] })).errorCode).toBe(
      ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    );
    await expect(fixture.committed()).rejects.toThrow(loading);
    expect(() => fixture.coordinator.list()).toThrow(loading);
    await expect(fixture.group()).rejects.toThrow(loading);
  });

  it('keeps heartbeating members calm and sends syncing ones back to join', async () => {
    const { fixture } = blocked();
    expect(await fixture.heartbeat({ memberId: 'm' })).toBe(ErrorCode.NONE);
    expect((await fixture.sync({ memberId: 'm' })).errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
  });

  it('waits for the image to know every topic that may have offsets', async () => {
    const { fixture, started, release } = blocked();
    expect(await isPending(started)).toBe(true);
    release();
    await started;
    expect(await fixture.committed()).toBeUndefined();
  });

  it('tries again while the store is away', async () => {
    const fixture = new CoordinatorFixture();
    let failures = 20;
    const range: MetadataStore['range'] = (request, signal) => {
      failures -= 1;
      if (failures >= 0) return Promise.reject(new MetadataError('unavailable', 'connection refused'));
      return fixture.store.range(request, signal);
    };
    const store = Object.create(fixture.store, { range: { value: range } }) as MetadataStore;
    fixture.coordinator = fixture.create(store);
    await fixture.clock.runUntilSettled(openAll(fixture.coordinator));
    expect(fixture.coordinator.list()).toEqual([]);
  });

  it('does not open over a value that does not decode', async () => {
    const fixture = new CoordinatorFixture();
    const put = { type: 'put', key: metadataKeys.group('group'), value: Buffer.from([0xff]) } as const;
    await fixture.store.transact({ compare: [], success: [put] });
    await expect(openAll(fixture.coordinator)).rejects.toMatchObject({ kind: 'corrupt' });
  });
});

describe('a restart', () => {
  it('forces no rebalance: dynamic and static members go on in their generation', async () => {
    const fixture = await CoordinatorFixture.started();
    const joins = [fixture.join(), fixture.join({ groupInstanceId: 'pod-0' })];
    await fixture.clock.advanceAsync(6_000);
    const [leader = '', pod = ''] = (await Promise.all(joins)).map(({ memberId }) => memberId);
    const assignments = new Map([[pod, Buffer.from('pod')]]);
    await fixture.sync({ memberId: leader, assignments });

    await fixture.restart();
    expect(await fixture.heartbeat({ memberId: leader })).toBe(ErrorCode.NONE);
    expect(await fixture.heartbeat({ memberId: pod, groupInstanceId: 'pod-0' })).toBe(ErrorCode.NONE);
    expect(await fixture.commit(5n, { memberId: leader, generation: 1 })).toBe(ErrorCode.NONE);
    const synced = await fixture.sync({ memberId: pod, groupInstanceId: 'pod-0' });
    expect(synced).toMatchObject({ errorCode: ErrorCode.NONE, assignment: Buffer.from('pod') });
    expect(await fixture.group()).toMatchObject({ state: 'Stable', generation: 1 });
  });

  it('gives each member a full session timeout, and no more', async () => {
    const fixture = await CoordinatorFixture.started();
    const [member = ''] = await fixture.stableGroup(1);
    await fixture.clock.advanceAsync(9_000);
    await fixture.restart();
    await fixture.clock.advanceAsync(9_999);
    expect((await fixture.group())?.members.has(member)).toBe(true);
    await fixture.clock.advanceAsync(1);
    expect(await fixture.group()).toMatchObject({ state: 'Empty', generation: 2 });
  });

  it('keeps every acknowledged offset', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(41n);
    await fixture.commit(42n);
    await fixture.commit(7n, { topicId: topicB, groupId: 'other' });
    await fixture.restart();
    expect((await fixture.coordinator.committedOffsets('group')).get(topicA)?.get(0)).toMatchObject({
      offset: 42n,
      leaderEpoch: 3,
      metadata: 'text',
      expireMs: undefined,
    });
    expect(await fixture.committed('other', topicB)).toBe(7n);
  });

  it('keeps odd group ids apart', async () => {
    const fixture = await CoordinatorFixture.started();
    const ids = ['', '/', '\0', '__proto__', '..', 'ä', 'x'.repeat(32_000), `${'x'.repeat(31_999)}y`, '~'];
    for (const [index, groupId] of ids.entries()) {
      expect(await fixture.commit(BigInt(index), { groupId })).toBe(ErrorCode.NONE);
    }
    await fixture.restart();
    await fixture.clock.advanceAsync(31_000);
    await fixture.restart();
    expect(await Promise.all(ids.map((groupId) => fixture.committed(groupId)))).toEqual(
      ids.map((_, index) => BigInt(index)),
    );
    for (const key of await fixture.keys('group')) expect(key.length).toBeLessThan(400);
  });
});

describe('a shard', () => {
  const shard = groupShard('group');
  const otherGroup = Array.from({ length: 100 }, (_, index) => `other-${index}`).find(
    (groupId) => groupShard(groupId) !== shard,
  )!;
  const openAgain = ({ coordinator }: CoordinatorFixture, epoch: number) =>
    coordinator.openShard({ shard, epoch, revision: 0 });

  it('that was never opened is NOT_COORDINATOR, and the others are served', async () => {
    const fixture = new CoordinatorFixture();
    fixture.coordinator.start();
    await fixture.coordinator.openShard({ shard: groupShard(otherGroup), epoch: 0, revision: 0 });
    expect((await fixture.join()).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect((await fixture.sync({ memberId: 'm' })).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await fixture.heartbeat({ memberId: 'm' })).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await fixture.commit(1n)).toBe(ErrorCode.NOT_COORDINATOR);
    await expect(fixture.committed()).rejects.toThrow(new KafkaError(ErrorCode.NOT_COORDINATOR));
    expect(await fixture.commit(1n, { groupId: otherGroup })).toBe(ErrorCode.NONE);
    expect(fixture.coordinator.list()).toMatchObject([{ groupId: otherGroup }]);
  });

  it('that is given up sends waiting members away, and stores and answers what was accepted', async () => {
    const fixture = await CoordinatorFixture.started();
    const [member = ''] = await fixture.stableGroup(1);
    await fixture.commit(7n, { groupId: otherGroup });
    fixture.lane.hold();
    const first = fixture.commit(1n, { memberId: member, generation: 1 });
    const second = fixture.commit(2n, { memberId: member, generation: 1 });
    const joining = fixture.join();
    const givenUp = fixture.coordinator.giveUpShard(shard);
    expect((await joining).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await fixture.commit(3n)).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await isPending(givenUp)).toBe(true);
    fixture.lane.release();
    await givenUp;
    expect(await Promise.all([first, second])).toEqual([ErrorCode.NONE, ErrorCode.NONE]);
    expect(await fixture.committed(otherGroup)).toBe(7n);
    await openAgain(fixture, 1);
    expect(await fixture.committed()).toBe(2n);
    expect(await fixture.heartbeat({ memberId: member })).toBe(ErrorCode.NONE);
  });

  it('that is given up does not wait for the writes of the others', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    let busy = true;
    const keepBusy = async () => {
      for (let offset = 0n; busy && offset < 1_000n; offset += 1n)
        await fixture.commit(offset, { groupId: otherGroup });
    };
    const others = keepBusy();
    await fixture.coordinator.giveUpShard(shard);
    busy = false;
    await others;
    expect(await fixture.committed(otherGroup)).toBeLessThan(900n);
  });

  it('that is folded while it is given up writes nothing once that is done', async () => {
    const fixture = await CoordinatorFixture.started({ groupsMax: 100_000 });
    const groupIds = Array.from({ length: 6_000 }, (_, index) => `g${index}`).filter((id) => groupShard(id) === shard);
    await Promise.all(groupIds.map((groupId) => fixture.commit(1n, { groupId })));
    fixture.lane.hold();
    await fixture.clock.advanceAsync(30_000);
    const givenUp = fixture.coordinator.giveUpShard(shard);
    fixture.lane.release();
    await givenUp;
    const commits = fixture.lane.commits.length;
    await fixture.clock.advanceAsync(120_000);
    const later = fixture.lane.commits.slice(commits).flatMap(({ operations }) => operations.map(({ key }) => key));
    const ofShard = metadataPrefixes.groupOffsets(shard);
    expect(later.filter((key) => key.startsWith(ofShard))).toEqual([]);
    await openAgain(fixture, 1);
    expect(await Promise.all(groupIds.map((groupId) => fixture.committed(groupId)))).toEqual(groupIds.map(() => 1n));
  });

  it('that comes back holds what was stored meanwhile, and nothing of before', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    await fixture.coordinator.giveUpShard(shard);
    const other = fixture.create();
    other.start();
    await other.openShard({ shard, epoch: 1, revision: 0 });
    const mine = fixture.coordinator;
    fixture.coordinator = other;
    await fixture.commit(50n);
    await other.giveUpShard(shard);
    fixture.coordinator = mine;
    await openAgain(fixture, 2);
    expect(await fixture.committed()).toBe(50n);
  });

  it('that is opened in a newer epoch drops the state of the older one', async () => {
    const fixture = await CoordinatorFixture.started();
    fixture.lane.hold();
    const joining = fixture.join();
    await settled();
    const opened = openAgain(fixture, 1);
    expect((await joining).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    fixture.lane.release();
    await opened;
    expect(await fixture.group()).toBeUndefined();
  });

  it('that is given up while it is loaded is not served afterwards', async () => {
    const fixture = await CoordinatorFixture.loading();
    await fixture.coordinator.giveUpShard(shard);
    expect(await fixture.commit(1n)).toBe(ErrorCode.NOT_COORDINATOR);
  });

  it('is not read from a store that has gone back behind the takeover', async () => {
    const fixture = new CoordinatorFixture();
    const opening = fixture.coordinator.openShard({ shard, epoch: 1, revision: 3 });
    expect(await isPending(opening)).toBe(true);
    for (let put = 0; put < 3; put += 1) {
      const operation = { type: 'put', key: 'cluster', value: Buffer.alloc(1) } as const;
      await fixture.store.transact({ compare: [], success: [operation] });
    }
    await fixture.clock.runUntilSettled(opening);
    expect(await fixture.commit(1n)).toBe(ErrorCode.NONE);
  });

  it('that is about to be served is waited for', async () => {
    const fixture = new CoordinatorFixture();
    const waiting: (() => void)[] = [];
    const opened: number[] = [];
    const coordinator = fixture.create(fixture.store, undefined, {
      whenShardKnown: () => new Promise<void>((resolve) => waiting.push(resolve)),
      onShardOpen: (served) => {
        opened.push(served);
        for (const resume of waiting) resume();
      },
    });
    fixture.coordinator = coordinator;
    const commit = fixture.commit(1n);
    const committed = fixture.committed();
    expect(await isPending(commit)).toBe(true);
    await openAgain(fixture, 1);
    expect(opened).toEqual([shard]);
    expect(await commit).toBe(ErrorCode.NONE);
    expect(await committed).toBeUndefined();
  });
});

describe('a committed offset', () => {
  it('is not fetched from the memory of a broker whose session is gone, though it thinks it lives', async () => {
    const fixture = new CoordinatorFixture();
    let living = true;
    const coordinator = fixture.create(fixture.store, () => true, { proveAlive: () => Promise.resolve(living) });
    fixture.coordinator = coordinator;
    await openAll(coordinator);
    await fixture.commit(1n);
    expect(await fixture.committed()).toBe(1n);
    living = false;
    await expect(fixture.committed()).rejects.toThrow(new KafkaError(ErrorCode.NOT_COORDINATOR));
  });

  it('is asked for again while the metadata store does not answer', async () => {
    const fixture = new CoordinatorFixture();
    const unavailable = () => Promise.reject(new MetadataError('unavailable', 'connection refused'));
    fixture.coordinator = fixture.create(fixture.store, undefined, { proveAlive: unavailable });
    await openAll(fixture.coordinator);
    await expect(fixture.committed()).rejects.toMatchObject({ code: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS });
  });
});

describe('an answer', () => {
  it('to JoinGroup is not given before the generation is stored', async () => {
    const fixture = await CoordinatorFixture.started();
    const joined = fixture.join();
    fixture.lane.hold();
    await fixture.clock.advanceAsync(3_000);
    expect(await isPending(joined)).toBe(true);
    fixture.lane.release();
    expect(await joined).toMatchObject({ errorCode: ErrorCode.NONE, generation: 1 });
    expect(storedChanges(fixture)).toMatchObject([{ $case: 'group', value: { generation: 1, assigned: false } }]);
  });

  it('to SyncGroup is not given before the assignment is stored', async () => {
    const fixture = await CoordinatorFixture.started();
    const joined = fixture.join();
    await fixture.clock.advanceAsync(3_000);
    const { memberId } = await joined;
    fixture.lane.hold();
    const synced = fixture.sync({ memberId, assignments: new Map([[memberId, Buffer.from([9])]]) });
    expect(await isPending(synced)).toBe(true);
    fixture.lane.release();
    expect((await synced).assignment).toEqual(Buffer.from([9]));
  });

  it('to a commit is not given before it is stored, and until then the former offset is fetched', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    fixture.lane.hold();
    const committed = fixture.commit(2n);
    expect(await isPending(committed)).toBe(true);
    expect(await fixture.committed()).toBe(1n);
    fixture.lane.release();
    expect(await committed).toBe(ErrorCode.NONE);
    expect(await fixture.committed()).toBe(2n);
  });

  it('to a heartbeat writes nothing', async () => {
    const fixture = await CoordinatorFixture.started();
    const [memberId = ''] = await fixture.stableGroup(1);
    const before = fixture.lane.commits.length;
    for (let beat = 0; beat < 10; beat += 1) await fixture.heartbeat({ memberId });
    expect(fixture.lane.commits).toHaveLength(before);
  });

  it('keeps its bytes when the request is gone', async () => {
    const fixture = await CoordinatorFixture.started();
    const requestBytes = subscription('a');
    const joined = fixture.join({ protocols: [{ name: 'range', metadata: requestBytes }] });
    requestBytes.fill(0xee);
    await fixture.clock.advanceAsync(3_000);
    const { memberId, members } = await joined;
    expect(Buffer.from(members[0]?.metadata ?? [])).toEqual(subscription('a'));
    const assignment = Buffer.from([1, 2, 3]);
    await fixture.sync({ memberId, assignments: new Map([[memberId, assignment]]) });
    assignment.fill(0);
    expect((await fixture.sync({ memberId })).assignment).toEqual(Buffer.from([1, 2, 3]));
  });
});

describe('a commit of an old generation', () => {
  it('that was accepted is stored before the next generation, never after', async () => {
    const fixture = await CoordinatorFixture.started();
    const [leader = '', follower = ''] = await fixture.stableGroup(2);
    fixture.lane.hold();
    const first = fixture.commit(99n, { memberId: leader, generation: 1 });
    const old = fixture.commit(100n, { memberId: follower, generation: 1 });
    const rejoined = [fixture.join({ memberId: leader }), fixture.join({ memberId: follower })];
    const late = fixture.commit(101n, { memberId: follower, generation: 1 });
    fixture.lane.release();
    expect(await Promise.all([first, old, late])).toEqual([
      ErrorCode.NONE,
      ErrorCode.NONE,
      ErrorCode.ILLEGAL_GENERATION,
    ]);
    expect((await Promise.all(rejoined)).map(({ generation }) => generation)).toEqual([2, 2]);
    const order = storedChanges(fixture).slice(-3);
    expect(order).toMatchObject([
      { $case: 'offsets', value: { offsets: [{ offset: 99n }] } },
      { $case: 'offsets', value: { offsets: [{ offset: 100n }] } },
      { $case: 'group', value: { generation: 2 } },
    ]);
    expect(await fixture.committed()).toBe(100n);
  });

  it('that waited behind a record is stored before the generation that came behind it', async () => {
    const fixture = await CoordinatorFixture.started();
    const joined = fixture.join({ groupInstanceId: 'pod-0' });
    await fixture.clock.advanceAsync(3_000);
    const { memberId } = await joined;
    await fixture.sync({ memberId });
    fixture.lane.hold();
    // Stores the exchanged member; what follows waits for it.
    const replaced = fixture.join({ groupInstanceId: 'pod-0' });
    const newId = [...(await peek(fixture))].at(-1) ?? '';
    const commit = fixture.commit(5n, { memberId: newId, groupInstanceId: 'pod-0', generation: 1 });
    const rejoined = fixture.join({ memberId: newId, groupInstanceId: 'pod-0' });
    fixture.lane.release();
    expect((await replaced).memberId).toBe(newId);
    expect(await commit).toBe(ErrorCode.NONE);
    expect((await rejoined).generation).toBe(2);
    expect(storedChanges(fixture).slice(-2)).toMatchObject([
      { $case: 'offsets' },
      { $case: 'group', value: { generation: 2 } },
    ]);
  });

  /** The id the next static member will be given: the fixture counts them. */
  async function peek(fixture: CoordinatorFixture): Promise<string[]> {
    await settled();
    const ids = [...((await fixture.group())?.members.keys() ?? [])];
    const [last = 'pod-0-id-0'] = ids;
    const number = Number(last.slice(last.lastIndexOf('-') + 1));
    return [`pod-0-id-${number + 1}`];
  }
});

describe('writes', () => {
  it('that wait while one is in flight go together', async () => {
    const fixture = await CoordinatorFixture.started();
    fixture.lane.hold();
    const commits = Array.from({ length: 200 }, (_, index) => fixture.commit(BigInt(index), { groupId: `g${index}` }));
    fixture.lane.release();
    expect(new Set(await Promise.all(commits))).toEqual(new Set([ErrorCode.NONE]));
    expect(fixture.lane.commits).toHaveLength(2);
    expect(fixture.lane.commits[1]?.operations.length).toBeLessThanOrEqual(16);
  });

  it('are bounded in bytes', async () => {
    const fixture = await CoordinatorFixture.started();
    fixture.lane.hold();
    const offsets = new Map(
      Array.from({ length: 100 }, (_, partition) => [
        partition,
        { offset: 1n, leaderEpoch: -1, metadata: 'm'.repeat(4_096), commitMs: 0, expireMs: undefined },
      ]),
    );
    const topics = [{ topicId: topicA, offsets }];
    const commits = Array.from({ length: 8 }, () => fixture.commit(0n, { topics }));
    fixture.lane.release();
    expect(await Promise.all(commits)).toEqual(commits.map(() => ErrorCode.NONE));
    for (const { operations } of fixture.lane.commits) {
      const bytes = operations.map((operation) => (operation.type === 'put' ? operation.value.length : 0));
      expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1.5 * 1024 * 1024);
    }
  });

  it('that no store would take are INVALID_COMMIT_OFFSET_SIZE', async () => {
    const fixture = await CoordinatorFixture.started();
    const committed = { offset: 1n, leaderEpoch: -1, metadata: 'm'.repeat(4_096), commitMs: 0, expireMs: undefined };
    const offsets = new Map(Array.from({ length: 300 }, (_, partition) => [partition, committed]));
    const topics = [{ topicId: topicA, offsets }];
    expect(await fixture.commit(0n, { topics })).toBe(ErrorCode.INVALID_COMMIT_OFFSET_SIZE);
  });

  it('that the store refuses fail alone', async () => {
    const fixture = await CoordinatorFixture.started();
    const isBad = ({ value }: { readonly value: Uint8Array }) => Buffer.from(value).includes('bad');
    fixture.lane.refuse('invalid', ({ operations }) => operations.some((put) => put.type === 'put' && isBad(put)));
    fixture.lane.hold();
    const first = fixture.commit(0n, { groupId: 'first' });
    const commits = ['bad', 'good', 'fine'].map((groupId) => fixture.commit(1n, { groupId }));
    fixture.lane.release();
    expect(await first).toBe(ErrorCode.NONE);
    expect(await Promise.all(commits)).toEqual([ErrorCode.UNKNOWN_SERVER_ERROR, ErrorCode.NONE, ErrorCode.NONE]);
    expect(await fixture.committed('good')).toBe(1n);
  });

  it('that were accepted before the coordinator closes are stored and answered', async () => {
    const fixture = await CoordinatorFixture.started();
    fixture.lane.hold();
    const commits = [fixture.commit(1n), fixture.commit(2n)];
    const parked = fixture.join({ groupId: 'parked' });
    const closed = fixture.coordinator.close();
    expect((await parked).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await isPending(closed)).toBe(true);
    fixture.lane.release();
    await closed;
    expect(await Promise.all(commits)).toEqual([ErrorCode.NONE, ErrorCode.NONE]);
  });

  it('of a generation that the store refuses are UNKNOWN_SERVER_ERROR, and the members can join again', async () => {
    const fixture = await CoordinatorFixture.started();
    fixture.lane.refuse('conflict');
    const joined = fixture.join({ requiresKnownMemberId: true });
    const { memberId } = await joined;
    const refused = fixture.join({ memberId });
    await fixture.clock.advanceAsync(3_000);
    expect((await refused).errorCode).toBe(ErrorCode.UNKNOWN_SERVER_ERROR);
    fixture.lane.accept();
    const again = fixture.join({ memberId });
    await fixture.clock.advanceAsync(60_000);
    expect(await again).toMatchObject({ errorCode: ErrorCode.NONE, generation: 1 });
  });

  it('that are fenced answer everybody NOT_COORDINATOR, for good', async () => {
    const fixture = await CoordinatorFixture.started();
    const parked = fixture.join({ groupId: 'parked' });
    fixture.lane.fence();
    expect(await fixture.commit(1n)).toBe(ErrorCode.NOT_COORDINATOR);
    expect((await parked).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect((await fixture.join()).errorCode).toBe(ErrorCode.NOT_COORDINATOR);
    expect(await fixture.heartbeat({ memberId: 'm' })).toBe(ErrorCode.NOT_COORDINATOR);
    await expect(fixture.committed()).rejects.toThrow(new KafkaError(ErrorCode.NOT_COORDINATOR));
    expect(fixture.clock.pendingTimers).toBe(0);
  });
});

describe('folding', () => {
  it('replaces deltas by one key per group and topic, and a restart finds the same', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.stableGroup(1);
    for (let offset = 0; offset < 100; offset += 1) await fixture.commit(BigInt(offset), { groupId: 'manual' });
    await settled();
    expect((await fixture.keys('group-deltas/')).length).toBeLessThan(64);
    await fixture.clock.advanceAsync(9_000);
    await fixture.restart();
    await fixture.clock.advanceAsync(30_000);
    expect(await fixture.keys('group-deltas/')).toEqual([]);
    expect(await fixture.keys('group-offsets/')).toEqual([metadataKeys.groupOffsets('manual', topicA, 0)]);
    expect(await fixture.keys('groups/')).toEqual([metadataKeys.group('group')]);
    await fixture.restart();
    expect(await fixture.committed('manual')).toBe(99n);
    expect((await fixture.group())?.generation).toBe(2);
  });

  it('goes on in parts when there is much, and stopped in between loses nothing', async () => {
    const fixture = await CoordinatorFixture.started({ groupsMax: 100_000 });
    const groupIds = Array.from({ length: 4_000 }, (_, index) => `g${index}`).filter((id) => groupShard(id) === 3);
    expect(groupIds.length).toBeGreaterThan(150);
    await Promise.all(groupIds.map((groupId, index) => fixture.commit(BigInt(index), { groupId })));
    let folding = 0;
    fixture.lane.refuse('invalid', ({ operations }) => {
      if (operations.some(({ key }) => key.startsWith('group-offsets/'))) folding += 1;
      return folding > 1;
    });
    await fixture.clock.advanceAsync(30_000);
    expect(folding).toBeGreaterThan(1);
    expect((await fixture.keys('group-offsets/')).length).toBeGreaterThan(0);
    expect((await fixture.keys('group-deltas/')).length).toBeGreaterThan(0);
    fixture.lane.accept();
    await fixture.commit(7_777n, { groupId: groupIds[0] ?? '' });
    await fixture.restart();
    expect(await fixture.committed(groupIds[0])).toBe(7_777n);
    expect(await Promise.all(groupIds.slice(1).map((groupId) => fixture.committed(groupId)))).toEqual(
      groupIds.slice(1).map((_, index) => BigInt(index + 1)),
    );
    await fixture.clock.advanceAsync(30_000);
    expect(await fixture.keys('group-deltas/')).toEqual([]);
  });

  it('drops no delta that was on its way while it began', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    fixture.lane.hold();
    const inFlight = fixture.commit(2n);
    fixture.clock.advance(30_000);
    fixture.lane.release();
    await inFlight;
    await settled();
    await fixture.restart();
    expect(await fixture.committed()).toBe(2n);
  });
});

describe('committed offsets', () => {
  const days = 24 * 3_600_000;

  it('of a group without members end after the retention from their commit', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    await fixture.clock.advanceAsync(4 * days);
    await fixture.commit(2n, { topicId: topicB });
    await fixture.clock.advanceAsync(3 * days);
    expect(await fixture.committed()).toBeUndefined();
    expect(await fixture.committed('group', topicB)).toBe(2n);
    await fixture.clock.advanceAsync(4 * days + 600_000);
    expect(await fixture.group()).toBeUndefined();
    await fixture.restart();
    expect(fixture.coordinator.list()).toEqual([]);
    expect(await fixture.keys('group-offsets/')).toEqual([]);
  });

  it('of a group that became empty end after the retention from then', async () => {
    const fixture = await CoordinatorFixture.started();
    const [memberId = ''] = await fixture.stableGroup(1, { sessionTimeoutMs: 1_800_000 });
    await fixture.commit(1n, { memberId, generation: 1 });
    for (let day = 0; day < 8 * 48; day += 1) {
      await fixture.clock.advanceAsync(1_800_000 - 1);
      await fixture.heartbeat({ memberId });
    }
    await fixture.coordinator.leave({ groupId: 'group', members: [{ memberId, groupInstanceId: null }] });
    expect((await fixture.group())?.state).toBe('Empty');
    await fixture.clock.advanceAsync(7 * days - 1_000);
    expect(await fixture.committed()).toBe(1n);
    await fixture.clock.advanceAsync(600_000);
    expect(await fixture.committed()).toBeUndefined();
    expect(await fixture.group()).toBeUndefined();
  });

  it('of a stable group end only for topics that nobody subscribes to', async () => {
    const fixture = await CoordinatorFixture.started({ offsetsRetentionMs: 1_800_000 });
    const [memberId = ''] = await fixture.stableGroup(1, { sessionTimeoutMs: 1_800_000 });
    await fixture.commit(1n, { memberId, generation: 1 });
    await fixture.commit(2n, { memberId, generation: 1, topicId: topicB });
    await fixture.clock.advanceAsync(1_700_000);
    await fixture.heartbeat({ memberId });
    await fixture.clock.advanceAsync(1_000_000);
    expect(await fixture.committed()).toBe(1n);
    expect(await fixture.committed('group', topicB)).toBeUndefined();
  });

  it('end at the time an old client gave', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n, { expireMs: fixture.clock.wallMs() + 500_000 });
    await fixture.clock.advanceAsync(600_000);
    expect(await fixture.committed()).toBeUndefined();
  });

  it('that are being written are not judged by what they replace', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n, { expireMs: fixture.clock.wallMs() + 500_000 });
    await fixture.clock.advanceAsync(599_000);
    fixture.lane.hold();
    const fresh = fixture.commit(2n);
    await fixture.clock.advanceAsync(1_000);
    fixture.lane.release();
    expect(await fresh).toBe(ErrorCode.NONE);
    await settled();
    expect(await fixture.committed()).toBe(2n);
  });

  it('go with their topic', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    await fixture.commit(2n, { topicId: topicB });
    await fixture.deleteTopic('a');
    expect(await fixture.committed()).toBeUndefined();
    expect(await fixture.committed('group', topicB)).toBe(2n);
    await fixture.restart();
    expect(await fixture.committed()).toBeUndefined();
  });

  it('stay when the image has merely lost sight of their topic', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    fixture.image.removeTopic('a');
    await settled();
    expect(await fixture.committed()).toBe(1n);
  });

  it('of a topic that was deleted meanwhile go at the next start', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    await fixture.coordinator.close();
    await fixture.deleteTopic('a');
    await fixture.restart();
    await settled();
    expect(await fixture.committed()).toBeUndefined();
  });
});

describe('a group', () => {
  it('is deleted with its offsets once it is empty', async () => {
    const fixture = await CoordinatorFixture.started();
    const [memberId = ''] = await fixture.stableGroup(1);
    await fixture.commit(1n, { memberId, generation: 1 });
    expect(await fixture.coordinator.delete('group')).toBe(ErrorCode.NON_EMPTY_GROUP);
    await fixture.coordinator.leave({ groupId: 'group', members: [{ memberId, groupInstanceId: null }] });
    expect(await fixture.coordinator.delete('group')).toBe(ErrorCode.NONE);
    expect(await fixture.coordinator.delete('group')).toBe(ErrorCode.GROUP_ID_NOT_FOUND);
    expect(await fixture.group()).toBeUndefined();
    await fixture.clock.advanceAsync(30_000);
    expect(await fixture.keys('group')).toEqual([]);
  });

  it('takes no commit while it is being deleted', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    fixture.lane.hold();
    const deleted = fixture.coordinator.delete('group');
    expect(await fixture.commit(2n)).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    fixture.lane.release();
    expect(await deleted).toBe(ErrorCode.NONE);
    expect(await fixture.commit(3n)).toBe(ErrorCode.NONE);
    await fixture.restart();
    expect(await fixture.committed()).toBe(3n);
  });

  it('is still there when its deletion was refused', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.commit(1n);
    fixture.lane.refuse('conflict');
    expect(await fixture.coordinator.delete('group')).toBe(ErrorCode.UNKNOWN_SERVER_ERROR);
    fixture.lane.accept();
    expect(await fixture.committed()).toBe(1n);
    expect(await fixture.commit(2n)).toBe(ErrorCode.NONE);
  });

  it('that nobody could join leaves nothing behind', async () => {
    const fixture = await CoordinatorFixture.started();
    expect((await fixture.join({ protocols: [] })).errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    expect(await fixture.heartbeat({ memberId: 'm' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect((await fixture.sync({ memberId: 'm' })).errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect((await fixture.join({ memberId: 'm' })).errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(await fixture.commit(1n, { memberId: 'm', generation: 3 })).toBe(ErrorCode.GROUP_ID_NOT_FOUND);
    expect(fixture.coordinator.list()).toEqual([]);
  });

  it('with an empty id is INVALID_GROUP_ID, except for offsets', async () => {
    const fixture = await CoordinatorFixture.started();
    const groupId = '';
    expect((await fixture.join({ groupId })).errorCode).toBe(ErrorCode.INVALID_GROUP_ID);
    expect((await fixture.sync({ groupId })).errorCode).toBe(ErrorCode.INVALID_GROUP_ID);
    expect(await fixture.heartbeat({ groupId })).toBe(ErrorCode.INVALID_GROUP_ID);
    expect((await fixture.coordinator.leave({ groupId, members: [] })).errorCode).toBe(ErrorCode.INVALID_GROUP_ID);
    expect(await fixture.commit(1n, { groupId })).toBe(ErrorCode.NONE);
    expect(await fixture.committed('')).toBe(1n);
  });

  it('is refused with a session timeout outside the bounds', async () => {
    const fixture = await CoordinatorFixture.started();
    for (const sessionTimeoutMs of [5_999, 1_800_001, -1]) {
      expect((await fixture.join({ sessionTimeoutMs })).errorCode).toBe(ErrorCode.INVALID_SESSION_TIMEOUT);
    }
  });

  it('is one too many when the broker has as many as it may', async () => {
    const fixture = await CoordinatorFixture.started({ groupsMax: 16 });
    const [first = '', second = ''] = Array.from({ length: 200 }, (_, i) => `g${i}`).filter(
      (id) => groupShard(id) === 0,
    );
    expect(await fixture.commit(1n, { groupId: first })).toBe(ErrorCode.NONE);
    await expect(fixture.join({ groupId: second })).rejects.toMatchObject({ code: ErrorCode.GROUP_MAX_SIZE_REACHED });
  });

  it('whose requests wait in too great a number sends more away', async () => {
    const fixture = await CoordinatorFixture.started({ groupParkedRequestsMax: 2 });
    const parked = [fixture.join(), fixture.join()];
    expect((await fixture.join()).errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    await fixture.clock.advanceAsync(6_000);
    expect((await Promise.all(parked)).map(({ errorCode }) => errorCode)).toEqual([ErrorCode.NONE, ErrorCode.NONE]);
  });

  it('is not answered from the memory of a broker that may have lost its session', async () => {
    const fixture = new CoordinatorFixture();
    let alive = true;
    fixture.coordinator = fixture.create(fixture.store, () => alive);
    await openAll(fixture.coordinator);
    await fixture.commit(1n);
    alive = false;
    await expect(fixture.committed()).rejects.toThrow(new KafkaError(ErrorCode.NOT_COORDINATOR));
    expect(await fixture.heartbeat({ memberId: 'm' })).toBe(ErrorCode.NOT_COORDINATOR);
  });

  it('has heartbeats that waited behind a slow write counted before its sessions', async () => {
    const fixture = await CoordinatorFixture.started();
    const joins = [fixture.join(), fixture.join({ groupInstanceId: 'pod-0' })];
    await fixture.clock.advanceAsync(6_000);
    const [leader = ''] = (await Promise.all(joins)).map(({ memberId }) => memberId);
    await fixture.sync({ memberId: leader });
    fixture.lane.hold();
    void fixture.join({ groupInstanceId: 'pod-0' });
    const beat = fixture.heartbeat({ memberId: leader });
    await fixture.clock.advanceAsync(15_000);
    fixture.lane.release();
    expect(await beat).toBe(ErrorCode.NONE);
    expect((await fixture.group())?.members.has(leader)).toBe(true);
  });
});

describe('OffsetDelete', () => {
  const topics = [
    { name: 'a', topicId: topicA, partitions: [0] },
    { name: 'b', topicId: topicB, partitions: [0] },
  ];

  it('keeps the offsets of subscribed topics', async () => {
    const fixture = await CoordinatorFixture.started();
    const [memberId = ''] = await fixture.stableGroup(1);
    await fixture.commit(1n, { memberId, generation: 1 });
    await fixture.commit(2n, { memberId, generation: 1, topicId: topicB });
    expect(await fixture.coordinator.deleteOffsets('group', topics)).toEqual(
      new Map([
        ['a', ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC],
        ['b', ErrorCode.NONE],
      ]),
    );
    expect([await fixture.committed(), await fixture.committed('group', topicB)]).toEqual([1n, undefined]);
    await fixture.restart();
    expect([await fixture.committed(), await fixture.committed('group', topicB)]).toEqual([1n, undefined]);
  });

  it('is refused for members that are no consumers, and for a group that is not there', async () => {
    const fixture = await CoordinatorFixture.started();
    await fixture.stableGroup(1, { protocolType: 'connect' });
    const { coordinator } = fixture;
    await expect(coordinator.deleteOffsets('group', topics)).rejects.toMatchObject({ code: ErrorCode.NON_EMPTY_GROUP });
    await expect(coordinator.deleteOffsets('none', topics)).rejects.toMatchObject({
      code: ErrorCode.GROUP_ID_NOT_FOUND,
    });
    await expect(coordinator.deleteOffsets('', topics)).rejects.toMatchObject({ code: ErrorCode.INVALID_GROUP_ID });
  });
});
