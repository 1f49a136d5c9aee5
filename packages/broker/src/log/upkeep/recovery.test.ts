import {
  crc32c,
  encodeFlushFooter,
  encodeFlushManifest,
  encodeShelf,
  metadata,
  metadataKeys,
  summarizePartitions,
} from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { KnownFlushes } from './known-flushes.ts';
import { recoverPartitions } from './recovery.ts';
import { nothingFolded } from '../partition-log.ts';

const topicId = Buffer.alloc(16, 7).toString('base64url');

interface ExtentSpec {
  readonly partition?: number;
  readonly from: number;
  readonly to: number;
  readonly epoch?: number;
  readonly producerBatches?: metadata.ProducerBatch[];
}

const producerBatch = (firstSequence: number, baseOffset: number): metadata.ProducerBatch => ({
  producerId: 5n,
  producerEpoch: 0,
  firstSequence,
  lastSequence: firstSequence,
  baseOffset: BigInt(baseOffset),
  lastTimestamp: 77n,
});

const segment = (from: number, to: number): metadata.Segment => ({
  objectKey: `segment-${from}`,
  baseOffset: BigInt(from),
  nextOffset: BigInt(to),
  position: 32n,
  length: BigInt(10 * (to - from)),
  maxTimestamp: -1n,
  maxTimestampBaseOffset: BigInt(from),
  leaderEpoch: 1,
});

function setUpWith({ budgetBytes }: { readonly budgetBytes?: number | undefined }) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const objectStore = new MemoryObjectStore({ clock });
  const callDeadlineMs = 1_000;
  const known =
    budgetBytes === undefined
      ? undefined
      : new KnownFlushes({ store, objectStore, clock, callDeadlineMs, budgetBytes });
  const sequences = new Map<string, number>();

  /** Commits a flush of `incarnation`; with `footer` its manifest points into the object. */
  const commit = async (
    incarnation: string,
    extents: readonly ExtentSpec[],
    { footer = false, withSummary = false } = {},
  ) => {
    const sequence = sequences.get(incarnation) ?? 0;
    sequences.set(incarnation, sequence + 1);
    const objectKey = `${incarnation}-${sequence}`;
    const description: metadata.FlushDescription = {
      clusterId: 'cluster-1',
      incarnation,
      sequence: BigInt(sequence),
      buildsOn: BigInt(sequence - 1),
      createdMs: 77n,
      topics: [
        {
          topicId: Buffer.from(topicId, 'base64url'),
          name: 'orders',
          extents: extents.map(({ partition = 0, from, to, epoch = 0, producerBatches = [] }) => ({
            partition,
            leaderEpoch: epoch,
            baseOffset: BigInt(from),
            nextOffset: BigInt(to),
            position: 0n,
            length: (to - from) * 10,
            maxTimestamp: BigInt(from),
            maxTimestampBaseOffset: BigInt(from),
            producerBatches,
          })),
        },
      ],
    };
    const encoded = encodeFlushFooter(description);
    const place = { position: 3n, length: encoded.footer.length, crc32c: crc32c(encoded.footer) };
    const pointer = { ...place, ...(withSummary && { partitions: summarizePartitions([description]) }) };
    await objectStore.create(objectKey, [Buffer.alloc(3), encoded.footer, encoded.trailer]);
    const value = footer
      ? metadata.FlushManifest.encode({ objectKey, body: { $case: 'footer', value: pointer } }).finish()
      : encodeFlushManifest(objectKey, description, encoded.footer, 3);
    await store.transact({
      compare: [],
      success: [{ type: 'put', key: metadataKeys.manifest(incarnation, sequence), value }],
    });
  };

  /** Puts every manifest there is on one shelf; its object's key. */
  const shelve = async ({ withSummary = false } = {}) => {
    const { items } = await store.range({ key: 'manifests/', end: 'manifests0' });
    const objectKey = 'shelf-0';
    const manifests = items.map(({ value }) => metadata.FlushManifest.decode(value));
    const { object, slice } = encodeShelf(objectKey, manifests);
    await objectStore.create(objectKey, object);
    const inline = manifests.flatMap(({ body }) => (body?.$case === 'inline' ? [body.value] : []));
    const value = metadata.ShelfRecord.encode({
      ...{ shelf: slice, manifestCount: items.length, writer: '' },
      ...(withSummary && { partitions: summarizePartitions(inline) }),
    }).finish();
    await store.transact({
      compare: [],
      success: [
        ...items.map(({ key }) => ({ type: 'delete', key }) as const),
        { type: 'put', key: metadataKeys.shelf('s', 0), value },
      ],
    });
    return objectKey;
  };

  /** A stored snapshot as of `offset`, behind another partition's bytes. */
  const snapshot = async (offset: number, batches: metadata.ProducerBatch[]): Promise<metadata.ObjectSlice> => {
    const bytes = Buffer.from(metadata.ProducerSnapshot.encode({ offset: BigInt(offset), batches }).finish());
    await objectStore.create('index-0', [Buffer.alloc(9), bytes]);
    return { objectKey: 'index-0', position: 9n, length: bytes.length, crc32c: crc32c(bytes) };
  };

  const recover = async (
    { partition = 0, ...record }: Partial<metadata.PartitionRecord> & { partition?: number } = {},
    { revision }: { revision?: number } = {},
  ) => {
    const full = {
      owner: '',
      brokerId: 0,
      leaderEpoch: 9,
      logStartOffset: 0n,
      foldedOffset: 0n,
      epochStarts: [],
      nextOffset: 0n,
      chunks: [],
      segments: [],
      producerSnapshot: undefined,
    };
    const present = (await store.range({ key: 'x' })).revision;
    const [result] = await recoverPartitions(
      [{ topicId, partition, record: { ...full, ...record } }],
      revision ?? present,
      { store, objectStore, clock, callDeadlineMs, ...(known && { known }) },
    );
    return result!;
  };
  return { clock, store, objectStore, known, commit, shelve, snapshot, recover };
}

type Result = Awaited<ReturnType<ReturnType<typeof setUpWith>['recover']>>;
const found = (result: Result) => {
  if (result.fault !== undefined) throw new Error(result.fault);
  return result;
};
const offsets = (result: Result) => found(result).recovered.extents.map(({ baseOffset }) => baseOffset);

describe.each([
  ['', undefined],
  [' from what is known beforehand', 2 ** 20],
  [' with no memory for what is known', 1],
])('recovery%s', (_name, budgetBytes) => {
  const setUp = () => setUpWith({ budgetBytes });

  it('finds nothing for a partition that nobody wrote to', async () => {
    expect(await setUp().recover()).toEqual({
      recovered: { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [] },
      committedBatches: [],
    });
  });

  it('tiles what several incarnations wrote, whatever the order of their names', async () => {
    const { commit, recover } = setUp();
    await commit('z', [{ from: 0, to: 3 }]);
    await commit('b', [{ from: 3, to: 5, epoch: 1 }]);
    await commit('b', [{ from: 5, to: 9, epoch: 1 }]);
    await commit('m', [
      { from: 9, to: 10, epoch: 4 },
      { partition: 1, from: 0, to: 50 },
    ]);
    const result = found(await recover());
    expect(result.recovered).toMatchObject({
      nextOffset: 10,
      epochStarts: [
        { leaderEpoch: 0, startOffset: 0 },
        { leaderEpoch: 1, startOffset: 3 },
        { leaderEpoch: 4, startOffset: 9 },
      ],
    });
    expect(result.recovered.extents.map(({ objectKey }) => objectKey)).toEqual(['z-0', 'b-0', 'b-1', 'm-0']);
  });

  it('reads one revision, and nothing that came after it', async () => {
    const { commit, recover, store } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    const { revision } = await store.range({ key: 'x' });
    await commit('a', [{ from: 3, to: 5 }]);
    expect(found(await recover({}, { revision })).recovered.nextOffset).toBe(3);
  });

  it('does not mind that the store drops its history while objects are read', async () => {
    const { commit, shelve, recover, store, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    await shelve();
    await commit('b', [{ from: 3, to: 5 }], { footer: true });
    const { revision } = await store.range({ key: 'x' });
    await commit('c', [{ from: 5, to: 6 }]);
    const read = objectStore.read.bind(objectStore);
    objectStore.read = async (...call) => {
      await store.compact((await store.range({ key: 'x' })).revision);
      return read(...call);
    };
    expect(offsets(await recover({}, { revision }))).toEqual([0, 3]);
  });

  it('reads more manifests than one page holds', async () => {
    const { commit, recover } = setUp();
    for (let offset = 0; offset < 1_201; offset += 1) await commit('a', [{ from: offset, to: offset + 1 }]);
    const { recovered } = found(await recover());
    expect([recovered.extents.length, recovered.nextOffset]).toEqual([1_201, 1_201]);
  });

  it('reads a description from the footer when the manifest only points to it', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 0, to: 3, producerBatches: [producerBatch(0, 0)] }], { footer: true });
    const result = found(await recover());
    expect(result.recovered.nextOffset).toBe(3);
    expect(result.committedBatches).toHaveLength(1);
  });

  it('does not take another object for the one whose footer it wants', async () => {
    const { commit, recover, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }], { footer: true });
    const object = await objectStore.read('a-0');
    await objectStore.delete(['a-0']);
    object[4]! ^= 1;
    await objectStore.create('a-0', [object]);
    expect((await recover()).fault).toContain('a-0 cannot be read');
  });

  it('waits for a store that does not answer, instead of taking its objects for lost', async () => {
    const { commit, recover, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }], { footer: true });
    await objectStore.close();
    await expect(recover()).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('keeps closed what may have records in a flush that is lost, and only that', async () => {
    const { commit, recover, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    await commit('a', [{ partition: 1, from: 0, to: 3 }], { footer: true });
    await objectStore.delete(['a-1']);
    expect((await recover()).fault).toContain('a-1 cannot be read');
    await commit('b', [{ from: 3, to: 4 }]);
    expect((await recover()).fault).toContain('a-1 cannot be read');
    await commit('a', [{ from: 4, to: 5 }]);
    expect(found(await recover()).recovered.nextOffset).toBe(5);
  });

  it("puts producers' batches into the order of the log", async () => {
    const { commit, recover } = setUp();
    await commit('z', [{ from: 0, to: 1, producerBatches: [producerBatch(0, 0)] }]);
    await commit('a', [{ from: 1, to: 2, epoch: 1, producerBatches: [producerBatch(1, 1)] }]);
    const { committedBatches } = found(await recover());
    expect(committedBatches.map(({ firstSequence, baseOffset }) => [firstSequence, baseOffset])).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  it('keeps the extent that the log start lies in, and none wholly below it', async () => {
    const { commit, recover } = setUp();
    for (const from of [0, 5, 10]) await commit('a', [{ from, to: from + 5 }]);
    expect(offsets(await recover({ logStartOffset: 7n }))).toEqual([5, 10]);
    expect(offsets(await recover({ logStartOffset: 10n }))).toEqual([10]);
    const emptied = found(await recover({ logStartOffset: 15n }));
    expect(emptied.recovered).toMatchObject({ logStartOffset: 15, nextOffset: 15, extents: [] });
  });

  it('goes on where the folded part ends', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 100, to: 105, epoch: 2 }]);
    const epochStarts = [{ leaderEpoch: 1, startOffset: 40n }];
    const segments = [segment(40, 100)];
    const { recovered } = found(await recover({ foldedOffset: 100n, logStartOffset: 40n, epochStarts, segments }));
    expect(recovered).toMatchObject({
      nextOffset: 105,
      epochStarts: [
        { leaderEpoch: 1, startOffset: 40 },
        { leaderEpoch: 2, startOffset: 100 },
      ],
    });
    expect(recovered.folded).toMatchObject({ foldedOffset: 100, segments: [{ baseOffset: 40, nextOffset: 100 }] });
    const wholly = { foldedOffset: 105n, segments: [segment(0, 105)] };
    expect(found(await recover(wholly)).recovered).toMatchObject({ nextOffset: 105, extents: [] });
  });

  it('keeps the end of a log of which nothing is left', async () => {
    const { recover } = setUp();
    const gone = { foldedOffset: 90n, logStartOffset: 100n, nextOffset: 100n };
    expect(found(await recover(gone)).recovered).toMatchObject({ logStartOffset: 100, nextOffset: 100, extents: [] });
  });

  it('keeps a partition closed that ends before its record says it does', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    expect((await recover({ nextOffset: 4n })).fault).toContain(
      'ends at 3, although its record says that it reached 4',
    );
    expect((await recover({ partition: 1, nextOffset: 1n })).fault).toContain('ends at 0');
    expect(found(await recover({ nextOffset: 3n })).recovered.nextOffset).toBe(3);
  });

  it('does not need the extents that lie wholly below the log start', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 5, to: 10 }]);
    expect(offsets(await recover({ logStartOffset: 5n }))).toEqual([5]);
    expect(offsets(await recover({ logStartOffset: 7n }))).toEqual([5]);
    expect((await recover({ logStartOffset: 4n })).fault).toContain('5 where 0 is next');
    const folded = { foldedOffset: 6n, logStartOffset: 8n, segments: [] };
    expect((await recover(folded)).fault).toContain('5 where 6 is next');
  });

  it('refuses an epoch that its owner cannot have written in', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 0, to: 3, epoch: 4 }]);
    expect((await recover({ leaderEpoch: 3 })).fault).toContain('leader epoch 4 in a log of 3');
  });

  it('finds what lies on shelves beside what does not', async () => {
    const { commit, recover, shelve } = setUp();
    await commit('a', [{ from: 0, to: 3, producerBatches: [producerBatch(0, 0)] }]);
    await commit('a', [{ from: 3, to: 5 }], { footer: true });
    await shelve();
    await commit('b', [{ from: 5, to: 6, epoch: 1, producerBatches: [producerBatch(1, 5)] }]);
    const result = found(await recover());
    expect(offsets(result)).toEqual([0, 3, 5]);
    expect(result.committedBatches.map(({ firstSequence }) => firstSequence)).toEqual([0, 1]);
  });

  it('keeps everything closed while a shelf is lost of which nobody knows what it was about', async () => {
    const { commit, recover, shelve, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    const shelfKey = await shelve();
    await commit('a', [{ from: 3, to: 4 }]);
    await objectStore.delete([shelfKey]);
    expect((await recover({ logStartOffset: 3n })).fault).toContain(shelfKey);
  });

  it('keeps closed what a lost shelf is about, and opens everything else', async () => {
    const { commit, recover, shelve, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    await commit('a', [{ partition: 2, from: 0, to: 3 }]);
    const shelfKey = await shelve({ withSummary: true });
    await commit('a', [{ partition: 1, from: 0, to: 4 }]);
    await objectStore.delete([shelfKey]);
    expect((await recover({ partition: 0 })).fault).toContain(shelfKey);
    expect(found(await recover({ partition: 1 })).recovered.nextOffset).toBe(4);
    expect((await recover({ partition: 2 })).fault).toContain(shelfKey);
  });

  it('opens what a lost flush is not about', async () => {
    const { commit, recover, objectStore } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    await commit('b', [{ partition: 1, from: 0, to: 3 }], { footer: true, withSummary: true });
    await objectStore.delete(['b-0']);
    expect(found(await recover({ partition: 0 })).recovered.nextOffset).toBe(3);
    expect((await recover({ partition: 1 })).fault).toContain('b-0');
  });

  it('knows the producers of what was folded from the snapshot, and later ones from manifests', async () => {
    const { commit, recover, snapshot } = setUp();
    const producerSnapshot = await snapshot(3, [producerBatch(7, 1), producerBatch(8, 2)]);
    const folded = { foldedOffset: 2n, segments: [segment(0, 2)], producerSnapshot };
    // The snapshot may be younger than the fold: what manifests say once more does not count twice.
    await commit('a', [{ from: 2, to: 4, epoch: 1, producerBatches: [producerBatch(8, 2), producerBatch(9, 3)] }]);
    const { committedBatches } = found(await recover(folded));
    expect(committedBatches.map(({ firstSequence, baseOffset }) => [firstSequence, baseOffset])).toEqual([
      [7, 1],
      [8, 2],
      [9, 3],
    ]);
  });

  it('keeps a partition closed whose producers are forgotten', async () => {
    const { recover, snapshot, objectStore } = setUp();
    const producerSnapshot = await snapshot(2, [producerBatch(7, 1)]);
    await objectStore.delete([producerSnapshot.objectKey]);
    const folded = { foldedOffset: 2n, segments: [segment(0, 2)], producerSnapshot };
    expect((await recover(folded)).fault).toContain('producer snapshot');
  });

  it.each([
    [
      'a gap',
      [
        { from: 0, to: 3 },
        { from: 4, to: 6 },
      ],
      '4 where 3 is next',
    ],
    ['a missing start', [{ from: 2, to: 6 }], '2 where 0 is next'],
    [
      'an overlap',
      [
        { from: 0, to: 3 },
        { from: 2, to: 6 },
      ],
      '2 where 3 is next',
    ],
    [
      'the same offsets twice',
      [
        { from: 0, to: 3 },
        { from: 0, to: 3 },
      ],
      '0 where 3 is next',
    ],
    [
      'an older epoch after a newer one',
      [
        { from: 0, to: 3, epoch: 2 },
        { from: 3, to: 6, epoch: 1 },
      ],
      'epoch 1 after 2',
    ],
  ] as [string, ExtentSpec[], string][])('keeps a partition closed over %s', async (_, extents, fault) => {
    const { commit, recover } = setUp();
    for (const extent of extents) await commit('a', [extent]);
    expect((await recover()).fault).toContain(fault);
  });

  it('keeps a partition closed whose log start lies behind its end', async () => {
    const { commit, recover } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    expect((await recover({ logStartOffset: 4n })).fault).toContain('log start 4');
  });

  it('judges each partition by itself', async () => {
    const { commit, store, objectStore, clock, known } = setUp();
    await commit('a', [
      { from: 1, to: 3 },
      { partition: 1, from: 0, to: 2 },
    ]);
    const record = {
      owner: '',
      brokerId: 0,
      leaderEpoch: 9,
      logStartOffset: 0n,
      foldedOffset: 0n,
      epochStarts: [],
      nextOffset: 0n,
      chunks: [],
      segments: [],
      producerSnapshot: undefined,
    };
    const { revision } = await store.range({ key: 'x' });
    const results = await recoverPartitions(
      [0, 1].map((partition) => ({ topicId, partition, record })),
      revision,
      { store, objectStore, clock, callDeadlineMs: 1_000, ...(known && { known }) },
    );
    expect(results.map(({ fault }) => fault !== undefined)).toEqual([true, false]);
  });

  it('ends when the store does not answer', async () => {
    const { store, clock, recover, commit } = setUp();
    await commit('a', [{ from: 0, to: 3 }]);
    const range = store.range.bind(store);
    store.range = (request, signal) =>
      request.revision === undefined
        ? range(request)
        : new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => reject(signal.reason as Error));
          });
    const outcome = expect(recover()).rejects.toThrow('no answer within 1000 ms');
    await clock.advanceAsync(1_000);
    await outcome;
  });
});
