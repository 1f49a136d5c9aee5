/** Whole brokers on a real etcd that stands still for longer than their sessions last, with a commit under way, and goes on. */
import { jest } from '@jest/globals';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, givenEtcdEndpoints } from '@kafscale/testkit';
import { batch, createTopic, produceTo } from './broker-fixture.ts';
import { ClusterFixture } from './cluster-fixture.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';

jest.setTimeout(120_000);

const partitions = 6;
/** Several times the time of a session. */
const frozenMs = 20_000;

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('brokers whose etcd stands still', () => {
  let etcd: EtcdServer;
  let cluster: ClusterFixture;

  beforeEach(async () => {
    etcd = await EtcdServer.start({ durable: false });
    const settings = { etcdPrefix: '/kafscale', clusterName: 'frozen', etcdEndpoints: etcd.endpoints };
    cluster = new ClusterFixture(await openEtcd(settings, { clock: systemClock, random: cryptoRandom }));
  });
  afterEach(async () => {
    await cluster.closeAll();
    await etcd.close();
  });

  const produceOnce = async (partition: number): Promise<boolean> => {
    for (const broker of cluster.brokers) {
      const client = await cluster.connect(broker).catch(() => undefined);
      const answer = client && (await produceTo(client, 't', partition, batch(['value'])).catch(() => undefined));
      await client?.close();
      if (answer?.errorCode === 0) return true;
    }
    return false;
  };

  it.each([1, 3])('%i of them take batches for every partition again within seconds', async (count) => {
    for (let broker = 0; broker < count; broker += 1) await cluster.add();
    await createTopic(await cluster.connect(cluster.brokers[0]!), 't', partitions);
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    for (const partition of all) {
      await eventually(`partition ${partition} is written`, () => produceOnce(partition));
    }
    for (const member of etcd.members) member.pause();
    const underWay = all.map((partition) => produceOnce(partition));
    await systemClock.sleep(frozenMs);
    for (const member of etcd.members) member.resume();
    const isWritten = (partition: number) =>
      eventually(`partition ${partition} is written again`, () => produceOnce(partition), 15_000);
    await Promise.all(all.map(isWritten));
    await Promise.all(underWay);
  });
});
