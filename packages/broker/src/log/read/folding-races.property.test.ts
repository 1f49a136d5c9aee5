import fc from 'fast-check';
import type { metadata } from '@kafscale/protocol';
import type { PartitionLog } from '../partition-log.ts';
import { emptyRecord, storeFolded, type FoldShape } from '../segments/fold-fixture.ts';
import { foldedLogOf, withoutDeadSegments } from '../segments/folded-log.ts';
import { makeBatch, makeLog, ReadingFixture, type ReadingSettings } from './log-fixture.ts';
import type { LogSlices } from './log-slices.ts';

type Step =
  | { readonly do: 'commit'; readonly batches: readonly number[] }
  | { readonly do: 'publish'; readonly share: number; readonly shape: FoldShape }
  | { readonly do: 'fold' | 'collect' | 'settle' }
  | { readonly do: 'start'; readonly share: number }
  | { readonly do: 'read'; readonly share: number; readonly maxBytes: number };

const share = fc.double({ min: 0, max: 1, noNaN: true });
const shape: fc.Arbitrary<FoldShape> = fc.record({
  perSegment: fc.integer({ min: 1, max: 4 }),
  perChunk: fc.constantFrom(1, 2, 5, Infinity),
  indexInterval: fc.constantFrom(1, 5),
  merged: fc.boolean(),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('commit'), batches: fc.array(fc.nat(200), { minLength: 1 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('publish'), share, shape }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('fold', 'collect', 'settle') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('start'), share }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('read'), share, maxBytes: fc.nat(2_000) }) },
);
const settings = fc.record({
  hotTailBytes: fc.constantFrom(0, 2_000),
  cacheBytes: fc.constantFrom(0, 1_500, 1_000_000),
  listBytes: fc.constantFrom(0, 1_000, 1_000_000),
  blockBytes: fc.constantFrom(64, 300, 5_000),
  readaheadBytes: fc.constantFrom(0, 5_000),
});

/** A log with an owner that publishes, folds and moves the log start, and a collector of what nothing refers to any more. */
class World {
  readonly fixture: ReadingFixture;
  readonly log: PartitionLog = makeLog();
  readonly batches: Buffer[] = [];
  readonly #reads: Promise<void>[] = [];
  #record: metadata.PartitionRecord = emptyRecord;
  #publications = 0;

  constructor(reading: ReadingSettings) {
    const refresh = { refresh: (log: PartitionLog) => Promise.resolve(log.fold(foldedLogOf(this.#record))) };
    this.fixture = new ReadingFixture({ ...reading, refresh });
  }

  async take(next: Step): Promise<void> {
    switch (next.do) {
      case 'commit':
        return this.#commit(next.batches);
      case 'publish':
        return this.#publish(next.share, next.shape);
      case 'fold':
        return this.log.fold(foldedLogOf(this.#record));
      case 'collect':
        return this.#collect();
      case 'start':
        return this.#start(next.share);
      case 'read':
        this.#reads.push(this.#read(next.share, next.maxBytes));
        return undefined;
      case 'settle':
        await this.settled();
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#reads.splice(0));
  }

  async #commit(payloads: readonly number[]): Promise<void> {
    let next = this.log.highWatermark;
    const batches = payloads.map((payload) => {
      const batch = makeBatch(next, 2, payload);
      next += 2;
      return batch;
    });
    this.batches.push(...batches);
    await this.fixture.commit([{ log: this.log, batches }], 9);
  }

  /** Folds up to the end of some flush, further than before. Only the record knows yet. */
  async #publish(upTo: number, foldShape: FoldShape): Promise<void> {
    const ends = this.log.extents.map(({ nextOffset }) => nextOffset).filter((end) => end > this.#foldedOffset);
    const end = ends[Math.floor(upTo * ends.length)];
    if (end === undefined) return;
    this.#publications += 1;
    const name = `publication-${this.#publications}`;
    const record = await storeFolded(this.fixture.store, this.batches.slice(0, end / 2), { ...foldShape, name });
    const { logStartOffset } = this.#record;
    this.#record = withoutDeadSegments({ ...record, logStartOffset });
  }

  get #foldedOffset(): number {
    return Number(this.#record.foldedOffset);
  }

  /** Removes every object that neither the record nor an extent above its folded offset refers to, as if all grace were over. */
  async #collect(): Promise<void> {
    const name = `publication-${this.#publications}-`;
    const named = new Set(this.log.extents.filter((e) => e.baseOffset >= this.#foldedOffset).map((e) => e.objectKey));
    const dead: string[] = [];
    for await (const { key } of this.fixture.store.list('')) {
      const isCurrent = key.startsWith(name) || key === `publication-${this.#publications}.idx`;
      if (!isCurrent && !named.has(key)) dead.push(key);
    }
    await this.fixture.store.delete(dead);
  }

  async #start(at: number): Promise<void> {
    const { logStartOffset, highWatermark } = this.log;
    const offset = logStartOffset + Math.floor(at * (highWatermark - logStartOffset));
    this.#record = withoutDeadSegments({ ...this.#record, logStartOffset: BigInt(offset) });
    await Promise.resolve();
    this.log.advanceLogStart(offset);
  }

  async #read(at: number, maxBytes: number): Promise<void> {
    const { log } = this;
    const { highWatermark } = log;
    const offset = log.logStartOffset + Math.floor(at * (highWatermark - log.logStartOffset));
    const slices = await this.fixture.reader.read(log, offset, maxBytes, { minOneBatch: true });
    this.#check(slices, offset, highWatermark);
    slices.release();
  }

  #check(slices: LogSlices, offset: number, highWatermark: number): void {
    const from = Math.floor(offset / 2);
    const expected = Buffer.concat(this.batches.slice(from, Math.ceil(slices.nextOffset / 2)));
    if (slices.bytes > 0) expect(Buffer.concat(slices.chunks).equals(expected)).toBe(true);
    else expect(offset === highWatermark || offset < this.log.logStartOffset).toBe(true);
    if (!slices.isLimited && slices.bytes > 0) expect(slices.nextOffset).toBeGreaterThanOrEqual(highWatermark);
  }
}

describe('reads beside folds, log starts and garbage collection', () => {
  it('give the stored bytes or, below the log start, nothing: no gap, no alarm, no memory left held', async () => {
    await fc.assert(
      fc.asyncProperty(settings, fc.array(step, { minLength: 5, maxLength: 60 }), async (reading, steps) => {
        const world = new World(reading);
        for (const next of steps) await world.take(next);
        await world.settled();
        await new Promise((resolve) => setImmediate(resolve)); // What is loaded ahead arrives.
        world.fixture.cache.clear();
        world.fixture.hotTail.clear();
        expect([world.fixture.pool.bytesInUse, world.fixture.hotSlabs]).toEqual([0, 0]);
      }),
      { numRuns: 400 },
    );
  }, 60_000);
});
