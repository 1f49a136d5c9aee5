import { SlabArena, SlabPool } from '@kafscale/runtime';
import { HotTail } from './hot-tail.ts';

const slabBytes = 100;

describe('HotTail', () => {
  let pool: SlabPool;
  let arena: SlabArena;
  const add = (hotTail: HotTail, key: string, length: number) => {
    const { bytes, slab } = arena.allocate(length);
    hotTail.add(key, bytes, slab);
  };

  beforeEach(() => {
    pool = new SlabPool({ slabBytes, maxIdleSlabs: 100 });
    arena = new SlabArena(pool);
  });

  it('keeps the newest objects up to its bytes', () => {
    const hotTail = new HotTail(1_000);
    for (let index = 0; index < 25; index += 1) add(hotTail, `object ${index}`, 50);
    expect(hotTail.sizeBytes).toBe(1_000);
    expect([hotTail.has('object 4'), hotTail.has('object 5'), hotTail.has('object 24')]).toEqual([false, true, true]);
  });

  it('does not hold much more memory than its bytes when objects leave slabs half empty', () => {
    const hotTail = new HotTail(1_000);
    for (let index = 0; index < 50; index += 1) add(hotTail, `object ${index}`, 51);
    expect(hotTail.heldBytes).toBe(1_400);
    expect(pool.bytesInUse).toBe(1_400);
    expect(hotTail.sizeBytes).toBe(14 * 51);
  });

  it('gives every slab back', () => {
    const hotTail = new HotTail(1_000);
    for (let index = 0; index < 30; index += 1) add(hotTail, `object ${index}`, 30);
    hotTail.clear();
    arena.close();
    expect([hotTail.heldBytes, hotTail.sizeBytes, pool.bytesInUse]).toEqual([0, 0, 0]);
  });
});
