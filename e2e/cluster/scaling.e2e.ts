/**
 * Brokers come and go, down to none: what was acknowledged stays, and one more broker needs no word to anybody. On the newest etcd and
 * versitygw, where the other files of this suite have the oldest and MinIO.
 */
import { eventually, startVersitygw } from '@kafscale/testkit';
import { ClusterUnderTest } from './cluster-under-test.ts';
import { Load } from './load.ts';

const seed = Number(process.env['KAFSCALE_SEED'] ?? 1);
const partitions = 12;
const env = { KAFSCALE_SESSION_TTL_MS: '6000' };

let cluster: ClusterUnderTest;
const loads: Load[] = [];

beforeAll(async () => {
  cluster = await ClusterUnderTest.start({ brokers: 0, etcd: { version: 'newest' }, startS3: startVersitygw, env });
  for (let brokerId = 0; brokerId < 3; brokerId += 1) await cluster.addBroker();
}, 120_000);

afterAll(async () => {
  for (const load of loads) await load.close();
  await cluster.close();
});

async function writeFor(topic: string, work: () => Promise<void>): Promise<void> {
  const load = await Load.start({ cluster, topic, partitions, seed });
  loads.push(load);
  await work();
  await load.finish();
}

async function expectEverythingThere(): Promise<void> {
  for (const load of loads) expect(await load.verify()).toEqual([]);
}

async function leadersOf(topic: string): Promise<Set<number>> {
  return new Set((await loads[0]!.client.leaders(topic)).values());
}

describe('a cluster that starts with nobody', () => {
  it('works with one broker, and spreads over three that come under load', async () => {
    const [first, second, third] = cluster.brokers;
    await first!.start();
    await writeFor('up', async () => {
      await second!.start();
      await third!.start();
      await eventually('all three lead', async () => (await leadersOf('up')).size === 3, 60_000);
      await loads[0]!.everyPartitionWritten(15_000);
    });
    await expectEverythingThere();
  });

  it('goes down to nobody one by one and keeps every record for whoever comes next', async () => {
    const [first, second, third] = cluster.brokers;
    await third!.drain();
    await first!.drain();
    await second!.drain();
    expect(cluster.running).toEqual([]);
    await Promise.all([second!.start(), third!.start()]);
    await expectEverythingThere();
    await writeFor('again', () => loads[1]!.everyPartitionWritten(15_000));
    await expectEverythingThere();
  });

  it('survives the death of all brokers at once', async () => {
    await Promise.all(cluster.running.map((broker) => broker.kill()));
    await Promise.all(cluster.brokers.map((broker) => broker.start()));
    await expectEverythingThere();
  });
});
