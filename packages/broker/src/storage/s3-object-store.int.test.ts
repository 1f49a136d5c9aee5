import { jest } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { brokerConfigSchema } from '@kafscale/protocol';
import { cryptoRandom, seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { s3Choices, type S3ForTests, type S3Place } from '@kafscale/testkit';
import { createMetrics } from '../metrics/metrics.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';
import type { ObjectStore } from './object-store.ts';
import { prefixedStore } from './prefixed-store-fixture.ts';
import { probeObjectStore } from './probe-object-store.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import type { S3Settings } from './s3-settings.ts';
import { openS3Store } from './s3-stores.ts';
import { StoreHealth } from './store-health.ts';
import { stubSettings } from './stub-s3-fixture.ts';

// Servers are built here when they were not before.
jest.setTimeout(25 * 60_000);

const settingsFor = ({ access, pathStyle }: S3ForTests, bucket: string): S3Settings => ({
  ...stubSettings,
  bucket,
  region: access.region,
  endpoint: access.endpoint,
  pathStyle,
  credentials: { accessKeyId: access.accessKey, secretAccessKey: access.secretKey, sessionToken: undefined },
});

describe.each(s3Choices())('on $name', ({ name, isOwn, start }) => {
  // What a service that is not ours is not asked; the report names and counts it.
  const itOnOurs = isOwn ? it : it.skip;
  let s3: S3ForTests;
  let shared: S3Place;
  const opened: ObjectStore[] = [];
  const openBucket = (settings: Partial<S3Settings> = {}): S3ObjectStore => {
    const store = new S3ObjectStore({
      settings: { ...settingsFor(s3, shared.bucket), ...settings },
      clock: systemClock,
    });
    opened.push(store);
    return store;
  };
  const open = (settings: Partial<S3Settings> = {}, { bucket, prefix } = shared): ObjectStore =>
    prefixedStore(openBucket({ bucket, ...settings }), prefix);

  beforeAll(async () => {
    s3 = await start();
    shared = await s3.freshPlace();
  });
  afterAll(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await s3.close();
  });

  describeObjectStoreContract(`S3ObjectStore on ${name}`, async () => {
    const store = open({}, await s3.freshPlace());
    return { store, close: () => store.close() };
  });

  describe('S3ObjectStore', () => {
    it('stores nothing whose bytes do not match the checksum', async () => {
      const answer = await s3.request({
        method: 'PUT',
        path: `${shared.bucket}/${shared.prefix}n/wrong`,
        headers: { 'x-amz-checksum-crc32': 'AAAAAA==' },
        body: Buffer.from('bytes'),
      });
      expect(answer.status).toBe(400);
      await expect(open().read('n/wrong')).rejects.toMatchObject({ kind: 'not-found' });
    });

    it('takes a signed payload as well', async () => {
      const store = open({ signPayload: true });
      await store.create('n/signed', [Buffer.from('one '), Buffer.from('two')]);
      expect((await store.read('n/signed')).toString()).toBe('one two');
    });

    it('takes 64 MiB in slices and gives back any part of it', async () => {
      const store = open();
      const slices = Array.from({ length: 64 }, (_, index) => seededRandom(index).bytes(2 ** 20));
      await store.create('n/64-mib', slices);
      const into = Buffer.alloc(3 * 2 ** 20);
      const start = 7.5 * 2 ** 20;
      const read = await store.read('n/64-mib', { start, end: start + into.length }, undefined, into);
      expect(read.buffer).toBe(into.buffer);
      expect(Buffer.compare(read, Buffer.concat(slices).subarray(start, start + into.length))).toBe(0);
    });

    it('lists more objects than fit one page, and deletes more than fit one request', async () => {
      const store = open({}, await s3.freshPlace());
      const keys = Array.from({ length: 1_100 }, (_, index) => `n/${index.toString().padStart(4, '0')}`);
      for (let start = 0; start < keys.length; start += 50) {
        await Promise.all(keys.slice(start, start + 50).map((key) => store.create(key, [])));
      }
      const listed = async () => {
        const found: string[] = [];
        for await (const { key } of store.list('n/')) found.push(key);
        return found;
      };
      expect(await listed()).toEqual(keys);
      await store.delete(keys);
      expect(await listed()).toEqual([]);
    });

    it('says which setting is wrong', async () => {
      const messageOf = (store: ObjectStore) =>
        store.read('n/a').then(
          () => 'none',
          (error: unknown) => (error as Error).message,
        );
      const credentials = {
        accessKeyId: s3.access.accessKey,
        secretAccessKey: 'wrong-secret',
        sessionToken: undefined,
      };
      expect(await messageOf(open({ credentials }))).toMatch(/KAFSCALE_S3_SECRET_KEY/);
      expect(await messageOf(open({ credentials: { ...credentials, accessKeyId: 'nobody' } }))).toMatch(
        /KAFSCALE_S3_ACCESS_KEY/,
      );
      const missing = `missing-${randomUUID()}`;
      expect(await messageOf(open({ bucket: missing }))).toMatch(/no bucket "missing-.*KAFSCALE_S3_BUCKET/);
    });

    it.each([-60, 60])('says that the clock of this machine is wrong by %i minutes', async (minutes) => {
      const now = Date.now.bind(Date);
      const store = open();
      const wrong = jest.spyOn(Date, 'now').mockImplementation(() => now() + minutes * 60_000);
      try {
        // The machine's clock, as the signature and the message have it.
        await expect(store.create('n/skewed', [Buffer.from('bytes')])).rejects.toMatchObject({
          message: expect.stringMatching(/clocks.*60 minutes.*Set the clock/) as string,
        });
      } finally {
        wrong.mockRestore();
      }
      // The SDK goes by the store's clock from here on, and by ours again in a store of its own.
      await expect(open().read('n/skewed')).rejects.toMatchObject({ kind: 'not-found' });
    });

    it('is found fit, can tell an existing object, and holds nothing of the probe afterwards', async () => {
      const { bucket, prefix } = await s3.freshPlace();
      const store = openBucket({ bucket });
      const namespace = prefix === '' ? 'n' : prefix.replace('/', '');
      const options = { namespace, clock: systemClock, random: cryptoRandom, budgetMs: 0, place: name };
      await expect(probeObjectStore(store, options)).resolves.toEqual({ conditionalCreate: true });
      await expect(store.list(prefix).next()).resolves.toMatchObject({ done: true });
    });

    itOnOurs('serves through all wrappers, from a replica where that has the object', async () => {
      const replica = await s3.freshPlace();
      const config = brokerConfigSchema.parse({
        s3Bucket: shared.bucket,
        s3ReadBucket: replica.bucket,
        s3Endpoint: s3.access.endpoint,
        s3AccessKey: s3.access.accessKey,
        s3SecretKey: s3.access.secretKey,
        etcdEndpoints: 'http://127.0.0.1:2379',
      });
      const metrics = createMetrics();
      const health = new StoreHealth(systemClock, {
        windowMs: 60_000,
        latencyWarnMs: 500,
        latencyCritMs: 3_000,
        errorRateWarn: 0.2,
        errorRateCrit: 0.6,
      });
      const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger, metrics, health };
      const store = (await openS3Store(config, dependencies))!;
      try {
        await open({}, replica).create('n/both', [Buffer.from('from the replica')]);
        await store.create('n/both', [Buffer.from('from the bucket')]);
        await store.create('n/new', [Buffer.from('from the bucket')]);
        const read = async (key: string) => (await store.read(key, { start: 0, end: 100 })).toString();
        expect(await read('n/both')).toBe('from the replica');
        expect(await read('n/new')).toBe('from the bucket');
        await expect(store.read('n/nowhere')).rejects.toMatchObject({ kind: 'not-found' });
        const { text } = await metrics.scrape();
        expect(text).toMatch(/object_store_request_duration_seconds_count\{operation="create",outcome="ok"\} [1-9]/);
        expect(text).toContain('kafscale_object_store_replica_fallbacks_total{reason="not-found"} 2');
        expect(health.report()).toMatchObject({ state: 'healthy', errorRate: 0 });
      } finally {
        await store.close();
      }
    });

    itOnOurs('gives up on a server that stands still, and goes on when it wakes', async () => {
      const store = open();
      await store.create('n/still', [Buffer.from('still')]);
      s3.own!.pause();
      await new Promise((resolve) => setTimeout(resolve, 100)); // a thread may still be at work
      try {
        const signal = AbortSignal.timeout(300);
        await expect(store.read('n/still', undefined, signal)).rejects.toMatchObject({ kind: 'aborted' });
      } finally {
        s3.own!.resume();
      }
      expect((await store.read('n/still')).toString()).toBe('still');
    });
  });
});
