/**
 * Real etcd behind a network that loses, delays and repeats: each trap by which a metadata store can lie to a broker, with what
 * production puts on top (sessions and lanes) where the trap is theirs to survive. Two proxies stand for two members.
 */
import { metadataKeys } from '@kafscale/protocol';
import { systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, FaultyProxy, givenEtcdEndpoints } from '@kafscale/testkit';
import type { MetadataStore, Transaction } from '../metadata-store.ts';
import { EtcdFixture, kindOf, openSession, put, read, remove } from './etcd-fixture.ts';
import type { EtcdMetadataStore } from './etcd-metadata-store.ts';

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('etcd behind a bad network', () => {
  const fixture = new EtcdFixture();
  let etcd: EtcdServer;
  let proxies: FaultyProxy[];
  /** Goes through the proxies. */
  let store: EtcdMetadataStore;
  /** Does not. */
  let direct: EtcdMetadataStore;

  beforeAll(async () => {
    etcd = await EtcdServer.start({ durable: false });
  });
  afterAll(() => etcd.close());
  beforeEach(async () => {
    fixture.next();
    const { port } = etcd.members[0]!;
    proxies = [await FaultyProxy.start({ port }), await FaultyProxy.start({ port })];
    direct = await fixture.store(etcd.endpoints);
    store = await fixture.store(proxies.map(({ endpoint }) => endpoint));
  });
  afterEach(async () => {
    await fixture.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });

  /** The proxy that the store goes through now. */
  const inUse = (): FaultyProxy => {
    const used = proxies.filter(({ connections }) => connections > 0);
    expect(used).toHaveLength(1);
    return used[0]!;
  };

  /** Has `act` send something through a connection that then loses the answer to it, when `applied` says that etcd has it. */
  async function loseReply<T>(act: () => Promise<T>, applied: () => Promise<boolean>): Promise<T> {
    const proxy = inUse();
    proxy.hold('toClient');
    const outcome = act();
    outcome.catch(() => undefined);
    await eventually('the request at etcd', applied, 900);
    proxy.reset();
    proxy.heal();
    return outcome;
  }

  /**
   * Has `act` send a request that gets stuck on its way to the member in use, and be answered by the other one. The result delivers
   * what got stuck, and nothing of what its sender did when it gave up.
   */
  async function stuckRequest<T>(act: () => Promise<T>): Promise<{ result: T; deliver: () => Promise<void> }> {
    const proxy = inUse();
    proxy.hold('toServer');
    const outcome = act();
    await eventually('the stuck request', () => proxy.heldBytes('toServer') > 50, 900);
    proxy.drop('toServer');
    const result = await outcome;
    const deliver = async (): Promise<void> => {
      const answered = proxy.receivedBytes('toClient');
      proxy.deliverHeld('toServer');
      await eventually('the late answer', () => proxy.receivedBytes('toClient') > answered);
      await systemClock.sleep(100);
    };
    return { result, deliver };
  }

  describe('a lost reply', () => {
    const increment: Transaction = { compare: [], success: [put('counter')] };

    it('leaves the outcome unknown, and the transaction went out once', async () => {
      const outcome = loseReply(
        () => store.transact(increment),
        async () => (await read(direct, 'counter')) !== undefined,
      );
      expect(await kindOf(outcome)).toBe('unavailable');
      await store.range({ key: 'counter' });
      expect(await read(direct, 'counter')).toMatchObject({ version: 1 });
    });

    it('is answered by the lane: committed, at its revision, once', async () => {
      const lane = (await openSession(store, 'a')).lane('data');
      await lane.commit({ operations: [put('m/1')] });
      const revision = await loseReply(
        () => lane.commit({ operations: [put('m/2')] }),
        async () => (await read(direct, 'm/2')) !== undefined,
      );
      expect(await read(direct, 'm/2')).toMatchObject({ version: 1, modRevision: revision });
      await lane.commit({ operations: [put('m/3')] });
    });

    it('does not lose a session that was opened', async () => {
      const session = await openSession(store, 'a', { ttlMs: 3_000 });
      inUse().reset();
      await systemClock.sleep(4_000);
      expect(session.alive).toBe(true);
      expect(await read(direct, metadataKeys.session('a'))).toBeDefined();
    });
  });

  describe('a request that arrives long after it was sent again elsewhere', () => {
    /** What an earlier design rested on: the absence of a key that is deleted later. */
    const resting = (key: string): Transaction => ({
      compare: [{ key, target: 'createRevision', operator: '=', operand: 0 }],
      success: [put(key)],
    });
    const untilApplied = async (transaction: Transaction): Promise<void> => {
      while ((await kindOf(store.transact(transaction))) !== 'applied');
    };

    it('brings a deleted key back when it rests on its absence (the trap itself)', async () => {
      const { deliver } = await stuckRequest(() => untilApplied(resting('m/1')));
      await direct.transact({ compare: [], success: [remove('m/1')] });
      await deliver();
      expect(await read(direct, 'm/1')).toBeDefined();
    });

    it('changes nothing when it came through a lane, whose key was deleted since (E1, F1)', async () => {
      const lane = (await openSession(store, 'a')).lane('data');
      await lane.commit({ operations: [put('m/0')] });
      const { deliver } = await stuckRequest(() => lane.commit({ operations: [put('m/1')] }));
      await lane.commit({ operations: [remove('m/1')] });
      await deliver();
      expect(await read(direct, 'm/1')).toBeUndefined();
      await lane.commit({ operations: [put('m/2')] });
    });

    it('does not take a register back to an older value (F2)', async () => {
      const lane = (await openSession(store, 'a')).lane('coordinator');
      const { deliver } = await stuckRequest(() => lane.commit({ operations: [put('offset', '100')] }));
      await lane.commit({ operations: [put('offset', '200')] });
      await deliver();
      expect((await read(direct, 'offset'))?.value.toString()).toBe('200');
    });
  });

  describe('a member that falls silent', () => {
    it('is left for another one, by calls and by commits', async () => {
      const lane = (await openSession(store, 'a')).lane('data');
      inUse().blackhole();
      const startedMs = systemClock.monotonicMs();
      await lane.commit({ operations: [put('m/1')] });
      expect(systemClock.monotonicMs() - startedMs).toBeLessThan(4_000);
      await store.range({ key: 'm/1' });
      expect(await read(direct, 'm/1')).toMatchObject({ version: 1 });
    });

    it('is left when it only answers nothing, although requests reach it', async () => {
      const lane = (await openSession(store, 'a')).lane('data');
      inUse().drop('toClient');
      const revision = await lane.commit({ operations: [put('m/1')] });
      expect(await read(direct, 'm/1')).toMatchObject({ version: 1, modRevision: revision });
    });

    it('is left by a watch that nothing else runs beside', async () => {
      const { revision } = await direct.range({ key: 'w' });
      const watched = fixture.watch(store, 'w/', 'w0', revision + 1);
      await direct.transact({ compare: [], success: [put('w/1')] });
      await eventually('the first event', () => watched.batches.length === 1);
      inUse().blackhole();
      const transaction = { compare: [], success: [put('w/2')] };
      const written = await direct.transact(transaction);
      await eventually('the second event', () => watched.batches.length === 2, 15_000);
      expect(watched.batches[1]!.revision).toBe(written.revision);
      expect(watched.failure).toBeUndefined();
    });

    it('is asked again on a new connection when it is the only one', async () => {
      const [proxy] = proxies;
      const alone = await fixture.store([proxy!.endpoint]);
      await alone.range({ key: 'a' });
      proxy!.freeze();
      const startedMs = systemClock.monotonicMs();
      await alone.range({ key: 'a' });
      expect(systemClock.monotonicMs() - startedMs).toBeLessThan(4_000);
    });
  });

  describe('a watch', () => {
    it('sees every revision once through resets that come while it starts, waits and delivers', async () => {
      const { revision } = await direct.range({ key: 'w' });
      const watched = fixture.watch(store, 'w/', 'w0', revision + 1);
      const written: number[] = [];
      for (let round = 0; round < 60; round += 1) {
        const success = [put(`w/${round % 5}`, String(round)), put('other')];
        written.push((await direct.transact({ compare: [], success })).revision);
        if (round % 10 === 9) for (const proxy of proxies) proxy.reset();
        if (round % 15 === 14) await systemClock.sleep(150);
      }
      await eventually('every revision', () => watched.batches.length >= written.length, 10_000);
      expect(watched.batches.map((batch) => batch.revision)).toEqual(written);
      expect(watched.failure).toBeUndefined();
    });

    it('ends as compacted when history is gone where it would go on', async () => {
      const { revision } = await direct.range({ key: 'w' });
      const watched = fixture.watch(store, 'w/', 'w0', revision + 1);
      await direct.transact({ compare: [], success: [put('w/1')] });
      await eventually('the first event', () => watched.batches.length === 1);
      for (const proxy of proxies) {
        proxy.refuse();
        proxy.reset();
      }
      let last = 0;
      for (let round = 0; round < 3; round += 1) {
        last = (await direct.transact({ compare: [], success: [put('w/1')] })).revision;
      }
      await direct.compact(last);
      for (const proxy of proxies) proxy.heal();
      await eventually('the end of the watch', () => watched.failure !== undefined);
      expect(watched.failure).toMatchObject({ name: 'MetadataError', kind: 'compacted' });
      expect(watched.batches).toHaveLength(1);
    });

    it('delivers a revision of many large events as one batch (fragments)', async () => {
      const { revision } = await direct.range({ key: 'w' });
      const writes: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        const success = Array.from({ length: 100 }, (_, index) => put(`w/${index}`, 'x'.repeat(13_000)));
        writes.push((await direct.transact({ compare: [], success })).revision);
      }
      const watched = fixture.watch(store, 'w/', 'w0', revision + 1);
      await eventually('every revision', () => watched.batches.length >= writes.length);
      expect(watched.batches.map((batch) => [batch.revision, batch.events.length])).toEqual(
        writes.map((written) => [written, 100]),
      );
    });
  });

  describe('a session', () => {
    it('ends by its own clock before etcd lets its key go', async () => {
      const session = await openSession(store, 'a', { ttlMs: 2_000, callDeadlineMs: 500 });
      const key = metadataKeys.session('a');
      await systemClock.sleep(1_000);
      for (const proxy of proxies) proxy.blackhole();
      await eventually('the end by its own clock', () => !session.alive, 4_000);
      expect(await read(direct, key)).toBeDefined();
      await eventually('the end in etcd', async () => (await read(direct, key)) === undefined, 8_000);
    });

    it('never writes its key again, which would take it from its lease (E3)', async () => {
      const session = await openSession(store, 'a', { ttlMs: 2_000 });
      for (let round = 0; round < 10; round += 1) {
        await session.lane('data').commit({ operations: [put(`m/${round}`)] });
        await systemClock.sleep(100);
      }
      const key = metadataKeys.session('a');
      expect(await read(direct, key)).toMatchObject({ version: 1, leaseId: session.leaseId });
      await direct.transact({ compare: [], success: [put(key)] });
      await session.revoke(new Error('the test is over'));
      expect(await read(direct, key)).toMatchObject({ version: 2 }); // what the trap does: nobody is ever fenced
    });

    it('knows nothing of itself that is not in etcd: a revoked lease ends every later commit', async () => {
      const session = await openSession(store, 'a');
      await direct.revokeLease(session.leaseId);
      expect(await kindOf(session.lane('data').commit({ operations: [put('m/1')] }))).toBe('fenced');
      expect(session.endReason).toMatchObject({ kind: 'fenced' });
    });
  });

  it('reads ranges larger than a message may be by default', async () => {
    for (let round = 0; round < 6; round += 1) {
      await direct.transact({ compare: [], success: [put(`large/${round}`, 'x'.repeat(1_000_000))] });
    }
    const { items }: Awaited<ReturnType<MetadataStore['range']>> = await store.range({ key: 'large/', end: 'large0' });
    expect(items.map(({ value }) => value.length)).toEqual(Array.from({ length: 6 }, () => 1_000_000));
  });
});
