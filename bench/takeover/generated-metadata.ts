/** Metadata as a long life of many partitions leaves them, generated: no record is stored, and none may be needed. */
import { openStores, createMetrics, startBroker, type Stores } from '@kafscale/broker';
import {
  type BrokerConfig,
  createTopics,
  crc32c,
  encodeFlushFooter,
  IndexObjectBuilder,
  metadata,
  metadataKeys,
} from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { RawClient } from '@kafscale/testkit';

const segmentsInRecord = 6;
const partitionsPerIndexObject = 2_000;
const recordsPerTransaction = 50;
const segmentLength = 16n * 2n ** 20n;
const dead = 'd'.repeat(32);
export const topicName = 'takeover';
export const dependencies = { clock: systemClock, random: cryptoRandom, logger: silentLogger };

export interface Shape {
  readonly partitionCount: number;
  readonly segmentCount: number;
  readonly manifestCount: number;
}

export const partitionsPerFlush = ({ partitionCount }: Shape) => Math.min(1_000, partitionCount);
export const segmentsOfEach = ({ segmentCount, partitionCount }: Shape) => Math.ceil(segmentCount / partitionCount);

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

/** A dead broker's partitions: records, segments in chunks that lie nowhere, and manifests that are not shelved. */
export async function generate({ metadataStore, objectStore }: Stores, topicId: string, shape: Shape): Promise<void> {
  const { partitionCount, manifestCount } = shape;
  const ofEach = segmentsOfEach(shape);
  const foldedOffset = BigInt(ofEach * 1_000);
  const perFlush = partitionsPerFlush(shape);
  const nextOffsets = new Array<bigint>(partitionCount).fill(foldedOffset);
  for (let sequence = 0; sequence < manifestCount; sequence += 1) {
    const extents: metadata.FlushExtent[] = [];
    for (let count = 0; count < perFlush; count += 1) {
      const partition = (sequence * perFlush + count) % partitionCount;
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
      const inRecord = Math.min(segmentsInRecord, ofEach);
      const batches = [0, 1, 2, 3, 4].map((index) => ({
        ...{ producerId: BigInt(partition), producerEpoch: 0, firstSequence: index, lastSequence: index },
        ...{ baseOffset: BigInt(index), lastTimestamp: BigInt(systemClock.wallMs()) },
      }));
      const record: metadata.PartitionRecord = {
        ...{ owner: dead, brokerId: 0, leaderEpoch: 1, logStartOffset: 0n, foldedOffset, nextOffset: foldedOffset },
        epochStarts: [{ leaderEpoch: 0, startOffset: 0n }],
        chunks: chunkOf(partition, ofEach - inRecord),
        segments: Array.from({ length: inRecord }, (_, index) => segment(partition, ofEach - inRecord + index)),
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

/** Makes the topic by a broker of its own, stops that, and fills the stores in its place. */
export async function prepare(config: BrokerConfig, shape: Shape): Promise<Stores> {
  const first = await startBroker(config, dependencies);
  const client = await RawClient.connect({ port: first.port });
  const { topics } = await client.request(createTopics, 7, {
    ...{ timeoutMs: 120_000, validateOnly: false },
    topics: [
      { name: topicName, numPartitions: shape.partitionCount, replicationFactor: 1, assignments: [], configs: [] },
    ],
  });
  const { topicId, errorCode } = topics[0]!;
  if (errorCode !== 0) throw new Error(`the topic could not be made: error ${errorCode}`);
  await client.close();
  await first.close();
  const stores = await openStores(config, dependencies, createMetrics());
  await generate(stores, topicId, shape);
  return stores;
}
