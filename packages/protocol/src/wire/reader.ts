// A place in bytes that came from outside. Compiled decoders keep the place in local variables and come here for what is rare
// or long; the headers are read with the methods. Nothing is ever allocated by a declared size that is not backed by bytes.

import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors/decode-error.ts';

/**
 * Elements of all arrays of one message together. An element of one byte on the wire costs about a hundred in memory; with this
 * bound a frame of the largest allowed size cannot exhaust it, and no client comes near it.
 */
export const maxElements = 2_000_000;

/** Longest text that is decoded without leaving JavaScript. */
const shortText = 24;

export class Reader {
  readonly bytes: Buffer;
  offset: number;
  readonly end: number;
  #view: DataView | undefined;

  /** Reads `bytes` in [start, end). */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  /** Over the same bytes as `bytes`; made when a message has a 64-bit field. */
  get view(): DataView {
    return (this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength));
  }

  int16(what: string): number {
    const at = this.#take(2, what);
    return this.bytes.readInt16BE(at);
  }

  int32(what: string): number {
    const at = this.#take(4, what);
    return this.bytes.readInt32BE(at);
  }

  /** A string with a 2-byte length, -1 for null. */
  nullableString(what: string): string | null {
    const length = this.int16(what);
    if (length === -1) return null;
    if (length < 0) throw negativeLength(what, length);
    const at = this.#take(length, what);
    return decodeText(this.bytes, at, length, what);
  }

  /** Tagged fields of which none is known here. */
  skipTaggedFields(what: string): void {
    this.offset = skipTags(this, this.offset, this.end, what);
  }

  /** The message must end here. */
  expectEnd(what: string): void {
    if (this.offset !== this.end) throw new DecodeError(`${what}: ${this.remaining} bytes follow the message`);
  }

  #take(length: number, what: string): number {
    const at = this.offset;
    if (this.end - at < length) throw truncated(what);
    this.offset = at + length;
    return at;
  }
}

/** The bytes end before the field does. */
export const truncated = (what: string) => new DecodeError(`${what}: the bytes end too early`);

export const negativeLength = (what: string, length: number) => new DecodeError(`${what}: length ${length}`);

export const forbiddenNull = (what: string) => new DecodeError(`${what}: null is not allowed`);

/** A declared length or count needs more bytes than there are. */
export const tooLong = (what: string, length: number) =>
  new DecodeError(`${what}: length ${length} exceeds what is left of the message`);

export const tooMany = (what: string) => new DecodeError(`${what}: more than ${maxElements} elements in one message`);

export const badTag = (what: string, reason: string) => new DecodeError(`${what}: ${reason}`);

/**
 * An unsigned varint of up to 32 bits at `at`; the reader's offset is left behind it. Used for more than one byte, by compiled
 * code which has its own fast path for a single one.
 */
export function longVarint(reader: Reader, at: number, end: number, what: string): number {
  const { bytes } = reader;
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (at >= end) throw truncated(what);
    const byte = bytes[at++]!;
    if (shift === 28 && byte > 0x0f) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      reader.offset = at;
      return value >>> 0;
    }
  }
  throw new DecodeError(`${what}: varint of more than 32 bits`);
}

/** Steps over tagged fields (KIP-482) whose tags must ascend; answers the offset behind them. */
export function skipTags(reader: Reader, at: number, end: number, what: string): number {
  const count = longVarint(reader, at, end, what);
  let previous = -1;
  for (let index = 0; index < count; index++) {
    const tag = longVarint(reader, reader.offset, end, what);
    if (tag <= previous) throw badTag(what, `tag ${tag} after tag ${previous}`);
    previous = tag;
    const size = longVarint(reader, reader.offset, end, what);
    if (size > end - reader.offset) throw tooLong(what, size);
    reader.offset += size;
  }
  return reader.offset;
}

/** UTF-8 text; the bytes are known to be there. */
export function decodeText(bytes: Buffer, at: number, length: number, what: string): string {
  const end = at + length;
  if (length <= shortText) {
    let text = '';
    let index = at;
    for (; index < end; index++) {
      const byte = bytes[index]!;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (index === end) return text;
  }
  if (!isUtf8(bytes.subarray(at, end))) throw new DecodeError(`${what}: the text is not UTF-8`);
  return bytes.toString('utf8', at, end);
}

export function decodeUuid(bytes: Buffer, at: number): string {
  return bytes.toString('base64url', at, at + 16);
}

/** An int64 as a number that saturates where numbers stop being exact. */
export function decodeOffset(bytes: Buffer, at: number): number {
  const high = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
  const low = (bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!;
  if (high > 0x1fffff) return Number.MAX_SAFE_INTEGER;
  if (high < -0x200000) return Number.MIN_SAFE_INTEGER;
  return Math.max(high * 0x1_0000_0000 + (low >>> 0), Number.MIN_SAFE_INTEGER);
}
