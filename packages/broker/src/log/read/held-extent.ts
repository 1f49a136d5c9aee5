/** The bytes of an extent as far as they are in memory, held: from the hot tail, from blocks a read has loaded, from the cache. */
import type { Extent } from '../partition-log.ts';
import type { Block, BlockCache } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';
import type { LoadedBlocks } from './loaded-blocks.ts';
import { ObjectBytes } from './object-bytes.ts';

export interface ExtentSources {
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  /** What the read has waited for; absent while it has not. */
  readonly loaded: LoadedBlocks | undefined;
}

export interface HeldExtent {
  readonly bytes: ObjectBytes;
  /** Undefined for bytes from the hot tail, which need no verification. */
  readonly blocks: readonly Block[] | undefined;
  release(): void;
}

/**
 * What memory has without a gap from `position` of the object on, up to `bytes` of the extent (the hot tail always has all of it);
 * undefined when that is nothing. Released by the caller.
 */
export function holdExtent(
  { objectKey, position: start, length }: Extent,
  position: number,
  bytes: number,
  { hotTail, cache, loaded }: ExtentSources,
): HeldExtent | undefined {
  const hot = hotTail.hold(objectKey);
  if (hot !== undefined) {
    const whole = new ObjectBytes([{ start: 0, bytes: hot.bytes }]);
    return { bytes: whole, blocks: undefined, release: () => hot.release() };
  }
  const { blockBytes } = cache;
  const end = Math.min(start + length, position + bytes);
  const blocks: Block[] = [];
  for (let index = Math.floor(position / blockBytes); index * blockBytes < end; index += 1) {
    const block = loaded?.get({ objectKey, index });
    block?.retain();
    const held = block ?? cache.hold({ objectKey, index });
    if (held === undefined) break;
    blocks.push(held);
  }
  const [first, ...rest] = blocks;
  if (first === undefined) return undefined;
  const release = () => {
    for (const block of blocks) block.release();
  };
  return { bytes: new ObjectBytes([first, ...rest]), blocks, release };
}
