// What a person would write by hand for one version of one message, with no declaration and no check of any bound, for lengths
// below 16 KiB: the limit that the compiled codecs are measured against. The results are the same objects and the same bytes.

import type { fetch, produce, RequestOf, ResponseOf } from '@kafscale/protocol';

type ProduceRequest = RequestOf<typeof produce>;
type ProduceResponse = ResponseOf<typeof produce>;
type FetchRequest = RequestOf<typeof fetch>;
type FetchResponse = ResponseOf<typeof fetch>;

const zeroUuid = 'AAAAAAAAAAAAAAAAAAAAAA';
const noReplica = { replicaId: -1, replicaEpoch: -1n };

const int32 = (b: Buffer, p: number) => (b[p]! << 24) | (b[p + 1]! << 16) | (b[p + 2]! << 8) | b[p + 3]!;

const offset = (b: Buffer, p: number) => int32(b, p) * 0x1_0000_0000 + (int32(b, p + 4) >>> 0);

/** Short ASCII text. */
function text(b: Buffer, p: number, length: number): string {
  let decoded = '';
  for (let index = 0; index < length; index++) decoded += String.fromCharCode(b[p + index]!);
  return decoded;
}

/** Produce request, version 9, without a transactional id. */
export function decodeProduceRequest(b: Buffer): ProduceRequest {
  let p = 1;
  const acks = ((b[p]! << 24) >> 16) | b[p + 1]!;
  const timeoutMs = int32(b, p + 2);
  p += 6;
  const topicData: ProduceRequest['topicData'][number][] = [];
  let topics = b[p++]!;
  if (topics >= 0x80) topics = (topics & 0x7f) | (b[p++]! << 7);
  for (; topics > 1; topics--) {
    let length = b[p++]!;
    if (length >= 0x80) length = (length & 0x7f) | (b[p++]! << 7);
    const name = text(b, p, length - 1);
    p += length - 1;
    const partitionData: ProduceRequest['topicData'][number]['partitionData'][number][] = [];
    let partitions = b[p++]!;
    if (partitions >= 0x80) partitions = (partitions & 0x7f) | (b[p++]! << 7);
    for (; partitions > 1; partitions--) {
      const index = int32(b, p);
      p += 4;
      let size = b[p++]!;
      if (size >= 0x80) size = (size & 0x7f) | (b[p++]! << 7);
      partitionData.push({ index, records: size === 0 ? null : b.subarray(p, p + size - 1) });
      p += size; // with the empty tagged fields
    }
    p++;
    topicData.push({ name, topicId: zeroUuid, partitionData });
  }
  return { transactionalId: null, acks, timeoutMs, topicData };
}

/** Fetch request, version 12, without forgotten topics and rack. */
export function decodeFetchRequest(b: Buffer): FetchRequest {
  let p = 25;
  const topics: FetchRequest['topics'][number][] = [];
  let count = b[p++]!;
  if (count >= 0x80) count = (count & 0x7f) | (b[p++]! << 7);
  for (; count > 1; count--) {
    let length = b[p++]!;
    if (length >= 0x80) length = (length & 0x7f) | (b[p++]! << 7);
    const topic = text(b, p, length - 1);
    p += length - 1;
    const partitions: FetchRequest['topics'][number]['partitions'][number][] = [];
    let inner = b[p++]!;
    if (inner >= 0x80) inner = (inner & 0x7f) | (b[p++]! << 7);
    for (; inner > 1; inner--) {
      partitions.push({
        partition: int32(b, p),
        currentLeaderEpoch: int32(b, p + 4),
        fetchOffset: offset(b, p + 8),
        lastFetchedEpoch: int32(b, p + 16),
        logStartOffset: offset(b, p + 20),
        partitionMaxBytes: int32(b, p + 28),
        replicaDirectoryId: zeroUuid,
        highWatermark: Number.MAX_SAFE_INTEGER,
      });
      p += 33;
    }
    p++;
    topics.push({ topic, topicId: zeroUuid, partitions });
  }
  return {
    clusterId: null,
    replicaId: int32(b, 0),
    replicaState: noReplica,
    maxWaitMs: int32(b, 4),
    minBytes: int32(b, 8),
    maxBytes: int32(b, 12),
    isolationLevel: b[16]!,
    sessionId: int32(b, 17),
    sessionEpoch: int32(b, 21),
    topics,
    forgottenTopicsData: [],
    rackId: '',
  };
}

function put32(b: Buffer, p: number, value: number): void {
  b[p] = value >>> 24;
  b[p + 1] = value >>> 16;
  b[p + 2] = value >>> 8;
  b[p + 3] = value;
}

function put64(b: Buffer, p: number, value: number): void {
  put32(b, p, Math.floor(value / 0x1_0000_0000));
  put32(b, p + 4, value >>> 0);
}

function putVarint(b: Buffer, p: number, value: number): number {
  if (value >= 0x80) b[p++] = value | 0x80;
  b[p++] = value >= 0x80 ? value >>> 7 : value;
  return p;
}

function putText(b: Buffer, p: number, value: string): number {
  p = putVarint(b, p, value.length + 1);
  for (let index = 0; index < value.length; index++) b[p++] = value.charCodeAt(index);
  return p;
}

/** Produce response, version 9, of success alone, into a buffer that is used again and again. */
export function encodeProduceResponse(b: Buffer, response: ProduceResponse): Buffer {
  let p = putVarint(b, 0, response.responses.length + 1);
  for (const topic of response.responses) {
    p = putText(b, p, topic.name);
    p = putVarint(b, p, topic.partitionResponses.length + 1);
    for (const partition of topic.partitionResponses) {
      put32(b, p, partition.index);
      b[p + 4] = partition.errorCode >> 8;
      b[p + 5] = partition.errorCode;
      put64(b, p + 6, partition.baseOffset);
      put64(b, p + 14, Number(partition.logAppendTimeMs));
      put64(b, p + 22, partition.logStartOffset);
      b[p + 30] = 1; // no record errors
      b[p + 31] = 0; // no message
      b[p + 32] = 0;
      p += 33;
    }
    b[p++] = 0;
  }
  put32(b, p, response.throttleTimeMs);
  b[p + 4] = 0;
  return b.subarray(0, p + 5);
}

/** Fetch response, version 12, with nothing aborted: chunks, with the records between them as they are. */
export function encodeFetchResponse(b: Buffer, response: FetchResponse): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let start = 0;
  put32(b, 0, response.throttleTimeMs);
  b[4] = response.errorCode >> 8;
  b[5] = response.errorCode;
  put32(b, 6, response.sessionId);
  let p = putVarint(b, 10, response.responses.length + 1);
  for (const topic of response.responses) {
    p = putText(b, p, topic.topic);
    p = putVarint(b, p, topic.partitions.length + 1);
    for (const partition of topic.partitions) {
      put32(b, p, partition.partitionIndex);
      b[p + 4] = partition.errorCode >> 8;
      b[p + 5] = partition.errorCode;
      put64(b, p + 6, partition.highWatermark);
      put64(b, p + 14, partition.lastStableOffset);
      put64(b, p + 22, partition.logStartOffset);
      b[p + 30] = 0; // nothing aborted
      put32(b, p + 31, partition.preferredReadReplica);
      const slices = partition.records ?? [];
      let length = 0;
      for (const slice of slices) length += slice.length;
      p = putVarint(b, p + 35, length + 1);
      chunks.push(b.subarray(start, p));
      for (const slice of slices) chunks.push(slice);
      start = p;
      b[p++] = 0;
    }
    b[p++] = 0;
  }
  b[p++] = 0;
  chunks.push(b.subarray(start, p));
  return chunks;
}
