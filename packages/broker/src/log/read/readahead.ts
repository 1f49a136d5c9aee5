/** Which blocks a reader of a log needs next, in order, and loading them before a sequential reader asks. */
import type { Extent } from '../partition-log.ts';
import type { BlockCache, BlockName } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';

/** A place in a log: an index in some of its extents, and a byte position in the object of that one. */
export interface LogPosition {
  readonly extents: readonly Extent[];
  readonly extentIndex: number;
  readonly position: number;
}

export interface NeededBlock extends BlockName {
  /** The block must reach to this position of the object. */
  readonly end: number;
}

export interface BlocksAheadLimits {
  readonly hotTail: HotTail;
  readonly blockBytes: number;
  readonly maxBlocks: number;
  /** Extents to look into, the first one not counted; any number unless told. */
  readonly maxExtents?: number;
}

/** Not in the hot tail, within `bytes` of record batches from `from` on. */
export function blocksAhead(
  from: LogPosition,
  bytes: number,
  { hotTail, blockBytes, maxBlocks, maxExtents = Infinity }: BlocksAheadLimits,
): NeededBlock[] {
  const { extents, extentIndex } = from;
  const endIndex = Math.min(extents.length, extentIndex + 1 + maxExtents);
  const needed: NeededBlock[] = [];
  let { position } = from;
  let remaining = bytes;
  for (let index = extentIndex; index < endIndex && remaining > 0; index += 1) {
    const extent = extents[index]!;
    if (index > extentIndex) ({ position } = extent);
    const end = Math.min(extent.position + extent.length, position + remaining);
    remaining -= end - position;
    if (hotTail.has(extent.objectKey)) continue;
    for (let block = Math.floor(position / blockBytes); block * blockBytes < end; block += 1) {
      if (needed.length === maxBlocks) return needed;
      needed.push({ objectKey: extent.objectKey, index: block, end: Math.min(end, (block + 1) * blockBytes) });
    }
  }
  return needed;
}

export interface ReadaheadSettings {
  /** Bytes of one partition's records to load before they are asked for; 0 for none. */
  readonly readaheadBytes: number;
  /** How many segments (or extents of flushes) behind the one being read may be reached; 0 for no readahead at all. */
  readonly readaheadSegments: number;
}

export class Readahead {
  readonly #cache: BlockCache;
  readonly #hotTail: HotTail;
  readonly #settings: ReadaheadSettings;

  constructor(cache: BlockCache, hotTail: HotTail, settings: ReadaheadSettings) {
    this.#cache = cache;
    this.#hotTail = hotTail;
    this.#settings = settings;
  }

  /** A sequential reader was served from the cache up to `from`. */
  after(from: LogPosition): void {
    const { readaheadBytes, readaheadSegments: maxExtents } = this.#settings;
    if (maxExtents === 0) return;
    const { blockBytes } = this.#cache;
    const maxBlocks = Math.ceil(readaheadBytes / blockBytes);
    const blocks = blocksAhead(from, readaheadBytes, { hotTail: this.#hotTail, blockBytes, maxBlocks, maxExtents });
    for (const block of blocks) this.#cache.loadAhead(block);
  }
}
