/** Every client with its default settings against three brokers: whatever it sends comes back as it was, to any other client's group. */
import { clients, missingProgram, type Client, type ClientProgram } from '../clients/client-programs.ts';
import { recordLine, recordSet } from '../clients/records.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const inCi = process.env['CI'] === 'true';
const installed: Client[] = [];
for (const client of clients) {
  if (inCi || (await missingProgram(client)) === undefined) installed.push(client);
}

let cluster: ClusterUnderTest;
beforeAll(async () => {
  cluster = await ClusterUnderTest.start({ brokers: 3, env: { KAFSCALE_AUTO_CREATE_PARTITIONS: '6' } });
}, 120_000);
afterAll(() => cluster.close());

describe.each(installed.map((client) => [client.name, client] as const))('%s', (name, client) => {
  const topic = `from-${name.replaceAll(/[^a-zA-Z0-9.]+/g, '-')}`;
  const lot = recordSet(name).filter((record) => client.canSend?.(record) ?? true);
  let program: ClientProgram;
  beforeAll(async () => {
    program = await client.prepare();
  }, 300_000);

  it('writes to and reads from three brokers', async () => {
    const { bootstrap } = cluster;
    await program.produce({ bootstrap, topic }, lot, { codecs: ['none', 'gzip'], idempotence: 'default' });
    const read = await program.consume({ bootstrap, topic, group: `group-${topic}` }, 2 * lot.length);
    const twice = lot.flatMap((record) => [recordLine(record), recordLine(record)]);
    expect(read.map(recordLine).sort()).toEqual(twice.sort());
    expect(new Set(read.map(({ partition }) => partition)).size).toBeGreaterThan(3);
  });
});
