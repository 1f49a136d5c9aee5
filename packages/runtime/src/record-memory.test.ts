import type { Clock } from './clock.ts';
import { RecordMemory, type YieldingMemory } from './record-memory.ts';
import type { Slab } from './slab-pool.ts';

const slabBytes = 100;

/** Slabs that are given up when others need them. */
class Yielding implements YieldingMemory {
  readonly slabs: Slab[];

  constructor(slabs: Slab[]) {
    this.slabs = slabs;
  }

  get yieldableBytes(): number {
    return this.slabs.length * slabBytes;
  }

  yieldSome(): void {
    this.slabs.shift()?.release();
  }
}

/** Each sleep takes its time at once; what happens meanwhile is planned before. */
class QuickClock implements Pick<Clock, 'monotonicMs' | 'sleep'> {
  #nowMs = 0;
  readonly #meanwhile: () => void;

  constructor(meanwhile: () => void = () => undefined) {
    this.#meanwhile = meanwhile;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  async sleep(durationMs: number): Promise<void> {
    await Promise.resolve();
    this.#nowMs += durationMs;
    this.#meanwhile();
  }
}

describe('RecordMemory', () => {
  const setUp = () => {
    const memory = new RecordMemory({ totalBytes: 1_000, slabBytes });
    const take = (count: number) => Array.from({ length: count }, () => memory.pool.acquire());
    return { memory, take };
  };
  const wait = (clock: QuickClock) => ({
    ...{ clock: clock as unknown as Clock, limitMs: 1_000 },
    signal: new AbortController().signal,
  });

  it('has room for what nobody holds, in slabs or outside', () => {
    const { memory, take } = setUp();
    const end = memory.countOutside('frames', () => 150);
    const slabs = take(3);
    expect([memory.heldBytes, memory.roomBytes, memory.heldFor('frames')]).toEqual([450, 550, 150]);
    for (const slab of slabs) slab.release();
    end();
    expect([memory.heldBytes, memory.roomBytes, memory.heldFor('frames')]).toEqual([0, 1_000, 0]);
  });

  it('lets memory be given up before it takes more than its total', () => {
    const { memory, take } = setUp();
    const yielding = new Yielding(take(4));
    memory.addYielding(yielding);
    expect(memory.roomBytes).toBe(1_000);
    take(6);
    expect(yielding.slabs).toHaveLength(4);
    take(3);
    expect([yielding.slabs.length, memory.heldBytes]).toEqual([1, 1_000]);
  });

  it('keeps no more for reuse than the total leaves', () => {
    const { memory, take } = setUp();
    const slabs = take(8);
    let outsideBytes = 0;
    memory.countOutside('frames', () => outsideBytes);
    outsideBytes = 700;
    for (const slab of slabs) slab.release();
    expect(memory.heldBytes + memory.pool.idleBytes).toBeLessThanOrEqual(1_000);
    expect(memory.pool.idleBytes).toBe(300);
  });

  it('gives back what was not used for a while', () => {
    const { memory, take } = setUp();
    for (const slab of take(6)) slab.release();
    memory.freeUnused();
    for (const slab of take(2)) slab.release();
    memory.freeUnused();
    expect(memory.pool.idleBytes).toBe(200);
    memory.freeUnused();
    expect(memory.pool.idleBytes).toBe(0);
  });

  it('keeps room for who waits until others have given it back', async () => {
    const { memory, take } = setUp();
    const slabs = take(8);
    const clock = new QuickClock(() => slabs.pop()?.release());
    const reserved = memory.reserve(500, wait(clock));
    expect(memory.roomBytes).toBe(-300);
    const reservation = await reserved;
    expect([memory.heldBytes, memory.roomBytes]).toEqual([500, 0]);
    reservation!.use(200);
    expect(memory.roomBytes).toBe(200);
    reservation!.end();
    expect(memory.roomBytes).toBe(500);
  });

  it('keeps nothing for who waited in vain, or was told to stop', async () => {
    const { memory, take } = setUp();
    take(8);
    const clock = new QuickClock();
    expect(await memory.reserve(500, wait(clock))).toBeUndefined();
    await expect(memory.reserve(500, { ...wait(clock), signal: AbortSignal.abort() })).rejects.toThrow();
    expect(memory.roomBytes).toBe(200);
  });
});
