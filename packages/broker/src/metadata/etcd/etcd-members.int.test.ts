/** Three members of etcd of which one dies or hangs while a broker commits: no commit is lost or doubled, and the session lives. */
import { metadataKeys } from '@kafscale/protocol';
import { systemClock } from '@kafscale/runtime';
import { EtcdServer, givenEtcdEndpoints, type EtcdMember } from '@kafscale/testkit';
import type { Session } from '../session.ts';
import { EtcdFixture, openSession, put, read } from './etcd-fixture.ts';
import type { EtcdMetadataStore } from './etcd-metadata-store.ts';

interface Commits {
  readonly keys: string[];
  readonly revisions: number[];
  longestMs: number;
}

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('etcd with three members', () => {
  const fixture = new EtcdFixture();
  let etcd: EtcdServer;

  beforeAll(async () => {
    etcd = await EtcdServer.start({ members: 3, durable: false });
  });
  afterAll(() => etcd.close());
  beforeEach(() => {
    fixture.next();
  });
  afterEach(async () => {
    await fixture.close();
    for (const member of etcd.members) if (member.running) member.resume();
    await etcd.startAll();
  });

  /** Commits one after another, before `act` and until some more have come behind it. */
  async function commitThrough(session: Session, act: () => Promise<void>): Promise<Commits> {
    const lane = session.lane('data');
    const commits: Commits = { keys: [], revisions: [], longestMs: 0 };
    const enough = new AbortController();
    const committing = (async () => {
      while (!enough.signal.aborted) {
        const key = `m/${commits.keys.length}`;
        const startedMs = systemClock.monotonicMs();
        commits.revisions.push(await lane.commit({ operations: [put(key)] }));
        commits.keys.push(key);
        commits.longestMs = Math.max(commits.longestMs, systemClock.monotonicMs() - startedMs);
        await systemClock.sleep(5);
      }
    })();
    await systemClock.sleep(300);
    await act();
    const committed = commits.keys.length;
    while (commits.keys.length < committed + 20) await systemClock.sleep(20);
    enough.abort();
    await committing;
    return commits;
  }

  async function expectAllThere({ keys, revisions }: Commits, store: EtcdMetadataStore): Promise<void> {
    const { items } = await store.range({ key: 'm/', end: 'm0' });
    const found = items.map(({ key, version, modRevision }) => `${key} ${version} ${modRevision}`).sort();
    expect(found).toEqual(keys.map((key, index) => `${key} 1 ${revisions[index]!}`).sort());
  }

  const endpointsWithout = (member: EtcdMember): string[] =>
    etcd.endpoints.filter((endpoint) => endpoint !== member.endpoint);

  it.each([
    ['killed', (member: EtcdMember) => member.kill()],
    ['stopped in time', (member: EtcdMember) => Promise.resolve(member.pause())],
  ] as const)('goes on when its leader is %s under load, with a watch and a session', async (_, hit) => {
    const leader = await etcd.leader();
    const store = await fixture.store(etcd.endpoints);
    const session = await openSession(store, 'a');
    const { revision } = await store.range({ key: 'm' });
    const watched = fixture.watch(store, 'm/', 'm0', revision + 1);
    const commits = await commitThrough(session, () => hit(leader));
    expect(session.alive).toBe(true);
    const others = await fixture.store(endpointsWithout(leader));
    await expectAllThere(commits, others);
    while (watched.batches.length < commits.revisions.length) await systemClock.sleep(20);
    expect(watched.batches.map((batch) => batch.revision)).toEqual(commits.revisions);
    expect(watched.failure).toBeUndefined();
    // What the one that was hit still had in its hands must not surface.
    if (leader.running) leader.resume();
    else await leader.start();
    await systemClock.sleep(500);
    await expectAllThere(commits, await fixture.store([leader.endpoint]));
  });

  it('leaves a follower that hangs', async () => {
    const leader = await etcd.leader();
    const [follower] = etcd.members.filter((member) => member !== leader);
    // Only the follower answers at first: the other endpoint is nobody's yet.
    const store = await fixture.store([follower!.endpoint, leader.endpoint], { random: alwaysFirst });
    const session = await openSession(store, 'a');
    const commits = await commitThrough(session, () => Promise.resolve(follower!.pause()));
    expect(commits.longestMs).toBeGreaterThan(900);
    expect(session.alive).toBe(true);
    await expectAllThere(commits, await fixture.store([leader.endpoint]));
    expect(await read(store, metadataKeys.session('a'))).toBeDefined();
  });
});

/** Leaves every list in the order it has. */
const alwaysFirst = {
  bytes: (length: number) => Buffer.alloc(length),
  int: (bound: number) => bound - 1,
  float: () => 0,
};
