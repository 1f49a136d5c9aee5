/** A whole broker on an etcd that checks its certificate, while all certificates are replaced under it as an issuer does. */
import { brokerConfigSchema, ErrorCode } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, givenEtcdEndpoints, RawClient } from '@kafscale/testkit';
import { batch, batchesOf, createTopic, fetchFrom, produceTo } from './broker-fixture.ts';
import { startBroker } from './broker.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('a broker whose certificate for etcd is renewed', () => {
  it('goes on without a restart, in the same life, when etcd takes neither the old one nor its authority', async () => {
    const etcd = await EtcdServer.start({ durable: false, tls: 'mutual' });
    const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };
    const { caFile: etcdCaFile, client } = etcd.certificates!;
    const config = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 2,
      sessionTtlMs: 30_000,
      etcdCaFile,
      etcdCertFile: client.certFile,
      etcdKeyFile: client.keyFile,
    });
    const metadataStore = await openEtcd({ ...config, etcdEndpoints: etcd.endpoints }, dependencies);
    const objectStore = new MemoryObjectStore(dependencies);
    const broker = await startBroker(config, dependencies, { metadataStore, objectStore });
    const kafka = await RawClient.connect({ port: broker.port });
    try {
      await createTopic(kafka, 't', 1);
      const produce = async (value: string) => (await produceTo(kafka, 't', 0, batch([value]))).errorCode;
      expect(await produce('a')).toBe(ErrorCode.NONE);
      for (const value of ['b', 'c']) {
        await etcd.renewCertificates();
        await etcd.killAll();
        await etcd.startAll();
        expect(await produce(value)).toBe(ErrorCode.NONE);
      }
      // A new topic reaches the broker by its watch.
      await createTopic(kafka, 'later', 1);
      await eventually('the new topic', async () => (await produceTo(kafka, 'later', 0, batch(['x']))).errorCode === 0);
      const records = batchesOf(await fetchFrom(kafka, 't', 0, { offset: 0 }));
      const epochs = records.map(({ baseOffset, partitionLeaderEpoch }) => [baseOffset, partitionLeaderEpoch]);
      expect(epochs).toEqual([0, 1, 2].map((offset) => [offset, epochs[0]![1]]));
    } finally {
      await kafka.close();
      await broker.close();
      await etcd.close();
    }
  });
});
