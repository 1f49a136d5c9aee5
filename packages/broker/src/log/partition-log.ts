/**
 * One partition as its owner sees it: the offsets, where the committed bytes lie, and who waits for more. It is written by the
 * committer alone and read by everybody; it belongs to (topic id, partition, leader epoch) and is dropped on any other epoch.
 */

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

/** What a new owner found: the record's offsets and all extents above them, contiguous and in order. */
export interface RecoveredPartition {
  readonly logStartOffset: number;
  readonly nextOffset: number;
  readonly extents: readonly Extent[];
  readonly epochStarts: readonly EpochStart[];
}

export class PartitionLog implements PartitionIdentity {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  readonly leaderEpoch: number;

  #logStartOffset: number;
  #highWatermark: number;
  #sizeBytes = 0;
  #closed = false;
  readonly #extents: Extent[];
  readonly #epochStarts: EpochStart[];
  readonly #advanceListeners = new Set<() => void>();

  constructor(identity: PartitionIdentity, recovered: RecoveredPartition) {
    this.topicId = identity.topicId;
    this.topicName = identity.topicName;
    this.partition = identity.partition;
    this.leaderEpoch = identity.leaderEpoch;
    this.#logStartOffset = recovered.logStartOffset;
    this.#highWatermark = recovered.nextOffset;
    this.#extents = [...recovered.extents];
    this.#epochStarts = [...recovered.epochStarts];
    for (const extent of this.#extents) this.#sizeBytes += extent.length;
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

  /** Bytes of the extents that the log still has. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True once the partition was given up, lost or deleted; nothing is served from it any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Committed extents in offset order, contiguous from at or below the log start up to the high watermark. */
  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** In ascending order of epochs. */
  get epochStarts(): readonly EpochStart[] {
    return this.#epochStarts;
  }

  /** Index in `extents` of the one that holds `offset`, or `extents.length` when it is at or behind the high watermark. */
  findExtent(offset: number): number {
    let low = 0;
    let high = this.#extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#extents[middle]!.nextOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
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

  /** Moves the log start forward, after it was stored. Extents wholly below it are forgotten. */
  advanceLogStart(offset: number): void {
    if (offset < this.#logStartOffset || offset > this.#highWatermark) {
      throw new Error(`log start ${offset} outside [${this.#logStartOffset}, ${this.#highWatermark}]`);
    }
    this.#logStartOffset = offset;
    const dropped = this.#extents.splice(0, this.findExtent(offset));
    for (const extent of dropped) this.#sizeBytes -= extent.length;
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
}
