/**
 * Reads committed record batches of a partition as views of stored bytes: from the hot tail, else from the block cache, else from
 * the object store. Never copies, decodes or skips; what came from a store is verified before anybody gets it.
 */
import type { Logger } from '@kafscale/runtime';
import { StorageError } from '../../storage/storage-error.ts';
import { Alarms } from '../alarms.ts';
import type { Extent, LogSpan, PartitionLog } from '../partition-log.ts';
import type { LogSpans } from '../segments/log-spans.ts';
import type { RecordRefresh } from '../segments/record-refresh.ts';
import type { SegmentIndexes } from '../segments/segment-indexes.ts';
import { walkBatches, type Walked } from './batch-walk.ts';
import type { BlockCache } from './block-cache.ts';
import { closest, endOf, estimateBytes, type SeekPoint } from './extent-places.ts';
import { holdExtent } from './held-extent.ts';
import type { HotTail } from './hot-tail.ts';
import { LoadedBlocks, type MissingBytes } from './loaded-blocks.ts';
import { LogSlices } from './log-slices.ts';
import { ReadPositions } from './read-positions.ts';
import type { Readahead } from './readahead.ts';

export interface LogReaderDependencies {
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly readahead: Readahead;
  readonly spans: LogSpans;
  readonly segmentIndexes: SegmentIndexes;
  /** Asked when an object is gone. */
  readonly refresh: RecordRefresh;
  readonly logger: Logger;
}

export interface ReadOptions {
  /** Give the first batch whole even when it is larger than `maxBytes` (KIP-74). */
  readonly minOneBatch: boolean;
  readonly signal?: AbortSignal;
}

interface Request {
  readonly log: PartitionLog;
  readonly offset: number;
  readonly maxBytes: number;
  readonly minOneBatch: boolean;
}

/** What a read has brought from the store so far, and keeps whatever the caches do. */
interface Fetched {
  readonly blocks: LoadedBlocks;
  /** Extents around the offset, for one below what the log has in memory. */
  span?: LogSpan | undefined;
  /** Where in a segment to begin, once its index was asked; null when it has none. */
  seek?: SeekPoint | null;
}

/** A read gives something, or lacks bytes, or the list of segments around its offset; or what there is is not what was stored. */
type Found = LogSlices | MissingBytes | 'segments' | StorageError;

export class LogReader {
  readonly #dependencies: LogReaderDependencies;
  readonly #positions = new WeakMap<PartitionLog, ReadPositions>();
  readonly #alarms: Alarms;

  constructor(dependencies: LogReaderDependencies) {
    this.#dependencies = dependencies;
    this.#alarms = new Alarms(dependencies.logger);
  }

  /**
   * Whole batches from the one that holds `offset` on, up to the high watermark and `maxBytes`; possibly fewer, but none only when
   * `offset` is the high watermark or the first batch does not fit. Answers at once, without a promise, when the first of them are
   * in memory. The caller owns the result and releases it. `offset` lies between log start and high watermark.
   * Throws StorageError `corrupt` when committed bytes cannot be had (raised as an alarm, too), or what the store says otherwise;
   * KafkaError NOT_LEADER_OR_FOLLOWER when they are gone because another broker has the partition.
   */
  read(
    log: PartitionLog,
    offset: number,
    maxBytes: number,
    { minOneBatch, signal }: ReadOptions,
  ): LogSlices | Promise<LogSlices> {
    const request = { log, offset, maxBytes: Math.max(0, maxBytes), minOneBatch };
    const isSequential = this.#positionsOf(log).isContinued(offset);
    const found = this.#readResident(request);
    if (!(found instanceof LogSlices)) return this.#readFromStore(request, found, isSequential, signal);
    if (isSequential && found.isFromCache) this.#readAhead(log, found.nextOffset);
    return found;
  }

  /** As much as is in memory, or what is missing when that is not even one batch. */
  #readResident(request: Request, fetched?: Fetched, reachBytes = 1): Found {
    const { log } = request;
    const slices = new LogSlices(request.offset);
    for (;;) {
      const from = slices.nextOffset;
      const span = this.#spanAt(log, from, fetched);
      const failure = span === undefined ? 'segments' : this.#readSpan(request, span, slices, fetched, reachBytes);
      if (failure !== undefined) {
        if (slices.bytes === 0) return failure;
        slices.isLimited = true; // What lies before is good; the next read starts here and meets the same.
      }
      if (slices.isLimited || span === log || slices.nextOffset === from) return slices;
    }
  }

  #spanAt(log: PartitionLog, offset: number, fetched: Fetched | undefined): LogSpan | undefined {
    if (offset >= log.residentOffset || offset < log.logStartOffset) return log;
    const span = fetched?.span;
    const isAround = span !== undefined && (span.extents[span.findExtent(offset)]?.baseOffset ?? Infinity) <= offset;
    return isAround ? span : this.#dependencies.spans.get(log, offset);
  }

  /** Adds what the span has behind the slices. */
  #readSpan(
    request: Request,
    span: LogSpan,
    slices: LogSlices,
    fetched: Fetched | undefined,
    reachBytes: number,
  ): MissingBytes | StorageError | undefined {
    const { log, maxBytes } = request;
    const { extents } = span;
    const firstIndex = span.findExtent(slices.nextOffset);
    const first = extents[firstIndex];
    if (first === undefined) return undefined;
    if (first.baseOffset > slices.nextOffset) return notDescribed(log, slices.nextOffset);
    let lastWhole: Extent | undefined;
    let failure: MissingBytes | StorageError | undefined;
    for (let index = firstIndex; index < extents.length && !slices.isLimited && failure === undefined; index += 1) {
      const extent = extents[index]!;
      const isWhole = this.#takeWhole(extent, slices, maxBytes);
      lastWhole = isWhole ? extent : undefined;
      if (!isWhole) failure = this.#take(request, slices, extents, index, fetched, reachBytes);
    }
    if (lastWhole !== undefined) this.#positionsOf(log).stoppedAt(endOf(lastWhole), lastWhole);
    return failure;
  }

  /** The common case of a consumer at the tail: the extent from its start on, in the hot tail and within the limit. */
  #takeWhole(
    { objectKey, baseOffset, nextOffset, position, length }: Extent,
    slices: LogSlices,
    maxBytes: number,
  ): boolean {
    if (slices.nextOffset !== baseOffset || slices.bytes + length > maxBytes) return false;
    const hot = this.#dependencies.hotTail.hold(objectKey);
    if (hot === undefined) return false;
    slices.add([hot.bytes.subarray(position, position + length)], nextOffset, hot);
    return true;
  }

  /** Adds what the extent has and memory holds to the slices. */
  #take(
    request: Request,
    slices: LogSlices,
    extents: readonly Extent[],
    extentIndex: number,
    fetched: Fetched | undefined,
    reachBytes: number,
  ): MissingBytes | StorageError | undefined {
    const extent = extents[extentIndex]!;
    const positions = this.#positionsOf(request.log);
    const offset = slices.nextOffset;
    const from = closest(positions.boundaryBefore(extent, offset), fetched?.seek, extent, offset);
    const maxBytes = request.maxBytes - slices.bytes;
    const minOneBatch = request.minOneBatch && slices.bytes === 0;
    const { hotTail, cache } = this.#dependencies;
    const wantedBytes = Math.max(maxBytes, reachBytes);
    const held = holdExtent(extent, from.position, wantedBytes, { hotTail, cache, loaded: fetched?.blocks });
    if (held === undefined) {
      return { extents, extentIndex, position: from.position, bytes: estimateBytes(extent, from, offset, maxBytes) };
    }

    let walked: Walked;
    try {
      walked = walkBatches({ extent, bytes: held.bytes, blocks: held.blocks, from, offset, maxBytes, minOneBatch });
    } catch (error) {
      held.release();
      if (error instanceof StorageError) return error;
      throw error;
    }
    const { start, end, missingUntil } = walked;
    positions.stoppedAt(end, extent);
    if (start === end.position) {
      held.release();
    } else {
      slices.add(held.bytes.slices(start, end.position), end.offset, held);
      slices.isFromCache ||= held.blocks !== undefined;
    }
    slices.isLimited = walked.isLimited;
    if (missingUntil === undefined) return undefined;
    const bytes = Math.max(estimateBytes(extent, end, offset, maxBytes), missingUntil - end.position);
    return { extents, extentIndex, position: end.position, bytes };
  }

  /**
   * Brings what is missing until there is something to give. Bytes that turn out wrong are fetched once more; where an object is gone,
   * the record is asked once where the offset lies now.
   */
  async #readFromStore(
    request: Request,
    first: Found,
    isSequential: boolean,
    signal: AbortSignal | undefined,
  ): Promise<LogSlices> {
    const { log, offset } = request;
    const { cache, hotTail, refresh } = this.#dependencies;
    const fetched: Fetched = { blocks: new LoadedBlocks(cache, hotTail) };
    let found = first;
    let wasTriedAgain = false;
    try {
      for (;;) {
        if (found instanceof LogSlices) {
          if (isSequential) this.#readAhead(log, found.nextOffset);
          return found;
        }
        const failure = await this.#fetch(request, found, fetched, signal);
        if (failure !== undefined) {
          const extent = this.#extentAt(log, offset, fetched);
          if (failure.kind === 'archived') this.#warnOfArchive(log, offset, extent, failure);
          if (failure.kind !== 'corrupt' && failure.kind !== 'not-found') throw failure;
          if (wasTriedAgain) throw this.#alarm(log, offset, extent, failure);
          wasTriedAgain = true;
          this.#discard(extent, fetched);
          if (failure.kind === 'not-found') await refresh.refresh(log);
        }
        const reachBytes: number = found === 'segments' || found instanceof StorageError ? 1 : found.bytes;
        found = this.#readResident(request, fetched, reachBytes);
      }
    } finally {
      fetched.blocks.release();
    }
  }

  /** Adds what is missing to `fetched`; or answers why it could not be had. */
  async #fetch(
    { log, offset, maxBytes }: Request,
    missing: Exclude<Found, LogSlices>,
    fetched: Fetched,
    signal: AbortSignal | undefined,
  ): Promise<StorageError | undefined> {
    const { spans, cache, segmentIndexes } = this.#dependencies;
    if (missing instanceof StorageError) return missing;
    if (missing === 'segments') {
      fetched.span = await spans.load(log, offset, signal);
      return undefined;
    }
    const skippedBytes = missing.bytes - Math.max(1, maxBytes);
    if (fetched.seek === undefined && skippedBytes > cache.blockBytes) {
      const extent = missing.extents[missing.extentIndex]!;
      const boundary = await segmentIndexes.placeBefore(extent, offset, signal);
      fetched.seek = boundary === undefined ? null : { ...boundary, objectKey: extent.objectKey };
      if (boundary !== undefined && boundary.position > missing.position) return undefined;
    }
    return fetched.blocks.load(missing, signal);
  }

  #readAhead(log: PartitionLog, offset: number): void {
    const { spans, readahead } = this.#dependencies;
    const span = spans.get(log, offset);
    if (span === undefined) {
      spans.loadAhead(log, offset);
      return;
    }
    const { extents } = span;
    const extentIndex = span.findExtent(offset);
    const extent = extents[extentIndex];
    if (extent === undefined) return;
    const { position } = this.#positionsOf(log).boundaryBefore(extent, offset);
    readahead.after({ extents, extentIndex, position });
    if (span !== log && extentIndex + 1 === extents.length) spans.loadAhead(log, extent.nextOffset);
  }

  #extentAt(log: PartitionLog, offset: number, fetched: Fetched): Extent | undefined {
    const span = this.#spanAt(log, offset, fetched);
    return span?.extents[span.findExtent(offset)];
  }

  /** What the caches have of the extent is not what was stored, or the object is gone. */
  #discard(extent: Extent | undefined, fetched: Fetched): void {
    fetched.blocks.release();
    fetched.span = undefined;
    if (extent === undefined) return;
    const { cache, segmentIndexes } = this.#dependencies;
    cache.discard(extent.objectKey);
    if (fetched.seek === undefined) return;
    segmentIndexes.discard(extent);
    fetched.seek = null; // The index itself may have led astray: the second try walks.
  }

  #alarm(log: PartitionLog, offset: number, extent: Extent | undefined, cause: StorageError): StorageError {
    const { topicName: topic, partition } = log;
    const fields = { topic, partition, offset, err: cause };
    this.#alarms.raise(extent?.objectKey ?? '', fields, 'committed records cannot be read');
    return new StorageError('corrupt', `offset ${offset} of ${topic}-${partition} cannot be read`, { cause });
  }

  #warnOfArchive(log: PartitionLog, offset: number, extent: Extent | undefined, cause: StorageError): void {
    const fields = { topic: log.topicName, partition: log.partition, offset, err: cause };
    const message = 'records lie in an archive class of the object store; restore the object to read them';
    this.#alarms.raise(extent?.objectKey ?? '', fields, message);
  }

  #positionsOf(log: PartitionLog): ReadPositions {
    const known = this.#positions.get(log);
    if (known !== undefined) return known;
    const positions = new ReadPositions();
    this.#positions.set(log, positions);
    return positions;
  }
}

/** No fault below the log start, which may have moved during a wait; anywhere else it would be records that nobody finds. */
function notDescribed(
  { logStartOffset, topicName, partition }: PartitionLog,
  offset: number,
): StorageError | undefined {
  if (offset < logStartOffset) return undefined;
  return new StorageError('not-found', `nothing describes offset ${offset} of ${topicName}-${partition}`);
}
