/**
 * The whole road back from a lost etcd, on a real etcd and a real S3 server: a snapshot, more acknowledged records, the snapshot
 * restored, which brokers refuse, and the rebuild that brings back everything that was acknowledged.
 */
import { jest } from '@jest/globals';
import { openBucket, rebuildStores, startBroker, verifyStores, type RunningBroker } from '@kafscale/broker';
import { fetchSnapshot } from '@kafscale/operator';
import { brokerConfigSchema } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock, type Clock } from '@kafscale/runtime';
import { EtcdServer, eventually, startMinio, type S3Server } from '@kafscale/testkit';
import { Kafka, logLevel } from 'kafkajs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { etcdSnapshot } from './commands/etcd-snapshot.ts';

// Servers are built here when they were not before.
jest.setTimeout(25 * 60_000);

const later = (ms: number): Clock => {
  const clock = Object.create(systemClock) as Clock;
  return Object.assign(clock, { wallMs: () => systemClock.wallMs() + ms });
};

let etcd: EtcdServer;
let s3: S3Server;
let folder: string;
const brokers: RunningBroker[] = [];
const environment = process.env;

beforeAll(async () => {
  [etcd, s3] = await Promise.all([EtcdServer.start({ version: 'newest' }), startMinio()]);
  await s3.createBucket('records');
  folder = await mkdtemp(join(tmpdir(), 'kafscale-restore-'));
});

afterAll(async () => {
  process.env = environment;
  await Promise.all(brokers.map((broker) => broker.close()));
  await Promise.all([etcd.close(), s3.close(), rm(folder, { recursive: true, force: true })]);
});

const configOf = () =>
  brokerConfigSchema.parse({
    ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', advertisedHost: '127.0.0.1' },
    ...{ etcdEndpoints: etcd.endpoints, s3Bucket: 'records', s3Endpoint: s3.endpoint, s3Region: s3.region },
    ...{ s3AccessKey: s3.accessKey, s3SecretKey: s3.secretKey, s3PathStyle: true, sessionTtlMs: 5_000 },
    // Everything that deletes or folds is at work, as soon as it can be.
    ...{ checkpointIntervalMs: 1_000, garbageIntervalMs: 1_000, garbageGraceMs: 0, garbageReaderGraceMs: 0 },
  });

const start = async (): Promise<RunningBroker> => {
  const broker = await startBroker(configOf(), { clock: systemClock, random: cryptoRandom, logger: silentLogger });
  brokers.push(broker);
  return broker;
};

const clientOf = (broker: RunningBroker) =>
  new Kafka({ brokers: [`127.0.0.1:${broker.port}`], logLevel: logLevel.NOTHING });

async function produce(broker: RunningBroker, values: readonly string[]): Promise<void> {
  const producer = clientOf(broker).producer({ idempotent: true });
  await producer.connect();
  for (const value of values) await producer.send({ topic: 'orders', acks: -1, messages: [{ value }] });
  await producer.disconnect();
}

async function readAll(broker: RunningBroker, count: number): Promise<readonly string[]> {
  const consumer = clientOf(broker).consumer({ groupId: `reader-${cryptoRandom.bytes(4).toString('hex')}` });
  await consumer.connect();
  await consumer.subscribe({ topic: 'orders', fromBeginning: true });
  const values: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const run = consumer.run({
      eachMessage: ({ message }) => {
        values.push(String(message.value));
        if (values.length === count) resolve();
        return Promise.resolve();
      },
    });
    run.catch(reject);
  });
  await consumer.disconnect();
  return values;
}

test('snapshot, more records, restore, rebuild: every acknowledged record is there', async () => {
  const settings = {
    ...{ KAFSCALE_S3_BUCKET: 'records', KAFSCALE_S3_ENDPOINT: s3.endpoint, KAFSCALE_S3_REGION: s3.region },
    ...{ KAFSCALE_S3_ACCESS_KEY: s3.accessKey, KAFSCALE_S3_SECRET_KEY: s3.secretKey },
  };
  process.env = { ...environment, ...settings };
  const broker = await start();
  const admin = clientOf(broker).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 1 }], waitForLeaders: true });
  await admin.disconnect();
  const before = Array.from({ length: 20 }, (_, index) => `before-${index}`);
  const after = Array.from({ length: 20 }, (_, index) => `after-${index}`);
  await produce(broker, before);
  const report = join(folder, 'report.json');
  await etcdSnapshot({ endpoints: etcd.endpoints.map((at) => `http://${at}`), cluster: 'test', keep: 2, report });
  const { key } = JSON.parse(await readFile(report, 'utf8')) as { key: string };
  await produce(broker, after);
  // Long enough for checkpoints that are newer than the snapshot, and for garbage to be looked for.
  await systemClock.sleep(5_000);
  await broker.close();

  const store = await openBucket(configOf(), { clock: systemClock, random: cryptoRandom, logger: silentLogger });
  const file = join(folder, 'snapshot.db');
  await fetchSnapshot(store, key, file);
  await store.close();
  await etcd.restore(file);
  await expect(start()).rejects.toThrow(/older backup|went back|thing of the past/);

  const dependencies = { clock: later(60_000), random: cryptoRandom };
  const refusal = () =>
    rebuildStores(configOf(), dependencies, { confirm: () => true }).then(
      () => '',
      (error: unknown) => String(error),
    );
  // The snapshot has the sessions of then; they end as any broker's that is gone.
  await eventually('sessions in the snapshot end', async () => !(await refusal()).includes('at work'), 60_000, 500);
  expect(await refusal()).toContain('--replace');
  const { plan } = await rebuildStores(configOf(), dependencies, { confirm: () => true, replaces: true });
  expect(plan.summary).toMatchObject({ topics: 1, faults: [], lost: [] });
  expect((await verifyStores(configOf(), dependencies, {})).findings).toEqual([]);
  const again = await start();
  expect(await readAll(again, 40)).toEqual([...before, ...after]);
  await produce(again, ['more']);
  expect(await readAll(again, 41)).toEqual([...before, ...after, 'more']);
});
