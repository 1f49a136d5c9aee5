/** Changes of owners on a real etcd: a broker that stops, one that dies, one that comes. */
import { jest } from '@jest/globals';
import { brokerConfigSchema, ErrorCode, metadataKeys, splitBatches } from '@kafscale/protocol';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { defaultEtcdVersion, etcdChoices, eventually } from '@kafscale/testkit';
import { batch, createTopic, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';

jest.setTimeout(120_000);

const partitionCount = 100;
const partitions = Array.from({ length: partitionCount }, (_, partition) => partition);

describe('brokers on etcd', () => {
  it('take over and hand over with every record, while they fold and etcd keeps no history at all', async () => {
    const etcd = await etcdChoices([defaultEtcdVersion()])[0].start();
    const config = brokerConfigSchema.parse({ clusterName: `ownership-${process.pid}` });
    const store = await openEtcd(
      { ...config, etcdEndpoints: etcd.endpoints },
      { clock: systemClock, random: cryptoRandom },
    );
    const cluster = new ClusterFixture(store);
    // As much is folded as can be, and whatever is read page by page has its revision compacted away.
    const tiers = { foldAfterMs: 200, segmentBytes: 64 * 1024 };
    const over = new AbortController();
    let compactions = 0;
    const compacting = (async () => {
      while (!over.signal.aborted) {
        const { revision } = await store.range({ key: metadataKeys.controller });
        await store.compact(revision).then(
          () => (compactions += 1),
          () => undefined, // a revision that is compacted already
        );
        await systemClock.sleep(20);
      }
    })();
    try {
      for (let broker = 0; broker < 3; broker += 1) await cluster.add(tiers);
      const [first, second, third] = cluster.brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
      await createTopic(await cluster.connect(first), 't', partitionCount);
      let expected = 0;
      /** One record to each partition, wherever it is led by now; then each has all that were ever written to it. */
      const check = async (living: readonly ClusterBroker[]) => {
        const clients = new Map(living.map((broker) => [broker.id, cluster.connect(broker)]));
        await Promise.all(
          partitions.map((partition) =>
            eventually(`partition ${partition} takes a record`, async () => {
              const client = await clients.get(await cluster.leaderOf('t', partition, first));
              if (client === undefined) return false;
              const identity = { producerId: BigInt(partition), producerEpoch: 0, baseSequence: expected };
              const { errorCode } = await produceTo(client, 't', partition, batch(['v'], identity));
              return errorCode === ErrorCode.NONE;
            }),
          ),
        );
        expected += 1;
        for (const partition of [0, 33, 66, 99]) {
          const client = await clients.get(await cluster.leaderOf('t', partition, first));
          const { batches } = splitBatches(await readAll(client!, 't', partition));
          expect(batches.map(({ baseSequence }) => baseSequence)).toEqual(batches.map(({ baseOffset }) => baseOffset));
          expect(batches).toHaveLength(expected);
        }
      };
      await check([first, second, third]);

      cluster.brokers.splice(cluster.brokers.indexOf(second), 1);
      await second.running.close();
      await check([first, third]);
      third.cutOff();
      await check([first]);
      const fourth = await cluster.add(tiers);
      await check([first, fourth]);
      expect(compactions).toBeGreaterThan(20);
    } finally {
      over.abort();
      await compacting;
      await cluster.closeAll();
      await etcd.close();
    }
  });
});
