/**
 * The S3 that a test runs on: servers of our own, or the bucket that `KAFSCALE_TEST_S3_BUCKET` and its like name. In a bucket that
 * was given, everything stays below prefixes made for the run and is removed at the end; nothing else in it is touched, and the
 * service is neither stopped nor given other buckets.
 */
import { randomUUID } from 'node:crypto';
import { startMinio } from './minio-server.ts';
import { s3Request, type S3Access, type S3Request } from './s3-request.ts';
import type { S3Server } from './s3-server.ts';
import { startVersitygw } from './versitygw-server.ts';

/** Empty, and nobody else's. */
export interface S3Place {
  readonly bucket: string;
  /** What keys have to start with; empty or one path element and a slash. */
  readonly prefix: string;
}

export interface S3ForTests {
  readonly access: S3Access;
  readonly pathStyle: boolean;
  /** For what only a server of our own is asked: to stop, to die, to have several buckets. */
  readonly own: S3Server | undefined;
  freshPlace(): Promise<S3Place>;
  /** Any S3 request, signed; the answer whatever its status. */
  request(request: S3Request): Promise<Response>;
  close(): Promise<void>;
}

export interface S3Choice {
  readonly name: string;
  /** Whether what breaks the server, or needs a second bucket, can be tested on it. */
  readonly isOwn: boolean;
  start(): Promise<S3ForTests>;
}

/** MinIO and versitygw, or in their place the one that the environment names. Throws what is wrong with that. */
export function s3Choices(env: NodeJS.ProcessEnv = process.env): readonly [S3Choice, ...S3Choice[]] {
  const given = givenBucket(env);
  if (given !== undefined) {
    const name = `bucket ${given.bucket} at ${given.access.endpoint}`;
    return [{ name, isOwn: false, start: () => Promise.resolve(s3Given(given)) }];
  }
  return [
    { name: 'MinIO', isOwn: true, start: async () => ownS3(await startMinio()) },
    { name: 'versitygw', isOwn: true, start: async () => ownS3(await startVersitygw()) },
  ];
}

interface GivenBucket {
  readonly bucket: string;
  readonly access: S3Access;
  readonly pathStyle: boolean;
}

function givenBucket(env: NodeJS.ProcessEnv): GivenBucket | undefined {
  const setting = (name: string): string | undefined => env[`KAFSCALE_TEST_S3_${name}`] || undefined;
  const [bucket, endpoint] = [setting('BUCKET'), setting('ENDPOINT')];
  if (bucket === undefined) {
    if (endpoint !== undefined) throw new Error('KAFSCALE_TEST_S3_ENDPOINT needs KAFSCALE_TEST_S3_BUCKET beside it');
    return undefined;
  }
  const [accessKey, secretKey] = [setting('ACCESS_KEY'), setting('SECRET_KEY')];
  if (accessKey === undefined || secretKey === undefined) {
    throw new Error('KAFSCALE_TEST_S3_BUCKET needs KAFSCALE_TEST_S3_ACCESS_KEY and KAFSCALE_TEST_S3_SECRET_KEY');
  }
  const region = setting('REGION') ?? 'us-east-1';
  return {
    bucket,
    access: {
      endpoint: (endpoint ?? `https://s3.${region}.amazonaws.com`).replace(/\/+$/, ''),
      region,
      accessKey,
      secretKey,
    },
    pathStyle: (setting('PATH_STYLE') ?? String(endpoint !== undefined)) === 'true',
  };
}

function ownS3(server: S3Server): S3ForTests {
  let buckets = 0;
  return {
    access: server,
    pathStyle: true,
    own: server,
    async freshPlace() {
      buckets += 1;
      await server.createBucket(`place-${buckets}`);
      return { bucket: `place-${buckets}`, prefix: '' };
    },
    request: (request) => server.request(request),
    close: () => server.close(),
  };
}

function s3Given({ bucket, access, pathStyle }: GivenBucket): S3ForTests {
  const run = `kafscale-test-${randomUUID().slice(0, 8)}`;
  let places = 0;
  const request = (one: S3Request): Promise<Response> => s3Request(access, one);
  return {
    access,
    pathStyle,
    own: undefined,
    freshPlace() {
      places += 1;
      return Promise.resolve({ bucket, prefix: `${run}-${places}/` });
    },
    request,
    close: () => removeAll(request, bucket, `${run}-`),
  };
}

/** Leaves nothing below the prefix, whatever became of the tests. */
async function removeAll(
  request: (one: S3Request) => Promise<Response>,
  bucket: string,
  prefix: string,
): Promise<void> {
  for (;;) {
    const answer = await request({ method: 'GET', path: bucket, query: { 'list-type': '2', prefix } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`what the tests left below ${bucket}/${prefix} cannot be listed: ${text}`);
    const keys = [...text.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => unescaped(key!));
    if (keys.length === 0) return;
    for (const key of keys) await (await request({ method: 'DELETE', path: `${bucket}/${key}` })).text();
  }
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

const unescaped = (text: string): string =>
  text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (entity, hex?: string, decimal?: string, name = '') => {
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
    return decimal === undefined ? (entities[name as string] ?? entity) : String.fromCodePoint(Number(decimal));
  });
