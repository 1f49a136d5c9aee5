import { jest } from '@jest/globals';
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { silentLogger } from '@kafscale/runtime';
import { settled } from '@kafscale/testkit';
import { CountingObjectStore } from '../../storage/counting-store-fixture.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { PartitionLog } from '../partition-log.ts';
import { foldLog, storeFolded, type FoldShape } from '../segments/fold-fixture.ts';
import { foldedLogOf } from '../segments/folded-log.ts';
import { makeBatch, makeLog, ReadingFixture, type ReadingSettings } from './log-fixture.ts';
import { LogSlices } from './log-slices.ts';

const payloadBytes = 100;
const batchBytes = 161;
const all = { minOneBatch: true };

/** Batches of ten records each, from `baseOffset` on. */
const batches = (count: number, baseOffset = 0) =>
  Array.from({ length: count }, (_, index) => makeBatch(baseOffset + index * 10, 10, payloadBytes));

/** A log of `total` batches, two in each flush, of which the first `folded` are folded. */
async function setUp(total: number, folded: number, shape: FoldShape, settings: ReadingSettings = {}) {
  const counting: { store?: CountingObjectStore } = {};
  const fixture = new ReadingFixture({
    ...settings,
    wrap: (store) => (counting.store = new CountingObjectStore(settings.wrap?.(store) ?? store)),
  });
  const log = makeLog();
  for (let at = 0; at < total; at += 2) await fixture.commit([{ log, batches: batches(2, at * 10) }], 13);
  if (folded > 0) await foldLog(fixture.store, log, batches(folded), shape);
  return { fixture, log, reader: fixture.reader, reads: counting.store! };
}

/** Everything from `offset` on, read by read. */
async function readAll({ reader }: ReadingFixture, log: PartitionLog, offset = 0, maxBytes = 1_000): Promise<Buffer> {
  const read: Buffer[] = [];
  while (offset < log.highWatermark) {
    const slices = await reader.read(log, offset, maxBytes, all);
    read.push(...slices.chunks.map((chunk) => Buffer.from(chunk)));
    if (slices.nextOffset === offset) throw new Error(`nothing at ${offset}`);
    if (slices.nextOffset < log.highWatermark) expect(slices.isLimited).toBe(true);
    offset = slices.nextOffset;
    slices.release();
  }
  return Buffer.concat(read);
}

describe('reading a folded log', () => {
  const shapes: readonly [what: string, shape: FoldShape][] = [
    ['segments in the record', { perSegment: 4 }],
    ['chunks alone', { perSegment: 2, perChunk: 2 }],
    ['chunks, then segments in the record', { perSegment: 2, perChunk: 3 }],
    ['segments with an index', { perSegment: 8, perChunk: 1, indexInterval: 10 }],
    ['shares of merged objects', { perSegment: 3, perChunk: 2, merged: true }],
  ];

  it.each(shapes)('gives every byte from every offset: %s', async (_what, shape) => {
    const { fixture, log } = await setUp(12, 8, shape, { blockBytes: 128 });
    for (let offset = 0; offset < 120; offset += 5) {
      const expected = Buffer.concat(batches(12)).subarray(Math.floor(offset / 10) * batchBytes);
      expect((await readAll(fixture, log, offset)).equals(expected)).toBe(true);
    }
    fixture.cache.clear();
    expect(fixture.pool.bytesInUse).toBe(0);
  });

  it('reads with caches that keep nothing', async () => {
    const shape = { perSegment: 2, perChunk: 2, indexInterval: 10 };
    const { fixture, log } = await setUp(12, 8, shape, { blockBytes: 64, cacheBytes: 0, listBytes: 0 });
    expect((await readAll(fixture, log)).equals(Buffer.concat(batches(12)))).toBe(true);
  });

  it('goes over the end of a chunk and of the folded part in one read when all is in memory', async () => {
    const { fixture, log, reader } = await setUp(12, 8, { perSegment: 2, perChunk: 2 });
    await readAll(fixture, log);
    const slices = reader.read(log, 30, 100_000, all);
    if (!(slices instanceof LogSlices)) throw new Error('a promise');
    expect(slices).toMatchObject({ nextOffset: 120, bytes: 9 * batchBytes, isLimited: false });
    slices.release();
  });

  it('gives what lies before a chunk that is not in memory instead of waiting for it', async () => {
    const { reader, log } = await setUp(12, 8, { perSegment: 2, perChunk: 2 });
    (await reader.read(log, 0, 4 * batchBytes, all)).release();
    (await reader.read(log, 20, 2 * batchBytes, all)).release();
    expect(reader.read(log, 20, 100_000, all)).toMatchObject({ nextOffset: 40, isLimited: true });
  });

  it('answers without a promise from the hot tail, whatever is folded', async () => {
    const { reader, log } = await setUp(12, 8, { perSegment: 2, perChunk: 2 }, { hotTailBytes: 1_000_000 });
    const slices = reader.read(log, 80, 100_000, all);
    expect(slices).toBeInstanceOf(LogSlices);
    expect(slices).toMatchObject({ bytes: 4 * batchBytes, isFromCache: false });
  });

  it('starts within a segment where the log start lies', async () => {
    const { fixture, log } = await setUp(12, 8, { perSegment: 4, perChunk: 1 });
    log.advanceLogStart(25);
    expect((await readAll(fixture, log, 25)).equals(Buffer.concat(batches(12)).subarray(2 * batchBytes))).toBe(true);
    log.advanceLogStart(80);
    expect(log).toMatchObject({ chunks: [], residentOffset: 80 });
    expect((await readAll(fixture, log, 80)).length).toBe(4 * batchBytes);
  });

  it('gives nothing when the log start passed the offset while a list was loaded', async () => {
    const { reader, log } = await setUp(12, 8, { perSegment: 4, perChunk: 1 });
    const read = reader.read(log, 0, 1_000, all);
    log.advanceLogStart(85);
    expect(await read).toMatchObject({ bytes: 0, nextOffset: 0 });
  });

  it('goes on over a fold', async () => {
    const { fixture, log, reader } = await setUp(12, 0, { perSegment: 1 });
    const first = await reader.read(log, 0, 2 * batchBytes, all);
    await foldLog(fixture.store, log, batches(8), { perSegment: 4, perChunk: 2, indexInterval: 10 });
    const rest = await readAll(fixture, log, first.nextOffset);
    expect(Buffer.concat([...first.chunks, rest]).equals(Buffer.concat(batches(12)))).toBe(true);
  });

  it('goes on when a fold comes while it waits', async () => {
    const { fixture, log, reader } = await setUp(12, 0, { perSegment: 1 });
    const folded = foldedLogOf(await storeFolded(fixture.store, batches(12), { perSegment: 4, perChunk: 2 }));
    const read = reader.read(log, 35, 100_000, all);
    log.fold(folded);
    const slices = await read;
    expect(slices.bytes).toBeGreaterThan(0);
    expect(Buffer.concat(slices.chunks)).toEqual(
      Buffer.concat(batches(12)).subarray(3 * batchBytes, 3 * batchBytes + slices.bytes),
    );
  });
});

describe('requests to the store', () => {
  it('one for a list and one for a block, however many want them at once', async () => {
    const { reader, log, reads } = await setUp(8, 8, { perSegment: 8, perChunk: 1 }, { blockBytes: 4_096 });
    const readers = Array.from({ length: 20 }, () => Promise.resolve(reader.read(log, 0, 100_000, all)));
    const slices = await Promise.all(readers);
    for (const { bytes } of slices) expect(bytes).toBe(8 * batchBytes);
    expect(reads.count).toBe(2);
  });

  it('one per block for many consumers that go over one old range together', async () => {
    const shape = { perSegment: 32, perChunk: 1 };
    const { fixture, log, reads } = await setUp(32, 32, shape, { blockBytes: 1_024, readaheadBytes: 4_096 });
    await Promise.all(Array.from({ length: 10 }, () => readAll(fixture, log)));
    await settled();
    const blocks = Math.ceil((32 + 32 * batchBytes + 16) / 1_024);
    expect(reads.count).toBeLessThanOrEqual(blocks + 1);
  });

  it('few for an offset deep in a segment that has an index', async () => {
    const shape = { perSegment: 200, perChunk: 1, indexInterval: 100 };
    const { reader, log, reads } = await setUp(200, 200, shape, { blockBytes: 1_024 });
    const slices = await reader.read(log, 1_505, batchBytes, all);
    expect(Buffer.concat(slices.chunks)).toEqual(batches(1, 1_500)[0]);
    expect(reads.count).toBeLessThanOrEqual(2 + 3); // The list, the index, and the blocks from the entry on.
    const before = reads.count;
    (await reader.read(log, slices.nextOffset, batchBytes, all)).release();
    expect(reads.count - before).toBeLessThanOrEqual(1);
  });

  it('reach no further ahead than so many segments', async () => {
    const settings = { blockBytes: 1_024, readaheadBytes: 1_000_000, readaheadSegments: 2 };
    const { reader, log, reads } = await setUp(40, 40, { perSegment: 4 }, settings);
    const first = await reader.read(log, 0, batchBytes, all);
    const before = reads.count;
    (await reader.read(log, first.nextOffset, batchBytes, all)).release();
    await settled();
    expect(reads.count - before).toBe(2);
  });

  it('none ahead when that is switched off', async () => {
    const settings = { blockBytes: 1_024, readaheadBytes: 1_000_000, readaheadSegments: 0 };
    const { reader, log, reads } = await setUp(40, 40, { perSegment: 2 }, settings);
    const first = await reader.read(log, 0, batchBytes, all);
    const before = reads.count;
    (await reader.read(log, first.nextOffset, batchBytes, all)).release();
    await settled();
    expect(reads.count).toBe(before);
  });

  it('fetch the next chunk’s list before a sequential reader needs it', async () => {
    const { reader, log, fixture } = await setUp(8, 8, { perSegment: 2, perChunk: 2 }, { readaheadBytes: 4_096 });
    const first = await reader.read(log, 0, batchBytes, all);
    (await reader.read(log, first.nextOffset, 3 * batchBytes, all)).release();
    (await reader.read(log, 20, 2 * batchBytes, all)).release();
    await settled();
    expect(fixture.spans.get(log, 40)).toBeDefined();
  });
});

describe('a segment that is gone or damaged', () => {
  const shape = { perSegment: 4, perChunk: 2 };

  it('is looked for once more where the record says it lies now', async () => {
    const { fixture, log } = await setUp(12, 0, shape, {
      refresh: {
        refresh: async (refreshed) => {
          refreshes += 1;
          await foldLog(fixture.store, refreshed, batches(8), shape);
        },
      },
    });
    let refreshes = 0;
    await fixture.store.delete(['flush-0', 'flush-1', 'flush-2', 'flush-3']);
    expect((await readAll(fixture, log)).equals(Buffer.concat(batches(12)))).toBe(true);
    expect(refreshes).toBe(1);
  });

  it('is looked for anew also when it is the list of a chunk that is gone', async () => {
    const { fixture, log } = await setUp(12, 8, shape, {
      refresh: {
        refresh: (refreshed) => foldLog(fixture.store, refreshed, batches(8), { ...shape, name: 'b' }).then(() => {}),
      },
    });
    await fixture.store.delete(['a.idx', 'a-0.kfs', 'a-40.kfs']);
    expect((await readAll(fixture, log)).equals(Buffer.concat(batches(12)))).toBe(true);
  });

  const lost: readonly [what: string, keys: readonly string[], objectKey: string][] = [
    ['a segment', ['a-0.kfs'], 'a-0.kfs'],
    ['a list', ['a.idx'], 'a.idx'],
  ];

  it.each(lost)('raises an alarm once, and is never skipped: %s', async (_what, keys, objectKey) => {
    const error = jest.fn();
    const refresh = jest.fn(() => Promise.resolve());
    const { fixture, log, reader } = await setUp(12, 8, shape, {
      logger: { ...silentLogger, error },
      refresh: { refresh },
    });
    await fixture.store.delete([...keys]);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(reader.read(log, 0, 1_000, all)).rejects.toMatchObject({ name: 'StorageError', kind: 'corrupt' });
    }
    expect(refresh).toHaveBeenCalledTimes(3);
    expect(error.mock.calls).toEqual([
      [expect.objectContaining({ topic: 'orders', partition: 0, objectKey }), expect.any(String)],
    ]);
    (await reader.read(log, 80, 1_000, all)).release();
  });

  it('is another broker’s matter when the record names that one', async () => {
    const error = jest.fn();
    const { fixture, log, reader } = await setUp(12, 8, shape, {
      logger: { ...silentLogger, error },
      refresh: { refresh: () => Promise.reject(new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)) },
    });
    await fixture.store.delete(['a-0.kfs']);
    const read = Promise.resolve(reader.read(log, 0, 1_000, all));
    await expect(read).rejects.toMatchObject({ code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
    expect(error).not.toHaveBeenCalled();
  });

  it('is fetched once more when its list was damaged on the way', async () => {
    let damaged = 0;
    const { fixture, log } = await setUp(12, 8, shape, {
      wrap: (store) =>
        new CountingObjectStore(store, (bytes, key) => {
          if (!key.endsWith('.idx') || damaged > 0) return bytes;
          damaged += 1;
          return Buffer.concat([bytes.subarray(0, 20), Buffer.from([bytes[20]! ^ 1]), bytes.subarray(21)]);
        }),
    });
    expect((await readAll(fixture, log)).equals(Buffer.concat(batches(12)))).toBe(true);
    expect(damaged).toBe(1);
  });

  it('raises an alarm where a log has a gap, instead of waiting for what will never come', async () => {
    const error = jest.fn();
    const refresh = jest.fn(() => Promise.resolve());
    const fixture = new ReadingFixture({ logger: { ...silentLogger, error }, refresh: { refresh } });
    const log = makeLog({}, { logStartOffset: 5, nextOffset: 20 });
    await fixture.commit([{ log, batches: batches(2, 20) }]);
    await expect(fixture.reader.read(log, 10, 1_000, all)).rejects.toMatchObject({ kind: 'corrupt' });
    expect([refresh.mock.calls.length, error.mock.calls.length]).toEqual([1, 1]);
    (await fixture.reader.read(log, 20, 1_000, all)).release();
  });

  it('does not keep its neighbours from being read', async () => {
    const { fixture, log, reader } = await setUp(12, 12, { perSegment: 4 });
    await fixture.store.delete(['a-40.kfs']);
    expect(await reader.read(log, 0, 100_000, all)).toMatchObject({ nextOffset: 40, isLimited: true });
    await expect(reader.read(log, 40, 100_000, all)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(await reader.read(log, 80, 100_000, all)).toMatchObject({ nextOffset: 120 });
  });

  it('that lies in an archive fails for its own range alone, and says so once', async () => {
    const error = jest.fn();
    const { log, reader } = await setUp(
      12,
      12,
      { perSegment: 4 },
      {
        logger: { ...silentLogger, error },
        wrap: (store) =>
          new CountingObjectStore(store, (bytes, key) => {
            if (key === 'a-40.kfs') throw new StorageError('archived', `object ${key} lies in an archive class`);
            return bytes;
          }),
      },
    );
    expect(await reader.read(log, 0, 100_000, all)).toMatchObject({ nextOffset: 40 });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await expect(reader.read(log, 55, 100_000, all)).rejects.toMatchObject({ kind: 'archived' });
    }
    expect(await reader.read(log, 80, 100_000, all)).toMatchObject({ nextOffset: 120 });
    expect(error).toHaveBeenCalledTimes(1);
  });
});

describe('the index of a segment', () => {
  const shape = { perSegment: 200, indexInterval: 100 };

  const broken: readonly [what: string, change: (index: Buffer) => Buffer | undefined][] = [
    ['is missing', () => undefined],
    ['is damaged', (index) => index.subarray(1)],
    [
      'leads into the middle of a batch',
      (index) => Buffer.from(index.map((byte, at) => (at > 28 && at % 12 === 3 ? byte ^ 1 : byte))),
    ],
  ];

  it.each(broken)('only spares reading; the segment is walked when it %s', async (_what, change) => {
    const { fixture, log, reader } = await setUp(200, 200, shape, { blockBytes: 1_024 });
    const index = await fixture.store.read('a-0.index');
    await fixture.store.delete(['a-0.index']);
    const changed = change(index);
    if (changed !== undefined) await fixture.store.create('a-0.index', [changed]);
    const slices = await reader.read(log, 1_505, batchBytes, all);
    expect(Buffer.concat(slices.chunks)).toEqual(batches(1, 1_500)[0]);
  });
});
