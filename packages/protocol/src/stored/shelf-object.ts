/**
 * A shelf: many flush manifests in one object, in place of as many keys of the metadata store.
 *
 * | bytes | what |
 * |-------|------|
 * | n     | `kafscale.metadata.Shelf` |
 * | u32   | its length n |
 * | u32   | its CRC-32C |
 * | u32   | magic `KSHF` (0x4B534846) |
 *
 * Big-endian. The shelf's key in the metadata store holds place, length and checksum once more; the end of the object makes it explain
 * itself.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { FlushManifest, type ObjectSlice, Shelf } from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import { decodeChecked, decodeTrailer, encodeTrailer, trailerBytes, type FooterPlace } from './trailer.ts';

const magic = 0x4b534846;
/** Field 1, with its length. */
const manifestsTag = (1 << 3) | 2;

/** Bytes behind the shelf. */
export const shelfTrailerBytes = trailerBytes;

export interface EncodedShelf {
  /** Slices to be written in order. */
  readonly object: readonly Buffer[];
  /** Where the shelf lies in the object that will be `objectKey`. */
  readonly slice: ObjectSlice;
}

/** Manifests oldest first. */
export const encodeShelf = (objectKey: string, manifests: readonly FlushManifest[]): EncodedShelf =>
  encodeShelfOf(
    objectKey,
    manifests.map((manifest) => FlushManifest.encode(manifest).finish()),
  );

/** As `encodeShelf`, of manifests that are encoded: who encodes many does not do so in one turn. */
export function encodeShelfOf(objectKey: string, encoded: readonly Uint8Array[]): EncodedShelf {
  const shelf = Buffer.concat(encoded.flatMap((manifest) => [lengthBefore(manifest), manifest]));
  return {
    object: [shelf, encodeTrailer(shelf, magic)],
    slice: { objectKey, position: 0n, length: shelf.length, crc32c: crc32c(shelf) },
  };
}

/** Tag and length of a manifest of a `Shelf`. */
function lengthBefore({ length }: Uint8Array): Uint8Array {
  const bytes = [manifestsTag];
  let rest = length;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Uint8Array.from([...bytes, rest]);
}

/** Where the shelf lies in an object of `objectBytes`, from its last 12 bytes. Throws DecodeError. */
export function decodeShelfTrailer(trailer: Buffer, objectBytes: number): FooterPlace {
  return decodeTrailer(trailer, objectBytes, magic, 'a shelf');
}

/** The manifests of the bytes that a shelf's key points to. Throws DecodeError. */
export function decodeShelf(bytes: Buffer, { length, crc32c: checksum }: ObjectSlice): FlushManifest[] {
  if (bytes.length !== length) throw new DecodeError(`shelf: ${bytes.length} bytes where ${length} were stored`);
  return decodeChecked(bytes, checksum, (checked) => Shelf.decode(checked), 'shelf').manifests;
}
