/**
 * LZ4 frames, as Kafka writes them since message format 1. A frame does not say how long its contents are, so it is measured
 * before it is decompressed: walking over the sequences of its blocks adds up lengths and copies nothing.
 *
 * | bytes  | what |
 * |--------|------|
 * | 4      | magic 0x184D2204, little-endian |
 * | 1      | flags: version 01, block checksums, content size, content checksum, dictionary |
 * | 1      | largest block |
 * | 0 or 8 | content size |
 * | 1      | header checksum |
 * | …      | blocks: length (top bit: stored as it is), bytes, checksum where flagged; length 0 ends them |
 * | 0 or 4 | content checksum |
 */
import lz4 from 'lz4-napi';
import { corrupt, tooLarge } from './decompression-error.ts';

const frameMagic = 0x184d2204;
const blockChecksumFlag = 0x10;
const contentSizeFlag = 0x08;
const contentChecksumFlag = 0x04;
const dictionaryFlag = 0x01;
const storedBlockFlag = 0x80000000;

export const compressLz4 = (bytes: Uint8Array): Buffer => lz4.compressFrameSync(asBuffer(bytes));

export function decompressLz4Sync(bytes: Buffer, maxBytes: number): Buffer {
  const content = Buffer.allocUnsafe(measure(bytes, maxBytes));
  let at = 0;
  for (const { frame, contentBytes } of framesOf(bytes, maxBytes)) {
    try {
      at += expectLength(lz4.decompressFrameSync(frame), contentBytes).copy(content, at);
    } catch (error) {
      throw corrupt('lz4', error);
    }
  }
  return content;
}

export async function decompressLz4(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const content = Buffer.allocUnsafe(measure(bytes, maxBytes));
  let at = 0;
  for (const { frame, contentBytes } of framesOf(bytes, maxBytes)) {
    try {
      at += expectLength(await lz4.decompressFrame(frame), contentBytes).copy(content, at);
    } catch (error) {
      throw corrupt('lz4', error);
    }
  }
  return content;
}

interface Frame {
  readonly frame: Buffer;
  readonly contentBytes: number;
}

/** Length of the contents of all frames together. */
function measure(bytes: Buffer, maxBytes: number): number {
  let total = 0;
  for (const { contentBytes } of framesOf(bytes, maxBytes)) {
    total += contentBytes;
    if (total > maxBytes) throw tooLarge('lz4', maxBytes);
  }
  return total;
}

/** The frames that make up the bytes, at least one; none of them holds more than the limit. */
function* framesOf(bytes: Buffer, maxBytes: number): Generator<Frame, void, void> {
  let start = 0;
  do {
    const { end, contentBytes } = measureFrame(bytes, start, maxBytes);
    yield { frame: bytes.subarray(start, end), contentBytes };
    start = end;
  } while (start < bytes.length);
}

function measureFrame(bytes: Buffer, start: number, maxBytes: number): { end: number; contentBytes: number } {
  if (bytes.length - start < 7 || bytes.readUInt32LE(start) !== frameMagic) throw corrupt('lz4');
  const flags = bytes[start + 4]!;
  if (flags >>> 6 !== 1 || (flags & dictionaryFlag) !== 0) throw corrupt('lz4');
  const checksumBytes = flags & blockChecksumFlag ? 4 : 0;
  let at = start + 7 + (flags & contentSizeFlag ? 8 : 0);
  let contentBytes = 0;
  for (;;) {
    if (bytes.length - at < 4) throw corrupt('lz4');
    const word = bytes.readUInt32LE(at);
    at += 4;
    if (word === 0) break;
    const length = word % storedBlockFlag;
    if (length > bytes.length - at - checksumBytes) throw corrupt('lz4');
    contentBytes += word >= storedBlockFlag ? length : measureBlock(bytes, at, at + length);
    if (contentBytes > maxBytes) throw tooLarge('lz4', maxBytes);
    at += length + checksumBytes;
  }
  const end = at + (flags & contentChecksumFlag ? 4 : 0);
  if (end > bytes.length) throw corrupt('lz4');
  return { end, contentBytes };
}

/** Decompressed length of the block in [at, end): the sum over its sequences of literals and match. */
function measureBlock(bytes: Buffer, at: number, end: number): number {
  let total = 0;
  while (at < end) {
    const token = bytes[at++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let byte = 255;
      while (byte === 255 && at < end) literals += byte = bytes[at++]!;
    }
    at += literals;
    total += literals;
    if (at === end) return total; // the last sequence has no match
    at += 2;
    let match = (token & 15) + 4;
    if (match === 19) {
      let byte = 255;
      while (byte === 255 && at < end) match += byte = bytes[at++]!;
    }
    total += match;
  }
  throw corrupt('lz4');
}

function expectLength(content: Buffer, expected: number): Buffer {
  if (content.length !== expected) throw new Error(`${content.length} bytes where the blocks hold ${expected}`);
  return content;
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
