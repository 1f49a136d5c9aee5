/**
 * Which partitions an object may hold, in a few hundred bytes of the key that names it: should the object be lost, all others are known to
 * be unharmed. Exact while that is small enough, else a Bloom filter. Never says no of one that is in it.
 */
import { crc32c } from '../records/crc32c.ts';
import type { FlushDescription, PartitionSummary, TopicPartitions } from '../metadata/generated/metadata/metadata.ts';

/** A summary is not larger, its encoding aside. */
export const maxSummaryBytes = 512;

const idStartBytes = 8;
const topicOverheadBytes = idStartBytes + 8;
const bitsPerPartition = 10;
const maxHashes = 8;

type Partitions = ReadonlyMap<string, ReadonlySet<number>>;

/** The partitions of all these flushes. */
export function summarizePartitions(descriptions: Iterable<Pick<FlushDescription, 'topics'>>): PartitionSummary {
  const partitions = new Map<string, Set<number>>();
  for (const { topics } of descriptions) {
    for (const { topicId, extents } of topics) {
      const name = topicId.toString('latin1');
      const ofTopic = partitions.get(name) ?? new Set<number>();
      partitions.set(name, ofTopic);
      for (const { partition } of extents) ofTopic.add(partition);
    }
  }
  const topics = exactTopics(partitions);
  if (topics !== undefined) return { kind: { $case: 'exact', value: { topics } } };
  return { kind: { $case: 'filter', value: filterOf(partitions) } };
}

/** False only when the partition is certainly not in it; `topicId` as Kafka prints it. */
export function mayHoldPartition(summary: PartitionSummary | undefined, topicId: string, partition: number): boolean {
  const id = Buffer.from(topicId, 'base64url');
  switch (summary?.kind?.$case) {
    case 'exact': {
      const start = id.subarray(0, idStartBytes);
      const mask = 1 << (partition & 7);
      return summary.kind.value.topics.some(
        ({ topicIdStart, bitmap }) => topicIdStart.equals(start) && ((bitmap[partition >>> 3] ?? 0) & mask) !== 0,
      );
    }
    case 'filter': {
      const { bits, hashes } = summary.kind.value;
      return placesOf(id, partition, bits.length * 8, hashes).every(
        (place) => (bits[place >>> 3]! & (1 << (place & 7))) !== 0,
      );
    }
    case undefined:
      return true;
  }
}

/** Undefined when they are too many. */
function exactTopics(partitions: Partitions): TopicPartitions[] | undefined {
  const topics: TopicPartitions[] = [];
  let sizeBytes = 0;
  for (const [name, numbers] of partitions) {
    let highest = 0;
    for (const partition of numbers) if (partition > highest) highest = partition;
    const bitmapBytes = (highest >>> 3) + 1;
    sizeBytes += topicOverheadBytes + bitmapBytes;
    if (sizeBytes > maxSummaryBytes) return undefined;
    const bitmap = Buffer.alloc(bitmapBytes);
    for (const partition of numbers) bitmap[partition >>> 3]! |= 1 << (partition & 7);
    topics.push({ topicIdStart: Buffer.from(name, 'latin1').subarray(0, idStartBytes), bitmap });
  }
  return topics;
}

function filterOf(partitions: Partitions) {
  let count = 0;
  for (const numbers of partitions.values()) count += numbers.size;
  const bits = Buffer.alloc(Math.min(maxSummaryBytes, Math.ceil((count * bitsPerPartition) / 8)));
  const hashes = Math.min(maxHashes, Math.max(1, Math.round(((bits.length * 8) / count) * Math.LN2)));
  for (const [name, numbers] of partitions) {
    const id = Buffer.from(name, 'latin1');
    for (const partition of numbers) {
      for (const place of placesOf(id, partition, bits.length * 8, hashes)) bits[place >>> 3]! |= 1 << (place & 7);
    }
  }
  return { bits, hashes };
}

/** The CRC-32C of id and partition (big-endian), and the same mixed, give the places one after another. */
function placesOf(topicId: Buffer, partition: number, bitCount: number, hashes: number): number[] {
  const bytes = Buffer.alloc(topicId.length + 4);
  topicId.copy(bytes);
  bytes.writeUInt32BE(partition, topicId.length);
  const first = mixed(crc32c(bytes));
  const step = mixed(first ^ 0x9e3779b9) | 1;
  return Array.from({ length: hashes }, (_, index) => ((first + Math.imul(index, step)) >>> 0) % bitCount);
}

/** Spreads every bit over all others. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
