import { SlabPool } from '@kafscale/runtime';
import { DividedSlabs } from './divided-slabs.ts';

function setUp() {
  const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 4 });
  return { pool, quarters: new DividedSlabs(pool, 16), halves: new DividedSlabs(pool, 32) };
}

describe('DividedSlabs', () => {
  it('gives out parts side by side, without overlap', () => {
    const { pool, quarters } = setUp();
    const parts = Array.from({ length: 5 }, () => quarters.acquire());
    for (const [index, { bytes }] of parts.entries()) bytes.fill(index);
    expect(parts.map(({ bytes }) => [bytes.length, new Set(bytes)])).toEqual(
      [0, 1, 2, 3, 4].map((index) => [16, new Set([index])]),
    );
    expect([quarters.bytesInUse, quarters.dividedBytes, pool.bytesInUse]).toEqual([80, 128, 128]);
  });

  it('gives a part again as soon as it is released', () => {
    const { pool, quarters } = setUp();
    const parts = Array.from({ length: 4 }, () => quarters.acquire());
    const { byteOffset } = parts[1]!.bytes;
    parts[1]!.release();
    expect(quarters.acquire().bytes.byteOffset).toBe(byteOffset);
    expect(pool.bytesInUse).toBe(64);
  });

  it('lets the memory of one size serve another', () => {
    const { pool, quarters, halves } = setUp();
    const parts = Array.from({ length: 4 }, () => quarters.acquire());
    const memory = parts[0]!.bytes.buffer;
    for (const part of parts) part.release();
    expect([quarters.bytesInUse, quarters.dividedBytes, pool.bytesInUse]).toEqual([0, 0, 0]);
    expect(halves.acquire().bytes.buffer).toBe(memory);
  });
});
