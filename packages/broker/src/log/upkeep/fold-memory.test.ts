import { RecordMemory } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { FoldMemory } from './fold-memory.ts';

const roundBytes = 4_000;
const setUp = () => {
  const records = new RecordMemory({ totalBytes: 10_000, slabBytes: 1_000 });
  return { records, clock: new FakeClock(), memory: new FoldMemory({ memory: records, roundBytes }) };
};

describe('FoldMemory', () => {
  it('counts what a round holds in the memory of all records, and gives everything back', async () => {
    const { records, clock, memory } = setUp();
    expect(await memory.hasRoom(clock, new AbortController().signal)).toBe(true);
    expect(records.roomBytes).toBe(5_000);
    for (const length of [600, 300, 900]) memory.allocate(length);
    expect([memory.heldBytes, records.heldBytes]).toEqual([1_800, 2_000]);
    memory.free();
    expect([memory.heldBytes, records.heldBytes, records.roomBytes]).toEqual([0, 0, 10_000]);
  });

  it('waits until requests have made room, which are given none meanwhile', async () => {
    const { records, clock, memory } = setUp();
    const slabs = Array.from({ length: 8 }, () => records.pool.acquire());
    const hasRoom = memory.hasRoom(clock, new AbortController().signal);
    expect(records.roomBytes).toBeLessThan(0);
    for (const slab of slabs) slab.release();
    await clock.advanceAsync(100);
    expect(await hasRoom).toBe(true);
    memory.free();
  });

  it('does without a round, and keeps nothing free, when nobody makes room', async () => {
    const { records, clock, memory } = setUp();
    const slabs = Array.from({ length: 8 }, () => records.pool.acquire());
    const hasRoom = memory.hasRoom(clock, new AbortController().signal);
    await clock.advanceAsync(10_000);
    expect(await hasRoom).toBe(false);
    expect(records.roomBytes).toBe(2_000);
    for (const slab of slabs) slab.release();
  });

  it('keeps nothing free when it is stopped while it waits', async () => {
    const { records, clock, memory } = setUp();
    const slabs = Array.from({ length: 8 }, () => records.pool.acquire());
    const stopping = new AbortController();
    const hasRoom = memory.hasRoom(clock, stopping.signal);
    stopping.abort(new Error('stopped'));
    await expect(hasRoom).rejects.toThrow();
    expect(records.roomBytes).toBe(2_000);
    for (const slab of slabs) slab.release();
  });
});
