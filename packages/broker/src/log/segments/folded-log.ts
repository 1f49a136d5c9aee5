/**
 * The folded part of a log as the partition record has it: chunks, whose segments are listed in index objects, then segments. Here
 * it is turned into what a log works with, and cut where the log start has passed.
 */
import type { metadata } from '@kafscale/protocol';
import type { Extent, ExtentChunk, FoldedLog } from '../partition-log.ts';

export function foldedLogOf({ logStartOffset, foldedOffset, chunks, segments }: metadata.PartitionRecord): FoldedLog {
  return {
    logStartOffset: Number(logStartOffset),
    foldedOffset: Number(foldedOffset),
    chunks: chunks.map(chunkOf),
    segments: segments.map(extentOfSegment),
  };
}

function chunkOf(chunk: metadata.SegmentChunk): ExtentChunk {
  return {
    baseOffset: Number(chunk.baseOffset),
    nextOffset: Number(chunk.nextOffset),
    length: Number(chunk.length),
    maxTimestamp: Number(chunk.maxTimestamp),
    described: chunk,
  };
}

export function extentOfSegment(segment: metadata.Segment): Extent {
  return {
    baseOffset: Number(segment.baseOffset),
    nextOffset: Number(segment.nextOffset),
    leaderEpoch: segment.leaderEpoch,
    objectKey: segment.objectKey,
    position: Number(segment.position),
    length: Number(segment.length),
    maxTimestamp: Number(segment.maxTimestamp),
    maxTimestampBaseOffset: Number(segment.maxTimestampBaseOffset),
  };
}

/** Why chunks and segments do not make the log from its start up to the folded offset; undefined when they do. */
export function foldedFault({ logStartOffset, foldedOffset, chunks, segments }: FoldedLog): string | undefined {
  let next: number | undefined;
  for (const { baseOffset, nextOffset } of [...chunks, ...segments]) {
    if (next === undefined && baseOffset > logStartOffset) return `the first segment starts at offset ${baseOffset}`;
    if (next !== undefined && baseOffset !== next)
      return `a segment starts at offset ${baseOffset} where ${next} is next`;
    if (nextOffset <= baseOffset) return `a segment at offset ${baseOffset} is empty`;
    next = nextOffset;
  }
  if (next === undefined) return foldedOffset > logStartOffset ? 'there are no segments' : undefined;
  return next === foldedOffset ? undefined : `the last segment ends at offset ${next}, not at ${foldedOffset}`;
}

/** The record without the chunks and segments that lie wholly below its log start; whoever writes the record lets go of them. */
export function withoutDeadSegments(record: metadata.PartitionRecord): metadata.PartitionRecord {
  const { logStartOffset, chunks, segments } = record;
  const isAlive = ({ nextOffset }: { readonly nextOffset: bigint }) => nextOffset > logStartOffset;
  return { ...record, chunks: chunks.filter(isAlive), segments: segments.filter(isAlive) };
}
