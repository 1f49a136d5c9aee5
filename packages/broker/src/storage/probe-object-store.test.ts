import { seededRandom, systemClock } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { MemoryObjectStore } from './memory-object-store.ts';
import { ObjectNames } from './object-names.ts';
import { probeObjectStore } from './probe-object-store.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import type { S3Settings } from './s3-settings.ts';
import { StubS3, type S3Fault, type S3Request } from './stub-s3-fixture.ts';

const hourMs = 3_600_000;

describe('probeObjectStore', () => {
  let server: StubS3;
  let store: S3ObjectStore;
  const warnings: string[] = [];

  const probe = (settings: Partial<S3Settings> = {}, budgetMs = 0) => {
    store = new S3ObjectStore({ settings: { ...server.settings, ...settings }, clock: systemClock });
    return probeObjectStore(store, {
      namespace: 'n',
      clock: systemClock,
      random: seededRandom(1),
      budgetMs,
      place: 'bucket bucket at home',
      onWaiting: ({ message }) => warnings.push(message),
    });
  };
  const refused = async (settings?: Partial<S3Settings>) =>
    probe(settings).then(
      () => 'fit',
      (error: unknown) => (error as Error).message,
    );
  const when = (matches: (request: S3Request) => boolean, fault: S3Fault) => {
    server.plan = (request) => (matches(request) ? fault : 'pass');
  };

  beforeEach(async () => {
    server = await StubS3.start();
    warnings.length = 0;
  });
  afterEach(async () => {
    await store.close();
    await server.close();
  });

  it('finds a good store fit and leaves nothing behind', async () => {
    await expect(probe()).resolves.toEqual({ conditionalCreate: true });
    expect(server.objects.size).toBe(0);
    expect(store.capabilities.conditionalCreate).toBe(true);
  });

  it('removes what probes left that died long ago, and nothing else', async () => {
    const at = (ageMs: number) => new Date(Date.now() - ageMs);
    const stored = { bytes: Buffer.alloc(0), crc: '' };
    server.objects.set('n/__health/startup_probe_old', { ...stored, modified: at(2 * hourMs) });
    server.objects.set('n/__health/startup_probe_new', { ...stored, modified: at(hourMs / 2) });
    server.objects.set('n/flush/00/other', { ...stored, modified: at(2 * hourMs) });
    const { segment, index } = new ObjectNames('n').segment(
      { topicName: '__health', partition: 0, baseOffset: 0 },
      { incarnation: 'i', sequence: 1, unique: 'u' },
    );
    for (const key of [segment, index]) server.objects.set(key, { ...stored, modified: at(2 * hourMs) });
    await probe();
    expect([...server.objects.keys()]).toEqual(['n/__health/startup_probe_new', 'n/flush/00/other', segment, index]);
  });

  it('notes a store that overwrites, and one that refuses the condition', async () => {
    server.conditionalCreate = false;
    await expect(probe()).resolves.toEqual({ conditionalCreate: false });
    expect(store.capabilities.conditionalCreate).toBe(false);
    await store.close();

    when(({ headers }) => headers['if-none-match'] !== undefined, { status: 501, code: 'NotImplemented' });
    await expect(probe()).resolves.toEqual({ conditionalCreate: false });
    expect(server.objects.size).toBe(0);
  });

  it('notes a store that lets several of many concurrent creates win', async () => {
    const first = new Set<string>();
    server.plan = ({ method, key, headers }) => {
      if (method !== 'PUT' || first.size === 0) first.add(key);
      else if (!first.has(key)) delete headers['if-none-match']; // later names are no longer guarded
      return 'pass';
    };
    await expect(probe()).resolves.toEqual({ conditionalCreate: false });
  });

  it('waits for a store that does not answer yet, within its budget, and says so once', async () => {
    let requests = 0;
    server.plan = () => ((requests += 1) <= 2 ? { status: 503, code: 'SlowDown' } : 'pass');
    await expect(probe({}, 60_000)).resolves.toEqual({ conditionalCreate: true });
    expect(warnings).toHaveLength(1);
  });

  it.each<readonly [string, (request: S3Request) => boolean, S3Fault, RegExp]>([
    ['a missing bucket', () => true, { status: 404, code: 'NoSuchBucket' }, /no bucket "bucket"/],
    ['wrong credentials', () => true, { status: 403, code: 'SignatureDoesNotMatch' }, /KAFSCALE_S3_SECRET_KEY/],
    ['a web page', () => true, { html: 200 }, /KAFSCALE_S3_ENDPOINT/],
    ['no answer', () => true, { status: 503, code: 'SlowDown' }, /SlowDown/],
    [
      'no right to write',
      ({ method }) => method === 'PUT',
      { status: 403, code: 'AccessDenied' },
      /needs s3:PutObject/,
    ],
    [
      'no right to read',
      ({ method, key }) => method === 'GET' && key !== '',
      { status: 403, code: 'AccessDenied' },
      /needs s3:GetObject/,
    ],
    [
      'no right to list',
      ({ method, key }) => method === 'GET' && key === '',
      { status: 403, code: 'AccessDenied' },
      /needs s3:ListBucket/,
    ],
    [
      'no right to delete',
      ({ method }) => method === 'POST' || method === 'DELETE',
      { status: 403, code: 'AccessDenied' },
      /needs s3:DeleteObject/,
    ],
    ['ranges that are ignored', ({ headers }) => headers.range !== undefined, 'whole', /a whole object where a range/],
  ])('says what is wrong with %s', async (_, matches, fault, message) => {
    when(matches, fault);
    const said = await refused();
    expect(said).toMatch(message);
    expect(said).toMatch(/^The object store \(bucket bucket at home\) cannot be used: /);
  });

  it('refuses a store whose listing lags behind', async () => {
    const clock = new FakeClock();
    const memory = new MemoryObjectStore({ clock });
    const forgetful = Object.assign(memory, {
      withoutConditionalCreate: () => undefined,
      async *list() {
        // shows nothing
      },
    });
    const options = { namespace: 'n', clock, random: seededRandom(1), budgetMs: 0, place: 'memory' };
    await expect(probeObjectStore(forgetful, options)).rejects.toThrow(/strongly consistent/);
    store = new S3ObjectStore({ settings: server.settings, clock: systemClock });
  });
});
