import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import { FlushDescription, FlushExtent, type ProducerBatch } from '../metadata/generated/metadata/metadata.ts';
import { encodeShelf } from './shelf-object.ts';
import { scanFlushDescription, scanManifest, scanShelf } from './flush-scan.ts';

const int64 = fc.oneof(fc.bigInt(-(2n ** 53n) + 1n, 2n ** 53n - 1n), fc.bigInt(-1n, 300n));
const batch: fc.Arbitrary<ProducerBatch> = fc.record({
  producerId: int64,
  producerEpoch: fc.nat(3),
  firstSequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  lastSequence: fc.nat(),
  baseOffset: int64,
  lastTimestamp: int64,
});
const extent: fc.Arbitrary<FlushExtent> = fc.record({
  partition: fc.nat(400),
  leaderEpoch: fc.nat(3),
  baseOffset: int64,
  nextOffset: int64,
  position: int64,
  length: fc.nat(),
  maxTimestamp: int64,
  maxTimestampBaseOffset: int64,
  producerBatches: fc.array(batch, { maxLength: 3 }),
});
const description: fc.Arbitrary<FlushDescription> = fc.record({
  clusterId: fc.string(),
  incarnation: fc.string(),
  sequence: fc.bigInt(0n, 2n ** 50n),
  buildsOn: fc.bigInt(-1n, 9n),
  createdMs: fc.bigInt(0n, 2n ** 50n),
  topics: fc.array(
    fc.record({
      topicId: fc.nat(3).map((fill) => Buffer.alloc(16, fill)),
      name: fc.string(),
      extents: fc.array(extent, { maxLength: 5 }),
    }),
    { maxLength: 4 },
  ),
});

/** The extents as a scan gives them, in terms of the messages they came from. */
function scanned(bytes: Uint8Array) {
  const found: { topicId: string; extent: FlushExtent; raw: FlushExtent; isExact: boolean }[] = [];
  const flush = scanFlushDescription(bytes, ({ topicId, batchCount, batches, isExact, start, end, ...one }) => {
    found.push({
      topicId,
      isExact,
      raw: FlushExtent.decode(bytes.subarray(start, end)),
      extent: {
        partition: one.partition,
        leaderEpoch: one.leaderEpoch,
        length: one.length,
        baseOffset: BigInt(one.baseOffset),
        nextOffset: BigInt(one.nextOffset),
        position: BigInt(one.position),
        maxTimestamp: BigInt(one.maxTimestamp),
        maxTimestampBaseOffset: BigInt(one.maxTimestampBaseOffset),
        producerBatches: batches.slice(0, batchCount).map(({ producerId, baseOffset, lastTimestamp, ...rest }) => ({
          ...rest,
          producerId: BigInt(producerId),
          baseOffset: BigInt(baseOffset),
          lastTimestamp: BigInt(lastTimestamp),
        })),
      },
    });
  });
  return { flush, found };
}

describe('a scan of a flush description', () => {
  it('finds every extent as decoding does', () => {
    fc.assert(
      fc.property(description, (one) => {
        const { flush, found } = scanned(FlushDescription.encode(one).finish());
        expect(flush).toEqual({ incarnation: one.incarnation, sequence: Number(one.sequence) });
        const expected = one.topics.flatMap(({ topicId, extents }) =>
          extents.map((each) => ({ topicId: topicId.toString('base64url'), extent: each, raw: each, isExact: true })),
        );
        expect(found).toEqual(expected);
      }),
    );
  });

  it('says when a number is not exact, and where the whole of it is', () => {
    const large = { ...FlushExtent.decode(new Uint8Array(0)), nextOffset: 5n, producerBatches: [] as ProducerBatch[] };
    large.producerBatches.push({ ...noBatch, producerId: 2n ** 62n + 1n });
    const topics = [{ topicId: Buffer.alloc(16, 1), name: 't', extents: [large] }];
    const { found } = scanned(
      FlushDescription.encode({ ...FlushDescription.decode(new Uint8Array(0)), topics }).finish(),
    );
    expect(found[0]).toMatchObject({ isExact: false, raw: large });
  });

  it('refuses every truncation that cuts something', () => {
    fc.assert(
      fc.property(description, fc.nat(), (one, seed) => {
        const bytes = FlushDescription.encode(one).finish();
        const cut = bytes.subarray(0, seed % (bytes.length + 1));
        const decode = (scan: () => unknown) => {
          try {
            scan();
            return 'taken';
          } catch (error) {
            return error instanceof DecodeError || error instanceof RangeError || error instanceof Error;
          }
        };
        const isTaken = decode(() => FlushDescription.decode(cut)) === 'taken';
        expect(decode(() => scanned(cut)) === 'taken').toBe(isTaken);
      }),
    );
  });
});

describe('a scan of manifests', () => {
  it('leaves descriptions encoded, and finds those that lie elsewhere', () => {
    const value = { ...FlushDescription.decode(new Uint8Array(0)), incarnation: 'i', sequence: 4n };
    const footer = { position: 5n, length: 7, crc32c: 9 };
    const { object, slice } = encodeShelf('shelf', [
      { objectKey: 'a', body: { $case: 'inline', value } },
      { objectKey: 'b', body: { $case: 'footer', value: footer } },
    ]);
    const [inline, elsewhere] = scanShelf(object[0]!, slice);
    expect(FlushDescription.decode(inline!.description!)).toEqual(value);
    expect(elsewhere).toEqual({ objectKey: 'b', footer });
    expect(() => scanShelf(object[0]!.subarray(1), slice)).toThrow(DecodeError);
    expect(() => scanManifest(Buffer.from([10, 1, 97]))).toThrow('says nothing');
  });
});

const noBatch: ProducerBatch = {
  producerId: 0n,
  producerEpoch: 0,
  firstSequence: 0,
  lastSequence: 0,
  baseOffset: 0n,
  lastTimestamp: 0n,
};
