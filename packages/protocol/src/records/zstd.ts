/**
 * Zstandard (RFC 8878). The native decompressor knows no limit, so the frames are measured before it sees them: every block
 * states its decompressed length, or has at most 128 KiB. Encoders fill all blocks but the last, therefore the bound is less
 * than one block above the truth; a frame of many short blocks may be refused although it would just have fitted.
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
/** Magic, an empty header and nothing in it. */
const shortestFrameBytes = 8;
/** Clients write one. */
const maxFrames = 1024;
const blockType = { raw: 0, runLength: 1, compressed: 2 } as const;
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

const encoder = new Encoder(3);
const decoder = new Decoder();

export const compressZstd = (bytes: Uint8Array): Buffer => encoder.encodeSync(asBuffer(bytes));

export function decompressZstdSync(bytes: Buffer, maxBytes: number): Buffer {
  const content = new Content(bytes, maxBytes);
  for (let frame = content.nextFrame(); frame !== undefined; frame = content.nextFrame()) {
    try {
      content.add(decoder.decodeSync(frame));
    } catch (error) {
      throw corrupt('zstd', error);
    }
  }
  return content.join();
}

export async function decompressZstd(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const content = new Content(bytes, maxBytes);
  for (let frame = content.nextFrame(); frame !== undefined; frame = content.nextFrame()) {
    try {
      content.add(await decoder.decode(frame));
    } catch (error) {
      throw corrupt('zstd', error);
    }
  }
  return content.join();
}

/** The way through the frames: each is handed out once it is known to fit into what those before it have left. */
class Content {
  readonly #bytes: Buffer;
  readonly #maxBytes: number;
  readonly #parts: Buffer[] = [];
  #length = 0;
  #position = 0;
  #frames = 0;

  constructor(bytes: Buffer, maxBytes: number) {
    this.#bytes = bytes;
    this.#maxBytes = maxBytes;
    if (bytes.length === 0) throw corrupt('zstd');
  }

  nextFrame(): Buffer | undefined {
    const bytes = this.#bytes;
    if (this.#length > this.#maxBytes) throw tooLarge('zstd', this.#maxBytes);
    for (let start = this.#position; start < bytes.length; start = this.#position) {
      if (bytes.length - start < shortestFrameBytes || ++this.#frames > maxFrames) throw corrupt('zstd');
      const magic = bytes.readUInt32LE(start);
      if (magic - (magic % 16) === skippableMagic) {
        this.#position = start + 8 + bytes.readUInt32LE(start + 4);
        if (this.#position > bytes.length) throw corrupt('zstd');
        continue;
      }
      if (magic !== frameMagic) throw corrupt('zstd');
      const end = frameEnd(bytes, start, this.#maxBytes - this.#length + maxBlockBytes);
      if (end === undefined) throw tooLarge('zstd', this.#maxBytes);
      this.#position = end;
      return bytes.subarray(start, end);
    }
    return undefined;
  }

  add(part: Buffer): void {
    this.#length += part.length;
    this.#parts.push(part);
  }

  join(): Buffer {
    return this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
  }
}

/** Where the frame ends, or undefined when its contents might have `tooMany` bytes or more. */
function frameEnd(bytes: Buffer, start: number, tooMany: number): number | undefined {
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
    if (bound >= tooMany) return undefined;
  }
  if (at + checksumBytes > bytes.length) throw corrupt('zstd');
  return at + checksumBytes;
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
