/**
 * A flush object: the batches of many partitions as they were accepted in one flush window, then a description of them.
 *
 * | bytes  | what |
 * |--------|------|
 * | n      | record batches (magic 2, final base offsets and leader epochs), per partition contiguous and in offset order |
 * | f      | footer: `kafscale.metadata.FlushDescription` |
 * | u32    | footer length f |
 * | u32    | CRC-32C of the footer |
 * | u32    | magic `KFLU` (0x4B464C55) |
 *
 * Big-endian. The footer makes an object explain itself: the manifest in the metadata store is the same description, or points here.
 */
import { crc32c } from '../records/crc32c.ts';
import { FlushDescription, FlushManifest } from '../metadata/generated/metadata/metadata.ts';
import { summarizePartitions } from './partition-summary.ts';
import { decodeChecked, decodeTrailer, encodeTrailer, trailerBytes, type FooterPlace } from './trailer.ts';

const magic = 0x4b464c55;

/** Bytes behind the footer. */
export const flushTrailerBytes = trailerBytes;

/**
 * A description up to this size travels in the manifest; a larger one stays in the footer. The metadata store keeps every manifest with
 * its history, and nobody needs a description there but who takes a partition over before the manifest is put on a shelf.
 */
export const maxInlineManifestBytes = 2 * 1024;

/** Footer and trailer: what follows the batches. */
export function encodeFlushFooter(description: FlushDescription): {
  readonly footer: Buffer;
  readonly trailer: Buffer;
} {
  const footer = Buffer.from(FlushDescription.encode(description).finish());
  return { footer, trailer: encodeTrailer(footer, magic) };
}

/** Where the footer of an object of `objectBytes` lies, from its last 12 bytes. Throws DecodeError. */
export function decodeFlushTrailer(trailer: Buffer, objectBytes: number): FooterPlace {
  return decodeTrailer(trailer, objectBytes, magic, 'a flush object');
}

/** Throws DecodeError when the bytes are not the footer that `checksum` was made from. */
export function decodeFlushFooter(footer: Buffer, checksum: number): FlushDescription {
  return decodeChecked(footer, checksum, (bytes) => FlushDescription.decode(bytes), 'flush object footer');
}

/** The value of a manifest key for an object whose footer lies at `footerPosition`. */
export function encodeFlushManifest(
  objectKey: string,
  description: FlushDescription,
  footer: Buffer,
  footerPosition: number,
): Uint8Array {
  const body: FlushManifest['body'] =
    footer.length <= maxInlineManifestBytes
      ? { $case: 'inline', value: description }
      : {
          $case: 'footer',
          value: {
            position: BigInt(footerPosition),
            length: footer.length,
            crc32c: crc32c(footer),
            partitions: summarizePartitions([description]),
          },
        };
  return FlushManifest.encode({ objectKey, body }).finish();
}
