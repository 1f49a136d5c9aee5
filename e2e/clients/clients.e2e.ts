/**
 * Every client with its default settings: what it sends with each codec it has comes back whole, at the offsets that it was told,
 * and a group goes on where it committed.
 */
import kafkajs from 'kafkajs';
import { RawClient } from '@kafscale/testkit';
import { fetch, splitBatches, zeroUuid } from '@kafscale/protocol';
import { startBrokerUnderTest, type BrokerUnderTest } from '../broker-under-test.ts';
import { clients, missingProgram, type Client, type ClientProgram, type Report } from './client-programs.ts';
import { recordLine, recordSet, type ReadRecord, type SentRecord } from './records.ts';

const inCi = process.env['CI'] === 'true';
const missing = new Map(
  await Promise.all(clients.map(async (client) => [client, await missingProgram(client)] as const)),
);

let broker: BrokerUnderTest;
let admin: ReturnType<InstanceType<typeof kafkajs.Kafka>['admin']>;

beforeAll(async () => {
  broker = await startBrokerUnderTest();
  admin = new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: kafkajs.logLevel.ERROR }).admin();
  await admin.connect();
}, 120_000);

afterAll(async () => {
  await admin.disconnect();
  await broker.close();
});

/** How many records the topic's partitions hold. */
async function logSizes(topic: string): Promise<Map<number, number>> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return new Map(offsets.map(({ partition, low, high }) => [partition, Number(high) - Number(low)]));
}

/** Everything was read exactly once: each partition from its first offset to its last without a gap. */
function expectWhole(read: readonly ReadRecord[], sizes: ReadonlyMap<number, number>): void {
  for (const [partition, size] of sizes) {
    const offsets = read.filter((record) => record.partition === partition).map(({ offset }) => offset);
    expect(offsets).toEqual(Array.from({ length: size }, (_, offset) => offset));
  }
}

/** The codecs of the batches as they are stored. */
async function storedCodecs(topic: string, partitions: Iterable<number>): Promise<Set<string | undefined>> {
  const client = await RawClient.connect({ port: Number(broker.bootstrap.split(':').at(-1)) });
  const codecs = new Set<string | undefined>();
  try {
    for (const partition of partitions) {
      for (let fetchOffset = 0, isAtEnd = false; !isAtEnd;) {
        const wanted = { partition, currentLeaderEpoch: -1, fetchOffset, lastFetchedEpoch: -1, logStartOffset: -1 };
        const { responses } = await client.request(fetch, 11, {
          clusterId: null,
          replicaId: -1,
          replicaState: { replicaId: -1, replicaEpoch: -1n },
          maxWaitMs: 0,
          minBytes: 0,
          maxBytes: 2 ** 24,
          isolationLevel: 0,
          sessionId: 0,
          sessionEpoch: -1,
          topics: [
            {
              topic,
              topicId: zeroUuid,
              partitions: [{ ...wanted, partitionMaxBytes: 2 ** 24, replicaDirectoryId: zeroUuid, highWatermark: -1 }],
            },
          ],
          forgottenTopicsData: [],
          rackId: '',
        });
        const bytes = Buffer.concat(responses[0]?.partitions[0]?.records ?? []);
        isAtEnd = bytes.length === 0;
        for (const batch of splitBatches(bytes).batches) {
          codecs.add(batch.codec);
          fetchOffset = batch.nextOffset;
        }
      }
    }
  } finally {
    await client.close();
  }
  return codecs;
}

function expectSameRecords(read: readonly SentRecord[], sent: readonly SentRecord[]): void {
  expect(read.map(recordLine).sort()).toEqual(sent.map(recordLine).sort());
}

describe.each(clients)('$name', (client: Client) => {
  const reason = missing.get(client);
  if (reason !== undefined && !inCi) {
    it.skip(`skipped: needs ${reason}`, () => undefined);
    return;
  }

  const topic = `round-trip-${client.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`;
  const canSend = client.canSend ?? ((): boolean => true);
  const firstLot = recordSet('first').filter(canSend);
  const secondLot = recordSet('second').filter(canSend);
  let program: ClientProgram;
  let reports: readonly Report[];
  let read: readonly ReadRecord[];

  beforeAll(async () => {
    program = await client.prepare();
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] });
    const { bootstrap } = broker;
    reports = await program.produce({ bootstrap, topic }, firstLot, { codecs: client.codecs, idempotence: 'default' });
    read = await program.consume({ bootstrap, topic, group: `${topic}-group` }, firstLot.length * client.codecs.length);
  }, 300_000);

  it('reads in a group what it sent, with every codec it has', () => {
    expectSameRecords(
      read,
      client.codecs.flatMap(() => firstLot),
    );
  });

  it('reads every offset once, without a gap', async () => {
    expectWhole(read, await logSizes(topic));
  });

  it('stores batches in each of these codecs, as they were sent', async () => {
    const sizes = await logSizes(topic);
    expect([...(await storedCodecs(topic, sizes.keys()))].sort()).toEqual([...client.codecs].sort());
  });

  if (client.tellsOffsets) {
    it.each(client.codecs)('finds at each offset it was told what it sent there with %s', (codec) => {
      const at = new Map(read.map((record) => [`${record.partition}/${record.offset}`, recordLine(record)]));
      const told = reports.filter((report) => report.codec === codec);
      expect(told).toHaveLength(firstLot.length);
      for (const { index, partition, offset } of told) {
        expect(at.get(`${partition}/${offset}`)).toBe(recordLine(firstLot[index]!));
      }
    });
  }

  it(`goes on from its committed offsets, with idempotence ${client.idempotentByDefault ? 'off' : 'on'}`, async () => {
    const { bootstrap } = broker;
    const idempotence = client.idempotentByDefault ? 'off' : 'on';
    await program.produce({ bootstrap, topic }, secondLot, { codecs: ['none'], idempotence });
    const next = await program.consume({ bootstrap, topic, group: `${topic}-group` }, secondLot.length);
    expectSameRecords(next, secondLot);
    expectWhole([...read, ...next], await logSizes(topic));
  }, 300_000);

  it('creates a topic by writing to it', async () => {
    const { bootstrap } = broker;
    const created = `${topic}-created`;
    await program.produce({ bootstrap, topic: created }, secondLot, { codecs: ['none'], idempotence: 'default' });
    expect(await logSizes(created)).toEqual(new Map([[0, secondLot.length]]));
  }, 300_000);
});
