/** What a broker does not start on, and that it says what to do about it and changes nothing. */
import { EtcdServer, s3Request } from '@kafscale/testkit';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ClusterUnderTest, type BrokerUnderTest, type Variables } from './cluster-under-test.ts';
import { Load } from './load.ts';

let cluster: ClusterUnderTest;
let load: Load;

beforeAll(async () => {
  cluster = await ClusterUnderTest.start({ brokers: 1, env: { KAFSCALE_SESSION_TTL_MS: '3000' } });
  load = await Load.start({ cluster, topic: 'kept', partitions: 2, seed: 1 });
  await load.finish();
}, 120_000);

afterAll(async () => {
  await load.close();
  await cluster.close();
});

/** What a broker says that does not start with these variables. */
async function refusal(brokerId: number, env: Variables): Promise<string> {
  const broker: BrokerUnderTest = await cluster.addBroker(brokerId, env);
  const outcome = await broker.start().then(
    () => 'it started',
    (error: unknown) => String(error),
  );
  await broker.kill();
  return outcome;
}

it('refuses the id of a broker that is alive', async () => {
  const said = await refusal(0, {});
  expect(said).toMatch(/broker id 0 .*(another broker|in use|taken)/i);
});

it("refuses another cluster's bucket beside an empty etcd", async () => {
  const empty = await EtcdServer.start({ durable: false });
  try {
    const said = await refusal(7, { KAFSCALE_ETCD_ENDPOINTS: `http://${empty.endpoints[0]!}` });
    expect(said).toMatch(
      /metadata store is empty, and .* bucket holds cluster .*kafscale rebuild.*Nothing was written/s,
    );
    expect(said).not.toContain('Unexpected failure');
  } finally {
    await empty.close();
  }
});

it("refuses an empty bucket beside another cluster's metadata", async () => {
  await cluster.s3.createBucket('empty');
  const said = await refusal(7, { KAFSCALE_S3_BUCKET: 'empty' });
  expect(said).toMatch(/knows records, and .* bucket is empty.*correct KAFSCALE_S3_BUCKET and KAFSCALE_S3_NAMESPACE/s);
  expect(said).not.toContain('Unexpected failure');
});

it('refuses an endpoint that answers with web pages', async () => {
  const web = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end('<html>a console</html>'),
  );
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as AddressInfo;
  try {
    const said = await refusal(8, { KAFSCALE_S3_ENDPOINT: `http://127.0.0.1:${port}` });
    expect(said).toMatch(/answered with a web page: .*address of the S3 API.*KAFSCALE_S3_ENDPOINT/s);
  } finally {
    web.close();
  }
});

it.each([
  [
    'credentials that the store does not know',
    { KAFSCALE_S3_SECRET_KEY: 'wrong-secret' },
    /secret does not belong to the access key.*Correct KAFSCALE_S3_SECRET_KEY/s,
  ],
  ['a bucket that is not there', { KAFSCALE_S3_BUCKET: 'nowhere' }, /has no bucket "nowhere".*KAFSCALE_S3_BUCKET/s],
  ['an endpoint that is no S3 at all', {}, /S3|endpoint/i],
  ['an etcd that does not answer', { KAFSCALE_ETCD_ENDPOINTS: 'http://127.0.0.1:1' }, /etcd/i],
])('refuses %s', async (what, env, expected) => {
  const broker = cluster.broker(0);
  const wrongEndpoint = { KAFSCALE_S3_ENDPOINT: `http://127.0.0.1:${broker.metricsPort}` };
  const said = await refusal(8, what.includes('no S3') ? wrongEndpoint : env);
  expect(said).toMatch(expected);
  expect(said).not.toContain('Unexpected failure');
});

it('has changed nothing by all of that', async () => {
  expect(await load.verify()).toEqual([]);
  const listed = await s3Request(cluster.s3, { method: 'GET', path: 'empty', query: { 'list-type': '2' } });
  expect(await listed.text()).not.toMatch(/<Key>[^<]*(flush|segment)/);
});
