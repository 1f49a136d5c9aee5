import { SlabPool } from './slab-pool.ts';

describe('SlabPool', () => {
  it('gives the memory of a slab again once its last holder released it', () => {
    const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 1 });
    const slab = pool.acquire();
    slab.retain();
    slab.release();
    expect(pool.acquire().bytes.buffer).not.toBe(slab.bytes.buffer);
    slab.release();
    expect(pool.acquire().bytes.buffer).toBe(slab.bytes.buffer);
  });

  it('counts the bytes that somebody holds', () => {
    const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 1 });
    const small = pool.acquire();
    const large = pool.acquire(100);
    expect(pool.bytesInUse).toBe(164);
    small.release();
    large.release();
    expect(pool.bytesInUse).toBe(0);
  });

  it('keeps neither a larger slab nor more slabs than it may', () => {
    const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 1 });
    const slabs = [pool.acquire(100), pool.acquire(), pool.acquire()];
    for (const slab of slabs) slab.release();
    const again = [pool.acquire(), pool.acquire()].map((slab) => slab.bytes.buffer);
    expect(again.filter((memory) => slabs.some((slab) => slab.bytes.buffer === memory))).toHaveLength(1);
  });

  it('gives memory that it may not keep back at once', () => {
    let maxBytes = 64;
    const pool = new SlabPool({ slabBytes: 64, maxIdleSlabs: 4, mayKeep: (idleBytes) => idleBytes <= maxBytes });
    const slabs = [pool.acquire(), pool.acquire()];
    for (const slab of slabs) slab.release();
    expect(slabs.map(({ bytes }) => bytes.length)).toEqual([64, 0]);
    expect([pool.idleBytes, pool.bytesInUse]).toEqual([64, 0]);
    maxBytes = 0;
    const again = pool.acquire();
    again.release();
    expect(pool.idleBytes).toBe(0);
  });

  it('refuses to be released or retained after the last release', () => {
    const slab = new SlabPool({ slabBytes: 64, maxIdleSlabs: 1 }).acquire();
    slab.release();
    expect(() => slab.release()).toThrow('released more often');
    expect(() => slab.retain()).toThrow('retained after');
  });
});
