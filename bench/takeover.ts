// How long a broker takes to open what a dead one left: partitions whose metadata name very many segments, and manifests of the last
// minutes. The metadata are generated; no record is stored, and none may be needed. Prints the time from the start of the process's
// broker to the moment it owns and serves everything, and what that costs in memory. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/takeover.ts [partitions, 10000] [segments, 300000] [manifests, 240]

import { createMetrics, openStores, startBroker, type Stores } from '@kafscale/broker';
import {
  brokerConfigSchema,
  createTopics,
  crc32c,
  encodeFlushFooter,
  IndexObjectBuilder,
  metadata,
  metadataKeys,
  metadataPrefixes,
} from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { RawClient } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [partitionCount = 10_000, segmentCount = 300_000, manifestCount = 240] = process.argv.slice(2).map(Number);
const segmentsInRecord = 6;
const partitionsPerFlush = Math.min(1_000, partitionCount);
const partitionsPerIndexObject = 2_000;
const recordsPerTransaction = 50;
const segmentLength = 16n * 2n ** 20n;
const dead = 'd'.repeat(32);
const topicName = 'takeover';
const segmentsOfEach = Math.ceil(segmentCount / partitionCount);
const foldedOffset = BigInt(segmentsOfEach * 1_000);

const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };

const segment = (partition: number, index: number): metadata.Segment => ({
  objectKey: `default/${topicName}/${partition}/segment-${String(index * 1_000).padStart(20, '0')}-${dead}.${String(index).padStart(16, '0')}.AAAAAAAAAAAAAAAA.kfs`,
  baseOffset: BigInt(index * 1_000),
  nextOffset: BigInt((index + 1) * 1_000),
  position: 32n,
  length: segmentLength,
  maxTimestamp: BigInt(index),
  maxTimestampBaseOffset: BigInt(index * 1_000),
  leaderEpoch: 0,
});

/** A chunk whose list is nowhere: an opening that read it would fail. */
function chunkOf(partition: number, segments: number): metadata.SegmentChunk[] {
  if (segments <= 0) return [];
  return [
    {
      list: {
        objectKey: `default/index/00/${dead}.${String(partition).padStart(16, '0')}.A.idx`,
        position: 0n,
        length: 1,
        crc32c: 0,
      },
      baseOffset: 0n,
      nextOffset: BigInt(segments * 1_000),
      segmentCount: segments,
      length: segmentLength * BigInt(segments),
      maxTimestamp: 0n,
    },
  ];
}

async function generate({ metadataStore, objectStore }: Stores, topicId: string): Promise<void> {
  const nextOffsets = new Array<bigint>(partitionCount).fill(foldedOffset);
  for (let sequence = 0; sequence < manifestCount; sequence += 1) {
    const extents: metadata.FlushExtent[] = [];
    for (let count = 0; count < partitionsPerFlush; count += 1) {
      const partition = (sequence * partitionsPerFlush + count) % partitionCount;
      const baseOffset = nextOffsets[partition]!;
      nextOffsets[partition] = baseOffset + 10n;
      extents.push({
        ...{
          partition,
          leaderEpoch: 0,
          baseOffset,
          nextOffset: baseOffset + 10n,
          position: BigInt(count * 1_024),
          length: 1_024,
        },
        ...{ maxTimestamp: 1n, maxTimestampBaseOffset: baseOffset },
        producerBatches: [
          {
            ...{ producerId: BigInt(partition), producerEpoch: 0, firstSequence: 0, lastSequence: 9 },
            ...{ baseOffset, lastTimestamp: BigInt(systemClock.wallMs()) },
          },
        ],
      });
    }
    const { footer, trailer } = encodeFlushFooter({
      ...{
        clusterId: 'x',
        incarnation: dead,
        sequence: BigInt(sequence),
        buildsOn: BigInt(sequence - 1),
        createdMs: 0n,
      },
      topics: [{ topicId: Buffer.from(topicId, 'base64url'), name: topicName, extents }],
    });
    const objectKey = `default/flush/00/${dead}.${String(sequence).padStart(16, '0')}.AAAAAAAAAAAAAAAA.wal`;
    await objectStore.create(objectKey, [footer, trailer]);
    const body = { $case: 'footer', value: { position: 0n, length: footer.length, crc32c: crc32c(footer) } } as const;
    await put(metadataStore, [
      [metadataKeys.manifest(dead, sequence), metadata.FlushManifest.encode({ objectKey, body }).finish()],
    ]);
  }
  for (let from = 0; from < partitionCount; from += partitionsPerIndexObject) {
    const to = Math.min(partitionCount, from + partitionsPerIndexObject);
    const objectKey = `default/index/00/${dead}.${String(from).padStart(16, '0')}.BBBBBBBBBBBBBBBB.idx`;
    const builder = new IndexObjectBuilder(objectKey);
    let entries: [string, Uint8Array][] = [];
    for (let partition = from; partition < to; partition += 1) {
      const of = { topicId: Buffer.from(topicId, 'base64url'), topicName, partition };
      const inRecord = Math.min(segmentsInRecord, segmentsOfEach);
      const batches = [0, 1, 2, 3, 4].map((index) => ({
        ...{ producerId: BigInt(partition), producerEpoch: 0, firstSequence: index, lastSequence: index },
        ...{ baseOffset: BigInt(index), lastTimestamp: BigInt(systemClock.wallMs()) },
      }));
      const record: metadata.PartitionRecord = {
        ...{ owner: dead, brokerId: 0, leaderEpoch: 1, logStartOffset: 0n, foldedOffset, nextOffset: foldedOffset },
        epochStarts: [{ leaderEpoch: 0, startOffset: 0n }],
        chunks: chunkOf(partition, segmentsOfEach - inRecord),
        segments: Array.from({ length: inRecord }, (_, index) => segment(partition, segmentsOfEach - inRecord + index)),
        producerSnapshot: builder.addProducerSnapshot(of, { offset: foldedOffset, batches }),
      };
      entries.push([metadataKeys.partition(topicId, partition), metadata.PartitionRecord.encode(record).finish()]);
      if (entries.length === recordsPerTransaction || partition === to - 1) {
        await put(metadataStore, entries);
        entries = [];
      }
    }
    await objectStore.create(
      objectKey,
      builder.finish({ clusterId: 'x', incarnation: dead, sequence: from, createdMs: 0 }),
    );
  }
}

async function put(store: Stores['metadataStore'], entries: readonly (readonly [string, Uint8Array])[]): Promise<void> {
  await store.transact({ compare: [], success: entries.map(([key, value]) => ({ type: 'put', key, value })) });
}

async function metadataBytes({ metadataStore }: Stores): Promise<number> {
  let bytes = 0;
  for (const prefix of [metadataPrefixes.partitions, metadataPrefixes.manifests]) {
    for (let key: string = prefix; ;) {
      const { items, more } = await metadataStore.range({ key, end: `${prefix.slice(0, -1)}0`, limit: 500 });
      for (const item of items) bytes += item.key.length + item.value.length;
      if (!more) break;
      key = `${items.at(-1)!.key}\0`;
    }
  }
  return bytes;
}

async function measure(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-takeover-bench-'));
  const config = brokerConfigSchema.parse({
    ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', dataDir, foldAfterMs: 3_600_000 },
    maxPartitionsPerTopic: Math.max(10_000, partitionCount),
  });
  try {
    const first = await startBroker(config, dependencies);
    const client = await RawClient.connect({ port: first.port });
    const { topics } = await client.request(createTopics, 7, {
      ...{ timeoutMs: 120_000, validateOnly: false },
      topics: [{ name: topicName, numPartitions: partitionCount, replicationFactor: 1, assignments: [], configs: [] }],
    });
    const { topicId, errorCode } = topics[0]!;
    if (errorCode !== 0) throw new Error(`the topic could not be made: error ${errorCode}`);
    await client.close();
    await first.close();

    const stores = await openStores(config, dependencies, createMetrics());
    await generate(stores, topicId);
    const megabytes = (await metadataBytes(stores)) / 2 ** 20;
    await stores.objectStore.close();
    await stores.metadataStore.close();

    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const startedMs = performance.now();
    const broker = await startBroker(config, dependencies);
    const seconds = (performance.now() - startedMs) / 1_000;
    const rss = (process.memoryUsage().rss - before) / 2 ** 20;
    console.log(
      `${partitionCount} partitions, ${segmentsOfEach * partitionCount} segments, ${manifestCount} manifests of ` +
        `${partitionsPerFlush} partitions, ${megabytes.toFixed(1)} MiB of metadata: ` +
        `opened in ${seconds.toFixed(2)} s, ${rss.toFixed(0)} MiB more resident memory`,
    );
    const scraped = await (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
    const opened = /^kafscale_partitions (\d+)$/m.exec(scraped)?.[1];
    await broker.close();
    if (Number(opened) !== partitionCount) throw new Error(`only ${opened ?? 'no'} partitions are open`);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

await measure();
