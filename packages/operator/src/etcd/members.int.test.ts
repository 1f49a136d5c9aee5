/** What happens to members of a managed etcd, with real ones: first starts, lost volumes, growth, removal, and snapshots. */
import { jest } from '@jest/globals';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually } from '@kafscale/testkit';
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterIdOf } from './member-identity.ts';
import { MemberProcesses } from './member-fixture.ts';
import { MemorySnapshotStore } from './memory-store-fixture.ts';
import { peersOf } from './member-plan.ts';
import { takeSnapshot } from './take-snapshot.ts';

let store: MemorySnapshotStore;
let etcd: MemberProcesses;

beforeEach(async () => {
  store = new MemorySnapshotStore();
  etcd = await MemberProcesses.create(store);
});

afterEach(() => etcd.close());

const initialized = () => (etcd.plan = { ...etcd.plan, isInitialized: true });

const succeeds = (what: string, act: () => Promise<unknown>) =>
  eventually(
    what,
    () =>
      act().then(
        () => true,
        () => false,
      ),
    60_000,
    200,
  );

const answering = (ordinal = 0) => succeeds('etcd has a quorum', () => etcd.client(ordinal).revision());

const promoted = async (ordinal: number) => {
  const { id } = await placeOf(ordinal);
  await succeeds('the new member has caught up', () => etcd.client(0).promote(id));
};

/** Asked once there is a leader: the one who went may have led. */
const placeOf = async (ordinal: number) => {
  await answering();
  const { members } = await etcd.client(0).members();
  return members.find(({ peerUrls }) => peerUrls.includes(etcd.addresses.peer(ordinal)))!;
};

jest.setTimeout(240_000);

const snapshot = () =>
  takeSnapshot(
    { endpoints: [0, 1, 2].map((ordinal) => etcd.addresses.client(ordinal)), cluster: 'shop.kafscale', keep: 2 },
    { clock: systemClock, random: seededRandom(1), logger: silentLogger, connect: etcd.connect, store },
  );

test('three members begin together, and their cluster has the id that was foreseen', async () => {
  expect(await etcd.startAll()).toEqual(['bootstrap', 'bootstrap', 'bootstrap']);
  await answering();
  const { clusterId, members } = await etcd.client(0).members();
  expect(clusterId).toBe(clusterIdOf(peersOf(etcd.plan, etcd.addresses), etcd.plan.token));
  expect(members.every(({ isLearner }) => !isLearner)).toBe(true);
  expect((await etcd.client(1).status()).sizeBytes).toBeGreaterThan(0);
  await etcd.put('a', '1');
  // All at once again, as after a power cut.
  for (const ordinal of [0, 1, 2]) await etcd.kill(ordinal);
  initialized();
  expect(await etcd.startAll()).toEqual(['start', 'start', 'start']);
  await answering();
  expect(await etcd.get('a')).toBe('1');
});

test('a member whose volume is gone takes a new place and loses nothing', async () => {
  await etcd.startAll();
  await answering();
  initialized();
  await etcd.put('a', '1');
  const before = await placeOf(2);
  await etcd.lose(2);
  expect(await etcd.start(2)).toBe('join');
  const learner = await placeOf(2);
  expect(learner.id).not.toBe(before.id);
  expect(learner.isLearner).toBe(true);
  await promoted(2);
  // The others may go now: what it has is whole.
  await etcd.kill(1);
  expect(await etcd.get('a')).toBe('1');
  expect((await etcd.client(0).members()).members).toHaveLength(3);
});

test('a replacement that dies halfway is carried on by the next start', async () => {
  await etcd.startAll();
  await answering();
  initialized();
  await etcd.lose(2);
  await answering();
  await etcd.client(0).remove((await etcd.client(0).members()).members.find(({ name }) => name === 'x-etcd-2')!.id);
  expect(await etcd.prepare(2)).toBe('join');
  const { id } = await placeOf(2);
  await etcd.lose(2);
  expect(await etcd.start(2)).toBe('join');
  expect((await placeOf(2)).id).toBe(id);
  await promoted(2);
});

test('a removed member that comes back begins anew, its data set aside', async () => {
  await etcd.startAll();
  await answering();
  initialized();
  await etcd.kill(2);
  await etcd.client(0).remove((await placeOf(2)).id);
  await etcd.put('a', '1');
  expect(await etcd.start(2)).toBe('join');
  expect(existsSync(join(etcd.folder(2), 'etcd.removed', 'member'))).toBe(true);
  await promoted(2);
});

test('one member grows to three, one place at a time', async () => {
  etcd.plan = { ...etcd.plan, members: 1 };
  await etcd.startAll();
  await answering();
  initialized();
  await etcd.put('a', '1');
  for (const ordinal of [1, 2]) {
    etcd.plan = { ...etcd.plan, members: ordinal + 1 };
    expect(await etcd.start(ordinal)).toBe('join');
    await promoted(ordinal);
  }
  await etcd.kill(0);
  await answering(1);
  expect(await etcd.get('a')).toBe('1');
});

test('data of an earlier etcd gives way to the one that its peers run', async () => {
  etcd.plan = { ...etcd.plan, members: 1 };
  await etcd.startAll();
  await answering();
  await etcd.kill(0);
  await rename(etcd.folder(0), etcd.folder(2));
  etcd.plan = { ...etcd.plan, members: 3, life: 2, token: 'uid-2' };
  await Promise.all([etcd.start(0), etcd.start(1)]);
  await answering();
  expect(await etcd.start(2)).toBe('join');
  await answering(2);
});

test('a snapshot is what every member begins with, and nothing that came after it is there', async () => {
  await etcd.startAll();
  await answering();
  await etcd.put('a', '1');
  const { key, revision } = await snapshot();
  await etcd.put('a', '2');
  expect(revision).toBe(2);
  for (const ordinal of [0, 1, 2]) await etcd.lose(ordinal);
  etcd.plan = { ...etcd.plan, life: 2, token: 'uid-2', restoreFrom: key };
  expect(await etcd.startAll()).toEqual(['restore', 'restore', 'restore']);
  await answering();
  const { clusterId } = await etcd.client(0).members();
  expect(clusterId).toBe(clusterIdOf(peersOf(etcd.plan, etcd.addresses), 'uid-2'));
  expect(await etcd.get('a')).toBe('1');
  // Not moved on: brokers know by it that this etcd is of the past.
  expect(await etcd.client(0).revision()).toBe(2);
  initialized();
  await etcd.lose(1);
  expect(await etcd.start(1)).toBe('join');
});

test('a member is defragmented, alarms are lifted, the lead moves', async () => {
  await etcd.startAll();
  await answering();
  const statuses = await Promise.all([0, 1, 2].map((ordinal) => etcd.client(ordinal).status()));
  const leader = statuses.findIndex(({ memberId, leaderId }) => memberId === leaderId);
  const other = (leader + 1) % 3;
  await expect(etcd.client(other).moveLeader(statuses[other]!.memberId)).rejects.toMatchObject({ kind: 'refused' });
  await etcd.client(leader).moveLeader(statuses[other]!.memberId);
  const to = statuses[other]!.memberId;
  await eventually('the lead has moved', async () => (await etcd.client(other).status()).leaderId === to);
  await etcd.client(leader).defragment();
  expect(await etcd.client(leader).alarms()).toEqual([]);
  await expect(etcd.connect('http://127.0.0.1:1').status()).rejects.toMatchObject({ kind: 'unreachable' });
});
