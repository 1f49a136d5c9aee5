import { brokerConfigSchema, ErrorCode } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, RawClient } from '@kafscale/testkit';
import { batch, batchesOf, createTopic, fetchFrom, produceTo } from './broker-fixture.ts';
import { startBroker, type RunningBroker } from './broker.ts';
import { MemoryMetadataStore } from './metadata/memory-metadata-store.ts';
import { FaultyObjectStore } from './storage/faulty-object-store.ts';
import { HealthObjectStore } from './storage/health-object-store.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';
import { StoreHealth } from './storage/store-health.ts';

const hangMs = 600;

describe('a broker whose object store hangs', () => {
  let broker: RunningBroker;
  let objects: FaultyObjectStore;
  const clients: RawClient[] = [];

  beforeEach(async () => {
    const clock = systemClock;
    objects = new FaultyObjectStore(new MemoryObjectStore({ clock }), { clock });
    const storeHealth = new StoreHealth(clock, {
      windowMs: 60_000,
      latencyWarnMs: 100,
      latencyCritMs: hangMs / 2,
      errorRateWarn: 0.2,
      errorRateCrit: 0.6,
    });
    const probeBackoff = { baseMs: 50, maxMs: 200 };
    const options = { health: storeHealth, clock, random: cryptoRandom, namespace: 'default', probeBackoff };
    const config = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 0,
    });
    broker = await startBroker(
      config,
      { clock, random: cryptoRandom, logger: silentLogger },
      {
        objectStore: new HealthObjectStore(objects, options),
        metadataStore: new MemoryMetadataStore({ clock }),
        storeHealth,
      },
    );
  });
  afterEach(async () => {
    objects.heal();
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await broker.close();
  });

  const connect = async () => {
    const client = await RawClient.connect({ port: broker.port, timeoutMs: 60_000 });
    clients.push(client);
    return client;
  };
  const readiness = async () => await (await fetch(`http://127.0.0.1:${broker.metricsPort}/readyz`)).text();

  it('refuses batches at once, serves what is committed, and takes batches again when the store answers', async () => {
    const client = await connect();
    await createTopic(client, 'orders', 4);
    expect(await produceTo(client, 'orders', 0, batch(['before']))).toMatchObject({ errorCode: 0, baseOffset: 0 });

    objects.plan = ({ operation }) => (operation === 'create' ? 'hang' : 'ok');
    const waiting = [1, 2, 3].map(async (partition) => {
      const pushing = await connect();
      await new Promise((resolve) => setTimeout(resolve, 100 * partition)); // a flush each
      return produceTo(pushing, 'orders', partition, batch(['during']));
    });
    await eventually('the broker says so', async () => (await readiness()) === 'ready, object store unavailable\n');
    const refused = await produceTo(client, 'orders', 0, batch(['refused']));
    expect(refused.errorCode).toBe(ErrorCode.NOT_ENOUGH_REPLICAS);
    expect(batchesOf(await fetchFrom(client, 'orders', 0, { offset: 0 }))).toHaveLength(1);

    objects.heal();
    await eventually('it is well again', async () => (await readiness()) === 'ready\n', 30_000);
    // What was accepted was never refused: it is written under another name when the first attempt is given up.
    expect((await Promise.all(waiting)).map(({ errorCode }) => errorCode)).toEqual([0, 0, 0]);
    expect(await produceTo(client, 'orders', 0, batch(['after']))).toMatchObject({ errorCode: 0, baseOffset: 1 });
  });
});
