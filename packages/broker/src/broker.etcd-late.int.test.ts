/**
 * A whole broker whose commit gets stuck on its way to one member of etcd, is made through another one, is folded away with its
 * manifest, and then arrives after all (COMMIT.md F1). Two proxies stand for two members.
 */
import { jest } from '@jest/globals';
import { brokerConfigSchema, ErrorCode, metadataPrefixes, readRecords, splitBatches } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, FaultyProxy, givenEtcdEndpoints, RawClient } from '@kafscale/testkit';
import { batch, createTopic, produceTo, readAll } from './broker-fixture.ts';
import { startBroker } from './broker.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';
import { prefixEnd } from './metadata/metadata-store.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';

jest.setTimeout(120_000);

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

/** More than a keepalive comes to, and less than a commit. */
const commitBytes = 300;

describeOwn('a commit that arrives at etcd a second time', () => {
  it.each([1_000, 15_000])('%i ms after its manifest was folded away brings nothing back', async (laterMs) => {
    const etcd = await EtcdServer.start({ durable: false });
    const { port } = etcd.members[0]!;
    const proxies = [await FaultyProxy.start({ port }), await FaultyProxy.start({ port })];
    const config = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 2,
      sessionTtlMs: 30_000,
      foldAfterMs: 200,
      segmentBytes: 64 * 1024,
    });
    const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };
    const objectStore = new MemoryObjectStore(dependencies);
    objectStore.close = () => Promise.resolve(); // it outlives the first broker
    const startOn = async (etcdEndpoints: readonly string[]) => {
      const metadataStore = await openEtcd({ ...config, etcdEndpoints }, dependencies);
      return startBroker(config, dependencies, { metadataStore, objectStore });
    };
    const direct = await openEtcd({ ...config, etcdEndpoints: etcd.endpoints }, dependencies);
    const manifests = async () => {
      const { manifests: key } = metadataPrefixes;
      return (await direct.range({ key, end: prefixEnd(key) })).items.map((item) => item.key);
    };
    const expected: string[] = [];
    let broker = await startOn(proxies.map(({ endpoint }) => endpoint));
    let client = await RawClient.connect({ port: broker.port });
    try {
      await createTopic(client, 't', 1);
      const produce = async (value: string) => {
        expect((await produceTo(client, 't', 0, batch([value]))).errorCode).toBe(ErrorCode.NONE);
        expected.push(value);
      };
      const values = async () =>
        splitBatches(await readAll(client, 't', 0)).batches.flatMap((one) =>
          [...readRecords(one, 1 << 20)].map(({ value }) => String(value)),
        );
      await produce('before');
      const [stuck] = proxies.filter(({ connections }) => connections > 0);
      stuck!.hold('toServer');
      const committing = produce('stuck');
      await eventually('the stuck commit', () => stuck!.heldBytes('toServer') > commitBytes, 900);
      stuck!.drop('toServer');
      await committing;
      const written = await manifests();
      for (let count = 0; count < 20; count += 1) await produce(`after ${count}`.padEnd(4_000));
      await eventually('that it is folded away', async () => {
        await produce('more'.padEnd(4_000));
        const left = new Set(await manifests());
        return written.every((key) => !left.has(key));
      });

      await systemClock.sleep(laterMs);
      const answered = stuck!.receivedBytes('toClient');
      stuck!.deliverHeld('toServer');
      await eventually('that etcd has answered it', () => stuck!.receivedBytes('toClient') > answered);
      await systemClock.sleep(100);
      expect((await manifests()).filter((key) => written.includes(key))).toEqual([]);
      expect(await values()).toEqual(expected);
      await produce('last');

      await client.close();
      await broker.close();
      broker = await startOn(etcd.endpoints);
      client = await RawClient.connect({ port: broker.port });
      await eventually('that the next life leads it', async () => {
        return (await produceTo(client, 't', 0, batch(['of the next life']))).errorCode === ErrorCode.NONE;
      });
      expected.push('of the next life');
      expect(await values()).toEqual(expected);
    } finally {
      await client.close();
      await broker.close();
      await direct.close();
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await etcd.close();
    }
  });
});
