/** Ends and beginnings of a broker: stopped, torn away, fenced, and started where it cannot be. Nothing acknowledged is lost by any. */
import { jest } from '@jest/globals';
import {
  ErrorCode,
  heartbeat,
  initProducerId,
  joinGroup,
  metadataPrefixes,
  offsetCommit,
  offsetFetch,
  readRecords,
  splitBatches,
  syncGroup,
  zeroUuid,
} from '@kafscale/protocol';
import { systemClock } from '@kafscale/runtime';
import { ConnectionClosed, eventually, type RawClient } from '@kafscale/testkit';
import { cp, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { RunningBroker } from './broker.ts';
import {
  batch,
  batchesOf,
  BrokerFixture,
  createTopic,
  fetchFrom,
  keepingLogger,
  LeapingClock,
  leaderEpochOf,
  produceTo,
  readAll,
} from './broker-fixture.ts';
import { ClusterFixture } from './cluster-fixture.ts';
import { MemoryMetadataStore } from './metadata/memory-metadata-store.ts';
import { prefixEnd, type LeaseId } from './metadata/metadata-store.ts';

jest.setTimeout(30_000);

const sessionTtlMs = 1_000;

describe('Broker', () => {
  const fixture = new BrokerFixture();

  afterEach(() => fixture.closeAll());

  const newProducerId = async (client: RawClient): Promise<bigint> => {
    const { errorCode, producerId } = await client.request(initProducerId, 4, {
      transactionalId: null,
      transactionTimeoutMs: 1_000,
      producerId: -1n,
      producerEpoch: -1,
    });
    expect(errorCode).toBe(0);
    return producerId;
  };

  /** A member of a group of one, with its assignment. */
  const soleMember = async (client: RawClient, groupId: string) => {
    const join = await client.request(joinGroup, 5, {
      groupId,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 30_000,
      memberId: '',
      groupInstanceId: 'instance',
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('m') }],
      reason: null,
    });
    expect(join.errorCode).toBe(0);
    const { memberId, generationId } = join;
    const sync = await client.request(syncGroup, 3, {
      groupId,
      generationId,
      memberId,
      groupInstanceId: 'instance',
      protocolType: null,
      protocolName: null,
      assignments: [{ memberId, assignment: Buffer.from('mine') }],
    });
    expect(sync.errorCode).toBe(0);
    return { groupId, memberId, generationId, groupInstanceId: 'instance' };
  };

  const commit = async (
    client: RawClient,
    member: Awaited<ReturnType<typeof soleMember>>,
    topic: string,
    offset: bigint,
  ) => {
    const { topics } = await client.request(offsetCommit, 7, {
      groupId: member.groupId,
      generationIdOrMemberEpoch: member.generationId,
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      retentionTimeMs: -1n,
      topics: [
        {
          name: topic,
          topicId: zeroUuid,
          partitions: [
            {
              partitionIndex: 0,
              committedOffset: offset,
              committedLeaderEpoch: -1,
              commitTimestamp: -1n,
              committedMetadata: 'noted',
            },
          ],
        },
      ],
    });
    return topics[0]!.partitions[0]!.errorCode;
  };

  const committed = async (client: RawClient, groupId: string, topic: string) => {
    const { topics } = await client.request(offsetFetch, 7, {
      groupId,
      topics: [{ name: topic, partitionIndexes: [0] }],
      groups: [],
      requireStable: true,
    });
    const { committedOffset, metadata, errorCode } = topics[0]!.partitions[0]!;
    return { committedOffset, metadata, errorCode };
  };

  const beat = async (client: RawClient, member: Awaited<ReturnType<typeof soleMember>>) =>
    (await client.request(heartbeat, 4, member)).errorCode;

  /** Records, a member and its offset, written through one broker, as the next one must know them. */
  const leaveTraces = async (broker: RunningBroker) => {
    const client = await fixture.connect(broker);
    await createTopic(client, 't', 2);
    for (const value of ['a', 'b', 'c']) expect((await produceTo(client, 't', 0, batch([value]))).errorCode).toBe(0);
    const member = await soleMember(client, 'g');
    expect(await commit(client, member, 't', 2n)).toBe(0);
    return member;
  };

  const expectTraces = async (client: RawClient, member: Awaited<ReturnType<typeof soleMember>>) => {
    const fetched = await fetchFrom(client, 't', 0, { offset: 0 });
    expect(batchesOf(fetched).map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2]);
    expect(batchesOf(fetched).every((found) => found.crc === found.computeCrc())).toBe(true);
    expect((await produceTo(client, 't', 0, batch(['d']))).baseOffset).toBe(3);
    expect(await beat(client, member)).toBe(0);
    expect(await committed(client, 'g', 't')).toEqual({ committedOffset: 2n, metadata: 'noted', errorCode: 0 });
    expect(await commit(client, member, 't', 3n)).toBe(0);
  };

  it('goes on after a stop with records, offsets and the generation of its groups', async () => {
    const dataDir = await fixture.folder();
    const first = await fixture.start({ dataDir });
    const member = await leaveTraces(first);
    await first.close();
    const second = await fixture.start({ dataDir });
    expect(second.clusterId).toBe(first.clusterId);
    await expectTraces(await fixture.connect(second), member);
  });

  it('goes on from what the folder holds the moment it is torn away', async () => {
    const dataDir = await fixture.folder();
    const member = await leaveTraces(await fixture.start({ dataDir }));
    const copy = await fixture.folder();
    await cp(dataDir, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    const client = await fixture.connect(await fixture.start({ dataDir: copy }));
    expect(await leaderEpochOf(client, 't')).toBe(1);
    await expectTraces(client, member);
  });

  it('raises the leader epoch with every start', async () => {
    const dataDir = await fixture.folder();
    for (const epoch of [0, 1, 2, 3]) {
      const broker = await fixture.start({ dataDir });
      const client = await fixture.connect(broker);
      if (epoch === 0) await createTopic(client, 't');
      expect(await leaderEpochOf(client, 't')).toBe(epoch);
      await broker.close();
    }
  });

  describe('whose session ran out', () => {
    it('closes old connections and goes on as a new incarnation on the same port', async () => {
      const clock = new LeapingClock();
      const broker = await fixture.start({ clock, config: { sessionTtlMs } });
      const { port } = broker;
      const member = await leaveTraces(broker);
      const old = await fixture.connect(broker);
      const epoch = await leaderEpochOf(old, 't');

      clock.leap(sessionTtlMs + 1);
      const refused = await produceTo(old, 't', 0, batch(['fenced'])).then(
        ({ errorCode }) => errorCode,
        (error: unknown) => error,
      );
      if (refused !== ErrorCode.NOT_LEADER_OR_FOLLOWER) expect(refused).toBeInstanceOf(ConnectionClosed);
      await old.closed;

      let client: RawClient | undefined;
      await eventually('the port is served again', async () => {
        client = await fixture.connect(broker).catch(() => undefined);
        return client !== undefined;
      });
      expect(broker.port).toBe(port);
      expect(await leaderEpochOf(client!, 't')).toBe(epoch + 1);
      await expectTraces(client!, member);
      expect((await fetch(`http://127.0.0.1:${broker.metricsPort}/readyz`)).status).toBe(200);
    });

    it('answers or closes what waits, soon', async () => {
      const clock = new LeapingClock();
      const broker = await fixture.start({ clock, config: { sessionTtlMs } });
      const client = await fixture.connect(broker);
      await createTopic(client, 't');
      const waiting = await fixture.connect(broker);
      const fetched = fetchFrom(waiting, 't', 0, { offset: 0, minBytes: 1, maxWaitMs: 60_000 }).catch(() => 'closed');
      clock.leap(sessionTtlMs + 1);
      await fetched;
      await waiting.closed;
    });

    it('keeps every acknowledged batch at its offset, and every batch once, over several lost sessions', async () => {
      const clock = new LeapingClock();
      const broker = await fixture.start({ clock, config: { sessionTtlMs } });
      const first = await fixture.connect(broker);
      await createTopic(first, 't', 2);
      const acknowledged = new Map<string, string>();
      let isOver = false;

      /** Sends each batch again, on a new connection if need be, until it is acknowledged. */
      const produceThrough = async (producer: number): Promise<number> => {
        const partition = producer % 2;
        let client: RawClient | undefined;
        let producerId: bigint | undefined;
        let sequence = 0;
        for (;;) {
          try {
            client ??= await fixture.connect(broker);
            producerId ??= await newProducerId(client);
            const value = `${producer}-${sequence}`;
            const records = batch([value], { producerId, producerEpoch: 0, baseSequence: sequence });
            const { errorCode, baseOffset } = await produceTo(client, 't', partition, records);
            if (errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER) continue;
            expect(errorCode).toBe(0);
            acknowledged.set(`${partition}/${baseOffset}`, value);
            sequence += 1;
            if (isOver) return sequence;
          } catch (error) {
            if (!(error instanceof ConnectionClosed) && (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') {
              throw error;
            }
            await client?.close();
            client = undefined;
          }
        }
      };
      const producers = [0, 1, 2, 3].map(produceThrough);
      for (let loss = 0; loss < 4; loss += 1) {
        const before = acknowledged.size;
        await eventually('producers go on', () => acknowledged.size > before + 40);
        clock.leap(sessionTtlMs + 1);
      }
      const before = acknowledged.size;
      await eventually('producers go on', () => acknowledged.size > before + 40);
      isOver = true;
      const counts = await Promise.all(producers);

      const client = await fixture.connect(broker);
      const stored = new Map<string, string>();
      for (const partition of [0, 1]) {
        const { batches } = splitBatches(await readAll(client, 't', partition));
        for (const found of batches) {
          const [record] = readRecords(found, 1_000);
          stored.set(`${partition}/${found.baseOffset}`, record!.value!.toString());
        }
      }
      expect(new Map([...stored].filter(([at]) => acknowledged.has(at)))).toEqual(acknowledged);
      expect([...stored.values()].sort()).toEqual([...new Set(stored.values())].sort());
      expect(stored.size).toBe(counts.reduce((sum, count) => sum + count, 0));
    });

    it('begins once more when the next session is lost before anything is served under it', async () => {
      const store = new MemoryMetadataStore({ clock: systemClock });
      const leases: LeaseId[] = [];
      const grantLease = store.grantLease.bind(store);
      store.grantLease = async (ttlMs, signal) => {
        const lease = await grantLease(ttlMs, signal);
        leases.push(lease);
        return lease;
      };
      const transact = store.transact.bind(store);
      store.transact = async (transaction, signal) => {
        const result = await transact(transaction, signal);
        const isRegistration = transaction.success.some(({ key }) => key.startsWith(metadataPrefixes.brokers));
        if (isRegistration && leases.length === 2) await store.revokeLease(leases[1]!);
        return result;
      };
      const cluster = new ClusterFixture(store);
      try {
        const broker = await cluster.add({ sessionTtlMs });
        await store.revokeLease(leases[0]!);
        await eventually('a topic can be created', async () => {
          const client = await cluster.connect(broker).catch(() => undefined);
          return client !== undefined && (await createTopic(client, 't').catch(() => undefined)) !== undefined;
        });
        expect(leases.length).toBeGreaterThanOrEqual(3);
      } finally {
        await cluster.closeAll();
      }
    });

    it('can be stopped while the metadata store is away and no next life begins', async () => {
      const store = new MemoryMetadataStore({ clock: systemClock });
      const cluster = new ClusterFixture(store);
      try {
        const broker = await cluster.add({ sessionTtlMs, shutdownTimeoutMs: 500 });
        const sessionsBegun: string[] = [];
        const transact = store.transact.bind(store);
        store.transact = async (transaction, signal) => {
          const result = await transact(transaction, signal);
          const session = transaction.success.find(({ key }) => key.startsWith(metadataPrefixes.sessions));
          if (session !== undefined) sessionsBegun.push(session.key);
          if (session !== undefined) broker.cutOff();
          return result;
        };
        const { items } = await store.range({
          key: metadataPrefixes.sessions,
          end: prefixEnd(metadataPrefixes.sessions),
        });
        await store.revokeLease(items[0]!.leaseId!);
        await eventually('the next life begins', () => Promise.resolve(sessionsBegun.length === 1));
        await broker.running.close();
      } finally {
        await cluster.closeAll();
      }
    });

    it('keeps idempotent producers going where they stopped', async () => {
      const clock = new LeapingClock();
      const broker = await fixture.start({ clock, config: { sessionTtlMs } });
      const before = await fixture.connect(broker);
      await createTopic(before, 't');
      const producerId = await newProducerId(before);
      const sequenced = (baseSequence: number) => batch(['x'], { producerId, producerEpoch: 0, baseSequence });
      expect((await produceTo(before, 't', 0, sequenced(0))).baseOffset).toBe(0);
      clock.leap(sessionTtlMs + 1);
      await before.closed;
      let after: RawClient | undefined;
      await eventually('the port is served again', async () => {
        after = await fixture.connect(broker).catch(() => undefined);
        return after !== undefined;
      });
      expect((await produceTo(after!, 't', 0, sequenced(0))).baseOffset).toBe(0);
      expect((await produceTo(after!, 't', 0, sequenced(1))).baseOffset).toBe(1);
    });
  });

  it('closes at once though fetches and joins are parked', async () => {
    const broker = await fixture.start({ config: { groupInitialRebalanceDelayMs: 60_000, shutdownTimeoutMs: 60_000 } });
    const client = await fixture.connect(broker);
    await createTopic(client, 't');
    const fetcher = await fixture.connect(broker);
    const fetched = fetchFrom(fetcher, 't', 0, { offset: 0, minBytes: 1, maxWaitMs: 60_000 }).catch(() => 'closed');
    const joiner = await fixture.connect(broker);
    const joined = soleMember(joiner, 'g').catch(() => 'refused or closed');
    const idle = await fixture.connect(broker);
    await eventually('both are in work', async () => {
      const text = await (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
      return /^kafscale_consumer_groups(?:\{[^}]*\})? 1$/m.test(text);
    });
    await broker.close();
    await Promise.all([fetched, joined, idle.closed]);
  });

  it('answers what it accepted before it closes', async () => {
    const dataDir = await fixture.folder();
    const broker = await fixture.start({ dataDir, config: { flushIntervalMs: 1_000 } });
    const client = await fixture.connect(broker);
    await createTopic(client, 't');
    const produced = Promise.all(
      Array.from({ length: 20 }, (_, index) => produceTo(client, 't', 0, batch([`${index}`])).catch(() => undefined)),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    await broker.close();
    const acknowledged = (await produced).filter((answer) => answer?.errorCode === 0);
    expect(acknowledged.length).toBeGreaterThan(0);
    const after = await fixture.connect(await fixture.start({ dataDir }));
    const { highWatermark } = await fetchFrom(after, 't', 0, { offset: 0 });
    expect(highWatermark).toBeGreaterThanOrEqual(acknowledged.length);
  });

  it('says which process has its data folder, and leaves that one alone', async () => {
    const dataDir = await fixture.folder();
    const first = await fixture.start({ dataDir });
    await expect(fixture.start({ dataDir })).rejects.toThrow(`is in use by process ${process.pid}`);
    const client = await fixture.connect(first);
    await createTopic(client, 't');
  });

  it('rejects with the system’s error when its port is taken, and gives the folder back', async () => {
    const dataDir = await fixture.folder();
    const occupier = createServer();
    const port = await new Promise<number>((resolve) => {
      occupier.listen(0, '127.0.0.1', () => resolve((occupier.address() as AddressInfo).port));
    });
    const config = { kafkaAddress: `127.0.0.1:${port}` };
    await expect(fixture.start({ dataDir, config })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const metricsTaken = { metricsAddress: `127.0.0.1:${port}` };
    await expect(fixture.start({ dataDir, config: metricsTaken })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await new Promise((resolve) => occupier.close(resolve));
    await fixture.start({ dataDir, config });
  });

  it('rejects with what is wrong when its folder cannot be one', async () => {
    const dataDir = await fixture.folder();
    await writeFile(join(dataDir, 'file'), '');
    await expect(fixture.start({ dataDir: join(dataDir, 'file') })).rejects.toThrow('ENOTDIR');
    await expect(fixture.start({ dataDir: join(dataDir, 'nul\0') })).rejects.toThrow('null bytes');
  });

  it('logs nothing at warn and above in a plain life', async () => {
    const { logger, lines } = keepingLogger('warn');
    const dataDir = await fixture.folder();
    for (let life = 0; life < 2; life += 1) {
      const broker = await fixture.start({ dataDir, logger });
      const client = await fixture.connect(broker);
      if (life === 0) await createTopic(client, 't');
      await produceTo(client, 't', 0, batch(['x']));
      await client.close();
      await broker.close();
    }
    expect(lines).toEqual([]);
  });
});
