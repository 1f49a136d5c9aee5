/**
 * Reads committed record batches of a partition as views of stored bytes: from the hot tail, else from the block cache, else from
 * the object store. Never copies, decodes or skips; what came from a store is verified before anybody gets it.
 */
import type { Logger } from '@kafscale/runtime';
import { StorageError } from '../../storage/storage-error.ts';
import type { Extent, PartitionLog } from '../partition-log.ts';
import { walkBatches, type Walked } from './batch-walk.ts';
import { blockKey, type Block, type BlockCache } from './block-cache.ts';
import { holdExtent, type LoadedBlocks } from './held-extent.ts';
import type { HotTail } from './hot-tail.ts';
import { LogSlices } from './log-slices.ts';
import { ReadPositions, type BatchBoundary } from './read-positions.ts';
import { blocksAhead, type LogPosition, type NeededBlock, type Readahead } from './readahead.ts';

export interface LogReaderDependencies {
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly readahead: Readahead;
  readonly logger: Logger;
}

export interface ReadOptions {
  /** Give the first batch whole even when it is larger than `maxBytes` (KIP-74). */
  readonly minOneBatch: boolean;
  readonly signal?: AbortSignal;
}

/** What a read needs from the store before it can give anything. */
interface Missing extends LogPosition {
  /** Bytes of this log to load from there on. */
  readonly bytes: number;
}

interface Request {
  readonly log: PartitionLog;
  readonly offset: number;
  readonly maxBytes: number;
  readonly minOneBatch: boolean;
}

/** Blocks that one read waits for together; a larger request is answered with less than it asked for. */
const maxBlocksPerRead = 8;
const maxAlarmedObjects = 1_000;
const noBlocks: LoadedBlocks = new Map();

export class LogReader {
  readonly #dependencies: LogReaderDependencies;
  readonly #positions = new WeakMap<PartitionLog, ReadPositions>();
  readonly #alarmedObjects = new Set<string>();

  constructor(dependencies: LogReaderDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Whole batches from the one that holds `offset` on, up to the high watermark and `maxBytes`; possibly fewer, but none only when
   * `offset` is the high watermark or the first batch does not fit. Answers at once, without a promise, when the first of them are
   * in memory. The caller owns the result and releases it. `offset` lies between log start and high watermark.
   * Throws StorageError `corrupt` when committed bytes cannot be had (raised as an alarm, too), `unavailable`, or `aborted`.
   */
  read(
    log: PartitionLog,
    offset: number,
    maxBytes: number,
    { minOneBatch, signal }: ReadOptions,
  ): LogSlices | Promise<LogSlices> {
    const request = { log, offset, maxBytes: Math.max(0, maxBytes), minOneBatch };
    const isSequential = this.#positionsOf(log).isContinued(offset);
    const found = this.#readResident(request, noBlocks);
    if (!(found instanceof LogSlices)) return this.#readFromStore(request, found, isSequential, signal);
    if (isSequential && found.isFromCache) this.#readAhead(log, found.nextOffset);
    return found;
  }

  /** As much as is in memory, or what is missing when that is not even one batch. */
  #readResident(request: Request, loaded: LoadedBlocks, reachBytes = 1): LogSlices | Missing | StorageError {
    const { log, offset, maxBytes } = request;
    const slices = new LogSlices(offset);
    const first = log.extents[log.findExtent(offset)];
    if (first === undefined || first.baseOffset > offset) return slices; // The log start may have moved during a wait.
    let lastWhole: Extent | undefined;
    for (let index = log.findExtent(offset); index < log.extents.length && !slices.isLimited; index += 1) {
      const extent = log.extents[index]!;
      const isWhole = this.#takeWhole(extent, slices, maxBytes);
      lastWhole = isWhole ? extent : undefined;
      if (isWhole) continue;
      const failure = this.#take(request, slices, index, loaded, reachBytes);
      if (failure === undefined) continue;
      if (slices.bytes === 0) return failure;
      slices.isLimited = true; // What lies before is good; the next read starts here and meets the same.
    }
    if (lastWhole !== undefined) this.#positionsOf(log).stoppedAt(endOf(lastWhole), lastWhole);
    return slices;
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
    extentIndex: number,
    loaded: LoadedBlocks,
    reachBytes: number,
  ): Missing | StorageError | undefined {
    const extent = request.log.extents[extentIndex]!;
    const positions = this.#positionsOf(request.log);
    const offset = slices.nextOffset;
    const from = positions.boundaryBefore(extent, offset);
    const maxBytes = request.maxBytes - slices.bytes;
    const minOneBatch = request.minOneBatch && slices.bytes === 0;
    const held = holdExtent(extent, from.position, Math.max(maxBytes, reachBytes), { ...this.#dependencies, loaded });
    if (held === undefined)
      return { extentIndex, position: from.position, bytes: estimateBytes(extent, from, offset, maxBytes) };

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
    return { extentIndex, position: end.position, bytes };
  }

  /** Loads what is missing until there is something to give. Bytes that turn out wrong or gone are fetched once more. */
  async #readFromStore(
    request: Request,
    first: Missing | StorageError,
    isSequential: boolean,
    signal: AbortSignal | undefined,
  ): Promise<LogSlices> {
    const { log, offset } = request;
    const loaded = new Map<string, Block>();
    let needed = first;
    let wasDiscarded = false;
    try {
      for (;;) {
        const failure = needed instanceof StorageError ? needed : await this.#load(log, needed, loaded, signal);
        if (failure !== undefined) {
          const isStale = failure.kind === 'corrupt' || failure.kind === 'not-found';
          if (!isStale) throw failure;
          if (wasDiscarded) throw this.#alarm(log, offset, failure);
          wasDiscarded = true;
          releaseAll(loaded);
          this.#discardAt(log, offset);
        }
        const reachBytes = needed instanceof StorageError ? 1 : needed.bytes;
        const found = this.#readResident(request, loaded, reachBytes);
        if (found instanceof LogSlices) {
          if (isSequential) this.#readAhead(log, found.nextOffset);
          return found;
        }
        needed = found;
      }
    } finally {
      releaseAll(loaded);
    }
  }

  /** Adds the missing blocks to `loaded`, held; or returns why one could not be had. */
  async #load(
    log: PartitionLog,
    missing: Missing,
    loaded: Map<string, Block>,
    signal: AbortSignal | undefined,
  ): Promise<StorageError | undefined> {
    const { hotTail, cache } = this.#dependencies;
    const { blockBytes } = cache;
    const maxBlocks = Math.max(maxBlocksPerRead, Math.ceil(missing.bytes / blockBytes) + 1);
    const needed = blocksAhead(log, missing, missing.bytes, { hotTail, blockBytes, maxBlocks });
    let failure: StorageError | undefined;
    await Promise.all(
      needed.map(async (block) => {
        const name = blockKey(block);
        if (loaded.has(name)) return;
        try {
          const arrived = await cache.load(block, signal);
          if (loaded.has(name)) arrived.release();
          else loaded.set(name, arrived);
          if (arrived.end < block.end) throw endsTooEarly(block);
        } catch (error) {
          failure ??= error instanceof StorageError ? error : unexpected(block, error);
        }
      }),
    );
    return failure;
  }

  #readAhead(log: PartitionLog, offset: number): void {
    const extentIndex = log.findExtent(offset);
    const extent = log.extents[extentIndex];
    if (extent === undefined) return;
    const { position } = this.#positionsOf(log).boundaryBefore(extent, offset);
    this.#dependencies.readahead.after(log, { extentIndex, position });
  }

  /** What the cache has of the object that holds `offset` is not what was stored. */
  #discardAt(log: PartitionLog, offset: number): void {
    const extent = log.extents[log.findExtent(offset)];
    if (extent !== undefined) this.#dependencies.cache.discard(extent.objectKey);
  }

  #alarm(log: PartitionLog, offset: number, cause: StorageError): StorageError {
    const { topicName: topic, partition } = log;
    const objectKey = log.extents[log.findExtent(offset)]?.objectKey ?? '';
    if (!this.#alarmedObjects.has(objectKey)) {
      if (this.#alarmedObjects.size === maxAlarmedObjects) this.#alarmedObjects.clear();
      this.#alarmedObjects.add(objectKey);
      this.#dependencies.logger.error(
        { topic, partition, offset, objectKey, err: cause },
        'committed records cannot be read',
      );
    }
    return new StorageError('corrupt', `offset ${offset} of ${topic}-${partition} cannot be read`, { cause });
  }

  #positionsOf(log: PartitionLog): ReadPositions {
    const known = this.#positions.get(log);
    if (known !== undefined) return known;
    const positions = new ReadPositions();
    this.#positions.set(log, positions);
    return positions;
  }
}

const endOf = ({ nextOffset, position, length }: Extent): BatchBoundary => ({
  offset: nextOffset,
  position: position + length,
});

/**
 * Bytes of the extent from `from` on within which the batch of `offset` is likely to begin, and `maxBytes` more: batches of like
 * density are assumed, and what is missing in the end is loaded then.
 */
function estimateBytes(extent: Extent, from: BatchBoundary, offset: number, maxBytes: number): number {
  const restBytes = extent.position + extent.length - from.position;
  const skipped = Math.max(0, offset - from.offset) / (extent.nextOffset - from.offset);
  return Math.ceil(restBytes * Math.min(1, skipped)) + Math.max(1, maxBytes);
}

function endsTooEarly({ objectKey, end }: NeededBlock): StorageError {
  return new StorageError('corrupt', `object ${objectKey} ends before ${end}`);
}

function unexpected({ objectKey }: NeededBlock, cause: unknown): StorageError {
  return new StorageError('unavailable', `object ${objectKey} could not be read`, { cause });
}

function releaseAll(loaded: Map<string, Block>): void {
  for (const block of loaded.values()) block.release();
  loaded.clear();
}
