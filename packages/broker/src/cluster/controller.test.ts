import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { settled } from '@kafscale/testkit';
import type { Transaction } from '../metadata/metadata-store.ts';
import { clusterMembers, sessionTtlMs, type ClusterMembers, type Member } from './cluster-members-fixture.ts';

let cluster: ClusterMembers;

afterEach(() => cluster.closeAll());

const start = async (settings: Parameters<typeof clusterMembers>[0], ...names: string[]) => {
  cluster = clusterMembers(settings);
  const members = [];
  for (const name of names) {
    const starting = cluster.start(name);
    members.push(await cluster.clock.runUntilSettled(starting));
  }
  return members as [(typeof members)[0], ...typeof members];
};

const even = (total: number) => () => {
  const counts = cluster.counts();
  return counts.reduce((sum, count) => sum + count, 0) === total && Math.max(...counts) - Math.min(...counts) <= 1;
};

/** Assignments written while `work` runs. */
async function writes(work: () => Promise<unknown>): Promise<string[]> {
  const { store } = cluster;
  const keys: string[] = [];
  const transact = store.transact.bind(store);
  store.transact = (transaction: Transaction, signal) => {
    for (const { type, key } of transaction.success) {
      if (type === 'put' && key.startsWith(metadataPrefixes.assignments)) keys.push(key);
    }
    return transact(transaction, signal);
  };
  await work();
  store.transact = transact;
  return keys;
}

describe('the controller', () => {
  it('is one of the brokers, and the only one', async () => {
    const members = await start({}, 'a', 'b', 'c');
    expect(members.map(({ controller }) => controller.isController)).toEqual([true, false, false]);
    const { items } = await cluster.store.range({ key: metadataKeys.controller });
    expect(metadata.ControllerRecord.decode(items[0]!.value)).toEqual({ incarnation: 'a', epoch: 1n });
  });

  it('is followed by one of the others when its session ends', async () => {
    const [first, ...others] = await start({}, 'a', 'b', 'c');
    await first.stop();
    await cluster.until(() => others.some(({ controller }) => controller.isController), 1_000);
    expect(others.filter(({ controller }) => controller.isController)).toHaveLength(1);
    const { items } = await cluster.store.range({ key: metadataKeys.controller });
    expect(metadata.ControllerRecord.decode(items[0]!.value).epoch).toBe(2n);
  });

  it('gives a new topic and the group shards to all brokers', async () => {
    await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 12);
    await cluster.until(() => cluster.counts().every((count) => count === 4), 1_000);
    await cluster.until(() => cluster.members.every(({ shards }) => shards.count >= 5), 1_000);
    expect(cluster.members.map(({ shards }) => shards.count).sort()).toEqual([5, 5, 6]);
  });

  it('writes nothing while nothing changes', async () => {
    await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 12);
    await cluster.until(even(12));
    expect(await writes(() => cluster.clock.advanceAsync(300_000))).toEqual([]);
  });

  it('leaves assignments alone that another one has made, and writes only what differs', async () => {
    const [first] = await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 12);
    await cluster.putTopic('events', 3);
    await cluster.until(even(15));
    await cluster.clock.runUntilSettled(first.drain(10_000));
    const changed = await writes(async () => {
      await first.stop();
      await cluster.clock.advanceAsync(10_000);
    });
    expect(changed).toEqual([]);
    expect(even(15)()).toBe(true);
  });

  it('has the partitions of a killed broker in service elsewhere within its session time and a moment', async () => {
    const [, second] = await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 300);
    await cluster.until(even(300));
    second!.kill();
    const passedMs = await cluster.until(even(300));
    expect(passedMs).toBeLessThanOrEqual(sessionTtlMs + 1_000);
    expect(passedMs).toBeGreaterThan(sessionTtlMs / 2);
  });

  it('may be the one that is killed', async () => {
    const [first] = await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 300);
    await cluster.until(even(300));
    first.kill();
    expect(await cluster.until(even(300))).toBeLessThanOrEqual(sessionTtlMs + 1_000);
    await cluster.until(() => cluster.members.every(({ shards }) => shards.count === 8), 1_000);
  });

  it('waits for brokers to stay before it evens them out', async () => {
    await start({ rebalanceDelayMs: 5_000 }, 'a');
    await cluster.putTopic('orders', 30);
    await cluster.until(even(30));
    await cluster.start('b');
    await cluster.clock.advanceAsync(4_000);
    expect(cluster.counts()).toEqual([30, 0]);
    await cluster.start('c');
    await cluster.clock.advanceAsync(4_000);
    expect(cluster.counts()).toEqual([30, 0, 0]);
    await cluster.until(even(30), 2_000);
  });

  it('evens out in steps, so that few partitions are on their way at once', async () => {
    await start({ maxMoves: 10 }, 'a');
    await cluster.putTopic('orders', 200);
    await cluster.until(even(200));
    cluster.members[0]!.barrierMs = 100;
    await cluster.start('b');
    let mostUnderWay = 0;
    await cluster.until(() => {
      mostUnderWay = Math.max(mostUnderWay, 200 - cluster.counts().reduce((sum, count) => sum + count, 0));
      return even(200)();
    });
    expect(mostUnderWay).toBeGreaterThan(0);
    expect(mostUnderWay).toBeLessThanOrEqual(10);
  });

  it('moves nothing twice while brokers are restarted one after another', async () => {
    await start({ rebalanceDelayMs: 10_000 }, 'a', 'b', 'c');
    await cluster.putTopic('orders', 90);
    await cluster.until(even(90));
    const epochs = () => cluster.members.flatMap(({ serving }) => [...serving.values()]);
    for (const name of ['a', 'b', 'c']) {
      const member = cluster.members.find(({ incarnation }) => incarnation === name)!;
      expect(await cluster.clock.runUntilSettled(member.drain(20_000))).toBe('empty');
      await member.stop();
      await cluster.start(`${name}'`);
      await cluster.clock.advanceAsync(3_000);
    }
    await cluster.until(even(90));
    // Each of the three drains moved a third, or what had gathered meanwhile; evening out at the end moved the rest.
    const moved = epochs().reduce((sum, epoch) => sum + epoch, 0);
    expect(moved).toBeLessThan(180);
  });

  it('spreads over racks', async () => {
    cluster = clusterMembers();
    for (const [name, rack] of Object.entries({ a: 'x', b: 'x', c: 'y', d: 'y' })) await cluster.start(name, rack);
    for (const name of ['1', '2', '3', '4']) await cluster.putTopic(name, 2);
    await cluster.until(even(8));
    const inX = cluster.members.slice(0, 2).flatMap(({ serving }) => [...serving.keys()]);
    expect(new Set(inX.map((partition) => partition[0])).size).toBe(4);
  });

  it('keeps what nobody but a stopping broker could own where it is', async () => {
    const [only] = await start({}, 'a');
    await cluster.putTopic('orders', 6);
    await cluster.until(even(6));
    expect(await cluster.clock.runUntilSettled(only.drain(5_000))).toBe('alone');
    expect(only.serving.size).toBe(6);
  });

  it('compacts the history of the store, but not what was just written', async () => {
    await start({ historyMs: 60_000 }, 'a');
    const { revision: old } = await cluster.store.range({ key: 'x' });
    await cluster.putTopic('orders', 1);
    await cluster.clock.advanceAsync(61_000);
    await cluster.store.range({ key: 'x', revision: old });
    await cluster.putTopic('events', 1);
    await cluster.clock.advanceAsync(30_000);
    const { revision: recent } = await cluster.store.range({ key: 'x' });
    await cluster.putTopic('others', 1);
    await cluster.clock.advanceAsync(31_000);
    await expect(cluster.store.range({ key: 'x', revision: old })).rejects.toMatchObject({ kind: 'compacted' });
    await cluster.store.range({ key: 'x', revision: recent });
  });

  it('assigns nothing of a topic that is deleted meanwhile', async () => {
    const [only] = await start({}, 'a');
    await cluster.putTopic('orders', 3, true);
    await cluster.clock.advanceAsync(1_000);
    expect(only.image.assignment(cluster.topicIdOf('orders'))).toBeUndefined();
    expect(only.serving.size).toBe(0);
  });
});

describe('a broker that is cordoned or drained of some partitions', () => {
  const owned = ({ serving }: { readonly serving: ReadonlyMap<string, number> }) => [...serving.keys()].sort();

  it('hands over what was named and nothing else, is not given it back, and keeps that when the controller dies', async () => {
    const [first, second, third] = (await start({}, 'a', 'b', 'c')) as Member[] as [Member, Member, Member];
    await cluster.putTopic('orders', 12);
    await cluster.until(even(12));
    const had = owned(second);
    const named = had.slice(0, 2);
    const topicId = cluster.topicIdOf('orders');
    void second.standing.drainSome(named.map((name) => ({ topicId, partition: Number(name.split('/')[1]) })));
    await cluster.until(() => second.serving.size === had.length - 2);
    expect(owned(second)).toEqual(had.slice(2));
    await cluster.clock.advanceAsync(30_000);
    expect(owned(second)).toEqual(had.slice(2));

    expect(first.controller.isController).toBe(true);
    first.kill();
    await cluster.until(() => second.serving.size + third.serving.size === 12);
    expect(owned(second)).toEqual(had.slice(2));
    expect(third.serving.size).toBe(12 - had.length + 2);

    void second.standing.uncordon();
    await cluster.until(even(12));
  });

  it('is given everything where it is the last one', async () => {
    const [first, second] = (await start({}, 'a', 'b')) as Member[] as [Member, Member];
    await cluster.putTopic('orders', 6);
    await cluster.until(even(6));
    void first.standing.cordon();
    await cluster.until(() => first.standing.current.cordoned);
    second.kill();
    await cluster.until(() => first.serving.size === 6);
  });

  it('takes partitions again when it is told to in the middle of a drain', async () => {
    const [first, second] = (await start({}, 'a', 'b')) as Member[] as [Member, Member];
    await cluster.putTopic('orders', 300);
    await cluster.until(even(300));
    second.barrierMs = 1_000;
    void second.standing.drainAll();
    await cluster.until(() => second.serving.size < 100);
    void second.standing.uncordon();
    await cluster.until(even(300));
    expect(first.serving.size + second.serving.size).toBe(300);
  });
});

describe('a drain', () => {
  it('empties a broker while it serves on, and others have it at once', async () => {
    const [first] = await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 30);
    await cluster.until(even(30));
    first.barrierMs = 100;
    const draining = first.drain(10_000);
    await settled();
    expect(await cluster.clock.runUntilSettled(draining)).toBe('empty');
    expect(first.serving.size + first.shards.count).toBe(0);
    await cluster.until(
      () =>
        cluster
          .counts()
          .slice(1)
          .every((count) => count === 15),
      1_000,
    );
    expect(first.session.alive).toBe(true);
    expect((await cluster.owners()).filter((owner) => owner === 'a')).toEqual([]);
  });

  it('gives up when its time is over', async () => {
    const [first] = await start({}, 'a', 'b');
    await cluster.putTopic('orders', 10);
    await cluster.until(even(10));
    first.barrierMs = 60_000;
    expect(await cluster.clock.runUntilSettled(first.drain(5_000))).toBe('late');
    expect(first.ownership.count).toBe(5);
    await first.stop();
    await cluster.until(() => cluster.counts()[0] === 10, 1_000);
  });

  it('of all brokers at once ends with the last ones owning what there is', async () => {
    await start({}, 'a', 'b', 'c');
    await cluster.putTopic('orders', 30);
    await cluster.until(even(30));
    const draining = Promise.all(cluster.members.map((member) => member.drain(10_000)));
    const outcomes = await cluster.clock.runUntilSettled(draining);
    expect(outcomes.filter((outcome) => outcome === 'late')).toEqual([]);
    for (const member of [...cluster.members]) await member.stop();
    await cluster.start('d');
    await cluster.until(() => cluster.counts()[0] === 30, 1_000);
  });
});
