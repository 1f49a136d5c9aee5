import { FoldMemory } from './fold-memory.ts';

describe('FoldMemory', () => {
  it('counts what a round holds, and gives it back at once', () => {
    const memory = new FoldMemory();
    const buffers = [memory.allocate(100_000), memory.allocate(50_000)];
    expect(memory.heldBytes).toBe(150_000);
    memory.free();
    expect(memory.heldBytes).toBe(0);
    expect(buffers.map(({ length }) => length)).toEqual([0, 0]);
  });

  it('leaves alone what a failed round may use still', () => {
    const memory = new FoldMemory();
    const buffer = memory.allocate(100_000);
    memory.forget();
    memory.free();
    expect(memory.heldBytes).toBe(0);
    expect(buffer).toHaveLength(100_000);
  });
});
