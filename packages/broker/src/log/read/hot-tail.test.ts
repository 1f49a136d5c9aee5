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

  it('keeps nothing that comes after its end, whose memory others share', () => {
    const hotTail = new HotTail(1_000);
    add(hotTail, 'before', 30);
    hotTail.close();
    add(hotTail, 'after', 30);
    arena.close();
    expect([hotTail.has('after'), hotTail.heldBytes, pool.bytesInUse]).toEqual([false, 0, 0]);
  });

  it('gives its oldest slabs up when memory is needed, down to what it keeps in any case', () => {
    const hotTail = new HotTail(1_000, 200);
    for (let index = 0; index < 10; index += 1) add(hotTail, `object ${index}`, 100);
    expect(hotTail.yieldableBytes).toBe(800);
    hotTail.yieldSome();
    expect([hotTail.has('object 0'), hotTail.has('object 1'), hotTail.yieldableBytes]).toEqual([false, true, 700]);
    while (hotTail.yieldableBytes > 0) hotTail.yieldSome();
    expect([hotTail.heldBytes, hotTail.has('object 9')]).toEqual([200, true]);
  });

  it('tells what answers hold of slabs that it gave up, until the last of them is released', () => {
    const hotTail = new HotTail(1_000, 0);
    for (let index = 0; index < 10; index += 1) add(hotTail, `object ${index}`, 100);
    const held = [hotTail.hold('object 0')!, hotTail.hold('object 0')!];
    expect([hotTail.pinnedBytes, hotTail.yieldableBytes]).toEqual([0, 900]);
    hotTail.clear();
    expect([hotTail.pinnedBytes, hotTail.heldBytes]).toEqual([100, 0]);
    held[0]!.release();
    expect(hotTail.pinnedBytes).toBe(100);
    held[1]!.release();
    expect(hotTail.pinnedBytes).toBe(0);
    arena.close();
    expect(pool.bytesInUse).toBe(0);
  });
});
