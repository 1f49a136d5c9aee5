/**
 * A broker in another region that only reads, through a replica of the bucket which has not received anything yet: consumers of its rack
 * are given everything by it, and by the leaders once it is gone.
 */
import { startMinio } from '@kafscale/testkit';
import { clients, missingProgram, type Client, type ClientProgram } from '../clients/client-programs.ts';
import { recordLine, recordSet } from '../clients/records.ts';
import { ClusterUnderTest, type BrokerUnderTest } from './cluster-under-test.ts';

const inCi = process.env['CI'] === 'true';
const readers: Client[] = [];
for (const client of clients) {
  if (client.readsNearby === true && (inCi || (await missingProgram(client)) === undefined)) readers.push(client);
}
const replica = 'replica';

let cluster: ClusterUnderTest;
let reading: BrokerUnderTest;

beforeAll(async () => {
  cluster = await ClusterUnderTest.start({
    brokers: 2,
    startS3: (settings) => startMinio({ ...settings, buckets: [...(settings.buckets ?? []), replica] }),
    env: { KAFSCALE_RACK: 'here', KAFSCALE_AUTO_CREATE_PARTITIONS: '6' },
  });
  const { endpoint, region } = cluster.s3;
  reading = await cluster.addBroker(9, {
    KAFSCALE_ROLE: 'read',
    KAFSCALE_RACK: 'there',
    KAFSCALE_S3_READ_BUCKET: replica,
    KAFSCALE_S3_READ_ENDPOINT: endpoint,
    KAFSCALE_S3_READ_REGION: region,
  });
  await reading.start();
}, 120_000);
afterAll(() => cluster.close());

const sampleOf = (text: string, metric: string) =>
  Number(new RegExp(`^${metric.replaceAll(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);

const fetchedBytes = async (broker: BrokerUnderTest) =>
  sampleOf(await broker.metrics(), 'kafscale_fetched_bytes_total');

const fetchedFromLeaders = async () => {
  const bytes = await Promise.all(cluster.running.filter((broker) => broker !== reading).map(fetchedBytes));
  return bytes.reduce((sum, some) => sum + some, 0);
};

describe.each(readers.map((client) => [client.name, client] as const))('%s', (name, client) => {
  const topic = `near-${name.replaceAll(/[^a-zA-Z0-9.]+/g, '-')}`;
  const lot = recordSet(name);
  let program: ClientProgram;
  beforeAll(async () => {
    program = await client.prepare();
  }, 300_000);

  it('reads everything from the broker of its rack, and what comes later', async () => {
    const { bootstrap } = cluster;
    const how = { codecs: ['none'], idempotence: 'default' } as const;
    await program.produce({ bootstrap, topic }, lot, how);
    const [before, beforeFromLeaders] = [await fetchedBytes(reading), await fetchedFromLeaders()];
    const near = { bootstrap, topic, group: `group-${topic}`, rack: 'there' };
    const read = await program.consume(near, lot.length);
    expect(read.map(recordLine).sort()).toEqual(lot.map(recordLine).sort());
    await program.produce({ bootstrap, topic }, lot, how); // the broker follows these logs by now
    expect(await program.consume({ ...near, group: `later-${topic}` }, 2 * lot.length)).toHaveLength(2 * lot.length);
    expect((await fetchedBytes(reading)) - before).toBeGreaterThan(0);
    expect((await fetchedFromLeaders()) - beforeFromLeaders).toBe(0);
    const misses = 'kafscale_object_store_replica_fallbacks_total{reason="not-found"}';
    expect(sampleOf(await reading.metrics(), misses)).toBeGreaterThan(0);
  });
});

it('leaves its consumers to the leaders when it is gone', async () => {
  const program = await readers[0]!.prepare();
  const topic = 'left';
  const lot = recordSet(topic);
  const { bootstrap } = cluster;
  await program.produce({ bootstrap, topic }, lot, { codecs: ['none'], idempotence: 'default' });
  await reading.kill();
  const read = await program.consume({ bootstrap, topic, group: 'left', rack: 'there' }, lot.length);
  expect(read.map(recordLine).sort()).toEqual(lot.map(recordLine).sort());
}, 120_000);
