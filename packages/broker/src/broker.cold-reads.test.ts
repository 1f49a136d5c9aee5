import {
  decodeIndexFooter,
  decodeIndexTrailer,
  deleteRecords,
  encodeRecordBatch,
  ErrorCode,
  incrementalAlterConfigs,
  indexTrailerBytes,
  listOffsets,
  offsetForLeaderEpoch,
} from '@kafscale/protocol';
import { eventually, type RawClient } from '@kafscale/testkit';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { batchesOf, BrokerFixture, createTopic, fetchFrom, produceTo, readAll } from './broker-fixture.ts';

const fixture = new BrokerFixture();
afterEach(() => fixture.closeAll());

const topic = 'orders';
const batches = 30;
const minute = 60_000;
/** What ListOffsets takes for no time but a question. */
const [earliest, latestTime] = [-2, -3];
/** Every batch is enough for a segment of its own. */
const valueBytes = 70_000;
const config = { foldAfterMs: 100, segmentBytes: 64 * 1_024, hotTailBytes: 0, retentionCheckIntervalMs: 1_000 };

/** Batches of two records, a minute apart, the last one now. */
async function fill(client: RawClient, startMs: number): Promise<void> {
  for (let index = 0; index < batches; index += 1) {
    const timestamp = startMs + index * minute;
    const records = encodeRecordBatch({
      records: [
        { timestamp, key: `${index}`, value: 'v'.repeat(valueBytes) },
        { timestamp: timestamp + 1, value: `second of ${index}` },
      ],
    });
    expect(await produceTo(client, topic, 0, records)).toMatchObject({ errorCode: 0, baseOffset: index * 2 });
  }
}

/** The records that were published with index objects, the newest last. */
async function publishedRecords(dataDir: string) {
  const objects = join(dataDir, 'objects');
  const names = (await readdir(objects, { recursive: true })).filter((name) => name.endsWith('.idx'));
  const records = [];
  for (const name of names) {
    const object = await readFile(join(objects, name));
    const place = decodeIndexTrailer(object.subarray(object.length - indexTrailerBytes), object.length);
    const footer = decodeIndexFooter(object.subarray(place.position, place.position + place.length), place);
    records.push(...footer.topics.flatMap(({ partitions }) => partitions.map(({ record }) => record!)));
  }
  return records.sort((left, right) => Number(left.foldedOffset - right.foldedOffset));
}

async function offsetAt(client: RawClient, timestamp: number) {
  const { topics } = await client.request(listOffsets, 7, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [
      {
        name: topic,
        partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: BigInt(timestamp), maxNumOffsets: 1 }],
      },
    ],
    timeoutMs: 0,
  });
  return topics[0]!.partitions[0]!;
}

function batchStarts(bytes: Buffer): number[] {
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 8) + 12) starts.push(at);
  return starts;
}

const firstOffsetFrom = async (client: RawClient, offset: number) =>
  batchesOf(await fetchFrom(client, topic, 0, { offset, partitionMaxBytes: 1 }))[0]?.baseOffset;

describe('a broker whose records lie in segments', () => {
  it('finds offsets and times in all of them, before and after a restart, and drops what is deleted or expired', async () => {
    const dataDir = await fixture.folder();
    const broker = await fixture.start({ dataDir, config });
    const client = await fixture.connect(broker);
    await createTopic(client, topic, 1, { 'retention.ms': '-1' });
    const startMs = Date.now() - (batches - 1) * minute;
    await fill(client, startMs);
    const before = await readAll(client, topic, 0);
    await eventually(
      'most segments are listed in chunks',
      async () => Number((await publishedRecords(dataDir)).at(-1)?.chunks.at(-1)?.nextOffset ?? 0) > batches,
      30_000,
    );

    const starts = batchStarts(before);
    const check = async (by: RawClient, firstBatch: number) => {
      const rest = await readAll(by, topic, 0, firstBatch * 2);
      expect(rest.equals(before.subarray(starts[firstBatch]))).toBe(true);
      for (let index = firstBatch; index < batches; index += 4) {
        expect(await offsetAt(by, startMs + index * minute)).toMatchObject({ offset: index * 2 });
        expect(await offsetAt(by, startMs + index * minute + 1)).toMatchObject({ offset: index * 2 + 1 });
        expect(await firstOffsetFrom(by, index * 2 + 1)).toBe(index * 2);
      }
      expect(await offsetAt(by, latestTime)).toMatchObject({ offset: batches * 2 - 1 });
      expect(await offsetAt(by, earliest)).toMatchObject({ offset: firstBatch * 2 });
      expect(await offsetAt(by, startMs + batches * minute)).toMatchObject({ offset: -1 });
    };

    await check(client, 0);
    const { topics } = await client.request(deleteRecords, 1, {
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: 8 }] }],
      timeoutMs: 10_000,
    });
    expect(topics[0]!.partitions[0]).toMatchObject({ errorCode: 0, lowWatermark: 8 });
    expect(await fetchFrom(client, topic, 0, { offset: 7 })).toMatchObject({
      errorCode: ErrorCode.OFFSET_OUT_OF_RANGE,
    });
    await check(client, 4);
    await broker.close();

    const again = await fixture.start({ dataDir, config });
    const other = await fixture.connect(again);
    await check(other, 4);
    const ends = await other.request(offsetForLeaderEpoch, 3, {
      replicaId: -2,
      topics: [{ topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }],
    });
    expect(ends.topics[0]!.partitions[0]).toMatchObject({ errorCode: 0, leaderEpoch: 0, endOffset: batches * 2 });

    const retentionMs = 10.5 * minute;
    await other.request(incrementalAlterConfigs, 0, {
      resources: [
        {
          resourceType: 2,
          resourceName: topic,
          configs: [{ name: 'retention.ms', configOperation: 0, value: String(retentionMs) }],
        },
      ],
      validateOnly: false,
    });
    await eventually(
      'what has expired is gone',
      async () => (await offsetAt(other, earliest)).offset >= (batches - 12) * 2,
      20_000,
    );
    const { offset } = await offsetAt(other, earliest);
    await check(other, offset / 2);
  }, 120_000);
});
