/**
 * One partition as its owner sees it: the offsets, where the committed bytes lie, and who waits for more. It is written by the
 * committer alone and read by everybody; it belongs to (topic id, partition, leader epoch) and is dropped on any other epoch.
 */

import type { metadata } from '@kafscale/protocol';
import { foldedFault } from './segments/folded-log.ts';

/** Where a run of committed batches lies: contiguous in one object, in offset order, one partition. */
export interface Extent {
  readonly baseOffset: number;
  /** One more than the last offset. */
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  readonly objectKey: string;
  /** Byte position of the first batch in the object. */
  readonly position: number;
  readonly length: number;
  /** The largest max timestamp of its batches, milliseconds; -1 when none has one. */
  readonly maxTimestamp: number;
  /** Base offset of the first batch that has that timestamp. */
  readonly maxTimestampBaseOffset: number;
}

/** Many segments in a row, which only an index object lists. */
export interface ExtentChunk {
  readonly baseOffset: number;
  /** One more than the last offset. */
  readonly nextOffset: number;
  /** Of the segments' batches, bytes. */
  readonly length: number;
  /** The largest max timestamp of its batches, milliseconds; -1 when none has one. */
  readonly maxTimestamp: number;
  /** The chunk as the partition record has it. */
  readonly described: metadata.SegmentChunk;
}

/** What the partition record says of the offsets below `foldedOffset`: chunks, then segments, contiguous and ascending. */
export interface FoldedLog {
  readonly logStartOffset: number;
  readonly foldedOffset: number;
  readonly chunks: readonly ExtentChunk[];
  readonly segments: readonly Extent[];
}

export const nothingFolded: FoldedLog = { logStartOffset: 0, foldedOffset: 0, chunks: [], segments: [] };

/** Extents in offset order and without a gap, in memory: a log's newest, or those of one chunk. */
export interface LogSpan {
  readonly extents: readonly Extent[];
  /** Index in `extents` of the one that holds `offset`, or `extents.length` when it lies behind all of them. */
  findExtent(offset: number): number;
}

/** A leader epoch and the offset of the first record written in it (KIP-101). */
export interface EpochStart {
  readonly leaderEpoch: number;
  readonly startOffset: number;
}

export interface PartitionIdentity {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  readonly leaderEpoch: number;
}

/** What a new owner found: what the record says, and all extents from the folded offset on, contiguous and in order. */
export interface RecoveredPartition {
  readonly logStartOffset: number;
  readonly nextOffset: number;
  readonly folded: FoldedLog;
  readonly extents: readonly Extent[];
  readonly epochStarts: readonly EpochStart[];
}

export class PartitionLog implements PartitionIdentity, LogSpan {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  readonly leaderEpoch: number;

  #logStartOffset: number;
  #foldedOffset: number;
  #highWatermark: number;
  #sizeBytes = 0;
  #closed = false;
  #chunks: readonly ExtentChunk[];
  #extents: Extent[];
  readonly #epochStarts: EpochStart[];
  readonly #advanceListeners = new Set<() => void>();

  constructor(identity: PartitionIdentity, recovered: RecoveredPartition) {
    this.topicId = identity.topicId;
    this.topicName = identity.topicName;
    this.partition = identity.partition;
    this.leaderEpoch = identity.leaderEpoch;
    this.#logStartOffset = recovered.logStartOffset;
    this.#foldedOffset = recovered.folded.foldedOffset;
    this.#highWatermark = recovered.nextOffset;
    this.#chunks = recovered.folded.chunks;
    this.#extents = [...recovered.folded.segments, ...recovered.extents];
    this.#epochStarts = [...recovered.epochStarts];
    this.#forgetBelow(recovered.logStartOffset);
  }

  /** The first offset that may be read. */
  get logStartOffset(): number {
    return this.#logStartOffset;
  }

  /** The end of what is committed: every record below it is durable, none at or above it exists. Never goes back. */
  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** Equal to the high watermark while no transactions are served. */
  get lastStableOffset(): number {
    return this.#highWatermark;
  }

  /** Offsets below it are described by the partition record, those from it on by manifests. */
  get foldedOffset(): number {
    return this.#foldedOffset;
  }

  /** Bytes of the chunks and extents that the log still has. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True once the partition was given up, lost or deleted; nothing is served from it any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The oldest part of the log, in offset order; what lies in a chunk has to be looked up in an index object. */
  get chunks(): readonly ExtentChunk[] {
    return this.#chunks;
  }

  /** Committed extents in offset order, contiguous from `residentOffset` up to the high watermark. */
  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** The first offset that `extents` describe: where the chunks end, or at or below the log start when there are none. */
  get residentOffset(): number {
    return this.#extents[0]?.baseOffset ?? this.#highWatermark;
  }

  /** In ascending order of epochs. */
  get epochStarts(): readonly EpochStart[] {
    return this.#epochStarts;
  }

  /** Index in `extents` of the one that holds `offset`, or `extents.length` when it is at or behind the high watermark. */
  findExtent(offset: number): number {
    return findByOffset(this.#extents, offset);
  }

  /** Makes a committed extent visible. Called by the committer alone, in offset order. */
  append(extent: Extent): void {
    if (extent.baseOffset !== this.#highWatermark) {
      throw new Error(`extent at ${extent.baseOffset} does not follow high watermark ${this.#highWatermark}`);
    }
    if (this.#epochStarts.at(-1)?.leaderEpoch !== extent.leaderEpoch) {
      this.#epochStarts.push({ leaderEpoch: extent.leaderEpoch, startOffset: extent.baseOffset });
    }
    this.#extents.push(extent);
    this.#sizeBytes += extent.length;
    this.#highWatermark = extent.nextOffset;
    this.#notify();
  }

  /**
   * Makes known what the partition record says by now, after it was stored: extents below the folded offset, which begins one, give
   * way to chunks and segments. What the log knows better already stays.
   */
  fold(folded: FoldedLog): void {
    const { foldedOffset, chunks, segments } = folded;
    if (foldedOffset < this.#foldedOffset) return;
    const logStartOffset = Math.max(this.#logStartOffset, folded.logStartOffset);
    const kept = this.#extents.slice(this.findExtent(foldedOffset));
    const keptFrom = kept[0]?.baseOffset ?? this.#highWatermark;
    const isJoined = keptFrom === foldedOffset || (keptFrom > foldedOffset && keptFrom <= logStartOffset);
    const fault = foldedFault({ ...folded, logStartOffset });
    if (fault !== undefined || !isJoined) {
      const what = fault ?? `extents go on at ${keptFrom}, not at ${foldedOffset}`;
      throw new Error(`cannot fold ${this.topicName}-${this.partition}: ${what}`);
    }
    this.#foldedOffset = foldedOffset;
    this.#chunks = chunks;
    this.#extents = [...segments, ...kept];
    this.#forgetBelow(this.#logStartOffset);
    if (logStartOffset > this.#logStartOffset) this.advanceLogStart(logStartOffset);
  }

  /** Moves the log start forward, after it was stored. Chunks and extents wholly below it are forgotten. */
  advanceLogStart(offset: number): void {
    if (offset < this.#logStartOffset || offset > this.#highWatermark) {
      throw new Error(`log start ${offset} outside [${this.#logStartOffset}, ${this.#highWatermark}]`);
    }
    this.#logStartOffset = offset;
    this.#forgetBelow(offset);
    this.#notify();
  }

  /** Ends the partition here: waiting reads are woken and find it closed. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  /** Runs after the high watermark or log start moved or the log closed, until the returned function is called. */
  onAdvance(listener: () => void): () => void {
    this.#advanceListeners.add(listener);
    return () => this.#advanceListeners.delete(listener);
  }

  #notify(): void {
    for (const listener of [...this.#advanceListeners]) listener();
  }

  #forgetBelow(offset: number): void {
    this.#chunks = this.#chunks.slice(findByOffset(this.#chunks, offset));
    this.#extents = this.#extents.slice(findByOffset(this.#extents, offset));
    this.#sizeBytes = 0;
    for (const { length } of this.#chunks) this.#sizeBytes += length;
    for (const { length } of this.#extents) this.#sizeBytes += length;
  }
}

export type PartitionPlace = Pick<PartitionIdentity, 'topicId' | 'partition'>;

/** How partitions follow each other in flush objects, and in rounds of folding: what is folded together lies side by side. */
export function comparePlaces(left: PartitionPlace, right: PartitionPlace): number {
  if (left.topicId !== right.topicId) return left.topicId < right.topicId ? -1 : 1;
  return left.partition - right.partition;
}

/** Index of the one that holds `offset` among some that follow each other, or their number when it lies behind all. */
export function findByOffset(ranges: readonly { readonly nextOffset: number }[], offset: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.nextOffset <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
