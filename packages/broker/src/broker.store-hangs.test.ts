import { brokerConfigSchema, ErrorCode } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, RawClient } from '@kafscale/testkit';
import { batch, batchesOf, createTopic, fetchFrom, produceTo } from './broker-fixture.ts';
import { startBroker, type RunningBroker } from './broker.ts';
import { MemoryMetadataStore } from './metadata/memory-metadata-store.ts';
import type { LeaseId } from './metadata/metadata-store.ts';
import { FaultyObjectStore } from './storage/faulty-object-store.ts';
import { HealthObjectStore } from './storage/health-object-store.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';
import { StorageError } from './storage/storage-error.ts';
import { StoreHealth } from './storage/store-health.ts';

const hangMs = 600;
/** Of the metadata. */
const isCopy = (key = '') => key.includes('/checkpoints/');

describe('a broker whose object store hangs', () => {
  let broker: RunningBroker;
  let objects: FaultyObjectStore;
  let metadataStore: MemoryMetadataStore;
  let leases: LeaseId[];
  /** Which creates stop in the middle until `resume` is called, as in a store whose process was stopped. */
  let hangs: (key: string) => boolean;
  let hanging: string[];
  let resume: () => void;
  const clients: RawClient[] = [];

  beforeEach(async () => {
    const clock = systemClock;
    objects = new FaultyObjectStore(new MemoryObjectStore({ clock }), { clock });
    const create = objects.create.bind(objects);
    const resumed = new Promise<void>((resolve) => (resume = resolve));
    hangs = () => false;
    hanging = [];
    objects.create = async (key, body, signal) => {
      if (hangs(key)) hanging.push(key);
      if (hangs(key)) await Promise.race([resumed, aborted(signal)]);
      return create(key, body, signal);
    };
    const storeHealth = new StoreHealth(clock, {
      windowMs: 60_000,
      latencyWarnMs: 100,
      latencyCritMs: hangMs / 2,
      errorRateWarn: 0.2,
      errorRateCrit: 0.6,
    });
    const probeBackoff = { baseMs: 50, maxMs: 200 };
    leases = [];
    metadataStore = new MemoryMetadataStore({ clock });
    const grantLease = metadataStore.grantLease.bind(metadataStore);
    metadataStore.grantLease = async (ttlMs) => {
      const lease = await grantLease(ttlMs);
      leases.push(lease);
      return lease;
    };
    const options = { health: storeHealth, clock, random: cryptoRandom, namespace: 'default', probeBackoff };
    const config = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 0,
      shutdownTimeoutMs: 20_000,
    });
    broker = await startBroker(
      config,
      { clock, random: cryptoRandom, logger: silentLogger },
      {
        objectStore: new HealthObjectStore(objects, options),
        metadataStore,
        storeHealth,
      },
    );
  });
  afterEach(async () => {
    objects.heal();
    resume();
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

    hangs = isCopy;
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
    resume();
    await eventually(
      'it is written to',
      async () => (await readiness()) !== 'ready, object store unavailable\n',
      30_000,
    );
    // What was accepted was never refused: it is written under another name when the first attempt is given up.
    expect((await Promise.all(waiting)).map(({ errorCode }) => errorCode)).toEqual([0, 0, 0]);
    expect(await produceTo(client, 'orders', 0, batch(['after']))).toMatchObject({ errorCode: 0, baseOffset: 1 });
  });

  it('begins a new life when the session is lost meanwhile, serves what is committed, and takes batches when the store answers', async () => {
    hangs = isCopy;
    const client = await connect();
    await createTopic(client, 'orders', 1);
    expect(await produceTo(client, 'orders', 0, batch(['before']))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    // What the lost life has under way does not end.
    await eventually('a copy of the metadata hangs', () => hanging.length > 0, 40_000);
    hangs = () => true;
    await metadataStore.revokeLease(leases[0]!);

    await eventually('a new life serves', async () => {
      const other = await connect().catch(() => undefined);
      const fetched = other && (await fetchFrom(other, 'orders', 0, { offset: 0 }).catch(() => undefined));
      return leases.length > 1 && fetched?.errorCode === 0 && batchesOf(fetched).length === 1;
    });
    resume();
    await eventually('a batch is taken', async () => {
      const other = await connect().catch(() => undefined);
      const answer = other && (await produceTo(other, 'orders', 0, batch(['after'])).catch(() => undefined));
      return answer?.errorCode === 0;
    });
  });
});

/** Rejects when the caller gives up. */
const aborted = (signal: AbortSignal | undefined) =>
  new Promise<never>((_, reject) => {
    const giveUp = () => reject(new StorageError('aborted', 'the caller gave up'));
    if (signal?.aborted) giveUp();
    else signal?.addEventListener('abort', giveUp, { once: true });
  });
