/**
 * One closed flush: the object's bytes with final offsets in them, and what they mean. The one copy of the write path happens here,
 * from the bytes as they arrived into the object, which then also serves consumers at the tail.
 */
import type { metadata } from '@kafscale/protocol';
import { encodeFlushFooter, flushTrailerBytes } from '@kafscale/protocol';
import type { Slab, SlabArena } from '@kafscale/runtime';
import { comparePlaces } from '../partition-log.ts';
import type { PartitionWriter } from './partition-writer.ts';
import type { PendingBatch } from './pending-batch.ts';

/** One partition's share of a flush. */
export interface FlushExtent {
  readonly writer: PartitionWriter;
  readonly batches: readonly PendingBatch[];
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly position: number;
  readonly length: number;
  readonly maxTimestamp: number;
  readonly maxTimestampBaseOffset: number;
}

export interface Flush {
  readonly sequence: number;
  /** By the wall clock, as it is stored. */
  readonly createdMs: number;
  /** By the monotonic clock. */
  readonly closedMs: number;
  readonly extents: readonly FlushExtent[];
  readonly description: metadata.FlushDescription;
  /** The whole object, footer and trailer included; lies in `slab`, of which the flush holds a reference. */
  readonly body: Buffer;
  readonly slab: Slab;
  readonly footerPosition: number;
  readonly footer: Buffer;
}

export interface FlushIdentity {
  readonly clusterId: string;
  readonly incarnation: string;
  readonly sequence: number;
  /** The sequence of the flush that has to be committed first; -1 for none. */
  readonly buildsOn: number;
  readonly createdMs: number;
  readonly closedMs: number;
}

/** Assigns offsets, moving each writer's next offset on, and lays the object out. */
export function closeFlush(
  identity: FlushIdentity,
  batchesByWriter: ReadonlyMap<PartitionWriter, readonly PendingBatch[]>,
  arena: SlabArena,
): Flush {
  const extents: FlushExtent[] = [];
  let position = 0;
  const inOrder = [...batchesByWriter].sort(([left], [right]) => comparePlaces(left.log, right.log));
  for (const [writer, batches] of inOrder) {
    const extent = assignOffsets(writer, batches, position);
    extents.push(extent);
    position += extent.length;
  }
  const description = describe(identity, extents);
  const { footer, trailer } = encodeFlushFooter(description);
  const { bytes: body, slab } = arena.allocate(position + footer.length + flushTrailerBytes);
  for (const extent of extents) copyBatches(extent, body);
  footer.copy(body, position);
  trailer.copy(body, position + footer.length);
  return {
    sequence: identity.sequence,
    createdMs: identity.createdMs,
    closedMs: identity.closedMs,
    extents,
    description,
    body,
    slab,
    footerPosition: position,
    footer,
  };
}

function assignOffsets(writer: PartitionWriter, batches: readonly PendingBatch[], position: number): FlushExtent {
  const baseOffset = writer.nextOffset;
  let nextOffset = baseOffset;
  let length = 0;
  let maxTimestamp = -1;
  let maxTimestampBaseOffset = baseOffset;
  for (const batch of batches) {
    batch.baseOffset = nextOffset;
    if (batch.maxTimestamp > maxTimestamp) {
      maxTimestamp = batch.maxTimestamp;
      maxTimestampBaseOffset = nextOffset;
    }
    nextOffset += batch.recordCount;
    length += batch.bytes.length;
  }
  writer.nextOffset = nextOffset;
  return { writer, batches, baseOffset, nextOffset, position, length, maxTimestamp, maxTimestampBaseOffset };
}

/** Base offset and leader epoch lie outside a batch's CRC, so writing them leaves it valid. */
function copyBatches(extent: FlushExtent, body: Buffer): void {
  let position = extent.position;
  const { leaderEpoch } = extent.writer.log;
  for (const batch of extent.batches) {
    body.set(batch.bytes, position);
    body.writeUInt32BE(Math.floor(batch.baseOffset / 2 ** 32), position);
    body.writeUInt32BE(batch.baseOffset % 2 ** 32, position + 4);
    body.writeInt32BE(leaderEpoch, position + 12);
    position += batch.bytes.length;
  }
}

function describe(identity: FlushIdentity, extents: readonly FlushExtent[]): metadata.FlushDescription {
  const topics = new Map<string, metadata.FlushTopic>();
  for (const extent of extents) {
    const { topicId, topicName } = extent.writer.log;
    let topic = topics.get(topicId);
    if (topic === undefined) {
      topic = { topicId: Buffer.from(topicId, 'base64url'), name: topicName, extents: [] };
      topics.set(topicId, topic);
    }
    topic.extents.push(describeExtent(extent, identity.createdMs));
  }
  return {
    clusterId: identity.clusterId,
    incarnation: identity.incarnation,
    sequence: BigInt(identity.sequence),
    buildsOn: BigInt(identity.buildsOn),
    createdMs: BigInt(identity.createdMs),
    topics: [...topics.values()],
  };
}

function describeExtent(extent: FlushExtent, createdMs: number): metadata.FlushExtent {
  const { log } = extent.writer;
  const producerBatches: metadata.ProducerBatch[] = [];
  for (const batch of extent.batches) {
    if (batch.producerId < 0n) continue;
    producerBatches.push({
      producerId: batch.producerId,
      producerEpoch: batch.producerEpoch,
      firstSequence: batch.firstSequence,
      lastSequence: batch.lastSequence,
      baseOffset: BigInt(batch.baseOffset),
      lastTimestamp: BigInt(createdMs),
    });
  }
  return {
    partition: log.partition,
    leaderEpoch: log.leaderEpoch,
    baseOffset: BigInt(extent.baseOffset),
    nextOffset: BigInt(extent.nextOffset),
    position: BigInt(extent.position),
    length: extent.length,
    maxTimestamp: BigInt(extent.maxTimestamp),
    maxTimestampBaseOffset: BigInt(extent.maxTimestampBaseOffset),
    producerBatches,
  };
}
