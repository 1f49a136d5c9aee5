import { metadata } from '@kafscale/protocol';
import fc from 'fast-check';
import { FlushIndex, type IndexedSource } from './flush-index.ts';

const offset = fc.oneof(fc.bigInt(0n, 500n), fc.bigInt(0n, 2n ** 62n));
const extent: fc.Arbitrary<metadata.FlushExtent> = fc.record({
  partition: fc.nat(2),
  leaderEpoch: fc.nat(3),
  baseOffset: offset,
  nextOffset: offset,
  position: offset,
  length: fc.nat(),
  maxTimestamp: fc.bigInt(-1n, 2n ** 42n),
  maxTimestampBaseOffset: offset,
  producerBatches: fc.array(
    fc.record({
      producerId: fc.oneof(fc.bigInt(0n, 5n), fc.bigInt(0n, 2n ** 63n - 1n)),
      producerEpoch: fc.nat(3),
      firstSequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      lastSequence: fc.nat(),
      baseOffset: offset,
      lastTimestamp: fc.bigInt(-1n, 2n ** 42n),
    }),
    { maxLength: 3 },
  ),
});
const topics = fc.array(
  fc.record({
    topicId: fc.nat(1).map((fill) => Buffer.alloc(16, fill)),
    name: fc.constant('t'),
    extents: fc.array(extent, { maxLength: 4 }),
  }),
  { maxLength: 3 },
);
/** One list of flushes per source. */
const sources = fc.array(fc.array(topics, { maxLength: 3 }), { maxLength: 4 });

const noPause = () => Promise.resolve();
const idOf = (fill: number) => Buffer.alloc(16, fill).toString('base64url');

const flushesOf = (flushes: readonly metadata.FlushTopic[][], source: number) =>
  flushes.map((of, index) => ({
    objectKey: `${source}-${index}`,
    description: metadata.FlushDescription.encode({
      ...{ clusterId: 'c', incarnation: 'i', sequence: BigInt(index), buildsOn: -1n, createdMs: 7n },
      topics: of,
    }).finish(),
  }));

async function indexOf(all: readonly metadata.FlushTopic[][][]) {
  const index = new FlushIndex();
  for (const [source, flushes] of all.entries()) await index.add(`${source}`, flushesOf(flushes, source), noPause);
  return index;
}

function read(index: FlushIndex, topic: number, partition: number, above: number) {
  const present = new Set<IndexedSource>([...index.sourceIds].map((id) => index.source(id)!));
  const found: [string, metadata.FlushExtent][] = [];
  index.read(idOf(topic), partition, present, above, (flush, one) => found.push([flush.objectKey, one]));
  return found;
}

function expected(all: readonly metadata.FlushTopic[][][], topic: number, partition: number, above: number) {
  return all.flatMap((flushes, source) =>
    flushes.flatMap((of, index) =>
      of
        .filter(({ topicId }) => topicId.toString('base64url') === idOf(topic))
        .flatMap(({ extents }) => extents)
        .filter((one) => one.partition === partition && one.nextOffset > BigInt(above))
        .map((one): [string, metadata.FlushExtent] => [`${source}-${index}`, one]),
    ),
  );
}

const places = [0, 1].flatMap((topic) => [0, 1, 2].map((partition) => [topic, partition] as const));

describe('an index of flushes', () => {
  it('gives of each partition exactly what was said of it, before and after it is compacted', async () => {
    await fc.assert(
      fc.asyncProperty(sources, fc.nat(300), fc.nat(3), async (all, above, removed) => {
        const index = await indexOf(all);
        for (const [topic, partition] of places) {
          expect(read(index, topic, partition, above)).toEqual(expected(all, topic, partition, above));
        }
        index.remove(`${removed}`);
        const rest = all.map((flushes, source) => (source === removed ? [] : flushes));
        for (const compact of [false, true]) {
          if (compact) await index.compact(noPause);
          for (const [topic, partition] of places) {
            expect(read(index, topic, partition, -1)).toEqual(expected(rest, topic, partition, -1));
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('leaves out sources that are not asked for', async () => {
    const of = [{ topicId: Buffer.alloc(16), name: 't', extents: [simple(0)] }];
    const index = await indexOf([[of], [of]]);
    const found: string[] = [];
    index.read(idOf(0), 0, new Set([index.source('1')!]), -1, ({ objectKey }) => found.push(objectKey));
    expect(found).toEqual(['1-0']);
  });

  it('has nothing of a source that does not decode, and gives its memory back', async () => {
    const index = new FlushIndex();
    const [good] = flushesOf([[{ topicId: Buffer.alloc(16), name: 't', extents: [simple(0)] }]], 0);
    const bad = { objectKey: 'bad', description: good!.description.subarray(0, -1) };
    await expect(index.add('s', [good!, bad], noPause)).rejects.toThrow('cut off');
    expect([index.source('s'), index.deadBytes > 0]).toEqual([undefined, true]);
    await index.compact(noPause);
    expect(index.sizeBytes).toBe(0);
  });

  it('takes some 25 bytes for an extent with a batch of a producer', async () => {
    const flushes = Array.from({ length: 1_000 }, (_, at) => [
      { topicId: Buffer.alloc(16), name: 't', extents: [simple(at)] },
    ]);
    const index = await indexOf([flushes]);
    const withoutFlushes = index.sizeBytes - 1_001 * 256;
    expect(withoutFlushes / 1_000).toBeLessThan(40);
  });
});

const simple = (at: number): metadata.FlushExtent => ({
  ...{ partition: 0, leaderEpoch: 3, baseOffset: BigInt(at * 10), nextOffset: BigInt(at * 10 + 10) },
  ...{ position: BigInt(at * 77_000), length: 9_000, maxTimestamp: 1_700_000_000_000n + BigInt(at * 250) },
  maxTimestampBaseOffset: BigInt(at * 10 + 9),
  producerBatches: [
    {
      ...{ producerId: 1_234n, producerEpoch: 0, firstSequence: at * 10, lastSequence: at * 10 + 9 },
      ...{ baseOffset: BigInt(at * 10), lastTimestamp: 1_700_000_000_000n + BigInt(at * 250) },
    },
  ],
});
