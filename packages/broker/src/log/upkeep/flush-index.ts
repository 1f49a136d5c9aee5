/**
 * What manifests and shelves say, by partition: whoever takes a partition over finds its extents without going through those of all the
 * others. What one key of the metadata store leads to is a source; keys and objects never change, so a source is true for as long as its
 * key is there, and who asks says which are. Memory is that of the packed extents, dead ones included until they are compacted.
 */
import { scanFlushDescription, type metadata } from '@kafscale/protocol';
import { PackedExtents } from './packed-extents.ts';

/** A flush with its description as it is encoded. */
export interface EncodedFlush {
  readonly objectKey: string;
  readonly description: Uint8Array;
}

/** Names one version of one key. */
export type SourceId = string;

export interface IndexedFlush {
  readonly objectKey: string;
  readonly incarnation: string;
  readonly sequence: number;
  readonly source: IndexedSource;
}

export interface IndexedSource {
  readonly id: SourceId;
  /** Numbers of its flushes. */
  readonly flushes: readonly number[];
}

interface OpenSource extends IndexedSource {
  readonly flushes: number[];
  sizeBytes: number;
  isWhole: boolean;
}

/** Of a partition beside its extents, and of a flush. */
const overheadBytes = 256;

export class FlushIndex {
  readonly #topics = new Map<string, Map<number, PackedExtents>>();
  readonly #flushes = new Map<number, IndexedFlush>();
  readonly #sources = new Map<SourceId, OpenSource>();
  #nextFlush = 0;
  #removals = 0;
  #extentBytes = 0;
  #partitionCount = 0;
  #deadBytes = 0;

  /** Memory of everything in it, about. */
  get sizeBytes(): number {
    return this.#extentBytes + (this.#partitionCount + this.#flushes.size) * overheadBytes;
  }

  /** Of it, what removed sources have left. */
  get deadBytes(): number {
    return this.#deadBytes;
  }

  /** How many sources that were whole have been removed: while it is the same, whoever knows a source finds it. */
  get removals(): number {
    return this.#removals;
  }

  get sourceIds(): Iterable<SourceId> {
    return this.#sources.keys();
  }

  /** Undefined until all of it is in. */
  source(id: SourceId): IndexedSource | undefined {
    const source = this.#sources.get(id);
    return source?.isWhole === true ? source : undefined;
  }

  /**
   * A source that is not in yet. `pause` is waited for before each flush, with how much is to be scanned. Throws DecodeError; nothing of
   * the source is in then.
   */
  async add(id: SourceId, flushes: readonly EncodedFlush[], pause: (bytes: number) => Promise<void>): Promise<void> {
    if (this.#sources.has(id)) throw new Error(`${id} is in already`);
    const source: OpenSource = { id, flushes: [], sizeBytes: 0, isWhole: false };
    this.#sources.set(id, source);
    for (const { objectKey, description } of flushes) {
      await pause(description.length);
      if (this.#sources.get(id) !== source) return; // removed meanwhile
      try {
        this.#addFlush(source, objectKey, description);
      } catch (error) {
        this.remove(id);
        throw error;
      }
    }
    source.isWhole = true;
  }

  /** Its extents are not given any more; their memory comes back with `compact`. */
  remove(id: SourceId): void {
    const source = this.#sources.get(id);
    if (source === undefined) return;
    this.#sources.delete(id);
    for (const flush of source.flushes) this.#flushes.delete(flush);
    this.#deadBytes += source.sizeBytes;
    if (source.isWhole) this.#removals += 1;
  }

  clear(): void {
    this.#removals += 1;
    for (const partitions of this.#topics.values()) partitions.clear();
    this.#topics.clear();
    this.#flushes.clear();
    this.#sources.clear();
    [this.#extentBytes, this.#partitionCount, this.#deadBytes] = [0, 0, 0];
  }

  /** Gives memory of removed sources back; `pause` is waited for before each partition. */
  async compact(pause: (bytes: number) => Promise<void>): Promise<void> {
    this.#deadBytes = 0; // What is removed from now on may be met or not, and counts for the next time.
    for (const [topicId, partitions] of this.#topics) {
      for (const [partition, extents] of partitions) {
        await pause(extents.capacity);
        if (partitions.get(partition) !== extents) continue; // everything was cleared
        const before = extents.capacity;
        const compacted = extents.compacted((flush) => this.#flushes.has(flush));
        if (compacted === undefined) {
          partitions.delete(partition);
          this.#partitionCount -= 1;
        } else partitions.set(partition, compacted);
        this.#extentBytes += (compacted?.capacity ?? 0) - before;
      }
      if (partitions.size === 0) this.#topics.delete(topicId);
    }
  }

  /** What `sources` say of a partition, but extents that end at `above` or below. */
  read(
    topicId: string,
    partition: number,
    sources: ReadonlySet<IndexedSource>,
    above: number,
    take: (flush: IndexedFlush, extent: metadata.FlushExtent) => void,
  ): void {
    const extents = this.#topics.get(topicId)?.get(partition);
    const isWanted = (number: number) => {
      const flush = this.#flushes.get(number);
      return flush !== undefined && sources.has(flush.source);
    };
    extents?.read(isWanted, above, (number, extent) => take(this.#flushes.get(number)!, extent));
  }

  #addFlush(source: OpenSource, objectKey: string, description: Uint8Array): void {
    const number = this.#nextFlush;
    this.#nextFlush += 1;
    source.flushes.push(number);
    const { incarnation, sequence } = scanFlushDescription(description, (extent) => {
      const extents = this.#extentsOf(extent.topicId, extent.partition);
      const before = extents.capacity;
      source.sizeBytes += extents.add(number, extent, description);
      this.#extentBytes += extents.capacity - before;
    });
    this.#flushes.set(number, { objectKey, incarnation, sequence, source });
  }

  #extentsOf(topicId: string, partition: number): PackedExtents {
    let partitions = this.#topics.get(topicId);
    if (partitions === undefined) this.#topics.set(topicId, (partitions = new Map<number, PackedExtents>()));
    let extents = partitions.get(partition);
    if (extents !== undefined) return extents;
    extents = new PackedExtents();
    partitions.set(partition, extents);
    this.#partitionCount += 1;
    this.#extentBytes += extents.capacity;
    return extents;
  }
}
