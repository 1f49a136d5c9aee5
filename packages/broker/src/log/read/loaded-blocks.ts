/** The blocks that one read waited for. It holds them, so that it finds them even if the cache has no room, and lets go of all. */
import { StorageError } from '../../storage/storage-error.ts';
import { blockKey, type Block, type BlockCache, type BlockName } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';
import { blocksAhead, type LogPosition, type NeededBlock } from './readahead.ts';

/** What a read needs from the store before it can give anything. */
export interface MissingBytes extends LogPosition {
  /** Bytes of this log to load from there on. */
  readonly bytes: number;
}

/** Blocks that one read waits for together; a larger request is answered with less than it asked for. */
const maxBlocksPerRead = 8;

export class LoadedBlocks {
  readonly #cache: BlockCache;
  readonly #hotTail: HotTail;
  readonly #blocks = new Map<string, Block>();

  constructor(cache: BlockCache, hotTail: HotTail) {
    this.#cache = cache;
    this.#hotTail = hotTail;
  }

  get(name: BlockName): Block | undefined {
    return this.#blocks.get(blockKey(name));
  }

  /**
   * Loads what is missing, all at the same time. Answers why a block could not be had only when none came: else the read goes on with
   * those that did, and meets the fault where it can go no further.
   */
  async load(missing: MissingBytes, signal: AbortSignal | undefined): Promise<StorageError | undefined> {
    const { blockBytes } = this.#cache;
    const maxBlocks = Math.max(maxBlocksPerRead, Math.ceil(missing.bytes / blockBytes) + 1);
    const needed = blocksAhead(missing, missing.bytes, { hotTail: this.#hotTail, blockBytes, maxBlocks });
    const absent = needed.filter((block) => !this.#blocks.has(blockKey(block)));
    const failures = await Promise.all(absent.map((block) => this.#load(block, signal)));
    return failures.every((failure) => failure !== undefined) ? failures[0] : undefined;
  }

  release(): void {
    for (const block of this.#blocks.values()) block.release();
    this.#blocks.clear();
  }

  async #load(needed: NeededBlock, signal: AbortSignal | undefined): Promise<StorageError | undefined> {
    const { objectKey, end } = needed;
    try {
      const block = await this.#cache.load(needed, signal);
      if (block.end >= end) {
        this.#blocks.set(blockKey(needed), block);
        return undefined;
      }
      block.release();
      this.#cache.discard(objectKey);
      return new StorageError('corrupt', `object ${objectKey} ends before ${end}`);
    } catch (error) {
      if (error instanceof StorageError) return error;
      return new StorageError('unavailable', `object ${objectKey} could not be read`, { cause: error });
    }
  }
}
