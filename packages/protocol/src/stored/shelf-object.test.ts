import { DecodeError } from '../errors/decode-error.ts';
import type { FlushManifest } from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import { decodeShelf, decodeShelfTrailer, encodeShelf, shelfTrailerBytes } from './shelf-object.ts';

const reference = (objectKey: string): FlushManifest => ({
  objectKey,
  body: { $case: 'footer', value: { position: 5n, length: 7, crc32c: 9 } },
});
const inline: FlushManifest = {
  objectKey: 'b',
  body: {
    $case: 'inline',
    value: { clusterId: 'c', incarnation: 'i', sequence: 3n, buildsOn: 2n, createdMs: 1n, topics: [] },
  },
};

const stored = () => {
  const { object, slice } = encodeShelf('shelf-1', [reference('a'), inline]);
  return { bytes: Buffer.concat(object), slice };
};

describe('a shelf', () => {
  it('gives back the manifests in their order', () => {
    const { bytes, slice } = stored();
    expect(slice).toMatchObject({ objectKey: 'shelf-1', position: 0n });
    expect(decodeShelf(bytes.subarray(0, slice.length), slice)).toEqual([reference('a'), inline]);
  });

  it('explains itself from its last bytes', () => {
    const { bytes, slice } = stored();
    const trailer = bytes.subarray(bytes.length - shelfTrailerBytes);
    expect(trailer.readUInt32BE(8)).toBe(0x4b534846);
    expect(decodeShelfTrailer(trailer, bytes.length)).toEqual({
      position: 0,
      length: slice.length,
      crc32c: crc32c(bytes.subarray(0, slice.length)),
    });
    expect(() => decodeShelfTrailer(trailer, slice.length)).toThrow(DecodeError);
  });

  it('is refused with any bit flipped, or cut', () => {
    const { bytes, slice } = stored();
    for (let at = 0; at < slice.length; at += 1) {
      const damaged = Buffer.from(bytes.subarray(0, slice.length));
      damaged[at]! ^= 1;
      expect(() => decodeShelf(damaged, slice)).toThrow(DecodeError);
      expect(() => decodeShelf(bytes.subarray(0, at), slice)).toThrow(DecodeError);
    }
  });
});
