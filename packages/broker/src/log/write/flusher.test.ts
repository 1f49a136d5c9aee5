import { ErrorCode, type KafkaError } from '@kafscale/protocol';
import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import type { FlooredLane } from '../../metadata/lane.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { HotTail } from '../read/hot-tail.ts';
import { Committer, type UploadingFlush } from './committer.ts';
import { Flusher } from './flusher.ts';
import type { AppendOutcome } from './pending-batch.ts';
import { batchToAppend, countedMemory, partitionWriter } from './write-path-fixture.ts';

type Fate = 'answered' | 'fails' | 'hangs' | 'refused' | number;

function setUp({ maxUploads = 3, tailBytes = 100_000 } = {}) {
  const clock = new FakeClock();
  const objects = new MemoryObjectStore({ clock });
  const tried: string[] = [];
  const fates: Fate[] = [];
  /** Fates of the next objects: a number delays the answer by so many milliseconds; then all are answered. */
  const objectStore: ObjectStore = {
    capabilities: objects.capabilities,
    create: async (key, body, signal) => {
      tried.push(key);
      const fate = fates.shift() ?? 'answered';
      if (fate === 'fails') throw new StorageError('unavailable', 'no answer');
      if (fate === 'refused') throw new StorageError('corrupt', 'refused');
      if (fate === 'hangs') {
        await new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
        }).catch(() => {
          throw new StorageError('aborted', 'the caller gave up');
        });
      }
      if (typeof fate === 'number') await clock.sleep(fate);
      await objects.create(key, body);
    },
    read: (key, range) => objects.read(key, range),
    list: (prefix) => objects.list(prefix),
    delete: (keys) => objects.delete(keys),
    close: () => objects.close(),
  };
  const committedKeys: string[] = [];
  let refusal: MetadataError | undefined;
  const lane: FlooredLane = {
    commit: ({ operations }) => {
      if (refusal !== undefined) return Promise.reject(refusal);
      for (const { key } of operations) {
        committedKeys.push(
          key
            .split('/')
            .at(-1)!
            .replace(/^0+(?=.)/, ''),
        );
      }
      return Promise.resolve(committedKeys.length);
    },
    raiseFloor: () => undefined,
  };
  const { pool, arena } = countedMemory();
  const hotTail = new HotTail(tailBytes);
  const committer: Committer = new Committer({
    clock,
    lane,
    hotTail,
    incarnation: 'incarnation-1',
    failpoint: () => undefined,
    rollBack: (failed: readonly UploadingFlush[], error: KafkaError) => flusher.rollBack(failed, error),
    onAnswered: (...answer) => flusher.answered(...answer),
    observer: { onCommitted: () => undefined, onFailed: () => undefined },
  });
  let names = 0;
  const flusher: Flusher = new Flusher({
    clock,
    random: seededRandom(1),
    objectStore,
    arena,
    committer,
    clusterId: 'cluster-1',
    incarnation: 'incarnation-1',
    nameObject: (sequence) => `flush/${sequence}-${(names += 1)}`,
    failpoint: () => undefined,
    settings: {
      windowMs: 0,
      maxBytes: 1_000,
      maxEntries: 100,
      maxUploads,
      uploadAttemptDeadlineMs: 1_000,
      uploadDeadlineMs: 5_000,
    },
  });
  const writer = partitionWriter();
  const outcomes: AppendOutcome[] = [];
  /** The next batch's number for each one whose bytes were not needed any more. */
  const copied: number[] = [];
  const append = () => {
    const batch = { ...batchToAppend(), onCopied: () => void copied.push(copied.length) };
    flusher.append(writer, batch, (outcome) => outcomes.push(outcome));
  };
  return {
    ...{
      clock,
      objects,
      tried,
      fates,
      committedKeys,
      flusher,
      committer,
      writer,
      outcomes,
      copied,
      append,
      pool,
      arena,
      hotTail,
    },
    refuse: (error: MetadataError) => (refusal = error),
  };
}

const offsets = (outcomes: readonly AppendOutcome[]) =>
  outcomes.map((outcome) => (outcome.committed ? outcome.baseOffset : outcome.error.code));

describe('Flusher', () => {
  it('commits several uploads in the order of closing though they end in another', async () => {
    const { append, clock, fates, committedKeys, outcomes } = setUp();
    fates.push(300, 100, 200);
    for (let flush = 0; flush < 3; flush += 1) {
      append();
      await clock.advanceAsync(1);
    }
    await clock.advanceAsync(250);
    expect(committedKeys).toEqual([]);
    await clock.advanceAsync(100);
    expect(committedKeys).toEqual(['0', '1', '2']);
    expect(offsets(outcomes)).toEqual([0, 1, 2]);
  });

  it('runs as many uploads as it may and puts the rest into one flush', async () => {
    const { append, clock, fates, committedKeys, tried, outcomes } = setUp({ maxUploads: 2 });
    fates.push(100, 100);
    for (let flush = 0; flush < 5; flush += 1) {
      append();
      await clock.advanceAsync(1);
    }
    expect(tried).toHaveLength(2);
    await clock.advanceAsync(200);
    expect(committedKeys).toEqual(['0', '1', '2']);
    expect(offsets(outcomes)).toEqual([0, 1, 2, 3, 4]);
  });

  it('keeps every flush within its bounds however much is accepted while uploads hang', async () => {
    const { append, clock, fates, tried, objects, outcomes, committedKeys } = setUp({ maxUploads: 2 });
    fates.push(900, 900);
    for (let batch = 0; batch < 100; batch += 1) {
      append();
      if (batch % 10 === 0) await clock.advanceAsync(1);
    }
    expect(tried).toHaveLength(2);
    await clock.advanceAsync(5_000);
    expect(offsets(outcomes)).toEqual(Array.from({ length: 100 }, (_, offset) => offset));
    expect(committedKeys).toEqual(Array.from({ length: committedKeys.length }, (_, sequence) => `${sequence}`));
    for await (const { sizeBytes } of objects.list('')) expect(sizeBytes).toBeLessThan(2_000);
  });

  it('holds what waits for an upload once: copied together, with the memory it came in given back', async () => {
    const { append, clock, fates, pool, committer, outcomes, copied } = setUp({ maxUploads: 1 });
    fates.push('hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs');
    for (let batch = 0; batch < 200; batch += 1) append();
    await clock.advanceAsync(1);
    expect(copied.length).toBeGreaterThan(190);
    expect(pool.bytesInUse).toBeLessThan(1.3 * committer.unsettledBytes + 4_096);
    await clock.advanceAsync(20_000);
    expect(outcomes).toHaveLength(200);
    expect(committer.unsettledBytes).toBe(0);
  });

  it('rolls back what waits for an upload with everything else, and gives its offsets out again', async () => {
    const { append, clock, fates, outcomes, committedKeys } = setUp({ maxUploads: 1 });
    fates.push('hangs', 'hangs', 'hangs', 'hangs', 'hangs', 'hangs');
    for (let batch = 0; batch < 50; batch += 1) append();
    await clock.advanceAsync(6_000);
    expect(offsets(outcomes)).toEqual(Array(50).fill(ErrorCode.NOT_ENOUGH_REPLICAS));
    fates.length = 0;
    append();
    await clock.advanceAsync(2_000);
    expect(offsets(outcomes).at(-1)).toBe(0);
    expect(committedKeys).toHaveLength(1);
  });

  it('closes what it is told to close although no upload may begin', async () => {
    const { append, clock, fates, flusher, tried, outcomes, committer } = setUp({ maxUploads: 1 });
    fates.push(100);
    append();
    await clock.advanceAsync(1);
    append();
    flusher.flush();
    append(); // belongs to the next one
    await clock.advanceAsync(50);
    expect({ unsettled: committer.unsettledCount, tried: tried.length }).toEqual({ unsettled: 2, tried: 1 });
    await clock.advanceAsync(60);
    expect(offsets(outcomes)).toEqual([0, 1, 2]);
  });

  it('begins no upload after its end, and gives the memory of those that waited back', async () => {
    const { append, clock, fates, flusher, arena, pool, tried, outcomes } = setUp({ maxUploads: 1 });
    fates.push('refused');
    append();
    flusher.flush();
    append();
    flusher.flush();
    flusher.close();
    await clock.advanceAsync(10_000);
    expect(tried).toHaveLength(1);
    expect(outcomes).toHaveLength(2);
    arena.close();
    expect(pool.bytesInUse).toBe(0);
  });

  it('tries an upload without an answer again, under another name', async () => {
    const { append, clock, fates, tried, outcomes } = setUp();
    fates.push('hangs', 'fails');
    append();
    await clock.advanceAsync(3_000);
    expect(tried).toEqual(['flush/0-1', 'flush/0-2', 'flush/0-3']);
    expect(offsets(outcomes)).toEqual([0]);
  });

  it('gives up in time, and answers everything accepted since with one error', async () => {
    const { append, clock, fates, outcomes, writer, committedKeys } = setUp();
    fates.push(...Array.from({ length: 100 }, (): Fate => 'hangs'));
    for (let flush = 0; flush < 5; flush += 1) {
      append();
      await clock.advanceAsync(1);
    }
    await clock.advanceAsync(6_000);
    expect(offsets(outcomes)).toEqual(Array(5).fill(ErrorCode.NOT_ENOUGH_REPLICAS));
    expect(writer.nextOffset).toBe(0);
    expect(committedKeys).toEqual([]);
  });

  it('does not try what the store refuses', async () => {
    const { append, clock, fates, tried, outcomes } = setUp();
    fates.push('refused');
    append();
    await clock.advanceAsync(1);
    expect(tried).toHaveLength(1);
    expect(offsets(outcomes)).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS]);
  });

  it('gives the offsets of a roll back out again', async () => {
    const { append, clock, fates, outcomes, committedKeys } = setUp();
    append();
    await clock.advanceAsync(1);
    fates.push('refused', 50);
    append();
    await clock.advanceAsync(1);
    append();
    await clock.advanceAsync(100);
    append();
    await clock.advanceAsync(1);
    const failed = ErrorCode.NOT_ENOUGH_REPLICAS;
    expect(offsets(outcomes)).toEqual([0, failed, 1, 2]);
    expect(new Set(committedKeys).size).toBe(committedKeys.length);
  });

  it.each([
    ['committed', []],
    ['refused by the store', ['refused']],
    ['given up', Array<Fate>(50).fill('hangs')],
  ] as [string, Fate[]][])('has given all memory back once the flush is %s', async (_, planned) => {
    const { append, clock, fates, pool, arena, hotTail, outcomes } = setUp();
    fates.push(...planned);
    append();
    await clock.advanceAsync(10_000);
    expect(outcomes).toHaveLength(1);
    arena.close();
    hotTail.clear();
    expect(pool.bytesInUse).toBe(0);
  });

  it('gives memory back once when a commit is refused while later uploads run', async () => {
    const { append, clock, fates, pool, arena, outcomes, refuse } = setUp();
    refuse(new MetadataError('fenced', 'gone'));
    fates.push(10, 400, 'hangs');
    for (let flush = 0; flush < 3; flush += 1) {
      append();
      await clock.advanceAsync(1);
    }
    await clock.advanceAsync(20);
    expect(offsets(outcomes)).toEqual(Array(3).fill(ErrorCode.NOT_LEADER_OR_FOLLOWER));
    arena.close();
    expect(pool.bytesInUse).toBeGreaterThan(0);
    await clock.advanceAsync(10_000);
    expect(pool.bytesInUse).toBe(0);
  });

  it('flushes at once when it is told to', () => {
    const { append, flusher, tried } = setUp();
    append();
    expect(tried).toEqual([]);
    flusher.flush();
    expect(tried).toHaveLength(1);
  });

  it('flushes nothing by itself after its end', async () => {
    const { append, flusher, clock, tried } = setUp();
    append();
    flusher.close();
    await clock.advanceAsync(1_000);
    expect(tried).toEqual([]);
  });
});
