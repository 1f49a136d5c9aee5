import { crc32c, encodeFlushFooter, encodeFlushManifest, metadata, metadataKeys } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
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

function setUp() {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const objectStore = new MemoryObjectStore({ clock });
  const sequences = new Map<string, number>();

  /** Commits a flush of `incarnation`; with `footer` its manifest points into the object. */
  const commit = async (incarnation: string, extents: readonly ExtentSpec[], { footer = false } = {}) => {
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
    const pointer = { position: 3n, length: encoded.footer.length, crc32c: crc32c(encoded.footer) };
    await objectStore.create(objectKey, [Buffer.alloc(3), encoded.footer, encoded.trailer]);
    const value = footer
      ? metadata.FlushManifest.encode({ objectKey, body: { $case: 'footer', value: pointer } }).finish()
      : encodeFlushManifest(objectKey, description, encoded.footer, 3);
    await store.transact({
      compare: [],
      success: [{ type: 'put', key: metadataKeys.manifest(incarnation, sequence), value }],
    });
  };

  const recover = async (record: Partial<metadata.PartitionRecord> = {}, { revision }: { revision?: number } = {}) => {
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
      [{ topicId, partition: 0, record: { ...full, ...record } }],
      revision ?? present,
      { store, objectStore, clock, callDeadlineMs: 1_000 },
    );
    return result!;
  };
  return { clock, store, objectStore, commit, recover };
}

type Result = Awaited<ReturnType<ReturnType<typeof setUp>['recover']>>;
const found = (result: Result) => {
  if (result.fault !== undefined) throw new Error(result.fault);
  return result;
};
const offsets = (result: Result) => found(result).recovered.extents.map(({ baseOffset }) => baseOffset);

describe('recovery', () => {
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
    await expect(recover()).rejects.toThrow('checksum');
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
    const { recovered } = found(await recover({ foldedOffset: 100n, logStartOffset: 40n, epochStarts }));
    expect(recovered).toMatchObject({
      nextOffset: 105,
      epochStarts: [
        { leaderEpoch: 1, startOffset: 40 },
        { leaderEpoch: 2, startOffset: 100 },
      ],
    });
    expect(found(await recover({ foldedOffset: 105n })).recovered.nextOffset).toBe(105);
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
    const { commit, store, objectStore, clock } = setUp();
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
      { store, objectStore, clock, callDeadlineMs: 1_000 },
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
