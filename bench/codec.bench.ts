// What the protocol package costs a broker: checksums, judging a producer's batch, compression, and decoding and encoding the
// two messages that carry records, beside code written by hand for them. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/codec.bench.ts [crc|validate|compress|produce|fetch]

import { isDeepStrictEqual } from 'node:util';
import {
  codecs,
  compressSync,
  crc32c,
  crc32cCombine,
  crc32cFallback,
  crc32cNative,
  decompressSync,
  encodeRecordBatch,
  fetch,
  produce,
  type RecordBatchView,
  validateProducedBatch,
  Writer,
} from '@kafscale/protocol';
import { compare } from './codec/compare.ts';
import {
  decodeFetchRequest,
  decodeProduceRequest,
  encodeFetchResponse,
  encodeProduceResponse,
} from './codec/straight-line.ts';

const nowMs = 1_700_000_000_000;
const kibibyte = 1024;

const shapes = [
  [1, 1],
  [1, 16],
  [10, 100],
] as const;

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

const sections: Readonly<Record<string, () => void>> = {
  crc: checksums,
  validate: judging,
  compress: compression,
  produce: produceMessages,
  fetch: fetchMessages,
};

const wanted = process.argv.slice(2);
for (const [name, run] of Object.entries(sections)) if (wanted.length === 0 || wanted.includes(name)) run();

function checksums(): void {
  for (const length of [100, kibibyte, 16 * kibibyte, kibibyte * kibibyte]) {
    const bytes = Buffer.alloc(length, 'some bytes ');
    compare(`CRC-32C of ${length} bytes`, [
      { name: 'as used', run: () => crc32c(bytes), bytes: length },
      { name: 'native', run: () => crc32cNative?.(bytes), bytes: length },
      { name: 'fallback', run: () => crc32cFallback(bytes), bytes: length },
    ]);
  }
  compare('CRC-32C of two runs from those of each', [
    { name: 'combine, 1 MiB behind', run: () => crc32cCombine(1, 2, kibibyte * kibibyte) },
  ]);
}

function batchOf(count: number, valueBytes: number, codec: (typeof codecs)[number] = 'none'): Buffer {
  const value = Buffer.alloc(valueBytes, 'v');
  const records = Array.from({ length: count }, (_, index) => ({ key: `key-${index}`, value, timestamp: nowMs }));
  return encodeRecordBatch({ records, codec });
}

function judging(): void {
  const rules = {
    maxMessageBytes: 10 * kibibyte * kibibyte,
    timestampType: 'CreateTime',
    timestampBeforeMaxMs: Infinity,
    timestampAfterMaxMs: 3_600_000,
    compacted: false,
    maxDecompressedBytes: kibibyte * kibibyte,
  } as const;
  const request = { apiVersion: 9, nowMs };
  for (const [count, valueBytes] of [
    [1, 100],
    [1, kibibyte],
    [100, 100],
    [100, kibibyte],
  ] as const) {
    const batch = batchOf(count, valueBytes);
    const compressed = batchOf(count, valueBytes, 'lz4');
    const bytes = batch.length;
    compare(`judging a produced batch of ${count} x ${valueBytes} bytes (${bytes} in all)`, [
      { name: 'CRC alone', run: () => crc32c(batch, 21), bytes },
      { name: 'judged', run: () => validateProducedBatch(batch, rules, request), bytes },
      { name: 'judged and stamped', run: () => stamp(validateProducedBatch(batch, rules, request)), bytes },
      {
        name: `judged, lz4 (${compressed.length} bytes)`,
        run: () => validateProducedBatch(compressed, rules, request),
        bytes: compressed.length,
      },
    ]);
  }
}

/** What follows in the broker: the batch goes to base offset 0 again, so that it can be judged once more. */
function stamp(verdict: ReturnType<typeof validateProducedBatch>): RecordBatchView | undefined {
  if (!('batch' in verdict)) return undefined;
  verdict.batch.setMaxTimestamp('CreateTime', verdict.maxTimestamp);
  verdict.batch.baseOffset = 0;
  verdict.batch.partitionLeaderEpoch = 7;
  return verdict.batch;
}

function compression(): void {
  const lines = Array.from({ length: 2000 }, (_, index) =>
    JSON.stringify({
      time: nowMs + index * 17,
      level: 'info',
      topic: `orders-${index % 7}`,
      durationMs: (index * 37) % 91,
    }),
  );
  const bytes = Buffer.from(lines.join('\n')).subarray(0, 64 * kibibyte);
  compare('compressing 64 KiB of JSON lines', [
    ...codecs.map((codec) => ({ name: codec, run: () => compressSync(codec, bytes), bytes: bytes.length })),
  ]);
  const compressed = codecs.map((codec) => ({ codec, content: compressSync(codec, bytes) }));
  compare('decompressing them', [
    ...compressed.map(({ codec, content }) => ({
      name: `${codec}, from ${content.length} bytes`,
      run: () => decompressSync(codec, content, bytes.length),
      bytes: bytes.length,
    })),
  ]);
}

function produceMessages(): void {
  const records = batchOf(1, kibibyte);
  for (const [topics, partitions] of shapes) {
    const title = `${topics} topics x ${partitions} partitions`;
    const bytes = produce.request.encode(
      {
        transactionalId: null,
        acks: -1,
        timeoutMs: 30_000,
        topicData: times(topics, (topic) => ({
          name: `topic-${topic}`,
          topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
          partitionData: times(partitions, (index) => ({ index, records })),
        })),
      },
      9,
    );
    expectSame(decodeProduceRequest(bytes), produce.request.decode(bytes, 9), 'Produce request');
    compare(`decoding a Produce request v9, ${title}`, [
      { name: 'by hand, unchecked', run: () => decodeProduceRequest(bytes) },
      { name: 'compiled', run: () => produce.request.decode(bytes, 9) },
    ]);

    const response = {
      responses: times(topics, (topic) => ({
        name: `topic-${topic}`,
        topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
        partitionResponses: times(partitions, (index) => ({
          index,
          errorCode: 0 as const,
          baseOffset: 123_456_789_012 + index,
          logAppendTimeMs: -1n,
          logStartOffset: 0,
          recordErrors: [],
          errorMessage: null,
          currentLeader: { leaderId: -1, leaderEpoch: -1 },
        })),
      })),
      throttleTimeMs: 0,
      nodeEndpoints: [],
    };
    const into = Buffer.alloc(256 * kibibyte);
    const writer = new Writer();
    const compiled = () => {
      produce.response.write(writer, response, 9);
      return writer.finish();
    };
    expectSame(encodeProduceResponse(into, response), Buffer.concat(compiled().chunks), 'Produce response');
    compare(`encoding a Produce response v9, ${title}`, [
      { name: 'by hand, into one buffer for ever', run: () => encodeProduceResponse(into, response) },
      { name: 'compiled', run: compiled },
    ]);
  }
}

function fetchMessages(): void {
  const records = batchOf(1, kibibyte);
  for (const [topics, partitions] of shapes) {
    const title = `${topics} topics x ${partitions} partitions`;
    const bytes = fetch.request.encode(
      {
        clusterId: null,
        replicaId: -1,
        replicaState: { replicaId: -1, replicaEpoch: -1n },
        maxWaitMs: 500,
        minBytes: 1,
        maxBytes: 50 * kibibyte * kibibyte,
        isolationLevel: 0,
        sessionId: 0,
        sessionEpoch: -1,
        topics: times(topics, (topic) => ({
          topic: `topic-${topic}`,
          topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
          partitions: times(partitions, (partition) => ({
            partition,
            currentLeaderEpoch: 3,
            fetchOffset: 123_456_789_012 + partition,
            lastFetchedEpoch: -1,
            logStartOffset: -1,
            partitionMaxBytes: kibibyte * kibibyte,
            replicaDirectoryId: 'AAAAAAAAAAAAAAAAAAAAAA',
            highWatermark: Number.MAX_SAFE_INTEGER,
          })),
        })),
        forgottenTopicsData: [],
        rackId: '',
      },
      12,
    );
    expectSame(decodeFetchRequest(bytes), fetch.request.decode(bytes, 12), 'Fetch request');
    compare(`decoding a Fetch request v12, ${title}`, [
      { name: 'by hand, unchecked', run: () => decodeFetchRequest(bytes) },
      { name: 'compiled', run: () => fetch.request.decode(bytes, 12) },
    ]);

    const response = {
      throttleTimeMs: 0,
      errorCode: 0 as const,
      sessionId: 0,
      responses: times(topics, (topic) => ({
        topic: `topic-${topic}`,
        topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
        partitions: times(partitions, (partitionIndex) => ({
          partitionIndex,
          errorCode: 0 as const,
          highWatermark: 123_456_789_012,
          lastStableOffset: 123_456_789_012,
          logStartOffset: 0,
          divergingEpoch: { epoch: -1, endOffset: -1 },
          currentLeader: { leaderId: -1, leaderEpoch: -1 },
          snapshotId: { endOffset: -1, epoch: -1 },
          abortedTransactions: null,
          preferredReadReplica: -1,
          records: [records, records],
        })),
      })),
      nodeEndpoints: [],
    };
    const into = Buffer.alloc(256 * kibibyte);
    const writer = new Writer();
    const compiled = () => {
      fetch.response.write(writer, response, 12);
      return writer.finish();
    };
    const byHand = Buffer.concat(encodeFetchResponse(into, response));
    expectSame(byHand, Buffer.concat(compiled().chunks), 'Fetch response');
    compare(`encoding a Fetch response v12 without a copy, ${title}`, [
      { name: 'by hand, into one buffer for ever', run: () => encodeFetchResponse(into, response) },
      { name: 'compiled', run: compiled },
    ]);
  }
}

/** A comparison between two that do not do the same is none. */
function expectSame(byHand: unknown, compiled: unknown, what: string): void {
  if (!isDeepStrictEqual(byHand, compiled)) throw new Error(`${what}: by hand and compiled differ`);
}
