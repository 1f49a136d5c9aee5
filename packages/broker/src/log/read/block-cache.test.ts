import { SlabPool } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import type { ByteRange, ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { BlockCache } from './block-cache.ts';

const blockBytes = 100;

async function cacheOver(objects: Record<string, Buffer>, maxBytes: number) {
  const memory = new MemoryObjectStore({ clock: new FakeClock() });
  for (const [key, bytes] of Object.entries(objects)) await memory.create(key, [bytes]);
  const reads: string[] = [];
  const gate = { open: Promise.resolve() };
  const store: ObjectStore = {
    capabilities: memory.capabilities,
    create: (...create) => memory.create(...create),
    list: (...list) => memory.list(...list),
    delete: (...keys) => memory.delete(...keys),
    close: () => memory.close(),
    async read(key: string, range?: ByteRange) {
      reads.push(`${key} ${String(range?.start)}-${String(range?.end)}`);
      const bytes = await memory.read(key, range);
      await gate.open;
      return bytes;
    },
  };
  const pool = new SlabPool({ slabBytes: blockBytes, maxIdleSlabs: 4 });
  return { cache: new BlockCache(store, pool, { maxBytes, blockBytes }), pool, reads, memory, gate };
}

const numbered = (length: number, from = 0) => Buffer.from(Array.from({ length }, (_, index) => (from + index) & 0xff));
const block = (index: number, objectKey = 'a') => ({ objectKey, index });

describe('the block cache', () => {
  it('reads aligned ranges and gives their bytes', async () => {
    const { cache, reads } = await cacheOver({ a: numbered(250) }, 1_000);
    const [second, last] = await Promise.all([cache.load(block(1)), cache.load(block(2))]);
    expect([second.start, second.bytes]).toEqual([100, numbered(100, 100)]);
    expect([last.start, last.end, last.bytes]).toEqual([200, 250, numbered(50, 200)]);
    expect(reads).toEqual(['a 100-200', 'a 200-300']);
  });

  it('loads a block once for all who want it at the same time, and for those who come later', async () => {
    const { cache, reads } = await cacheOver({ a: numbered(100) }, 1_000);
    const [one, two] = await Promise.all([cache.load(block(0)), cache.load(block(0))]);
    expect(one).toBe(two);
    expect(await cache.load(block(0))).toBe(one);
    expect(cache.hold(block(0))).toBe(one);
    expect(reads).toHaveLength(1);
    expect(cache.counts).toEqual({ hits: 2, misses: 2 });
  });

  it('holds memory for so many loads and lets the others wait, while a store hangs, and gives all of it back', async () => {
    let answer = () => {};
    const hanging = new Promise<void>((resolve) => (answer = resolve));
    const store = {
      read: async () => {
        await hanging;
        throw new StorageError('unavailable', 'no answer');
      },
    } as unknown as ObjectStore;
    const pool = new SlabPool({ slabBytes: blockBytes, maxIdleSlabs: 4 });
    const cache = new BlockCache(store, pool, { maxBytes: 1_000, blockBytes, maxLoadingBytes: 3 * blockBytes });
    const loads = Array.from({ length: 1_100 }, (_, index) =>
      cache.load(block(index)).catch((error: unknown) => error),
    );
    await new Promise(setImmediate);
    expect([pool.bytesInUse, cache.loadingBytes, cache.pinnedBytes]).toEqual([3 * blockBytes, 3 * blockBytes, 0]);
    answer();
    const failures = await Promise.all(loads);
    expect(failures.filter((failure) => !(failure instanceof StorageError))).toEqual([]);
    expect([pool.bytesInUse, cache.loadingBytes]).toEqual([0, 0]);
  });

  it('tells what answers hold of blocks that it has dropped', async () => {
    const { cache } = await cacheOver({ a: numbered(300) }, 100);
    const held = await cache.load(block(0));
    expect(cache.pinnedBytes).toBe(0);
    (await cache.load(block(1))).release();
    expect(cache.pinnedBytes).toBe(100);
    held.release();
    expect(cache.pinnedBytes).toBe(0);
  });

  it('tells the same beside blocks that are too short for a slab', async () => {
    const objects = Array.from({ length: 10 }, (_, index) => [`short ${index}`, numbered(10)] as const);
    const { cache } = await cacheOver({ a: numbered(100), ...Object.fromEntries(objects) }, 100);
    const held = await cache.load(block(0));
    for (const [key] of objects) (await cache.load(block(0, key))).release();
    expect([cache.sizeBytes, cache.pinnedBytes]).toEqual([100, 100]);
    held.release();
    expect(cache.pinnedBytes).toBe(0);
  });

  it('drops the least recently used block when there is no room', async () => {
    const { cache } = await cacheOver({ a: numbered(300) }, 200);
    for (const index of [0, 1]) (await cache.load(block(index))).release();
    cache.hold(block(0))?.release();
    (await cache.load(block(2))).release();
    expect([0, 1, 2].map((index) => cache.hold(block(index)) !== undefined)).toEqual([true, false, true]);
    expect(cache.sizeBytes).toBe(200);
  });

  it('keeps a dropped block as it is until its last holder releases it', async () => {
    const { cache, pool } = await cacheOver({ a: numbered(100), b: numbered(200, 7) }, 100);
    const held = await cache.load(block(0, 'a'));
    for (const index of [0, 1]) (await cache.load(block(index, 'b'))).release();
    expect(held.bytes).toEqual(numbered(100));
    expect(pool.bytesInUse).toBe(200);
    held.release();
    expect(pool.bytesInUse).toBe(100);
    expect(() => held.release()).toThrow('released more often');
  });

  it('hands every waiter a reference of its own even when the block does not fit the cache', async () => {
    const { cache, pool } = await cacheOver({ a: numbered(100) }, 10);
    const [one, two] = await Promise.all([cache.load(block(0)), cache.load(block(0))]);
    one.release();
    expect(two.bytes).toEqual(numbered(100));
    two.release();
    expect(pool.bytesInUse).toBe(0);
    expect(cache.sizeBytes).toBe(0);
  });

  it('charges a short block no more than its bytes', async () => {
    const { cache, pool } = await cacheOver({ a: numbered(20) }, 1_000);
    (await cache.load(block(0))).release();
    expect(cache.sizeBytes).toBe(20);
    expect(pool.bytesInUse).toBe(0);
  });

  it('tells every waiter of a failure, and tries again for the next one', async () => {
    const { cache, memory, reads } = await cacheOver({}, 1_000);
    const failures = await Promise.allSettled([cache.load(block(0)), cache.load(block(0))]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(reads).toHaveLength(1);
    await memory.create('a', [numbered(10)]);
    expect((await cache.load(block(0))).bytes).toEqual(numbered(10));
  });

  it('lets one waiter give up without taking the load from the others', async () => {
    const { cache, gate, pool } = await cacheOver({ a: numbered(100) }, 1_000);
    let open = () => {};
    gate.open = new Promise((resolve) => (open = resolve));
    const abort = new AbortController();
    const [gone, stays] = [cache.load(block(0), abort.signal), cache.load(block(0))];
    abort.abort();
    await expect(gone).rejects.toMatchObject({ kind: 'aborted' });
    open();
    (await stays).release();
    cache.clear();
    expect(pool.bytesInUse).toBe(0);
  });

  it('refuses a reader whose signal aborted before', async () => {
    const { cache } = await cacheOver({ a: numbered(100) }, 1_000);
    await expect(cache.load(block(0), AbortSignal.abort())).rejects.toThrow(StorageError);
  });

  it('forgets a discarded object, also what is being loaded of it', async () => {
    const { cache, reads } = await cacheOver({ a: numbered(200), ab: numbered(100) }, 1_000);
    (await cache.load(block(0))).release();
    (await cache.load(block(0, 'ab'))).release();
    const loading = cache.load(block(1));
    cache.discard('a');
    (await loading).release();
    for (const index of [0, 1]) expect(cache.hold(block(index))).toBeUndefined();
    expect(cache.hold(block(0, 'ab'))).toBeDefined();
    (await cache.load(block(1))).release();
    expect(reads).toHaveLength(4);
  });

  it('loads ahead without a holder, and not more than half of its room', async () => {
    const { cache, reads, pool } = await cacheOver({ a: numbered(900) }, 400);
    for (const index of [0, 1, 2, 0]) cache.loadAhead(block(index));
    await settled();
    expect(reads).toEqual(['a 0-100', 'a 100-200']);
    expect(pool.bytesInUse).toBe(200);
    cache.hold(block(0))?.release(); // Was read: there is room for one more.
    for (const index of [2, 3]) cache.loadAhead(block(index));
    await settled();
    expect(reads).toEqual(['a 0-100', 'a 100-200', 'a 200-300']);
  });

  it('shares a load that runs ahead with the reader that catches up', async () => {
    const { cache, reads } = await cacheOver({ a: numbered(900) }, 200);
    cache.loadAhead(block(0));
    (await cache.load(block(0))).release();
    await settled();
    cache.loadAhead(block(1)); // The first one does not count as ahead any more.
    await settled();
    expect(reads).toHaveLength(2);
  });

  it('survives a load ahead that fails', async () => {
    const { cache, memory } = await cacheOver({}, 1_000);
    cache.loadAhead(block(0));
    await settled();
    await memory.create('a', [numbered(10)]);
    expect((await cache.load(block(0))).bytes).toEqual(numbered(10));
  });

  describe('over a store that fills the memory it is given', () => {
    const blockBytes = 128 * 1024;

    function filling(sizeBytes: number) {
      const given: Buffer[] = [];
      const store = {
        read: (_key: string, _range: ByteRange, _signal: undefined, into: Buffer) => {
          given.push(into);
          return Promise.resolve(into.fill(given.length).subarray(0, sizeBytes));
        },
      } as unknown as ObjectStore;
      const pool = new SlabPool({ slabBytes: blockBytes, maxIdleSlabs: 1 });
      return { cache: new BlockCache(store, pool, { maxBytes: 10 * blockBytes, blockBytes }), pool, given };
    }

    it('leaves a whole block where it was read', async () => {
      const { cache, pool, given } = filling(blockBytes);
      const loaded = await cache.load(block(0));
      expect(loaded.bytes.buffer).toBe(given[0]!.buffer);
      expect(pool.bytesInUse).toBe(blockBytes);
    });

    it.each([blockBytes / 2, 40 * 1024, 7])(
      'moves a block of %i bytes, so that the memory can be read into again',
      async (bytes) => {
        const { cache, pool, given } = filling(bytes);
        const first = await cache.load(block(0));
        const second = await cache.load(block(1));
        expect(given[1]!.buffer).toBe(given[0]!.buffer);
        expect([first.bytes, second.bytes]).toEqual([Buffer.alloc(bytes, 1), Buffer.alloc(bytes, 2)]);
        expect(pool.bytesInUse).toBe(0);
      },
    );

    it('gives the memory back when the read fails', async () => {
      const { pool } = filling(0);
      const store = { read: () => Promise.reject(new StorageError('unavailable', 'no')) } as unknown as ObjectStore;
      const cache = new BlockCache(store, pool, { maxBytes: 1, blockBytes });
      await expect(cache.load(block(0))).rejects.toThrow(StorageError);
      expect(pool.bytesInUse).toBe(0);
    });
  });
});
