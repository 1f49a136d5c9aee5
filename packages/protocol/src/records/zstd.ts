/**
 * Zstandard (RFC 8878). The native decompressor knows no limit, so the frames are measured before it sees them: every block
 * states its decompressed length, or has at most 128 KiB. Encoders fill all blocks but the last, therefore the bound is less
 * than one block above the truth; a stream of many short blocks may be refused although it would just have fitted.
 *
 * | bytes  | what (all little-endian) |
 * |--------|------|
 * | 4      | magic 0xFD2FB528 |
 * | 1      | descriptor: content size field, single segment, checksum, dictionary field |
 * | 0 or 1 | window |
 * | 0-4    | dictionary id |
 * | 0-8    | content size |
 * | …      | blocks: 3 bytes (last, type, size), then bytes |
 * | 0 or 4 | checksum |
 */
import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { corrupt, tooLarge } from './decompression-error.ts';

const frameMagic = 0xfd2fb528;
/** Frames of any contents that a decompressor steps over have one of sixteen magics from here on. */
const skippableMagic = 0x184d2a50;
const maxBlockBytes = 128 * 1024;
const blockType = { raw: 0, runLength: 1, compressed: 2 } as const;
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

const encoder = new Encoder(3);
const decoder = new Decoder();

export const compressZstd = (bytes: Uint8Array): Buffer => encoder.encodeSync(asBuffer(bytes));

export function decompressZstdSync(bytes: Buffer, maxBytes: number): Buffer {
  expectWithin(bytes, maxBytes);
  let content: Buffer;
  try {
    content = decoder.decodeSync(bytes);
  } catch (error) {
    throw corrupt('zstd', error);
  }
  if (content.length > maxBytes) throw tooLarge('zstd', maxBytes);
  return content;
}

export async function decompressZstd(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  expectWithin(bytes, maxBytes);
  let content: Buffer;
  try {
    content = await decoder.decode(bytes);
  } catch (error) {
    throw corrupt('zstd', error);
  }
  if (content.length > maxBytes) throw tooLarge('zstd', maxBytes);
  return content;
}

/** Refuses bytes that could decompress to more than the limit and one block, and such as are no frames. */
function expectWithin(bytes: Buffer, maxBytes: number): void {
  let bound = 0;
  for (let at = 0; at < bytes.length || at === 0;) {
    if (bytes.length - at < 8) throw corrupt('zstd');
    const magic = bytes.readUInt32LE(at);
    if (magic - (magic % 16) === skippableMagic) {
      at += 8 + bytes.readUInt32LE(at + 4);
      if (at > bytes.length) throw corrupt('zstd');
      continue;
    }
    if (magic !== frameMagic) throw corrupt('zstd');
    const frame = measureFrame(bytes, at, maxBytes + maxBlockBytes - bound);
    bound += frame.bound;
    if (bound >= maxBytes + maxBlockBytes) throw tooLarge('zstd', maxBytes);
    at = frame.end;
  }
}

/** Where the frame ends, and a length its contents cannot exceed; stops early once that reaches `enough`. */
function measureFrame(bytes: Buffer, start: number, enough: number): { end: number; bound: number } {
  const descriptor = bytes[start + 4]!;
  const sizeField = descriptor >>> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksumBytes = descriptor & 0x04 ? 4 : 0;
  const sizeBytes = sizeField === 0 && singleSegment ? 1 : contentSizeBytes[sizeField]!;
  const windowBytes = singleSegment ? 0 : 1;
  let at = start + 5 + windowBytes + dictionaryIdBytes[descriptor & 0x03]! + sizeBytes;
  let bound = 0;
  for (let last = false; !last;) {
    if (bytes.length - at < 3) throw corrupt('zstd');
    const head = bytes.readUIntLE(at, 3);
    last = (head & 1) !== 0;
    const type = (head >>> 1) & 3;
    const size = head >>> 3;
    if (type > blockType.compressed || size > maxBlockBytes) throw corrupt('zstd');
    bound += type === blockType.compressed ? maxBlockBytes : size;
    at += 3 + (type === blockType.runLength ? 1 : size);
    if (bound >= enough) break;
  }
  if (at + checksumBytes > bytes.length) throw corrupt('zstd');
  return { end: at + checksumBytes, bound };
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
