// Zigzag varints, the integers inside records. They are read through a cursor that never leaves the bytes it was given, and
// written into a buffer of known size.

import { DecodeError } from '../errors/decode-error.ts';

/** A place between `position` and `end` of some bytes, moved forward by reading. Every read past the end is a DecodeError. */
export class RecordCursor {
  readonly bytes: Buffer;
  position: number;
  end: number;

  constructor(bytes: Buffer, position: number, end: number) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  byte(): number {
    if (this.position >= this.end) throw truncated();
    return this.bytes[this.position++]!;
  }

  /** A signed 32-bit integer of one to five bytes. */
  varint(): number {
    if (this.position >= this.end) throw truncated();
    const first = this.bytes[this.position++]!;
    if (first < 0x80) return (first >>> 1) ^ -(first & 1);
    return longVarint(this, first);
  }

  /** A signed 64-bit integer of one to ten bytes, saturating at ±Number.MAX_SAFE_INTEGER. */
  varlong(): number {
    const { bytes } = this;
    let low = 0; // the first 28 bits
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.position >= this.end) throw truncated();
      const byte = bytes[this.position++]!;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (low >>> 1) ^ -(low & 1);
    }
    return longVarlong(this, low);
  }

  /** Steps over `length` bytes. */
  skip(length: number): void {
    if (length > this.end - this.position) throw truncated();
    this.position += length;
  }

  /** The next `length` bytes as a view, or null for a negative length. */
  view(length: number): Buffer | null {
    if (length < 0) return null;
    const start = this.position;
    this.skip(length);
    return this.bytes.subarray(start, start + length);
  }
}

/** The rest of a varint, of which the first byte was not the last. */
function longVarint(cursor: RecordCursor, first: number): number {
  let value = first & 0x7f;
  for (let shift = 7; shift < 35; shift += 7) {
    const byte = cursor.byte();
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
  }
  throw new DecodeError('record: varint of more than five bytes');
}

/** The rest of a varint, of which the first 28 bits were not the last. */
function longVarlong(cursor: RecordCursor, low: number): number {
  let high = 0; // the next 21 bits: together 49, which covers every timestamp and is exact in a number
  for (let shift = 0; shift < 21; shift += 7) {
    const byte = cursor.byte();
    high |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      const value = high * 0x1000_0000 + low;
      return low & 1 ? -(value + 1) / 2 : value / 2;
    }
  }
  let value = (BigInt(high) << 28n) | BigInt(low);
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = cursor.byte();
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = BigInt.asUintN(64, value);
      return saturate((value >> 1n) ^ -(value & 1n));
    }
  }
  throw new DecodeError('record: varint of more than ten bytes');
}

const truncated = () => new DecodeError('record: the bytes end too early');

function saturate(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}

/** Bytes that `writeVarint` takes for an integer within ±2^52. */
export function varintBytes(value: number): number {
  let rest = zigzag(value);
  let length = 1;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Writes an integer within ±2^52 and answers the position behind it; a 32-bit and a 64-bit one are written alike. */
export function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = zigzag(value);
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
  bytes[at++] = rest;
  return at;
}

const zigzag = (value: number) => (value < 0 ? -2 * value - 1 : 2 * value);
