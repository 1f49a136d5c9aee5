/** Whole brokers whose partitions are taken away and given back by calls on their control ports, under producers that go on. */
import { jest } from '@jest/globals';
import { ErrorCode, produce, readRecords, splitBatches } from '@kafscale/protocol';
import { eventually, type RawClient } from '@kafscale/testkit';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batch, createTopic, produceRequest, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { ControlClient, fixtureToken } from './control/control-client-fixture.ts';

jest.setTimeout(60_000);

const { NONE, NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode;
const [unauthenticated, failedPrecondition, invalidArgument, unavailable, exhausted] = [16, 9, 3, 14, 8];

let cluster: ClusterFixture;
let folder: string;
let tokenFile: string;
const clients: ControlClient[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-control-'));
  tokenFile = join(folder, 'token');
  await writeFile(tokenFile, `${fixtureToken}\n`);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await cluster.closeAll();
  await rm(folder, { recursive: true, force: true });
});

async function startCluster(count: number, config: Readonly<Record<string, unknown>> = {}): Promise<ClusterBroker[]> {
  cluster = new ClusterFixture();
  const settings = { controlAddress: '127.0.0.1:0', controlTokenFile: tokenFile, ...config };
  for (let broker = 0; broker < count; broker += 1) await cluster.add(settings);
  return cluster.brokers;
}

function controlOf({ running }: ClusterBroker, token?: string): ControlClient {
  const client = new ControlClient(running.controlPort, token);
  clients.push(client);
  return client;
}

const readiness = async ({ running }: ClusterBroker) =>
  (await fetch(`http://127.0.0.1:${running.metricsPort}/readyz`)).status;

/** Waits until each broker leads `partitions` of the topic's partitions, as its own control port tells it. */
const leads = (what: string, brokers: readonly ClusterBroker[], ...counts: number[]) =>
  eventually(what, async () => {
    const statuses = await Promise.all(brokers.map((broker) => controlOf(broker).status()));
    return statuses.every(({ partitions }, index) => partitions.length === counts[index]);
  });

interface Load {
  /** The values that were acknowledged, per partition. */
  readonly acknowledged: readonly ReadonlySet<string>[];
  readonly fatal: readonly string[];
  stop(): Promise<void>;
}

/** A producer per partition that goes where it is told to, and sends again what was refused, as clients do. */
function startLoad(topic: string, partitions: number): Load {
  let isOver = false;
  const acknowledged = Array.from({ length: partitions }, () => new Set<string>());
  const fatal: string[] = [];
  const run = async (partition: number) => {
    const connections = new Map<number, RawClient>();
    let leader = 0;
    for (let number = 0; !isOver; number += 1) {
      const value = `${partition}-${number}`;
      const records = batch([value], { producerId: BigInt(100 + partition), producerEpoch: 0, baseSequence: number });
      for (;;) {
        const client = connections.get(leader) ?? (await cluster.connect(cluster.broker(leader)));
        connections.set(leader, client);
        const answer = await client.request(produce, 12, produceRequest(topic, partition, records));
        const { errorCode, currentLeader } = answer.responses[0]!.partitionResponses[0]!;
        if (errorCode === NONE) break;
        if (errorCode !== NOT_LEADER_OR_FOLLOWER && errorCode !== UNKNOWN_TOPIC_OR_PARTITION)
          fatal.push(`${errorCode}`);
        const told = currentLeader.leaderId;
        leader = told >= 0 ? told : await cluster.leaderOf(topic, partition, cluster.broker(leader));
        if (leader < 0) leader = 0;
      }
      acknowledged[partition]!.add(value);
    }
  };
  const running = Promise.all(acknowledged.map((_, partition) => run(partition)));
  return {
    ...{ acknowledged, fatal },
    stop: async () => {
      isOver = true;
      await running;
    },
  };
}

/** Every acknowledged value is there once. */
async function expectAllThere(topic: string, { acknowledged }: Load, told: ClusterBroker): Promise<void> {
  for (const [partition, values] of acknowledged.entries()) {
    const leader = cluster.broker(await cluster.leaderOf(topic, partition, told));
    const bytes = await readAll(await cluster.connect(leader), topic, partition);
    const text = splitBatches(bytes).batches.flatMap((view) =>
      [...readRecords(view, 2 ** 20)].map(({ value }) => String(value)),
    );
    expect(text.length).toBe(new Set(text).size);
    for (const value of values) expect(text).toContain(value);
  }
}

describe('the control port', () => {
  it('lets nobody in without the token, and takes a new one without a restart', async () => {
    const [broker] = (await startCluster(1)) as [ClusterBroker];
    for (const token of ['', 'another-token-of-tests', `${fixtureToken}x`, fixtureToken.slice(1)]) {
      const stranger = controlOf(broker, token);
      for (const [method, request] of [
        ['GetStatus', {}],
        ['SetCordon', { cordoned: true }],
        ['DrainPartitions', {}],
        ['TriggerFlush', { allAssigned: true }],
      ] as const) {
        await expect(stranger.call(method, request)).rejects.toMatchObject({ code: unauthenticated });
      }
      const watched = stranger.watch();
      await eventually('the watch is refused', () => watched.error() !== undefined);
      expect(watched.error()).toMatchObject({ code: unauthenticated });
      expect(watched.updates).toEqual([]);
    }
    expect(await controlOf(broker).status()).toMatchObject({ cordoned: false, draining: false, ready: true });

    await writeFile(tokenFile, `the-next-token-of-tests\n${fixtureToken}\n`);
    await eventually('the new token is known', async () => {
      return controlOf(broker, 'the-next-token-of-tests')
        .status()
        .then(
          () => true,
          () => false,
        );
    });
    expect(await controlOf(broker).status()).toMatchObject({ ready: true });
    await writeFile(tokenFile, 'the-next-token-of-tests\n');
    await eventually('the old token is forgotten', async () => {
      return controlOf(broker)
        .status()
        .then(
          () => false,
          (error: unknown) => (error as { code: number }).code === unauthenticated,
        );
    });
  });

  it('refuses what is too large or makes no sense', async () => {
    const [broker] = (await startCluster(1)) as [ClusterBroker];
    const control = controlOf(broker);
    const huge = Array.from({ length: 20_000 }, (_, partition) => ({ topic: 'x'.repeat(100), partition }));
    await expect(control.drain(huge)).rejects.toMatchObject({ code: exhausted });
    await expect(control.drain([], -1)).rejects.toMatchObject({ code: invalidArgument });
    await expect(control.flush([])).rejects.toMatchObject({ code: invalidArgument });
    expect(await control.status()).toMatchObject({ cordoned: false });
  });

  it('tells what the broker owns, and where it ends', async () => {
    const [broker] = (await startCluster(1)) as [ClusterBroker];
    const client = await cluster.connect(broker);
    await createTopic(client, 't', 2);
    for (const value of ['a', 'b', 'c']) await produceTo(client, 't', 1, batch([value]));
    const status = await controlOf(broker).status();
    const open = { topic: 't', leader: broker.id, state: 'open', logStartOffset: 0 };
    expect([...status.partitions].sort((left, right) => left.partition - right.partition)).toEqual([
      { ...open, partition: 0, logEndOffset: 0, highWatermark: 0 },
      { ...open, partition: 1, logEndOffset: 3, highWatermark: 3 },
    ]);
    expect(status).toMatchObject({
      brokerId: broker.id,
      coordinatorShards: Array.from({ length: 16 }, (_, shard) => shard),
      objectStoreState: 'healthy',
      ...{
        metadataStoreReachable: true,
        isController: true,
        version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      },
    });
  });

  it('answers a flush once what was accepted before is durable', async () => {
    const [broker] = (await startCluster(1, { flushIntervalMs: 60_000 })) as [ClusterBroker];
    const client = await cluster.connect(broker);
    await createTopic(client, 't', 2);
    await produceTo(client, 't', 0, batch(['first']));
    const produced = Array.from({ length: 20 }, (_, index) => produceTo(client, 't', 0, batch([`v-${index}`])));
    await eventually('they have arrived', async () => {
      const text = await (await fetch(`http://127.0.0.1:${broker.running.metricsPort}/metrics`)).text();
      return /^kafscale_produce_requests_total 2[1-9]$/m.test(text);
    });
    expect(await controlOf(broker).flush([{ topic: 't', partition: 0 }])).toEqual({
      flushed: [{ topic: 't', partition: 0 }],
    });
    const { partitions } = await controlOf(broker).status();
    expect(partitions.find(({ partition }) => partition === 0)?.highWatermark).toBe(21);
    await Promise.all(produced);
    expect((await controlOf(broker).flush([], true)).flushed).toHaveLength(2);
    expect((await controlOf(broker).flush([{ topic: 'nobody', partition: 0 }])).flushed).toEqual([]);
  });
});

describe('a drain by the control port', () => {
  it('empties a broker under load: nothing acknowledged is lost, it stays up, and takes partitions again when told', async () => {
    const brokers = await startCluster(3);
    const [, second, third] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 12);
    await leads('the topic is spread', brokers, 4, 4, 4);
    const load = startLoad('t', 12);
    await eventually('the load runs', () => load.acknowledged.every(({ size }) => size > 5));

    const before = await controlOf(second).status();
    const outcome = await controlOf(second).drain();
    expect(outcome).toMatchObject({ pending: [], pendingCoordinatorShards: 0 });
    expect([...outcome.drained].map(({ partition }) => partition).sort()).toEqual(
      before.partitions.map(({ partition }) => partition).sort(),
    );
    const after = await controlOf(second).status();
    expect(after).toMatchObject({
      cordoned: true,
      draining: true,
      ready: false,
      partitions: [],
      coordinatorShards: [],
    });
    expect(after.incarnation).toBe(before.incarnation);
    expect(await readiness(second)).toBe(503);

    // It answers with who has it now.
    const [moved] = before.partitions;
    const client = await cluster.connect(second);
    const answer = await client.request(produce, 12, produceRequest('t', moved!.partition, batch(['x'])));
    const result = answer.responses[0]!.partitionResponses[0]!;
    expect(result.errorCode).toBe(NOT_LEADER_OR_FOLLOWER);
    expect([0, 2]).toContain(result.currentLeader.leaderId);

    // Again: nothing to do, and nothing is written.
    const { revision } = await cluster.store.range({ key: 'brokers/0000000001' });
    expect(await controlOf(second).drain()).toMatchObject({ drained: [], pending: [] });
    const [record] = (await cluster.store.range({ key: 'brokers/0000000001' })).items;
    expect(record!.modRevision).toBeLessThanOrEqual(revision);

    expect(await controlOf(second).cordon(false)).toMatchObject({ cordoned: false, draining: false });
    await leads('it has its share again', brokers, 4, 4, 4);
    expect(await readiness(second)).toBe(200);
    await load.stop();
    expect(load.fatal).toEqual([]);
    await expectAllThere('t', load, third);
    // Each has moved at most twice; what a move costs is measured in e2e/cluster.
    expect(load.acknowledged.every(({ size }) => size > 5)).toBe(true);
  });

  it('moves what was named and nothing else, and the controller that comes next does not give it back', async () => {
    const brokers = await startCluster(3);
    const [first, second] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 12);
    await leads('the topic is spread', brokers, 4, 4, 4);
    const had = (await controlOf(second).status()).partitions.map(({ topic, partition }) => ({ topic, partition }));
    const load = startLoad('t', 12);
    const outcome = await controlOf(second).drain(had.slice(0, 2));
    expect(outcome).toMatchObject({ drained: had.slice(0, 2), pending: [] });
    expect(await readiness(second)).toBe(200);

    expect((await controlOf(first).status()).isController).toBe(true);
    await load.stop();
    const stopping = first.running.close();
    await leads('the others have all', [second, brokers[2]!], 2, 10);
    await stopping;
    const kept = (await controlOf(second).status()).partitions.map(({ partition }) => partition);
    expect(kept.sort()).toEqual(
      had
        .slice(2)
        .map(({ partition }) => partition)
        .sort(),
    );
    expect(await controlOf(second).status()).toMatchObject({ cordoned: true, draining: false });
    expect(load.fatal).toEqual([]);
    await expectAllThere('t', load, second);
  });

  it('goes on when the controller dies in the middle of it', async () => {
    const brokers = await startCluster(3);
    const [first, second, third] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 60);
    await leads('the topic is spread', brokers, 20, 20, 20);
    expect((await controlOf(first).status()).isController).toBe(true);
    first.cutOff();
    const outcome = await controlOf(second).drain([], 30);
    expect(outcome).toMatchObject({ pending: [], pendingCoordinatorShards: 0 });
    expect((await controlOf(third).status()).partitions.length).toBe(60);
    expect((await controlOf(third).status()).isController || (await controlOf(second).status()).isController).toBe(
      true,
    );
  });

  it('answers at its deadline with what is pending, and goes on when it is asked again', async () => {
    const brokers = await startCluster(3);
    const [first, second] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 12);
    await leads('the topic is spread', brokers, 4, 4, 4);
    // For as long as the controller's session lasts nobody gives the partitions to anybody.
    first.cutOff();
    const late = await controlOf(second).drain([], 1);
    expect(late.drained).toEqual([]);
    expect(late.pending).toHaveLength(4);
    expect(late.pendingCoordinatorShards).toBeGreaterThan(0);
    expect(await controlOf(second).status()).toMatchObject({ draining: true, ready: false });
    expect(await controlOf(second).drain()).toMatchObject({ pending: [], pendingCoordinatorShards: 0 });
  });

  it('is over when the broker is told to take partitions again', async () => {
    const brokers = await startCluster(2);
    const [first, second] = brokers as [ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 8);
    await leads('the topic is spread', brokers, 4, 4);
    first.deafen();
    const draining = controlOf(second).drain([], 60);
    await eventually('it drains', async () => (await controlOf(second).status()).draining);
    await controlOf(second).cordon(false);
    expect((await draining).pending).toHaveLength(4);
    first.heal();
    await leads('nothing has moved in the end', brokers, 4, 4);
    expect(await readiness(second)).toBe(200);
  });

  it('changes nothing where nobody else could take anything', async () => {
    const [broker] = (await startCluster(1)) as [ClusterBroker];
    await createTopic(await cluster.connect(broker), 't', 2);
    const outcome = await controlOf(broker).drain();
    expect(outcome).toMatchObject({ drained: [], pendingCoordinatorShards: 16 });
    expect(outcome.pending).toHaveLength(2);
    expect(await controlOf(broker).status()).toMatchObject({ cordoned: false, draining: false, ready: true });
  });

  it('cannot be undone once the broker is about to stop', async () => {
    const brokers = await startCluster(2, { shutdownTimeoutMs: 2_000 });
    const [first, second] = brokers as [ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 8);
    await leads('the topic is spread', brokers, 4, 4);
    first.deafen();
    const stopping = second.running.close();
    expect(await readiness(second)).toBe(503);
    await expect(controlOf(second).cordon(false)).rejects.toMatchObject({ code: failedPrecondition });
    await stopping;
    await expect(controlOf(second).status()).rejects.toMatchObject({ code: unavailable });
  });
});

describe('watching assignments', () => {
  it('shows everything as it stands, then exactly the moves', async () => {
    const brokers = await startCluster(3);
    const [, second, third] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(second), 't', 9);
    await leads('the topic is spread', brokers, 3, 3, 3);
    const had = (await controlOf(second).status()).partitions.map(({ partition }) => partition).sort();

    const all = controlOf(third).watch();
    const seconds = controlOf(third).watch(second.id);
    await eventually('all of it is shown', () => all.updates.length === 9 && seconds.updates.length === 3);
    expect(all.updates.every(({ status, epoch }) => status === 'owned' && epoch === 0)).toBe(true);
    expect(seconds.updates.map(({ partition }) => partition.partition).sort()).toEqual(had);

    await controlOf(second).drain();
    const moves = () => all.updates.slice(9);
    await eventually('the moves are shown', () => moves().filter(({ status }) => status === 'owned').length === 3);
    const owned = moves().filter(({ status }) => status === 'owned');
    expect(owned.map(({ partition }) => partition.partition).sort()).toEqual(had);
    for (const { epoch, brokerId } of owned) {
      expect(epoch).toBe(1);
      expect(brokerId).not.toBe(second.id);
    }
    const others = moves().filter(({ status }) => status !== 'owned');
    expect(others.every(({ status, partition }) => status === 'wanted' && had.includes(partition.partition))).toBe(
      true,
    );
    // Who watches one broker hears that it has them no longer, and nothing of the others.
    await eventually('the last of them is shown', () => {
      return (
        seconds.updates.filter(({ status, brokerId }) => status === 'owned' && brokerId !== second.id).length === 3
      );
    });
    expect(seconds.updates.every(({ partition }) => had.includes(partition.partition))).toBe(true);
  });

  it('ends with the broker, not with the controller', async () => {
    const brokers = await startCluster(3);
    const [first, , third] = brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(first), 't', 6);
    await leads('the topic is spread', brokers, 2, 2, 2);
    const watched = controlOf(third).watch();
    await eventually('all of it is shown', () => watched.updates.length === 6);
    await first.running.close();
    await eventually('the moves of the old controller are shown', () => {
      const last = new Map(watched.updates.map((update) => [update.partition.partition, update]));
      return [...last.values()].every(({ status, brokerId }) => status === 'owned' && brokerId !== first.id);
    });
    expect(watched.error()).toBeUndefined();
    await third.running.close();
    await eventually('the stream is over', () => watched.error() !== undefined);
    expect(watched.error()).toMatchObject({ code: unavailable });
  });

  it('is for so many at once', async () => {
    const [broker] = (await startCluster(1)) as [ClusterBroker];
    const control = controlOf(broker);
    const watching = Array.from({ length: 17 }, () => control.watch());
    await eventually('one is refused', () => watching.some((watched) => Number(watched.error()?.code) === exhausted));
    expect(watching.filter((watched) => watched.error() !== undefined)).toHaveLength(1);
    watching.find((watched) => watched.error() === undefined)!.cancel();
    await eventually('its place is free', async () => {
      const next = control.watch();
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (next.error() === undefined) return true;
      return false;
    });
  });
});
