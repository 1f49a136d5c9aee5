/** The broker with much of everything, and what it shows of itself meanwhile. */
import { jest } from '@jest/globals';
import { createTopics, metadataApi, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { batch, BrokerFixture, createTopic, fetchFrom, produceRequest, produceTo, readAll } from './broker-fixture.ts';
import type { RunningBroker } from './broker.ts';

jest.setTimeout(60_000);

describe('Broker with much to do', () => {
  const fixture = new BrokerFixture();

  afterEach(() => fixture.closeAll());

  const scrape = async ({ metricsPort }: RunningBroker): Promise<string> =>
    (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();

  /** The value of the first sample of that name, whatever its labels. */
  const sample = (text: string, name: string): number => {
    const line = text
      .split('\n')
      .find((candidate) => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`));
    return line === undefined ? NaN : Number(line.slice(line.lastIndexOf(' ') + 1));
  };

  it('serves ten thousand partitions of a topic, also after a restart', async () => {
    const dataDir = await fixture.folder();
    const first = await fixture.start({ dataDir });
    const before = await fixture.connect(first);
    await createTopic(before, 'wide', 10_000);
    expect((await produceTo(before, 'wide', 9_999, batch(['x']))).baseOffset).toBe(0);
    await first.close();
    const after = await fixture.connect(await fixture.start({ dataDir }));
    expect((await produceTo(after, 'wide', 9_999, batch(['y']))).baseOffset).toBe(1);
    expect((await produceTo(after, 'wide', 0, batch(['y']))).baseOffset).toBe(0);
  });

  it('creates hundreds of topics in one request and describes them all', async () => {
    const client = await fixture.connect(await fixture.start());
    const names = Array.from({ length: 300 }, (_, index) => `topic-${index}`);
    const { topics } = await client.request(createTopics, 7, {
      topics: names.map((name) => ({ name, numPartitions: 2, replicationFactor: -1, assignments: [], configs: [] })),
      timeoutMs: 30_000,
      validateOnly: false,
    });
    expect(topics.filter(({ errorCode }) => errorCode !== 0)).toEqual([]);
    const described = await client.request(metadataApi, 12, {
      topics: null,
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    expect(described.topics.map(({ name }) => name).sort()).toEqual([...names].sort());
    expect(described.topics.every(({ partitions }) => partitions.every(({ leaderId }) => leaderId === 0))).toBe(true);
  });

  it('closes a connection that announces more than the largest request, and no other', async () => {
    const broker = await fixture.start();
    const honest = await fixture.connect(broker);
    await createTopic(honest, 't');
    const greedy = await fixture.connect(broker);
    const prefix = Buffer.alloc(4);
    prefix.writeInt32BE(100 * 2 ** 20 + 1);
    greedy.write(prefix);
    await greedy.closed;
    expect((await produceTo(honest, 't', 0, batch(['x']))).errorCode).toBe(0);
  });

  it('takes a request of many megabytes for many partitions and gives all of it back', async () => {
    const client = await fixture.connect(await fixture.start());
    await createTopic(client, 't', 40);
    const records = Array.from({ length: 40 }, (_, index) => batch([`${index}`.repeat(400_000)]));
    const { responses } = await client.request(produce, 9, {
      ...produceRequest('t', 0, null),
      topicData: [
        {
          ...produceRequest('t', 0, null).topicData[0]!,
          partitionData: records.map((bytes, index) => ({ index, records: bytes })),
        },
      ],
    });
    expect(responses[0]!.partitionResponses.map(({ errorCode }) => errorCode)).toEqual(records.map(() => 0));
    for (const [index, bytes] of records.entries()) {
      // Behind offset, length and epoch, which the broker sets, every byte is the producer's.
      expect((await readAll(client, 't', index)).subarray(16).equals(bytes.subarray(16))).toBe(true);
    }
  });

  it('answers a thousand connections', async () => {
    const broker = await fixture.start();
    const client = await fixture.connect(broker);
    await createTopic(client, 't');
    const connections = await Promise.all(
      Array.from({ length: 1_000 }, () => RawClient.connect({ port: broker.port })),
    );
    const offsets = await Promise.all(
      connections.map(async (each, index) => (await produceTo(each, 't', 0, batch([`${index}`]))).baseOffset),
    );
    expect(new Set(offsets).size).toBe(1_000);
    expect(Math.max(...offsets)).toBe(999);
    expect(sample(await scrape(broker), 'kafscale_connections')).toBe(1_001);
    await Promise.all(connections.map((each) => each.close()));
  });

  it('shows its work under the names that dashboards know', async () => {
    const broker = await fixture.start({ config: { hotTailBytes: 0 } });
    const client = await fixture.connect(broker);
    await createTopic(client, 't', 3);
    for (let index = 0; index < 5; index += 1) await produceTo(client, 't', 0, batch(['x']));
    for (let index = 0; index < 3; index += 1) await fetchFrom(client, 't', 0, { offset: 0 });
    const text = await scrape(broker);
    const values = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, sample(text, name)]));
    expect(values(['kafscale_produce_requests_total', 'kafscale_fetch_requests_total'])).toEqual({
      kafscale_produce_requests_total: 5,
      kafscale_fetch_requests_total: 3,
    });
    const flushes = sample(text, 'kafscale_segment_flush_duration_seconds_count');
    expect(flushes).toBeGreaterThanOrEqual(1);
    expect(flushes).toBeLessThanOrEqual(5);
    // Beside the flushes, what keeps the bucket: its identity and the first checkpoint.
    for (const unit of ['seconds', 'ms']) {
      expect(sample(text, `kafscale_s3_upload_duration_${unit}_count`)).toBeGreaterThan(flushes);
    }
    expect(sample(text, 'kafscale_s3_download_duration_ms_count')).toBeGreaterThanOrEqual(1);
    const ratio = sample(text, 'kafscale_cache_hit_ratio');
    expect(ratio).toBeGreaterThan(0);
    expect(ratio).toBeLessThan(1);
    const { status } = await fetch(`http://127.0.0.1:${broker.metricsPort}/healthz`);
    expect(status).toBe(200);
  });
});
