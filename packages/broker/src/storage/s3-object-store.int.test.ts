import { jest } from '@jest/globals';
import { seededRandom, systemClock } from '@kafscale/runtime';
import { startMinio, startVersitygw, type S3Server } from '@kafscale/testkit';
import { describeObjectStoreContract } from './object-store.contract.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import type { S3Settings } from './s3-settings.ts';
import { stubSettings } from './stub-s3-fixture.ts';

// Servers are built here when they were not before.
jest.setTimeout(25 * 60_000);

const makes = [
  ['MinIO', startMinio],
  ['versitygw', startVersitygw],
] as const;

const settingsFor = (server: S3Server, bucket: string): S3Settings => ({
  ...stubSettings,
  bucket,
  region: server.region,
  endpoint: server.endpoint,
  credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey, sessionToken: undefined },
});

describe.each(makes)('on %s', (name, start) => {
  let server: S3Server;
  let buckets = 0;
  const opened: S3ObjectStore[] = [];
  const open = (settings: Partial<S3Settings> = {}) => {
    const store = new S3ObjectStore({
      settings: { ...settingsFor(server, 'shared'), ...settings },
      clock: systemClock,
    });
    opened.push(store);
    return store;
  };

  beforeAll(async () => {
    server = await start({ buckets: ['shared'] });
  });
  afterAll(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await server.close();
  });

  describeObjectStoreContract(`S3ObjectStore on ${name}`, async () => {
    buckets += 1;
    const bucket = `contract-${buckets}`;
    await server.createBucket(bucket);
    const store = open({ bucket });
    return { store, close: () => store.close() };
  });

  describe('S3ObjectStore', () => {
    it('stores nothing whose bytes do not match the checksum', async () => {
      const answer = await server.request({
        method: 'PUT',
        path: 'shared/n/wrong',
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
      const store = open({ bucket: 'many' });
      await server.createBucket('many');
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
      const messageOf = (store: S3ObjectStore) =>
        store.read('n/a').then(
          () => 'none',
          (error: unknown) => (error as Error).message,
        );
      const credentials = { accessKeyId: server.accessKey, secretAccessKey: 'wrong-secret', sessionToken: undefined };
      expect(await messageOf(open({ credentials }))).toMatch(/KAFSCALE_S3_SECRET_KEY/);
      expect(await messageOf(open({ credentials: { ...credentials, accessKeyId: 'nobody' } }))).toMatch(
        /KAFSCALE_S3_ACCESS_KEY/,
      );
      expect(await messageOf(open({ bucket: 'missing' }))).toMatch(/no bucket "missing".*KAFSCALE_S3_BUCKET/);
    });

    it('gives up on a server that stands still, and goes on when it wakes', async () => {
      const store = open();
      await store.create('n/still', [Buffer.from('still')]);
      server.pause();
      await new Promise((resolve) => setTimeout(resolve, 100)); // a thread may still be at work
      try {
        const signal = AbortSignal.timeout(300);
        await expect(store.read('n/still', undefined, signal)).rejects.toMatchObject({ kind: 'aborted' });
      } finally {
        server.resume();
      }
      expect((await store.read('n/still')).toString()).toBe('still');
    });
  });
});
