import { SlabArena } from './slab-arena.ts';
import { SlabPool } from './slab-pool.ts';

function setUp() {
  const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 4 });
  return { pool, arena: new SlabArena(pool) };
}

describe('SlabArena', () => {
  it('puts small pieces side by side into one slab, without overlap', () => {
    const { arena, pool } = setUp();
    const pieces = [20, 30, 14].map((length) => arena.allocate(length));
    expect(pool.bytesInUse).toBe(64);
    for (const [index, { bytes }] of pieces.entries()) bytes.fill(index + 1);
    expect(pieces.map(({ bytes }) => [bytes.length, new Set(bytes)])).toEqual([
      [20, new Set([1])],
      [30, new Set([2])],
      [14, new Set([3])],
    ]);
  });

  it('begins another slab when a piece does not fit', () => {
    const { arena, pool } = setUp();
    const [first, second] = [arena.allocate(40), arena.allocate(40)];
    expect(second.slab).not.toBe(first.slab);
    expect(pool.bytesInUse).toBe(128);
  });

  it('gives a piece that is larger than a slab memory of its own', () => {
    const { arena, pool } = setUp();
    arena.allocate(10);
    const large = arena.allocate(1_000);
    expect(large.bytes).toHaveLength(1_000);
    large.slab.release();
    expect(pool.bytesInUse).toBe(64);
  });

  it('keeps a slab until every piece of it is released and the arena has moved on', () => {
    const { arena, pool } = setUp();
    const pieces = [arena.allocate(30), arena.allocate(30)];
    pieces[0]!.slab.release();
    arena.allocate(60).slab.release();
    expect(pool.bytesInUse).toBe(128);
    pieces[1]!.slab.release();
    expect(pool.bytesInUse).toBe(64);
    arena.close();
    expect(pool.bytesInUse).toBe(0);
  });

  it('takes nothing with it when it closes', () => {
    const { arena, pool } = setUp();
    const piece = arena.allocate(10);
    arena.close();
    arena.close();
    expect(pool.bytesInUse).toBe(64);
    piece.slab.release();
    expect(pool.bytesInUse).toBe(0);
  });
});
