import { DecodeError } from '../errors/decode-error.ts';
import { FlushManifest, type FlushDescription } from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import {
  decodeFlushFooter,
  decodeFlushTrailer,
  encodeFlushFooter,
  encodeFlushManifest,
  flushTrailerBytes,
  maxInlineManifestBytes,
} from './flush-object.ts';

function describeFlush(extentCount = 1): FlushDescription {
  return {
    clusterId: 'cluster-1',
    incarnation: 'incarnation-1',
    sequence: 2n ** 40n,
    buildsOn: -1n,
    createdMs: 1_700_000_000_000n,
    topics: [
      {
        topicId: Buffer.alloc(16, 7),
        name: 'orders',
        extents: Array.from({ length: extentCount }, (_, partition) => ({
          partition,
          leaderEpoch: 3,
          baseOffset: 2n ** 50n,
          nextOffset: 2n ** 50n + 5n,
          position: 10n,
          length: 20,
          maxTimestamp: -1n,
          maxTimestampBaseOffset: 2n ** 50n,
          producerBatches: [
            {
              producerId: 2n ** 60n,
              producerEpoch: 1,
              firstSequence: 2 ** 31 - 1,
              lastSequence: 3,
              baseOffset: 2n ** 50n,
              lastTimestamp: 5n,
            },
          ],
        })),
      },
    ],
  };
}

function objectOf(description: FlushDescription, records = Buffer.alloc(100, 1)): Buffer {
  const { footer, trailer } = encodeFlushFooter(description);
  return Buffer.concat([records, footer, trailer]);
}

const trailerOf = (object: Buffer) =>
  decodeFlushTrailer(object.subarray(object.length - flushTrailerBytes), object.length);

describe('a flush object', () => {
  it('explains itself from its last bytes', () => {
    const description = describeFlush(3);
    const object = objectOf(description);
    const { position, length, crc32c: checksum } = trailerOf(object);
    expect(position).toBe(100);
    expect(decodeFlushFooter(object.subarray(position, position + length), checksum)).toEqual(description);
  });

  it('ends with the bytes that the format says', () => {
    const object = objectOf(describeFlush());
    const { footer } = encodeFlushFooter(describeFlush());
    const end = object.subarray(object.length - flushTrailerBytes);
    expect([end.readUInt32BE(0), end.readUInt32BE(4)]).toEqual([footer.length, crc32c(footer)]);
    expect(end.subarray(8).toString('latin1')).toBe('KFLU');
  });

  it('is refused with another magic', () => {
    const object = objectOf(describeFlush());
    object[object.length - 1]! ^= 1;
    expect(() => trailerOf(object)).toThrow(DecodeError);
  });

  it('is refused when its trailer is cut', () => {
    const object = objectOf(describeFlush());
    expect(() => decodeFlushTrailer(object.subarray(object.length - 11), object.length)).toThrow(DecodeError);
  });

  it('is refused when its footer would begin before the object', () => {
    const object = objectOf(describeFlush(), Buffer.alloc(0));
    expect(trailerOf(object).position).toBe(0);
    expect(() => trailerOf(object.subarray(1))).toThrow('longer than the object');
  });

  it('is refused when any bit of its footer changed', () => {
    const { footer } = encodeFlushFooter(describeFlush());
    const checksum = crc32c(footer);
    for (let byte = 0; byte < footer.length; byte += 1) {
      const changed = Buffer.from(footer);
      changed[byte]! ^= 1 << (byte % 8);
      expect(() => decodeFlushFooter(changed, checksum)).toThrow(DecodeError);
    }
  });

  it('is refused when its footer is no description, though its checksum fits', () => {
    const footer = Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    expect(() => decodeFlushFooter(footer, crc32c(footer))).toThrow(DecodeError);
  });
});

describe('a flush manifest', () => {
  it('holds a small description itself', () => {
    const description = describeFlush();
    const { footer } = encodeFlushFooter(description);
    const manifest = FlushManifest.decode(encodeFlushManifest('object-1', description, footer, 100));
    expect(manifest).toEqual({ objectKey: 'object-1', body: { $case: 'inline', value: description } });
  });

  it('points to the footer for a description of more than 2 KiB', () => {
    const description = describeFlush(500);
    const { footer } = encodeFlushFooter(description);
    expect(footer.length).toBeGreaterThan(maxInlineManifestBytes);
    const encoded = encodeFlushManifest('object-1', description, footer, 2 ** 33);
    expect(encoded.length).toBeLessThan(150);
    expect(FlushManifest.decode(encoded).body).toMatchObject({
      $case: 'footer',
      value: { position: BigInt(2 ** 33), length: footer.length, crc32c: crc32c(footer) },
    });
  });
});
