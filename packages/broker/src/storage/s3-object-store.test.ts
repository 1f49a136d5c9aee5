import { systemClock } from '@kafscale/runtime';
import { describeObjectStoreContract } from './object-store.contract.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import { StubS3, type S3Fault } from './stub-s3-fixture.ts';
import type { S3Settings } from './s3-settings.ts';

const bytes = (text: string) => Buffer.from(text);

describeObjectStoreContract('S3ObjectStore on a small server', async () => {
  const server = await StubS3.start();
  server.pageSize = 7;
  const store = new S3ObjectStore({ settings: server.settings, clock: systemClock });
  return {
    store,
    close: async () => {
      await store.close();
      await server.close();
    },
  };
});

describe('S3ObjectStore', () => {
  let server: StubS3;
  let store: S3ObjectStore;

  const open = (settings: Partial<S3Settings> = {}, times: { silenceTimeoutMs?: number } = {}) =>
    new S3ObjectStore({ settings: { ...server.settings, ...settings }, clock: systemClock, ...times });
  const always = (fault: S3Fault) => (server.plan = () => fault);
  const messageOf = async (call: Promise<unknown>) => {
    const error: unknown = await call.catch((reason: unknown) => reason);
    return (error as Error).message;
  };

  beforeEach(async () => {
    server = await StubS3.start();
    store = open();
  });
  afterEach(async () => {
    await store.close();
    await server.close();
  });

  describe('what it sends', () => {
    it('sends slices with their length, checksum and condition, and neither signs nor joins them', async () => {
      await store.create('n/a', [bytes('one '), bytes('two')]);
      const { headers, body } = server.requests[0]!;
      expect(body.toString()).toBe('one two');
      expect(headers).toMatchObject({
        'content-length': '7',
        'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
        'x-amz-checksum-crc32': server.objects.get('n/a')!.crc,
        'if-none-match': '*',
      });
      expect(headers['authorization']).toContain('x-amz-checksum-crc32');
      expect(headers['expect']).toBeUndefined();
    });

    it('signs the payload where that is asked for', async () => {
      store = open({ signPayload: true });
      await store.create('n/a', [bytes('one '), bytes('two')]);
      expect(server.requests[0]!.headers['x-amz-content-sha256']).toBe(
        '8ab63e29a4ba14e4e1688f9c15e5af90895421358c945b0431f85d66977bd3d2',
      );
    });

    it('names key, owner and session token where they are given', async () => {
      const credentials = { accessKeyId: 'key', secretAccessKey: 'secret', sessionToken: 'token' };
      store = open({ kmsArn: 'arn:aws:kms:eu-west-1:1:key/2', bucketOwner: '123456789012', credentials });
      await store.create('n/a', [bytes('a')]);
      await store.read('n/a');
      expect(server.requests[0]!.headers).toMatchObject({
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'arn:aws:kms:eu-west-1:1:key/2',
        'x-amz-expected-bucket-owner': '123456789012',
        'x-amz-security-token': 'token',
      });
      expect(server.requests[1]!.headers['x-amz-expected-bucket-owner']).toBe('123456789012');
    });

    it('sends no condition to a store that does not know it', async () => {
      store.withoutConditionalCreate();
      await store.create('n/a', [bytes('a')]);
      expect(server.requests[0]!.headers['if-none-match']).toBeUndefined();
      expect(store.capabilities).toEqual({ conditionalCreate: false });
    });

    it('makes one request for one call, whatever comes of it', async () => {
      always({ status: 503, code: 'SlowDown' });
      await expect(store.create('n/a', [bytes('a')])).rejects.toMatchObject({ kind: 'unavailable' });
      await expect(store.read('n/a')).rejects.toMatchObject({ kind: 'unavailable' });
      expect(server.requests).toHaveLength(2);
    });

    it('deletes many with one request, and one by one where the store does not offer that', async () => {
      for (const key of ['n/a', 'n/b&c', 'n/d']) await store.create(key, [bytes(key)]);
      await store.delete(['n/a', 'n/b&c']);
      expect([...server.objects.keys()]).toEqual(['n/d']);
      expect(server.requests.at(-1)!.method).toBe('POST');

      await store.create('n/e', []);
      server.plan = ({ method }) => (method === 'POST' ? { status: 501, code: 'NotImplemented' } : 'pass');
      await store.delete(['n/d', 'n/e']);
      expect(server.objects.size).toBe(0);
      await store.delete(['n/d', 'n/e']);
      expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(2);
    });
  });

  describe('reading', () => {
    it('puts the bytes where they are wanted, if they fit', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      const into = Buffer.alloc(8);
      const read = await store.read('n/a', { start: 2, end: 6 }, undefined, into);
      expect(read.buffer).toBe(into.buffer);
      expect(into.toString('latin1', 0, 4)).toBe('2345');
      const larger = await store.read('n/a', undefined, undefined, into);
      expect(larger.buffer).not.toBe(into.buffer);
      expect(larger.toString()).toBe('0123456789');
    });

    it('tells wrong bytes of a whole object by its checksum', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      always('wrong-bytes');
      await expect(store.read('n/a')).rejects.toMatchObject({ kind: 'corrupt' });
    });

    it('takes no whole object for a range', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      always('whole');
      await expect(store.read('n/a', { start: 0, end: 4 })).rejects.toMatchObject({ kind: 'corrupt' });
    });

    it('is `unavailable` when the answer breaks off, and goes on over another connection', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      always('cut');
      await expect(store.read('n/a')).rejects.toMatchObject({ kind: 'unavailable' });
      always('pass');
      expect((await store.read('n/a')).toString()).toBe('0123456789');
    });

    it('gives up on a connection that stays silent, before the answer and in the middle of it', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      store = open({}, { silenceTimeoutMs: 50 });
      for (const fault of ['hang', 'hang-body'] as const) {
        always(fault);
        await expect(store.read('n/a')).rejects.toMatchObject({ kind: 'unavailable' });
      }
      always('hang');
      await expect(store.create('n/b', [bytes('b')])).rejects.toMatchObject({ kind: 'unavailable' });
    });

    it('stops at once when the caller gives up, before the answer and in the middle of it', async () => {
      await store.create('n/a', [bytes('0123456789')]);
      for (const fault of ['hang', 'hang-body'] as const) {
        always(fault);
        const controller = new AbortController();
        const read = store.read('n/a', undefined, controller.signal);
        setTimeout(() => controller.abort(), 20);
        await expect(read).rejects.toMatchObject({ kind: 'aborted' });
      }
    });
  });

  describe('creating', () => {
    it('leaves the outcome open when the reply is lost', async () => {
      always('swallow');
      await expect(store.create('n/a', [bytes('a')])).rejects.toMatchObject({ kind: 'unavailable' });
      expect(server.objects.has('n/a')).toBe(true);
    });

    it('uses no body any more once a refusal that came before its end is known', async () => {
      const body = Buffer.alloc(32 * 2 ** 20, 1);
      server.plan = ({ body: arrived }) => ({ status: 503, code: 'SlowDown', early: arrived.length === 0 });
      await expect(store.create('n/a', [body])).rejects.toMatchObject({ kind: 'unavailable' });
      for (let tries = 0; tries < 100 && (await server.openConnections()) > 0; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(await server.openConnections()).toBe(0);
    });
  });

  describe('what it makes of refusals', () => {
    const cases: readonly (readonly [string, S3Fault, string, RegExp])[] = [
      ['a missing object', { status: 404, code: 'NoSuchKey' }, 'not-found', /no such object/],
      ['a 404 of something else', { status: 404, code: 'Whatever' }, 'unavailable', /says nothing about it/],
      ['a missing bucket', { status: 404, code: 'NoSuchBucket' }, 'denied', /no bucket "bucket".*KAFSCALE_S3_BUCKET/],
      ['a key that exists', { status: 412, code: 'PreconditionFailed' }, 'conflict', /exists already/],
      ['creates that meet', { status: 409, code: 'ConditionalRequestConflict' }, 'unavailable', /Conditional/],
      ['no permission', { status: 403, code: 'AccessDenied' }, 'denied', /may get, put, list and delete/],
      ['an unknown key', { status: 403, code: 'InvalidAccessKeyId' }, 'denied', /KAFSCALE_S3_ACCESS_KEY/],
      ['a wrong secret', { status: 403, code: 'SignatureDoesNotMatch' }, 'denied', /KAFSCALE_S3_SECRET_KEY/],
      ['an old token', { status: 400, code: 'ExpiredToken' }, 'denied', /KAFSCALE_S3_SESSION_TOKEN/],
      ['an archived object', { status: 403, code: 'InvalidObjectState' }, 'archived', /RestoreObject/],
      ['too many requests', { status: 503, code: 'SlowDown' }, 'unavailable', /SlowDown/],
      ['a fault of the store', { status: 500, code: 'InternalError' }, 'unavailable', /InternalError/],
      ['a slow body', { status: 400, code: 'RequestTimeout' }, 'unavailable', /RequestTimeout/],
      ['damage on the way', { status: 400, code: 'BadDigest' }, 'unavailable', /BadDigest/],
      ['a full store', { status: 507, code: 'XMinioStorageFull' }, 'unavailable', /XMinioStorageFull/],
      ['something it does not offer', { status: 501, code: 'NotImplemented' }, 'denied', /does not offer/],
      [
        'another region',
        { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-1' } },
        'denied',
        /KAFSCALE_S3_REGION=eu-west-1/,
      ],
      [
        'clocks that differ',
        {
          status: 403,
          code: 'RequestTimeTooSkewed',
          headers: { date: new Date(Date.now() - 3_600_000).toUTCString() },
        },
        'denied',
        /about 6\d minutes \(this machine is ahead\).*NTP/,
      ],
      ['a web page', { html: 200 }, 'denied', /web page: Welcome to the console.*KAFSCALE_S3_ENDPOINT/],
      ['a page of not found', { html: 404 }, 'denied', /web page/],
      ['a page of a gateway', { html: 502 }, 'unavailable', /web page/],
      ['a connection that breaks', 'reset', 'unavailable', /127\.0\.0\.1/],
    ];
    it.each(cases)('%s', async (_, fault, kind, message) => {
      always(fault);
      await expect(store.read('n/a')).rejects.toMatchObject({ name: 'StorageError', kind });
      expect(await messageOf(store.read('n/a'))).toMatch(message);
      expect(await messageOf(store.read('n/a'))).toMatch(/^read n\/a: /);
      await expect(store.create('n/b', [bytes('b')])).rejects.toMatchObject({ kind });
    });

    it('takes a web page for no empty list', async () => {
      always({ html: 200 });
      await expect(store.list('n/').next()).rejects.toMatchObject({ kind: 'denied' });
    });

    it('names an endpoint where nothing listens, or that is no URL', async () => {
      const gone = open({ endpoint: 'http://127.0.0.1:1' });
      expect(await messageOf(gone.read('n/a'))).toMatch(/nothing listens at http:\/\/127\.0\.0\.1:1/);
      await gone.close();
      expect(() => open({ endpoint: 'minio:9000' })).toThrow(/KAFSCALE_S3_ENDPOINT is "minio:9000", which is no URL/);
    });

    it('tells a plain endpoint from a TLS one', async () => {
      const secure = open({ endpoint: server.endpoint.replace('http:', 'https:') });
      expect(await messageOf(secure.read('n/a'))).toMatch(/does not speak TLS.*KAFSCALE_S3_ENDPOINT/);
      await secure.close();
    });
  });
});
