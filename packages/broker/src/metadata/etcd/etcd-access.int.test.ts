/** Getting into etcd: users and their tokens, TLS both ways, and what a start says when it does not get in. */
import { brokerConfigSchema, type BrokerConfig } from '@kafscale/protocol';
import { seededRandom, systemClock } from '@kafscale/runtime';
import { EtcdServer, etcdVersions, eventually, FaultyProxy, freePort, givenEtcdEndpoints } from '@kafscale/testkit';
import { createServer } from 'node:http';
import { kindOf, openSession, put, read } from './etcd-fixture.ts';
import type { EtcdMetadataStore } from './etcd-metadata-store.ts';
import { openEtcd } from './open-etcd.ts';

const user = { name: 'kafscale', password: 'secret', prefixes: ['/kafscale/orders/'] };

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
});

/** For what cannot succeed, however long one waits. */
const shortly = { callDeadlineMs: 700, suspectAfterMs: 300 };

async function open(
  settings: Partial<BrokerConfig> & { readonly etcdEndpoints: readonly string[] },
  limits: { readonly callDeadlineMs?: number } = {},
) {
  const config = { ...brokerConfigSchema.parse({}), clusterName: 'orders', ...settings };
  const store = await openEtcd(config, { clock: systemClock, random: seededRandom(1), ...limits });
  opened.push(store);
  return store;
}

const asUser = { etcdUsername: user.name, etcdPassword: user.password };
const said = (outcome: Promise<unknown>) =>
  outcome.then(
    () => 'nothing',
    (error: unknown) => (error as Error).message,
  );

// What is done to this etcd is not done to somebody's: where addresses are given these are left out, and counted.
const describeOwn = givenEtcdEndpoints() === undefined ? describe : describe.skip;

describeOwn.each(etcdVersions)('etcd with users (%s)', (version) => {
  let etcd: EtcdServer;

  beforeAll(async () => {
    // Tokens that nobody uses for two seconds are forgotten.
    etcd = await EtcdServer.start({ version, durable: false, users: [user], flags: ['--auth-token-ttl', '2'] });
  });
  afterAll(() => etcd.close());

  it('serves a whole session to a user who may do nothing outside the prefix', async () => {
    const store = await open({ etcdEndpoints: etcd.endpoints, ...asUser });
    const session = await openSession(store, 'a', { ttlMs: 3_000 });
    const revision = await session.lane('data').commit({ operations: [put('m/1')] });
    expect(await store.keepAlive(session.leaseId)).toEqual({ ttlMs: 3_000 });
    const compacting = said(store.compact(revision));
    expect(await compacting).toMatch(version === 'debian' ? /^nothing$/ : /lets only root compact.*--auto-compaction/);
    expect((await store.usage()).sizeBytes).toBeGreaterThan(0);
    await session.revoke(new Error('the test is over'));
    expect(await read(store, 'sessions/a')).toBeUndefined();
  });

  it('goes on when its token has expired: where a watch is created, after one transaction, within a lane', async () => {
    const endpoints = { etcdEndpoints: etcd.endpoints, ...asUser };
    const [watching, writing, committing] = [await open(endpoints), await open(endpoints), await open(endpoints)];
    const session = await openSession(committing, 'b', { ttlMs: 30_000 });
    const { revision } = await writing.transact({ compare: [], success: [put('w/1')] });
    await systemClock.sleep(3_500);

    const watch = watching.watch({ key: 'w/', end: 'w0' }, revision, new AbortController().signal);
    expect((await watch[Symbol.asyncIterator]().next()).value).toMatchObject({ revision });
    // The transaction itself goes out once, with the token that is refused; the next one has a new token.
    const kinds = [];
    for (let round = 0; round < 2; round += 1) {
      kinds.push(await kindOf(writing.transact({ compare: [], success: [put('w/2')] })));
    }
    expect(kinds).toEqual(['unavailable', 'applied']);
    await session.lane('data').commit({ operations: [put('m/2')] });
    expect(await read(writing, 'w/2')).toMatchObject({ version: 1 });
    expect(await read(writing, 'm/2')).toMatchObject({ version: 1 });
  });

  it('goes on when a member forgot all tokens', async () => {
    const store = await open({ etcdEndpoints: etcd.endpoints, ...asUser });
    const { revision } = await store.range({ key: 'r/1' });
    const batches: unknown[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const batch of store.watch({ key: 'r/', end: 'r0' }, revision + 1, stop.signal)) batches.push(batch);
    })();
    await etcd.killAll();
    await etcd.startAll();
    await eventually(
      'a transaction',
      async () => (await kindOf(store.transact({ compare: [], success: [put('r/1')] }))) === 'applied',
    );
    await eventually('its event', () => batches.length > 0);
    stop.abort();
    await watching;
  });

  it('says what is wrong with user and password', async () => {
    const { endpoints: etcdEndpoints } = etcd;
    expect(await said(open({ etcdEndpoints, ...asUser, etcdPassword: 'wrong' }))).toMatch(
      /refused the user: check KAFSCALE_ETCD_USERNAME and KAFSCALE_ETCD_PASSWORD/,
    );
    expect(await said(open({ etcdEndpoints }))).toMatch(/asks for a user: set KAFSCALE_ETCD_USERNAME/);
    expect(await said(open({ etcdEndpoints, ...asUser, clusterName: 'others' }))).toMatch(
      /give it a role with readwrite permission on the prefix/,
    );
  });
});

describeOwn('etcd without users', () => {
  it('takes a broker that names one', async () => {
    const etcd = await EtcdServer.start({ durable: false });
    try {
      const store = await open({ etcdEndpoints: etcd.endpoints, ...asUser });
      await store.transact({ compare: [], success: [put('a')] });
      const signal = new AbortController().signal;
      const watch = store.watch({ key: 'a' }, 1, signal)[Symbol.asyncIterator]();
      expect((await watch.next()).done).toBe(false);
    } finally {
      await etcd.close();
    }
  });
});

describeOwn('etcd with TLS', () => {
  let server: EtcdServer;
  let mutual: EtcdServer;

  beforeAll(async () => {
    [server, mutual] = await Promise.all([
      EtcdServer.start({ durable: false, tls: 'server' }),
      EtcdServer.start({ durable: false, tls: 'mutual' }),
    ]);
  });
  afterAll(() => Promise.all([server.close(), mutual.close()]));

  const caOf = ({ certificates }: EtcdServer) => ({ etcdCaFile: certificates!.caFile });
  const secure = (endpoints: readonly string[]) => endpoints.map((endpoint) => `https://${endpoint}`);

  async function expectWorks(store: EtcdMetadataStore): Promise<void> {
    const { revision } = await store.transact({ compare: [], success: [put('a')] });
    const watch = store.watch({ key: 'a' }, revision, new AbortController().signal);
    expect((await watch[Symbol.asyncIterator]().next()).value).toMatchObject({ revision });
  }

  it('is reached with the authority that signed its certificate', async () => {
    await expectWorks(await open({ etcdEndpoints: server.endpoints, ...caOf(server) }));
    await expectWorks(await open({ etcdEndpoints: secure(server.endpoints), ...caOf(server) }));
  });

  it('is reached with a client certificate where it wants one (mTLS)', async () => {
    const { certFile: etcdCertFile, keyFile: etcdKeyFile } = mutual.certificates!.client;
    await expectWorks(await open({ etcdEndpoints: mutual.endpoints, ...caOf(mutual), etcdCertFile, etcdKeyFile }));
  });

  it('says what is wrong with certificates and addresses', async () => {
    const foreign = { etcdCaFile: mutual.certificates!.caFile };
    expect(await said(open({ etcdEndpoints: server.endpoints, ...foreign }))).toMatch(/KAFSCALE_ETCD_CA_FILE/);
    expect(await said(open({ etcdEndpoints: secure(server.endpoints) }))).toMatch(/KAFSCALE_ETCD_CA_FILE/);
    expect(await said(open({ etcdEndpoints: mutual.endpoints, ...caOf(mutual) }))).toMatch(/KAFSCALE_ETCD_CERT_FILE/);
    expect(await said(open({ etcdEndpoints: server.endpoints, etcdCaFile: '/nowhere.pem' }))).toMatch(
      /KAFSCALE_ETCD_CA_FILE: \/nowhere.pem cannot be read/,
    );
    const mixed = [`http://${server.endpoints[0]!}`];
    expect(await said(open({ etcdEndpoints: mixed, ...caOf(server) }))).toMatch(
      /is without TLS.*use https:\/\/ for all/,
    );
  });

  it('says that the certificate is for another name', async () => {
    const proxy = await FaultyProxy.start({ listenHost: '127.0.0.2', port: server.members[0]!.port });
    opened.push(proxy);
    expect(await said(open({ etcdEndpoints: [proxy.endpoint], ...caOf(server) }))).toMatch(/is for another name/);
  });

  it('says that TLS is wanted, or is not there', async () => {
    expect(await said(open({ etcdEndpoints: server.endpoints }, shortly))).toMatch(/use https:\/\//);
    const plain = await EtcdServer.start({ durable: false });
    opened.push(plain);
    expect(await said(open({ etcdEndpoints: secure(plain.endpoints), ...caOf(server) }, shortly))).toMatch(
      /use http:\/\//,
    );
  });
});

describeOwn('etcd whose certificates are replaced, its authority included', () => {
  it('is reached again by calls and by watches, with what the files hold then', async () => {
    const etcd = await EtcdServer.start({ durable: false, tls: 'mutual' });
    const stop = new AbortController();
    try {
      const { caFile: etcdCaFile, client } = etcd.certificates!;
      const files = { etcdCaFile, etcdCertFile: client.certFile, etcdKeyFile: client.keyFile };
      const store = await open({ etcdEndpoints: etcd.endpoints, ...files });
      const { revision } = await store.transact({ compare: [], success: [put('t/0')] });
      const seen: number[] = [];
      const watching = (async () => {
        for await (const batch of store.watch({ key: 't/', end: 't0' }, revision, stop.signal))
          seen.push(batch.revision);
      })();
      for (let renewal = 1; renewal <= 2; renewal += 1) {
        await etcd.renewCertificates();
        await etcd.killAll();
        await etcd.startAll();
        let written = 0;
        await eventually('a transaction', async () => {
          const wrote = store.transact({ compare: [], success: [put(`t/${renewal}`)] });
          return wrote.then(
            (result) => (written = result.revision) > 0,
            () => false,
          );
        });
        await eventually('its event', () => seen.includes(written));
      }
      stop.abort();
      await watching;
    } finally {
      stop.abort();
      await etcd.close();
    }
  });
});

describeOwn('no etcd at all', () => {
  it('is said of every kind of address that leads nowhere', async () => {
    expect(await said(open({ etcdEndpoints: [`127.0.0.1:${await freePort()}`] }, shortly))).toMatch(
      /nobody listens there: check the address and that etcd runs/,
    );
    expect(await said(open({ etcdEndpoints: ['no-such-host.invalid'] }, shortly))).toMatch(
      /no-such-host.invalid:2379.*unknown/,
    );
    expect(await said(open({ etcdEndpoints: ['ftp://etcd'] }))).toMatch(/"ftp:\/\/etcd" is no address/);
  });

  it('is said of a server that is something else, and of one that never answers', async () => {
    const web = createServer((_, response) => response.end('<html>'));
    const port = await freePort();
    await new Promise<void>((resolve) => web.listen(port, '127.0.0.1', resolve));
    const proxy = await FaultyProxy.start({ port });
    proxy.blackhole();
    try {
      expect(await said(open({ etcdEndpoints: [`127.0.0.1:${port}`] }, shortly))).toMatch(/does not speak gRPC/);
      expect(await said(open({ etcdEndpoints: [proxy.endpoint] }, shortly))).toMatch(
        /did not answer|cannot be reached/,
      );
    } finally {
      await proxy.close();
      web.close();
    }
  });

  it('is waited for when it starts a moment later', async () => {
    const etcd = await EtcdServer.start({ durable: false });
    opened.push(etcd);
    await etcd.killAll();
    const opening = open({ etcdEndpoints: etcd.endpoints });
    await systemClock.sleep(1_000);
    await etcd.startAll();
    expect((await opening).constructor.name).toBe('EtcdMetadataStore');
  });
});
