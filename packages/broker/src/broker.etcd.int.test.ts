/** A whole broker on a real etcd that fails under it; objects are kept in memory, where nothing fails. */
import { brokerConfigSchema, ErrorCode } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { EtcdServer, eventually, givenEtcdEndpoints, RawClient } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batch, createTopic, fetchFrom, batchesOf, produceTo } from './broker-fixture.ts';
import { startBroker, type RunningBroker } from './broker.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';

const MiB = 2 ** 20;

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn('a broker on etcd', () => {
  let etcd: EtcdServer;
  let broker: RunningBroker;
  let client: RawClient;
  let folder: string;

  beforeEach(async () => {
    etcd = await EtcdServer.start({ durable: false, quotaBytes: 24 * MiB });
    folder = await mkdtemp(join(tmpdir(), 'kafscale-etcd-broker-'));
    const config = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 2,
    });
    const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };
    const metadataStore = await openEtcd({ ...config, etcdEndpoints: etcd.endpoints }, dependencies);
    broker = await startBroker(config, dependencies, {
      metadataStore,
      objectStore: new MemoryObjectStore(dependencies),
    });
    client = await RawClient.connect({ port: broker.port });
    await createTopic(client, 't', 1);
  });
  afterEach(async () => {
    await client.close();
    await broker.close();
    await etcd.close();
    await rm(folder, { recursive: true, force: true });
  });

  const produceOne = async (value: string) => (await produceTo(client, 't', 0, batch([value]))).errorCode;
  const offsets = async () =>
    batchesOf(await fetchFrom(client, 't', 0, { offset: 0 })).map(({ baseOffset }) => baseOffset);

  it('goes on where it was when etcd is killed and starts again, each record once', async () => {
    for (const value of ['a', 'b', 'c']) expect(await produceOne(value)).toBe(ErrorCode.NONE);
    await etcd.killAll();
    const during = produceOne('d');
    await systemClock.sleep(500);
    await etcd.startAll();
    expect(await during).toBe(ErrorCode.NONE);
    expect(await produceOne('e')).toBe(ErrorCode.NONE);
    expect(await offsets()).toEqual([0, 1, 2, 3, 4]);
  });

  it('stops for good when etcd is put back to a snapshot under it (E4)', async () => {
    expect(await produceOne('a')).toBe(ErrorCode.NONE);
    await etcd.snapshot(join(folder, 'snapshot'));
    for (const value of ['b', 'c', 'd']) expect(await produceOne(value)).toBe(ErrorCode.NONE);
    await etcd.restore(join(folder, 'snapshot'));
    expect(await broker.failed).toMatchObject({ name: 'MetadataError', kind: 'replaced' });
    await eventually('nobody listens any more', () =>
      RawClient.connect({ port: broker.port }).then(
        async (other) => {
          await other.close();
          return false;
        },
        () => true,
      ),
    );
  });

  it('refuses records with a code that is tried again while etcd is full, and goes on afterwards', async () => {
    expect(await produceOne('a')).toBe(ErrorCode.NONE);
    let filled = 0;
    const fill = () => etcd.etcdctl('put', `/other/${filled}`, 'x'.repeat(100_000));
    while (
      await fill().then(
        () => true,
        () => false,
      )
    )
      filled += 1;
    expect(await produceOne('b')).toBe(ErrorCode.KAFKA_STORAGE_ERROR);
    expect(await offsets()).toEqual([0]);

    await etcd.etcdctl('del', '--prefix', '/other/');
    const [status] = JSON.parse(await etcd.etcdctl('endpoint', 'status', '--write-out=json')) as {
      readonly Status: { readonly header: { readonly revision: number } };
    }[];
    await etcd.etcdctl('compact', String(status!.Status.header.revision));
    await etcd.etcdctl('defrag');
    await etcd.etcdctl('alarm', 'disarm');
    expect(await produceOne('b')).toBe(ErrorCode.NONE);
    expect(await offsets()).toEqual([0, 1]);
  });
});
