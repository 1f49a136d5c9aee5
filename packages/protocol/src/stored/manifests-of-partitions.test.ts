import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import { FlushManifest, type FlushDescription } from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import { decodeFlushFooter, encodeFlushFooter } from './flush-object.ts';
import {
  decodeFlushFooterOf,
  decodeManifestOf,
  decodeShelfOf,
  type WantedPartitions,
} from './manifests-of-partitions.ts';
import { decodeShelf, encodeShelf } from './shelf-object.ts';

const topicId = (fill: number) => Buffer.alloc(16, fill);

const batch = fc.record({
  producerId: fc.bigInt(0n, 9n),
  producerEpoch: fc.nat(3),
  firstSequence: fc.nat(9),
  lastSequence: fc.nat(9),
  baseOffset: fc.bigInt(0n, 2n ** 60n),
  lastTimestamp: fc.bigInt(-1n, 2n ** 50n),
});
const extent = fc.record({
  partition: fc.nat(400),
  leaderEpoch: fc.nat(3),
  baseOffset: fc.bigInt(0n, 2n ** 60n),
  nextOffset: fc.bigInt(0n, 2n ** 60n),
  position: fc.bigInt(0n, 2n ** 40n),
  length: fc.nat(),
  maxTimestamp: fc.bigInt(-1n, 2n ** 50n),
  maxTimestampBaseOffset: fc.bigInt(0n, 2n ** 60n),
  producerBatches: fc.array(batch, { maxLength: 3 }),
});
const topic = fc.record({
  topicId: fc.nat(3).map(topicId),
  name: fc.string(),
  extents: fc.array(extent, { maxLength: 5 }),
});
const description: fc.Arbitrary<FlushDescription> = fc.record({
  clusterId: fc.string(),
  incarnation: fc.string(),
  sequence: fc.bigInt(0n, 2n ** 60n),
  buildsOn: fc.bigInt(-1n, 9n),
  createdMs: fc.bigInt(0n, 2n ** 50n),
  topics: fc.array(topic, { maxLength: 4 }),
});
const manifest: fc.Arbitrary<FlushManifest> = fc.record({
  objectKey: fc.string(),
  body: fc.oneof(
    fc.constant(undefined),
    description.map((value) => ({ $case: 'inline' as const, value })),
    fc.constant({ $case: 'footer' as const, value: { position: 5n, length: 7, crc32c: 9 } }),
  ),
});
/** By topic: undefined for one of which nothing is wanted. */
const wishes = fc.array(fc.option(fc.uniqueArray(fc.nat(400)), { nil: undefined }), { minLength: 4, maxLength: 4 });

const asWanted =
  (wish: readonly (readonly number[] | undefined)[]): WantedPartitions =>
  (id) => {
    const partitions = wish.find((_, index) => topicId(index).toString('base64url') === id);
    return partitions && new Set(partitions);
  };

const onlyWanted = (from: FlushDescription, wanted: WantedPartitions): FlushDescription => ({
  ...from,
  topics: from.topics.flatMap((each) => {
    const partitions = wanted(each.topicId.toString('base64url'));
    if (partitions === undefined) return [];
    return [{ ...each, extents: each.extents.filter(({ partition }) => partitions.has(partition)) }];
  }),
});

const ofManifest = (from: FlushManifest, wanted: WantedPartitions): FlushManifest =>
  from.body?.$case === 'inline'
    ? { ...from, body: { $case: 'inline', value: onlyWanted(from.body.value, wanted) } }
    : from;

describe('a manifest decoded for some partitions', () => {
  it('says the same of them as the whole one, and nothing of others', () => {
    fc.assert(
      fc.property(manifest, wishes, (whole, wish) => {
        const bytes = FlushManifest.encode(whole).finish();
        expect(decodeManifestOf(bytes, asWanted(wish))).toEqual(
          ofManifest(FlushManifest.decode(bytes), asWanted(wish)),
        );
      }),
    );
  });

  it('may be a footer', () => {
    fc.assert(
      fc.property(description, wishes, (whole, wish) => {
        const { footer } = encodeFlushFooter(whole);
        const checksum = crc32c(footer);
        const expected = onlyWanted(decodeFlushFooter(footer, checksum), asWanted(wish));
        expect(decodeFlushFooterOf(footer, checksum, asWanted(wish))).toEqual(expected);
        expect(() => decodeFlushFooterOf(footer, checksum ^ 1, asWanted(wish))).toThrow(DecodeError);
      }),
    );
  });

  it('may lie on a shelf', () => {
    fc.assert(
      fc.property(fc.array(manifest, { maxLength: 4 }), wishes, (manifests, wish) => {
        const { object, slice } = encodeShelf('shelf', manifests);
        const bytes = Buffer.concat(object).subarray(0, slice.length);
        const expected = decodeShelf(bytes, slice).map((each) => ofManifest(each, asWanted(wish)));
        expect(decodeShelfOf(bytes, slice, asWanted(wish))).toEqual(expected);
        expect(() => decodeShelfOf(Buffer.concat([bytes, bytes, Buffer.alloc(1)]), slice, asWanted(wish))).toThrow(
          DecodeError,
        );
      }),
    );
  });

  it('is refused when it is cut off, whatever of it is wanted', () => {
    const whole: FlushManifest = {
      objectKey: 'object',
      body: { $case: 'footer', value: { position: 5n, length: 7, crc32c: 9 } },
    };
    const bytes = FlushManifest.encode(whole).finish();
    expect(() => decodeManifestOf(bytes.subarray(0, bytes.length - 2), () => undefined)).toThrow(DecodeError);
  });
});
