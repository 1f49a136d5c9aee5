import { RecordMemory, systemClock } from '@kafscale/runtime';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import type { Extent } from '../partition-log.ts';
import { HotTail } from '../read/hot-tail.ts';
import { makeBatch } from '../read/log-fixture.ts';
import { FoldMemory } from './fold-memory.ts';
import { FoldPace } from './fold-pace.ts';
import { loadExtents } from './fold-sources.ts';

const KiB = 2 ** 10;
const slabBytes = 4 * 2 ** 20;
const signal = new AbortController().signal;

/** Objects in which the extents of a few partitions lie apart, with those of others between them. */
async function setUp({ objects, extentsEach, gapBytes }: { objects: number; extentsEach: number; gapBytes: number }) {
  const objectStore = new MemoryObjectStore({ clock: systemClock });
  const records = new RecordMemory({ totalBytes: 64 * 2 ** 20, slabBytes });
  const memory = new FoldMemory({ memory: records, roundBytes: 16 * 2 ** 20 });
  const pace = new FoldPace(systemClock);
  pace.follow(Number.MAX_SAFE_INTEGER);
  const extents: Extent[] = [];
  for (let object = 0; object < objects; object += 1) {
    const objectKey = `object-${object}`;
    const body: Buffer[] = [];
    let position = 0;
    for (let index = 0; index < extentsEach; index += 1) {
      const baseOffset = object * extentsEach + index;
      const batch = makeBatch(baseOffset, 1, KiB - 61);
      const place = { objectKey, position, length: batch.length };
      extents.push({ ...place, baseOffset, nextOffset: baseOffset + 1, leaderEpoch: 0, ...noTimestamp });
      body.push(batch, Buffer.alloc(gapBytes));
      position += batch.length + gapBytes;
    }
    await objectStore.create(objectKey, body);
  }
  let mostBytes = 0;
  const reads: string[] = [];
  const watched = {
    read: async (...call: Parameters<MemoryObjectStore['read']>) => {
      reads.push(call[0]);
      const bytes = await objectStore.read(...call);
      mostBytes = Math.max(mostBytes, records.heldBytes);
      return bytes;
    },
  } as unknown as MemoryObjectStore;
  const sources = {
    objectStore: watched,
    hotTail: new HotTail(0),
    clock: systemClock,
    pace,
    memory,
    callDeadlineMs: 1_000,
  };
  return { extents, sources, records, reads, mostBytes: () => mostBytes, objectStore };
}

const noTimestamp = { maxTimestamp: -1, maxTimestampBaseOffset: 0 };

describe('loadExtents', () => {
  it('holds what it was asked for and not what lies between, however many objects there are', async () => {
    const { extents, sources, records, reads, mostBytes, objectStore } = await setUp({
      ...{ objects: 40, extentsEach: 20, gapBytes: 60 * KiB },
    });
    const loaded = await loadExtents(extents, sources, signal);
    expect(reads).toHaveLength(40); // of each all at once
    for (const extent of extents) {
      const { objectKey, position, length } = extent;
      const stored = await objectStore.read(objectKey, { start: position, end: position + length });
      expect((loaded.get(extent) as Buffer).equals(stored)).toBe(true);
    }
    // 800 KiB are wanted, in a slab; the objects are 48 MiB.
    expect(mostBytes()).toBeLessThanOrEqual(4 * slabBytes);
    expect(records.heldBytes).toBe(slabBytes);
    sources.memory.free();
    expect([records.heldBytes, sources.memory.heldBytes]).toEqual([0, 0]);
  });

  it('gives everything back when a read with gaps fails', async () => {
    const { extents, sources, records } = await setUp({ objects: 3, extentsEach: 3, gapBytes: 60 * KiB });
    const failing = { read: () => Promise.reject(new Error('no')) } as unknown as MemoryObjectStore;
    await expect(loadExtents(extents, { ...sources, objectStore: failing }, signal)).rejects.toThrow('no');
    sources.memory.free();
    expect(records.heldBytes).toBe(0);
  });
});
