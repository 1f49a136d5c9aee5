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
/** Clients write one. */
const maxFrames = 1024;
const blockChecksumFlag = 0x10;
const contentSizeFlag = 0x08;
const contentChecksumFlag = 0x04;
const dictionaryFlag = 0x01;
const storedBlockFlag = 0x80000000;

export const compressLz4 = (bytes: Uint8Array): Buffer => lz4.compressFrameSync(asBuffer(bytes));

export function decompressLz4Sync(bytes: Buffer, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  for (const { frame, contentBytes } of measureFrames(bytes, maxBytes)) {
    try {
      parts.push(expectLength(lz4.decompressFrameSync(frame), contentBytes));
    } catch (error) {
      throw corrupt('lz4', error);
    }
  }
  return join(parts);
}

export async function decompressLz4(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const { frame, contentBytes } of measureFrames(bytes, maxBytes)) {
    try {
      parts.push(expectLength(await lz4.decompressFrame(frame), contentBytes));
    } catch (error) {
      throw corrupt('lz4', error);
    }
  }
  return join(parts);
}

interface Frame {
  readonly frame: Buffer;
  readonly contentBytes: number;
}

/** The frames that make up the bytes, at least one, whose contents together stay within the limit. */
function measureFrames(bytes: Buffer, maxBytes: number): Frame[] {
  const frames: Frame[] = [];
  let start = 0;
  let total = 0;
  do {
    if (frames.length === maxFrames) throw corrupt('lz4');
    const { end, contentBytes } = measureFrame(bytes, start, maxBytes);
    total += contentBytes;
    if (total > maxBytes) throw tooLarge('lz4', maxBytes);
    frames.push({ frame: bytes.subarray(start, end), contentBytes });
    start = end;
  } while (start < bytes.length);
  return frames;
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

const join = (parts: readonly Buffer[]) => (parts.length === 1 ? parts[0]! : Buffer.concat(parts));

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
