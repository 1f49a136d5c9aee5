/** etcd that is not what it was: put back to a snapshot under a living broker, another cluster's, or full. */
import { systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, FaultyProxy, givenEtcdEndpoints } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdFixture, kindOf, openSession, put, read, remove } from './etcd-fixture.ts';

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('etcd that was put back to a snapshot under a broker (E4)', () => {
  const fixture = new EtcdFixture();
  let etcd: EtcdServer;
  let folder: string;

  beforeEach(async () => {
    fixture.next();
    etcd = await EtcdServer.start({ durable: false });
    folder = await mkdtemp(join(tmpdir(), 'kafscale-snapshot-'));
  });
  afterEach(async () => {
    await fixture.close();
    await etcd.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** A session with ten commits, of which the store has forgotten five. */
  async function restoreUnder() {
    const store = await fixture.store(etcd.endpoints);
    const session = await openSession(store, 'a', { ttlMs: 60_000 });
    const lane = session.lane('data');
    const snapshot = join(folder, 'snapshot');
    for (let index = 0; index < 10; index += 1) {
      if (index === 5) await etcd.snapshot(snapshot);
      await lane.commit({ operations: [put(`m/${index}`)] });
    }
    await etcd.restore(snapshot);
    return { store, session, lane };
  }

  it('is noticed by its revision, in any answer, for good', async () => {
    const { store, session, lane } = await restoreUnder();
    expect(await kindOf(store.range({ key: 'm/0' }))).toBe('replaced');
    expect(await kindOf(store.transact({ compare: [], success: [put('x')] }))).toBe('replaced');
    expect(await kindOf(store.usage())).toBe('replaced');
    expect(await kindOf(lane.commit({ operations: [put('m/10')] }))).toBe('fenced');
    expect(session.endReason).toMatchObject({ kind: 'replaced' });
    const other = await fixture.store(etcd.endpoints);
    expect(await read(other, 'm/5')).toBeUndefined();
    expect(await read(other, 'm/10')).toBeUndefined();
  });

  it('is noticed by the lane when others have raised the revision again', async () => {
    const store = await fixture.store(etcd.endpoints);
    const session = await openSession(store, 'a', { ttlMs: 60_000 });
    const lane = session.lane('data');
    await lane.commit({ operations: [put('m/0')] });
    const snapshot = join(folder, 'snapshot');
    await etcd.snapshot(snapshot);
    await lane.commit({ operations: [put('m/1')] });
    const { revision } = await store.range({ key: 'm/1' });
    await etcd.restore(snapshot);
    await etcd.etcdctl('put', '/somebody/else', 'x');
    await etcd.etcdctl('put', '/somebody/else', 'y');
    await etcd.etcdctl('put', '/somebody/else', 'z');
    expect((await store.range({ key: 'm/0' })).revision).toBeGreaterThan(revision);
    expect(await kindOf(lane.commit({ operations: [put('m/2')] }))).toBe('fenced');
    expect(session.endReason).toMatchObject({ kind: 'replaced' });
    expect(await read(store, 'm/2')).toBeUndefined();
  });

  it('is noticed by a session that only keeps itself alive, when another cluster answers', async () => {
    const other = await EtcdServer.start({ durable: false });
    const proxies = [
      await FaultyProxy.start({ port: etcd.members[0]!.port }),
      await FaultyProxy.start({ port: other.members[0]!.port }),
    ];
    try {
      // Its revision is higher, so that only its id tells.
      const theirs = await fixture.store(other.endpoints);
      for (let round = 0; round < 20; round += 1) await theirs.transact({ compare: [], success: [put('x')] });
      proxies[1]!.refuse();
      const store = await fixture.store(proxies.map(({ endpoint }) => endpoint));
      const session = await openSession(store, 'a', { ttlMs: 3_000 });
      proxies[0]!.refuse();
      proxies[0]!.reset();
      proxies[1]!.heal();
      await eventually('the end of the session', () => session.endReason !== undefined, 5_000);
      expect(session.endReason).toMatchObject({ kind: 'replaced' });
      const watch = store.watch({ key: 'a' }, 1, new AbortController().signal)[Symbol.asyncIterator]();
      expect(await kindOf(watch.next())).toBe('replaced');
    } finally {
      await fixture.close();
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await other.close();
    }
  });
});

describeOwn('etcd that is full (E5)', () => {
  const MiB = 2 ** 20;
  const fixture = new EtcdFixture();
  let etcd: EtcdServer;

  beforeEach(async () => {
    fixture.next();
    // With every write counted at once it does not depend on luck who finds the database full.
    etcd = await EtcdServer.start({ durable: false, quotaBytes: 24 * MiB, flags: ['--backend-batch-limit', '1'] });
  });
  afterEach(async () => {
    await fixture.close();
    await etcd.close();
  });

  it('refuses commits and new sessions, lets deletes and reads pass, and serves again when there is space', async () => {
    const store = await fixture.store(etcd.endpoints, { quotaBytes: 24 * MiB });
    const session = await openSession(store, 'a');
    const lane = session.lane('data');
    let filled = 0;
    while (
      (await kindOf(store.transact({ compare: [], success: [put(`f/${filled}`, 'x'.repeat(MiB))] }))) === 'applied'
    ) {
      filled += 1;
      expect(filled).toBeLessThan(30);
    }
    expect(await kindOf(store.transact({ compare: [], success: [put('x')] }))).toBe('no-space');
    expect(await kindOf(lane.commit({ operations: [put('m/1')] }))).toBe('no-space');
    expect(await kindOf(store.grantLease(10_000))).toBe('no-space');
    expect(session.alive).toBe(true);
    expect(await store.keepAlive(session.leaseId)).toEqual({ ttlMs: 10_000 });
    const { sizeBytes, quotaBytes } = await store.usage();
    expect(quotaBytes).toBe(24 * MiB);
    expect(sizeBytes).toBeGreaterThan(20 * MiB);

    const success = Array.from({ length: filled + 1 }, (_, index) => remove(`f/${index}`));
    const { revision } = await store.transact({ compare: [], success });
    await store.compact(revision);
    await systemClock.sleep(500);
    await etcd.etcdctl('defrag');
    await etcd.etcdctl('alarm', 'disarm');
    await lane.commit({ operations: [put('m/2')] });
    expect([await read(store, 'm/1'), (await read(store, 'm/2'))?.version]).toEqual([undefined, 1]);
  });

  it('applies some of what it refuses when many come together, which a lane finds out', async () => {
    const store = await fixture.store(etcd.endpoints);
    const sessions = await Promise.all(
      Array.from({ length: 8 }, (_, index) => openSession(store, `a${index}`, { ttlMs: 30_000 })),
    );
    const outcomes = new Map<string, unknown>();
    const note = async (key: string, outcome: Promise<unknown>): Promise<void> => {
      outcomes.set(key, await kindOf(outcome));
    };
    // What has passed the check for space, when others take the last of it, is applied all the same and then refused.
    for (let burst = 0; burst < 20 && ![...outcomes.values()].includes('no-space'); burst += 1) {
      const value = 'x'.repeat(20_000);
      await Promise.all([
        ...Array.from({ length: 300 }, (_, index) => {
          const success = [put(`raw/${burst}-${index}`, value)];
          return note(`raw/${burst}-${index}`, store.transact({ compare: [], success }));
        }),
        ...sessions.map((session, index) => {
          const operations = [put(`lane/${burst}-${index}`, value)];
          return note(`lane/${burst}-${index}`, session.lane('data').commit({ operations }));
        }),
      ]);
    }
    const ranges = await Promise.all([
      store.range({ key: 'raw/', end: 'raw0' }),
      store.range({ key: 'lane/', end: 'lane0' }),
    ]);
    const there = new Set(ranges.flatMap(({ items }) => items.map(({ key }) => key)));
    const refusedButThere = [...outcomes].filter(([key, outcome]) => outcome === 'no-space' && there.has(key));
    expect(refusedButThere.length).toBeGreaterThan(0);
    expect(refusedButThere.filter(([key]) => key.startsWith('lane/'))).toEqual([]);
    for (const [key, outcome] of outcomes) if (outcome === 'applied') expect(there).toContain(key);
  });
});
