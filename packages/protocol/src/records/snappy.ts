/**
 * Snappy in the two shapes that Kafka clients write: the stream of the Java library (header, then blocks with a length each)
 * and one bare block. Every block begins with its decompressed length, so the limit is kept before anything is spent.
 *
 * | bytes | what |
 * |-------|------|
 * | 8     | 0x82 `SNAPPY` 0x00 |
 * | 4     | version, 1 |
 * | 4     | oldest version that can read it, 1 |
 * | …     | blocks: 4 bytes of length, then a bare block; a header may stand again between two |
 */
import { compressSync, uncompress, uncompressSync } from 'snappy';
import { corrupt, tooLarge } from './decompression-error.ts';

const headerBytes = 16;
const header = Buffer.from('82534e4150505900' + '00000001' + '00000001', 'hex');
const magic = header.subarray(0, 8);

/** Decompressed bytes in one block, as the Java client has it. */
const blockBytes = 32 * 1024;

export function compressSnappy(bytes: Uint8Array): Buffer {
  const parts: Buffer[] = [header];
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const block = compressSync(bytes.subarray(start, start + blockBytes));
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

export function decompressSnappySync(bytes: Buffer, maxBytes: number): Buffer {
  const content = Buffer.allocUnsafe(measure(bytes, maxBytes));
  let at = 0;
  for (const block of blocksOf(bytes)) {
    try {
      at += (uncompressSync(block) as Buffer).copy(content, at);
    } catch (error) {
      throw corrupt('snappy', error);
    }
  }
  return content;
}

export async function decompressSnappy(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const content = Buffer.allocUnsafe(measure(bytes, maxBytes));
  let at = 0;
  for (const block of blocksOf(bytes)) {
    try {
      at += ((await uncompress(block)) as Buffer).copy(content, at);
    } catch (error) {
      throw corrupt('snappy', error);
    }
  }
  return content;
}

/** Decompressed length of all blocks together, as they declare it; the decompressor holds each block to its word. */
function measure(bytes: Buffer, maxBytes: number): number {
  let total = 0;
  for (const block of blocksOf(bytes)) {
    total += declaredLength(block);
    if (total > maxBytes) throw tooLarge('snappy', maxBytes);
  }
  return total;
}

/** The bare blocks, one by one. */
function* blocksOf(bytes: Buffer): Generator<Buffer, void, void> {
  if (!isHeader(bytes, 0)) {
    yield bytes;
    return;
  }
  for (let at = headerBytes; at < bytes.length;) {
    if (isHeader(bytes, at)) {
      at += headerBytes;
      continue;
    }
    if (bytes.length - at < 4) throw corrupt('snappy');
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length <= 0 || length > bytes.length - at) throw corrupt('snappy');
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const isHeader = (bytes: Buffer, at: number) =>
  bytes.length - at >= headerBytes && bytes.compare(magic, 0, magic.length, at, at + magic.length) === 0;

/** A bare block begins with its decompressed length, an unsigned varint of up to five bytes. */
function declaredLength(block: Buffer): number {
  let length = 0;
  for (let index = 0; index < 5; index++) {
    const byte = block[index];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return length;
  }
  throw corrupt('snappy');
}
