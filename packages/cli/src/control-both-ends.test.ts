/** The operator's clients and servers against real brokers, over real sockets: here, because no other package may know both. */
import { jest } from '@jest/globals';
import { startEmbeddedCluster, type EmbeddedCluster } from '@kafscale/broker';
import { ControlClients, KafkaAdmin, LoadReports, MetricsServer } from '@kafscale/operator';
import { brokerConfigSchema, type AssignmentUpdate } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, makeTestCertificates } from '@kafscale/testkit';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

jest.setTimeout(60_000);

const token = 'a-token-that-the-operator-made';
const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };

let folder: string;
let cluster: EmbeddedCluster | undefined;
let clients: ControlClients | undefined;
let metrics: MetricsServer | undefined;
let admin: KafkaAdmin | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-both-ends-'));
  await writeFile(join(folder, 'token'), token);
});
afterEach(async () => {
  clients?.close();
  admin?.close();
  await cluster?.close();
  await metrics?.close();
  [clients, admin, cluster, metrics] = [undefined, undefined, undefined, undefined];
  await rm(folder, { recursive: true, force: true });
});

async function start(count: number, settings: Readonly<Record<string, unknown>> = {}) {
  const config = brokerConfigSchema.parse({
    ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', controlAddress: '127.0.0.1:0' },
    ...{ advertisedHost: '127.0.0.1', controlTokenFile: join(folder, 'token'), dataDir: join(folder, 'data') },
    ...{ flushIntervalMs: 2, rebalanceDelayMs: 0, ...settings },
  });
  cluster = await startEmbeddedCluster(
    Array.from({ length: count }, () => config),
    dependencies,
  );
  admin = new KafkaAdmin({ ...dependencies, bootstrap: cluster.brokers.map(({ host, port }) => ({ host, port })) });
  return cluster.brokers;
}

describe('the operator and its brokers', () => {
  it('makes a topic, sees who owns it, drains a broker and follows the moves', async () => {
    const brokers = await start(2);
    clients = new ControlClients({ clock: systemClock, token: () => Promise.resolve(token) });
    const [first, second] = brokers.map(({ controlPort }) => clients!.of(`127.0.0.1:${controlPort}`));
    expect([...(await admin!.createTopics([{ name: 't', partitions: 8 }])).values()]).toEqual([undefined]);
    await eventually('both have their share', async () => (await second!.status()).partitions.length === 4);
    expect(await admin!.offsets('t')).toEqual(
      Array.from({ length: 8 }, (_, partition) => ({ partition, start: 0, end: 0 })),
    );

    const moves: AssignmentUpdate[] = [];
    const over = new AbortController();
    const { brokerId } = await second!.status();
    const following = (async () => {
      for await (const update of first!.watchAssignments({ brokerId, signal: over.signal })) moves.push(update);
    })();
    await eventually('what it owns is shown', () => moves.length === 4);
    expect(await second!.flush({ partitions: [], allAssigned: true })).toMatchObject({ flushed: { length: 4 } });
    const outcome = await second!.drain({ partitions: [], reason: 'scale-down', deadlineSeconds: 30 });
    expect(outcome).toMatchObject({ drained: { length: 4 }, pending: [], pendingCoordinatorShards: 0 });
    await eventually('every partition is shown as the other one owns it', () => {
      const last = new Map(moves.map((update) => [update.partition.partition, update]));
      return [...last.values()].every(({ status, brokerId: owner }) => status === 'owned' && owner !== brokerId);
    });
    over.abort();
    await following;
    expect(await second!.status()).toMatchObject({ ready: false, partitions: [], draining: true });
    await second!.setCordon({ cordoned: false, reason: 'test' });
    await eventually('it has its share again', async () => (await second!.status()).partitions.length === 4);
  });

  it('does not get in with another token', async () => {
    const [broker] = await start(1);
    clients = new ControlClients({
      clock: systemClock,
      token: () => Promise.resolve('another-token-entirely'),
      callDeadlineMs: 2_000,
    });
    await expect(clients.of(`127.0.0.1:${broker!.controlPort}`).status()).rejects.toMatchObject({ kind: 'refused' });
  });

  it('is told the load, under the cluster whose token the broker has', async () => {
    const reports = new LoadReports(systemClock);
    metrics = await MetricsServer.start({
      ...{ address: '127.0.0.1:0', reports, clock: systemClock, logger: silentLogger },
      clusterOf: (given) => Promise.resolve(given === token ? 'ns/cluster' : undefined),
    });
    const [broker] = await start(1, { operatorMetricsEndpoint: `127.0.0.1:${metrics.port}` });
    await admin!.createTopics([{ name: 't', partitions: 3 }]);
    await eventually(
      'a report with the topic has come',
      () => reports.of('ns/cluster')[0]?.gauges['kafscale_topics'] === 1,
      30_000,
    );
    const [load] = reports.of('ns/cluster');
    expect(load).toMatchObject({ brokerId: broker!.brokerId });
    expect(load!.counters['kafscale_connections_opened_total']).toBeGreaterThan(0);
  });

  it('talks by TLS, and in no other way where a certificate is given', async () => {
    const { caFile, server } = await makeTestCertificates(folder, 'operator');
    const [broker] = await start(1, { controlTlsCertFile: server.certFile, controlTlsKeyFile: server.keyFile });
    const address = `127.0.0.1:${broker!.controlPort}`;
    const tlsCa = await readFile(caFile);
    clients = new ControlClients({ clock: systemClock, token: () => Promise.resolve(token), tlsCa });
    expect(await clients.of(address).status()).toMatchObject({ ready: true });
    clients.close();
    clients = new ControlClients({ clock: systemClock, token: () => Promise.resolve(token), callDeadlineMs: 2_000 });
    await expect(clients.of(address).status()).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('needs a certificate where brokers ask for one, and no token besides', async () => {
    const { caFile, server, client } = await makeTestCertificates(folder, 'operator');
    const [broker] = await start(1, {
      ...{ controlTokenFile: undefined, controlTlsClientCaFile: caFile },
      ...{ controlTlsCertFile: server.certFile, controlTlsKeyFile: server.keyFile },
    });
    const address = `127.0.0.1:${broker!.controlPort}`;
    const tlsCa = await readFile(caFile);
    const settings = { clock: systemClock, token: () => Promise.resolve(undefined), callDeadlineMs: 2_000, tlsCa };
    const tlsIdentity = { cert: await readFile(client.certFile), key: await readFile(client.keyFile) };
    clients = new ControlClients({ ...settings, tlsIdentity });
    expect(await clients.of(address).status()).toMatchObject({ ready: true });
    clients.close();
    clients = new ControlClients(settings);
    await expect(clients.of(address).status()).rejects.toMatchObject({ kind: 'unreachable' });
  });
});
