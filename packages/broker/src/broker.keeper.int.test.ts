/** What is run beside brokers, on a real etcd and a real S3 server: garbage collection under folding, verify, and rebuild after etcd was lost. */
import { jest } from '@jest/globals';
import { brokerConfigSchema, readRecords, splitBatches, type BrokerConfig } from '@kafscale/protocol';
import { cryptoRandom, silentLogger } from '@kafscale/runtime';
import {
  etcdChoices,
  eventually,
  s3Choices,
  type EtcdForTests,
  type S3ForTests,
  type S3Place,
} from '@kafscale/testkit';
import { batch, BrokerFixture, createTopic, LeapingClock, produceTo, readAll } from './broker-fixture.ts';
import { startBroker, type RunningBroker } from './broker.ts';
import { rebuildStores, verifyStores } from './maintenance.ts';

// Servers are built here when they were not before.
jest.setTimeout(25 * 60_000);

const valuesIn = (bytes: Buffer) =>
  splitBatches(bytes).batches.flatMap((one) => [...readRecords(one, 1 << 20)].map(({ value }) => String(value)));

const [s3Choice] = s3Choices();

describe(`on etcd and ${s3Choice.name}`, () => {
  const fixture = new BrokerFixture();
  const clock = new LeapingClock();
  const dependencies = { clock, random: cryptoRandom };
  let etcd: EtcdForTests;
  let s3: S3ForTests;
  let place: S3Place;
  const brokers: RunningBroker[] = [];

  beforeAll(async () => {
    [etcd, s3] = await Promise.all([etcdChoices(['newest'])[0].start(), s3Choice.start()]);
    place = await s3.freshPlace();
  });
  afterAll(async () => {
    await fixture.closeAll();
    await Promise.all(brokers.map((broker) => broker.close()));
    await Promise.all([etcd.close(), s3.close()]);
  });

  const configOf = (clusterName: string): BrokerConfig =>
    brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 2,
      sessionTtlMs: 5_000,
      etcdEndpoints: etcd.endpoints,
      etcdPrefix: `/keeper-${process.pid}`,
      clusterName,
      s3Bucket: place.bucket,
      ...(place.prefix !== '' && { namespace: place.prefix.replace(/\/$/, '') }),
      s3Endpoint: s3.access.endpoint,
      s3PathStyle: s3.pathStyle,
      s3Region: s3.access.region,
      s3AccessKey: s3.access.accessKey,
      s3SecretKey: s3.access.secretKey,
      checkpointIntervalMs: 1_000,
      garbageIntervalMs: 1_000,
      garbageGraceMs: 0,
      garbageReaderGraceMs: 0,
      foldAfterMs: 200,
      segmentBytes: 64 * 1024,
    });
  const start = async (clusterName: string): Promise<RunningBroker> => {
    const broker = await startBroker(configOf(clusterName), { ...dependencies, logger: silentLogger });
    brokers.push(broker);
    return broker;
  };

  it('collects what was folded, loses etcd, and serves everything again', async () => {
    const broker = await start('first');
    const client = await fixture.connect(broker);
    await createTopic(client, 't');
    const expected: string[] = [];
    const produce = async () => {
      const value = `${expected.length}`.padEnd(4_000, 'x');
      expect((await produceTo(client, 't', 0, batch([value]))).baseOffset).toBe(expected.length);
      expected.push(value);
    };
    const metrics = async () => (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
    const deleted = async () => Number(/^kafscale_gc_deleted_objects_total (\d+)/m.exec(await metrics())?.[1] ?? 0);
    for (let count = 0; count < 50; count += 1) await produce();
    await eventually(
      'that garbage is deleted',
      async () => {
        await produce();
        return (await deleted()) > 40;
      },
      90_000,
    );
    const living = await verifyStores(configOf('first'), dependencies, {});
    expect(living.findings).toEqual([]);
    await client.close();
    await broker.close();

    await expect(start('second')).rejects.toThrow(/kafscale rebuild/);
    clock.leap(60_000);
    const { plan } = await rebuildStores(configOf('second'), dependencies, { confirm: () => true });
    expect(plan.summary).toMatchObject({ topics: 1, faults: [], warnings: [], topicsWithoutSettings: [] });
    expect((await verifyStores(configOf('second'), dependencies, {})).findings).toEqual([]);
    const again = await fixture.connect(await start('second'));
    expect(valuesIn(await readAll(again, 't', 0))).toEqual(expected);
    expect((await produceTo(again, 't', 0, batch(['more']))).baseOffset).toBe(expected.length);
    await expect(start('first')).rejects.toThrow(/thing of the past/);
  });
});
