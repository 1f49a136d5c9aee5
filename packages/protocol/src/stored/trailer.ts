/**
 * The end of an object that explains itself: a footer, and twelve bytes that find it from the object's end.
 *
 * | bytes | what |
 * |-------|------|
 * | f     | footer |
 * | u32   | footer length f |
 * | u32   | CRC-32C of the footer |
 * | u32   | magic, which says what kind of object this is |
 *
 * Big-endian.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { crc32c } from '../records/crc32c.ts';

/** Bytes behind the footer. */
export const trailerBytes = 12;

/** Where in its object a footer lies, and its checksum. */
export interface FooterPlace {
  readonly position: number;
  readonly length: number;
  readonly crc32c: number;
}

export function encodeTrailer(footer: Buffer, magic: number): Buffer {
  const trailer = Buffer.allocUnsafe(trailerBytes);
  trailer.writeUInt32BE(footer.length, 0);
  trailer.writeUInt32BE(crc32c(footer), 4);
  trailer.writeUInt32BE(magic, 8);
  return trailer;
}

/** Where the footer lies, from the last 12 bytes of an object; `what` names its kind in the error. Throws DecodeError. */
export function decodeTrailer(trailer: Buffer, objectBytes: number, magic: number, what: string): FooterPlace {
  if (trailer.length !== trailerBytes || trailer.readUInt32BE(8) !== magic) {
    throw new DecodeError(`not ${what}: its trailer has another magic`);
  }
  const length = trailer.readUInt32BE(0);
  const position = objectBytes - trailerBytes - length;
  if (position < 0) throw new DecodeError(`${what}: a footer of ${length} bytes is longer than the object`);
  return { position, length, crc32c: trailer.readUInt32BE(4) };
}

/** Throws DecodeError when the bytes are not those that `checksum` was made from, or no `what`. */
export function decodeChecked<T>(bytes: Buffer, checksum: number, decode: (bytes: Buffer) => T, what: string): T {
  if (crc32c(bytes) !== checksum) throw new DecodeError(`${what} fails its checksum`);
  try {
    return decode(bytes);
  } catch (error) {
    throw new DecodeError(`${what} does not decode`, { cause: error });
  }
}
