/**
 * Aligned blocks of stored objects, read by ranged requests and kept while there is room; the least recently used goes first. A
 * block is counted by reference, so one that leaves the cache while an answer is being sent stays valid until its release. What a
 * block holds is remembered as verified by whoever checked it.
 */
import { Slab, SlabPool } from '@kafscale/runtime';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { VerifiedRanges } from './verified-ranges.ts';

/** Which block: the bytes `[index * blockBytes, (index + 1) * blockBytes)` of an object; the last one is shorter. */
export interface BlockName {
  readonly objectKey: string;
  readonly index: number;
}

/** One loaded block. Its holders release it, each exactly once. */
export class Block {
  /** Byte position in the object. */
  readonly start: number;
  readonly bytes: Buffer;
  /** In positions of the object. */
  readonly verified = new VerifiedRanges();
  readonly #slab: Slab;

  constructor(start: number, bytes: Buffer, slab: Slab) {
    this.start = start;
    this.bytes = bytes;
    this.#slab = slab;
  }

  /** Byte position in the object behind the block. */
  get end(): number {
    return this.start + this.bytes.length;
  }

  retain(): void {
    this.#slab.retain();
  }

  release(): void {
    this.#slab.release();
  }
}

export interface BlockCacheSettings {
  readonly maxBytes: number;
  readonly blockBytes: number;
  /** Of blocks that are being read; others wait without memory. Without bound unless set. */
  readonly maxLoadingBytes?: number;
}

interface Entry {
  readonly block: Block;
  /** What the block costs: a whole slab even when it is not full. */
  readonly costBytes: number;
  /** Of that what lies in slabs of a pool. */
  readonly pooledBytes: number;
  /** Loaded ahead of a reader that has not come yet. */
  isAhead: boolean;
}

interface Loading {
  readonly done: Promise<Block>;
  /** Each of them is handed one reference. */
  waiters: number;
}

const nothing = () => {};
/** Blocks shorter than this are not worth a slab. */
const minSlabBytes = 32 * 1024;
const maxIdleShortSlabs = 8;
/** Loads that may wait for others to end; one more fails at once, since the store stands still. */
const maxWaitingLoads = 1_000;
/** One text for each block. */
export const blockKey = ({ objectKey, index }: BlockName) => `${objectKey}#${index}`;

export class BlockCache {
  readonly #store: ObjectStore;
  readonly #pool: SlabPool;
  /** For blocks that fill no whole slab; each half as large as the one before. */
  readonly #shortPools: SlabPool[] = [];
  /** Slabs of blocks that are worth none of a pool. */
  readonly #unpooled = new WeakSet<Slab>();
  readonly #settings: BlockCacheSettings;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #loads = new Map<string, Loading>();
  /** Each begins a load that has no memory yet. */
  readonly #waitingLoads: (() => void)[] = [];
  #readingBlocks = 0;
  #sizeBytes = 0;
  #pooledBytes = 0;
  #aheadBytes = 0;
  #hits = 0;
  #misses = 0;

  /** `pool` hands out slabs of `blockBytes`. */
  constructor(store: ObjectStore, pool: SlabPool, settings: BlockCacheSettings) {
    this.#store = store;
    this.#pool = pool;
    this.#settings = settings;
    for (let slabBytes = settings.blockBytes / 2; slabBytes >= minSlabBytes; slabBytes /= 2) {
      this.#shortPools.push(new SlabPool({ slabBytes: Math.ceil(slabBytes), maxIdleSlabs: maxIdleShortSlabs }));
    }
  }

  get blockBytes(): number {
    return this.#settings.blockBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of blocks that are being read. */
  get loadingBytes(): number {
    return this.#readingBlocks * this.blockBytes;
  }

  /** Of blocks that left the cache, or were never kept, but are held by answers on their way to clients. */
  get pinnedBytes(): number {
    const inUse = this.#shortPools.reduce((sum, { bytesInUse }) => sum + bytesInUse, this.#pool.bytesInUse);
    return Math.max(0, inUse - this.#pooledBytes - this.loadingBytes);
  }

  /** Blocks that readers found here, and blocks they had to wait for. */
  get counts(): { readonly hits: number; readonly misses: number } {
    return { hits: this.#hits, misses: this.#misses };
  }

  /** The block, held for the caller, or undefined when it would have to be loaded. */
  hold(name: BlockName): Block | undefined {
    const key = blockKey(name);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#hits += 1;
    this.#entries.delete(key); // A Map keeps the order of insertion: now it is the most recently used.
    this.#entries.set(key, entry);
    this.#noLongerAhead(entry);
    entry.block.retain();
    return entry.block;
  }

  /**
   * The block, held for the caller. Callers that want the same one share its load, which goes on when one of them gives up.
   * Throws StorageError `not-found`, `unavailable`, `corrupt`, and `aborted` when the caller's signal does.
   */
  load(name: BlockName, signal?: AbortSignal): Promise<Block> {
    const held = this.hold(name);
    if (held !== undefined) return Promise.resolve(held);
    this.#misses += 1;
    const loading = this.#loads.get(blockKey(name)) ?? this.#start(name);
    loading.waiters += 1;
    return orAborted(loading.done, signal);
  }

  /** Starts to load a block that a reader will want soon, unless that would push out what other readers are about to want. */
  loadAhead(name: BlockName): void {
    const key = blockKey(name);
    const { maxBytes, blockBytes } = this.#settings;
    if (this.#entries.has(key) || this.#loads.has(key) || this.#aheadBytes + blockBytes > maxBytes / 2) return;
    this.#aheadBytes += blockBytes;
    const loaded = () => {
      this.#aheadBytes -= blockBytes;
      const entry = this.#entries.get(key);
      if (entry === undefined || loading.waiters > 0) return;
      entry.isAhead = true;
      this.#aheadBytes += entry.costBytes;
    };
    const loading = this.#start(name, loaded);
  }

  /** Forgets all blocks of an object, because they do not hold what was stored or the object is gone. */
  discard(objectKey: string): void {
    const prefix = `${objectKey}#`;
    for (const [key, entry] of this.#entries) if (key.startsWith(prefix)) this.#drop(key, entry);
    for (const key of this.#loads.keys()) if (key.startsWith(prefix)) this.#loads.delete(key);
  }

  /** Gives up everything; blocks that are held stay valid until their release. */
  clear(): void {
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
    this.#loads.clear();
  }

  #start(name: BlockName, settled: () => void = nothing): Loading {
    const key = blockKey(name);
    const read = () => this.#read(name, () => this.#finish(key, loading));
    const loading: Loading = { done: Promise.resolve().then(read), waiters: 0 };
    this.#loads.set(key, loading);
    // Whoever waits meets the error; a load ahead has nobody, and the reader that comes will try again.
    loading.done.then(settled, settled);
    return loading;
  }

  /** Whether the load that ended is still wanted, and for how many. */
  #finish(key: string, loading: Loading): { readonly isCurrent: boolean; readonly waiters: number } {
    const isCurrent = this.#loads.get(key) === loading;
    if (isCurrent) this.#loads.delete(key);
    return { isCurrent, waiters: loading.waiters };
  }

  /** Reads a block; in the step in which it arrives every waiter gets its reference and the cache its own. */
  async #read(
    name: BlockName,
    finish: () => { readonly isCurrent: boolean; readonly waiters: number },
  ): Promise<Block> {
    const start = name.index * this.blockBytes;
    try {
      await this.#takePlace();
    } catch (error) {
      finish();
      throw error;
    }
    const readInto = this.#pool.acquire();
    let bytes: Buffer;
    try {
      bytes = await this.#store.read(
        name.objectKey,
        { start, end: start + this.blockBytes },
        undefined,
        readInto.bytes,
      );
    } catch (error) {
      readInto.release();
      finish();
      throw error;
    } finally {
      this.#leavePlace();
    }
    const { isCurrent, waiters } = finish();
    const slab = this.#slabWith(bytes, readInto);
    const block = new Block(start, slab.bytes.subarray(0, bytes.length), slab);
    for (let waiter = 0; waiter < waiters; waiter += 1) block.retain();
    const costBytes = slab.bytes.length;
    const pooledBytes = this.#unpooled.has(slab) ? 0 : costBytes;
    if (isCurrent) this.#admit(blockKey(name), { block, costBytes, pooledBytes, isAhead: false });
    else block.release();
    return block;
  }

  /** Resolves when one more block may be read; each is followed by `leavePlace`. Throws StorageError `unavailable`. */
  #takePlace(): Promise<void> | undefined {
    const { maxLoadingBytes = Number.POSITIVE_INFINITY, blockBytes } = this.#settings;
    if (this.#readingBlocks === 0 || (this.#readingBlocks + 1) * blockBytes <= maxLoadingBytes) {
      this.#readingBlocks += 1;
      return undefined;
    }
    if (this.#waitingLoads.length >= maxWaitingLoads) {
      throw new StorageError('unavailable', `${maxWaitingLoads} blocks wait for the object store already`);
    }
    return new Promise((resolve) => this.#waitingLoads.push(resolve));
  }

  #leavePlace(): void {
    const next = this.#waitingLoads.shift();
    if (next === undefined) this.#readingBlocks -= 1;
    else next();
  }

  /**
   * The block's bytes in memory that is used again and again: fresh memory of this size costs more than a copy, and letting go of
   * it is what the garbage collector is busy with. A whole block stays in the slab it was read into, a short one moves.
   */
  #slabWith(bytes: Buffer, readInto: Slab): Slab {
    const isThere = bytes.buffer === readInto.bytes.buffer;
    if (bytes.length > this.blockBytes / 2) {
      if (!isThere) bytes.copy(readInto.bytes);
      return readInto;
    }
    const slab = isThere ? this.#shortSlabWith(bytes) : this.#slabOfItsOwn(bytes);
    readInto.release();
    return slab;
  }

  #shortSlabWith(bytes: Buffer): Slab {
    const pool = this.#shortPools.findLast(({ slabBytes }) => slabBytes >= bytes.length);
    const slab =
      pool === undefined || bytes.length < minSlabBytes
        ? this.#slabOfItsOwn(Buffer.allocUnsafeSlow(bytes.length))
        : pool.acquire();
    bytes.copy(slab.bytes);
    return slab;
  }

  #slabOfItsOwn(bytes: Buffer): Slab {
    const slab = new Slab(bytes, nothing);
    this.#unpooled.add(slab);
    return slab;
  }

  #admit(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#sizeBytes += entry.costBytes;
    this.#pooledBytes += entry.pooledBytes;
    for (const [oldKey, old] of this.#entries) {
      if (this.#sizeBytes <= this.#settings.maxBytes) break;
      this.#drop(oldKey, old);
    }
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#sizeBytes -= entry.costBytes;
    this.#pooledBytes -= entry.pooledBytes;
    this.#noLongerAhead(entry);
    entry.block.release();
  }

  #noLongerAhead(entry: Entry): void {
    if (!entry.isAhead) return;
    entry.isAhead = false;
    this.#aheadBytes -= entry.costBytes;
  }
}

/** A held block, unless the signal aborts first; a block that arrives after that is released. */
function orAborted(arriving: Promise<Block>, signal: AbortSignal | undefined): Promise<Block> {
  if (signal === undefined) return arriving;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new StorageError('aborted', 'the reader gave up', { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    arriving.then(
      (block) => {
        signal.removeEventListener('abort', onAbort);
        if (signal.aborted) block.release();
        else resolve(block);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
