import { jest } from '@jest/globals';
import { silentLogger, type Logger } from '@kafscale/runtime';
import { settled } from '@kafscale/testkit';
import type { ObjectStore } from '../../storage/object-store.ts';
import { LogSlices } from './log-slices.ts';
import { makeBatch, makeLog, ReadingFixture, type ReadingSettings } from './log-fixture.ts';

const payloadBytes = 100;
const batchBytes = 161;
const all = { minOneBatch: true };

/** Batches of ten records each, from `baseOffset` on. */
const batches = (count: number, baseOffset = 0) =>
  Array.from({ length: count }, (_, index) => makeBatch(baseOffset + index * 10, 10, payloadBytes));

async function reading(settings: ReadingSettings = {}) {
  const fixture = new ReadingFixture(settings);
  const log = makeLog();
  return { fixture, log, reader: fixture.reader };
}

const joined = (slices: LogSlices) => Buffer.concat(slices.chunks);

/** A store in which a test changes what is read. */
function tampering(tamper: (bytes: Buffer, key: string) => Buffer): (store: ObjectStore) => ObjectStore {
  return (store) => ({
    capabilities: store.capabilities,
    create: (...create) => store.create(...create),
    list: (...list) => store.list(...list),
    delete: (...keys) => store.delete(...keys),
    close: () => store.close(),
    read: async (key, range, signal) => tamper(await store.read(key, range, signal), key),
  });
}

describe('reading from the hot tail', () => {
  it('answers without a promise, over several objects, with views of their memory', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: 10_000 });
    await fixture.commit([{ log, batches: batches(3) }], 50);
    await fixture.commit([{ log, batches: batches(2, 30) }], 50);
    const slices = reader.read(log, 0, 100_000, all);
    if (!(slices instanceof LogSlices)) throw new Error('a promise');
    expect(joined(slices)).toEqual(Buffer.concat(batches(5)));
    expect(slices).toMatchObject({ bytes: 5 * batchBytes, nextOffset: 50, isLimited: false });
    expect(slices.chunks).toHaveLength(2);
    slices.release();
  });

  it('starts with the batch that holds the offset', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: 10_000 });
    await fixture.commit([{ log, batches: batches(5) }]);
    const slices = await reader.read(log, 29, 100_000, all);
    expect(joined(slices)).toEqual(Buffer.concat(batches(5)).subarray(2 * batchBytes));
  });

  it('ends at the limit with a whole batch', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: 10_000 });
    await fixture.commit([{ log, batches: batches(5) }]);
    const slices = await reader.read(log, 10, 2 * batchBytes + 1, all);
    expect(slices).toMatchObject({ bytes: 2 * batchBytes, nextOffset: 30, isLimited: true });
  });

  it('gives a first batch above the limit only where at least one is asked for', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: 10_000 });
    await fixture.commit([{ log, batches: batches(5) }]);
    for (const maxBytes of [batchBytes - 1, 0, -1]) {
      expect(await reader.read(log, 10, maxBytes, all)).toMatchObject({ bytes: batchBytes, nextOffset: 20 });
      const none = await reader.read(log, 10, maxBytes, { minOneBatch: false });
      expect(none).toMatchObject({ bytes: 0, nextOffset: 10, isLimited: true });
    }
  });

  it('gives nothing at the high watermark', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: 10_000 });
    expect(await reader.read(log, 0, 1_000, all)).toMatchObject({ bytes: 0, nextOffset: 0, isLimited: false });
    await fixture.commit([{ log, batches: batches(1) }]);
    expect(await reader.read(log, 10, 1_000, all)).toMatchObject({ bytes: 0, nextOffset: 10, isLimited: false });
  });

  it('keeps the memory of an object that left the tail until the slices are released', async () => {
    const { fixture, log, reader } = await reading({ hotTailBytes: batchBytes });
    await fixture.commit([{ log, batches: batches(1) }]);
    const slices = await reader.read(log, 0, 1_000, all);
    await fixture.commit([{ log, batches: batches(1, 10) }]);
    expect(fixture.hotSlabs).toBe(2);
    slices.release();
    expect(fixture.hotSlabs).toBe(1);
    expect(() => slices.release()).toThrow('released twice');
  });
});

describe('reading from the store', () => {
  it('gives the stored bytes, whatever the blocks cut', async () => {
    const { fixture, log, reader } = await reading({ blockBytes: 64 });
    await fixture.commit([{ log, batches: batches(3) }], 31);
    await fixture.commit([{ log, batches: batches(3, 30) }], 17);
    const slices = await reader.read(log, 12, 100_000, all);
    expect(joined(slices).equals(Buffer.concat(batches(6)).subarray(batchBytes, batchBytes + slices.bytes))).toBe(true);
    expect(slices.bytes).toBeGreaterThan(0);
    expect(slices.bytes % batchBytes).toBe(0);
  });

  it('answers without a promise once the blocks are cached', async () => {
    const { fixture, log, reader } = await reading();
    await fixture.commit([{ log, batches: batches(3) }]);
    (await reader.read(log, 0, 10_000, all)).release();
    expect(reader.read(log, 0, 10_000, all)).toBeInstanceOf(LogSlices);
  });

  it('reads a first batch that is larger than the limit and than many blocks', async () => {
    const { fixture, log, reader } = await reading({ blockBytes: 64, cacheBytes: 640 });
    const large = makeBatch(0, 1, 5_000);
    await fixture.commit([{ log, batches: [large] }]);
    expect(joined(await reader.read(log, 0, 10, all))).toEqual(large);
  });

  it('reads with a cache that keeps nothing', async () => {
    const { fixture, log, reader } = await reading({ blockBytes: 128, cacheBytes: 0 });
    await fixture.commit([{ log, batches: batches(6) }]);
    const slices = await reader.read(log, 35, 10_000, all);
    expect(joined(slices).subarray(0, batchBytes)).toEqual(batches(1, 30)[0]);
    slices.release();
    expect(fixture.pool.bytesInUse).toBe(0);
  });

  it('finds an offset deep in an extent of tiny batches, and goes on from there without a new walk', async () => {
    const { fixture, log, reader } = await reading({ blockBytes: 1_024 });
    const tiny = Array.from({ length: 400 }, (_, index) => makeBatch(index, 1, 10));
    await fixture.commit([{ log, batches: tiny }]);
    const first = await reader.read(log, 300, 710, all);
    expect(joined(first)).toEqual(Buffer.concat(tiny.slice(300, 310)));
    fixture.cache.discard('flush-0');
    const before = fixture.cache.counts.misses;
    const second = await reader.read(log, first.nextOffset, 710, all);
    expect(joined(second)).toEqual(Buffer.concat(tiny.slice(310, 320)));
    expect(fixture.cache.counts.misses - before).toBeLessThanOrEqual(2);
  });

  it('gives what lies before a gap in memory instead of waiting for the rest', async () => {
    const { fixture, log, reader } = await reading();
    await fixture.commit([{ log, batches: batches(2) }]);
    await fixture.commit([{ log, batches: batches(2, 20) }]);
    (await reader.read(log, 0, 2 * batchBytes, all)).release();
    const slices = reader.read(log, 0, 10_000, all);
    expect(slices).toMatchObject({ bytes: 2 * batchBytes, isLimited: true });
  });

  it('loads ahead of a sequential reader', async () => {
    const { fixture, log, reader } = await reading({ readaheadBytes: 4_096 });
    for (let object = 0; object < 6; object += 1) await fixture.commit([{ log, batches: batches(2, object * 20) }]);
    const first = await reader.read(log, 0, 2 * batchBytes, all);
    const second = await reader.read(log, first.nextOffset, 2 * batchBytes, all);
    await settled();
    expect(reader.read(log, second.nextOffset, 4 * batchBytes, all)).toMatchObject({ bytes: 4 * batchBytes });
  });

  it('gives nothing when the log start passed the offset during the wait', async () => {
    const { fixture, log, reader } = await reading();
    await fixture.commit([{ log, batches: batches(2) }]);
    await fixture.commit([{ log, batches: batches(2, 20) }]);
    const read = reader.read(log, 0, 10_000, all);
    log.advanceLogStart(25);
    expect(await read).toMatchObject({ bytes: 0, nextOffset: 0 });
  });

  it('stops waiting when its reader is gone', async () => {
    const { fixture, log, reader } = await reading();
    await fixture.commit([{ log, batches: batches(2) }]);
    const abort = new AbortController();
    const read = reader.read(log, 0, 10_000, { minOneBatch: true, signal: abort.signal });
    abort.abort();
    await expect(read).rejects.toMatchObject({ kind: 'aborted' });
  });
});

describe('bytes from a store that are not what was committed', () => {
  const faults: readonly [what: string, tamper: (bytes: Buffer) => Buffer][] = [
    ['a flipped bit in a record', (bytes) => flipped(bytes, batchBytes + 90)],
    ['a flipped bit in a checksum', (bytes) => flipped(bytes, batchBytes + 18)],
    ['a wrong base offset', (bytes) => flipped(bytes, batchBytes + 7)],
    ['a wrong batch length', (bytes) => flipped(bytes, batchBytes + 11)],
    ['a negative batch length', (bytes) => flipped(bytes, 8, 0x80)],
    ['a wrong last offset delta', (bytes) => flipped(bytes, batchBytes + 26)],
    ['the bytes of another extent', () => Buffer.concat(batches(3, 30))],
    ['fewer bytes than there should be', (bytes) => bytes.subarray(0, batchBytes + 20)],
    ['no bytes', () => Buffer.alloc(0)],
    ['zeros', (bytes) => Buffer.alloc(bytes.length)],
  ];
  const flipped = (bytes: Buffer, position: number, mask = 1) => {
    const changed = Buffer.from(bytes);
    changed[position] = changed[position]! ^ mask;
    return changed;
  };

  it.each(faults)('are fetched once more and then served: %s', async (_what, tamper) => {
    let reads = 0;
    const { fixture, log, reader } = await reading({
      wrap: tampering((bytes) => ((reads += 1) === 1 ? tamper(bytes) : bytes)),
    });
    await fixture.commit([{ log, batches: batches(3) }]);
    let read = Buffer.alloc(0);
    for (let offset = 0; offset < log.highWatermark;) {
      const slices = await reader.read(log, offset, 10_000, all);
      read = Buffer.concat([read, joined(slices)]);
      offset = slices.nextOffset;
      slices.release();
    }
    expect(read).toEqual(Buffer.concat(batches(3)));
    expect(reads).toBe(2);
    fixture.cache.clear();
    expect(fixture.pool.bytesInUse).toBe(0);
  });

  it.each(faults)('never reach a reader: %s', async (_what, tamper) => {
    const error = jest.fn();
    const logger: Logger = { ...silentLogger, error };
    const { fixture, log, reader } = await reading({ logger, wrap: tampering(tamper) });
    await fixture.commit([{ log, batches: batches(3) }]);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const good: Buffer[] = [];
      let failure: unknown;
      for (let offset = 0; failure === undefined && offset < log.highWatermark;) {
        try {
          const slices = await reader.read(log, offset, 10_000, all);
          good.push(joined(slices));
          offset = slices.nextOffset;
          slices.release();
        } catch (thrown) {
          failure = thrown;
        }
      }
      expect(failure).toMatchObject({ name: 'StorageError', kind: 'corrupt' });
      const served = Buffer.concat(good);
      expect(served).toEqual(Buffer.concat(batches(3)).subarray(0, served.length));
    }
    expect(error).toHaveBeenCalledTimes(1);
    fixture.cache.clear();
    expect(fixture.pool.bytesInUse).toBe(0);
  });

  it('count as gone when the object is missing', async () => {
    const error = jest.fn();
    const { fixture, log, reader } = await reading({ logger: { ...silentLogger, error } });
    await fixture.commit([{ log, batches: batches(3) }]);
    await fixture.store.delete(['flush-0']);
    await expect(reader.read(log, 0, 10_000, all)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(error.mock.calls).toEqual([
      [expect.objectContaining({ topic: 'orders', partition: 0, offset: 0, objectKey: 'flush-0' }), expect.any(String)],
    ]);
  });

  it('are told from a store that does not answer', async () => {
    const error = jest.fn();
    const { fixture, log, reader } = await reading({ logger: { ...silentLogger, error } });
    await fixture.commit([{ log, batches: batches(3) }]);
    await fixture.store.close();
    await expect(reader.read(log, 0, 10_000, all)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(error).not.toHaveBeenCalled();
  });
});
