/** Which blocks a reader of a log needs next, in order, and loading them before a sequential reader asks. */
import type { PartitionLog } from '../partition-log.ts';
import type { BlockCache, BlockName } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';

/** A place in a log: an index in its extents, and a byte position in the object of that one. */
export interface LogPosition {
  readonly extentIndex: number;
  readonly position: number;
}

export interface NeededBlock extends BlockName {
  /** The block must reach to this position of the object. */
  readonly end: number;
}

/** Not in the hot tail, within `bytes` of record batches from `from` on, at most `maxBlocks`. */
export function blocksAhead(
  log: PartitionLog,
  from: LogPosition,
  bytes: number,
  {
    hotTail,
    blockBytes,
    maxBlocks,
  }: { readonly hotTail: HotTail; readonly blockBytes: number; readonly maxBlocks: number },
): NeededBlock[] {
  const needed: NeededBlock[] = [];
  let { position } = from;
  let remaining = bytes;
  for (let index = from.extentIndex; index < log.extents.length && remaining > 0; index += 1) {
    const extent = log.extents[index]!;
    if (index > from.extentIndex) ({ position } = extent);
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
}

export class Readahead {
  readonly #cache: BlockCache;
  readonly #hotTail: HotTail;
  readonly #bytes: number;

  constructor(cache: BlockCache, hotTail: HotTail, { readaheadBytes }: ReadaheadSettings) {
    this.#cache = cache;
    this.#hotTail = hotTail;
    this.#bytes = readaheadBytes;
  }

  /** A sequential reader was served from the cache up to `from`. */
  after(log: PartitionLog, from: LogPosition): void {
    const { blockBytes } = this.#cache;
    const maxBlocks = Math.ceil(this.#bytes / blockBytes);
    const blocks = blocksAhead(log, from, this.#bytes, { hotTail: this.#hotTail, blockBytes, maxBlocks });
    for (const block of blocks) this.#cache.loadAhead(block);
  }
}
