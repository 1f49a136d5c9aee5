import { freeMemory } from './free-memory.ts';

describe('freeMemory', () => {
  it('gives memory back without a garbage collection', () => {
    const before = process.memoryUsage().arrayBuffers;
    const buffers = Array.from({ length: 8 }, () => Buffer.allocUnsafeSlow(4 * 2 ** 20).fill(1));
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(30 * 2 ** 20);
    for (const buffer of buffers) freeMemory(buffer);
    expect(buffers.map(({ length }) => length)).toEqual(Array(8).fill(0));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 2 ** 20);
  });
});
