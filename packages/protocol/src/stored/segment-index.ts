/**
 * The index of a segment (`.index`, beside its `.kfs`): where in the object some of its batches begin, so that a reader finds an
 * offset without reading all that lies before it.
 *
 * | at    | bytes | what |
 * |-------|-------|------|
 * | 0     | 4     | magic `IDX` and a zero byte (0x49445800) |
 * | 4     | 2     | version: 1 |
 * | 6     | 4     | entry count |
 * | 10    | 4     | interval, in messages |
 * | 14    | 2     | reserved: 0 |
 * | 16    | 12 each | entries in ascending order: base offset of a batch (8), its position in the `.kfs`, header included (4) |
 *
 * Big-endian. The first batch has an entry, then each batch whose base offset is an interval or more behind that of the last entry.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { decodeOffset } from '../wire/reader.ts';

const magic = 0x49445800;
const version = 1;
const headerBytes = 16;
const entryBytes = 12;
/** Where the first batch of a segment begins. */
const firstPosition = 32;

/** Messages between two entries. */
export const defaultIndexInterval = 100;
/** Positions are unsigned and have 32 bits. */
export const maxIndexedPosition = 2 ** 32 - 1;

export interface IndexEntry {
  /** Of a batch. */
  readonly baseOffset: number;
  /** Where it begins in the segment object. */
  readonly position: number;
}

export interface SegmentIndexInput {
  readonly interval: number;
  /** In ascending order, the first batch's first. */
  readonly entries: readonly IndexEntry[];
}

/** The object, as slices to be written in order. */
export function encodeSegmentIndex({ interval, entries }: SegmentIndexInput): Buffer[] {
  const bytes = Buffer.allocUnsafe(headerBytes + entries.length * entryBytes);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt16BE(version, 4);
  bytes.writeUInt32BE(entries.length, 6);
  bytes.writeUInt32BE(interval, 10);
  bytes.writeUInt16BE(0, 14);
  for (const [index, { baseOffset, position }] of entries.entries()) {
    const at = headerBytes + index * entryBytes;
    bytes.writeBigInt64BE(BigInt(baseOffset), at);
    bytes.writeUInt32BE(position, at + 8);
  }
  return [bytes];
}

/** A decoded index: a view over its bytes, all of which were checked. */
export class SegmentIndex {
  readonly entryCount: number;
  readonly interval: number;
  readonly #bytes: Buffer;

  /** Throws DecodeError when the bytes are not a whole index. */
  constructor(bytes: Buffer) {
    if (bytes.length < headerBytes) throw new DecodeError(`segment index: ${bytes.length} bytes are too few`);
    if (bytes.readUInt32BE(0) !== magic) throw new DecodeError('segment index: another magic than IDX');
    if (bytes.readUInt16BE(4) !== version) throw new DecodeError(`segment index: version ${bytes.readUInt16BE(4)}`);
    if (bytes.readUInt16BE(14) !== 0) throw new DecodeError('segment index: a reserved field that is not 0');
    this.entryCount = bytes.readUInt32BE(6);
    this.interval = bytes.readUInt32BE(10);
    this.#bytes = bytes;
    if (this.entryCount === 0) throw new DecodeError('segment index: no entries');
    if (this.interval === 0) throw new DecodeError('segment index: no interval');
    if (bytes.length !== headerBytes + this.entryCount * entryBytes) {
      throw new DecodeError(`segment index: ${bytes.length} bytes are not ${this.entryCount} entries`);
    }
    this.#checkOrder();
  }

  /** What the view keeps in memory. */
  get sizeBytes(): number {
    return this.#bytes.length;
  }

  *entries(): Generator<IndexEntry, void, undefined> {
    for (let index = 0; index < this.entryCount; index += 1) yield this.#entry(index);
  }

  /** The last entry at or before `offset`; undefined when the segment starts behind it. */
  find(offset: number): IndexEntry | undefined {
    let low = 0;
    let high = this.entryCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#offset(middle) <= offset) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.#entry(low - 1);
  }

  #checkOrder(): void {
    let last = this.#entry(0);
    if (last.position !== firstPosition) throw new DecodeError(`segment index: first entry at ${last.position}`);
    if (last.baseOffset < 0) throw new DecodeError('segment index: an impossible offset');
    for (let index = 1; index < this.entryCount; index += 1) {
      const entry = this.#entry(index);
      if (entry.baseOffset < last.baseOffset + this.interval || entry.position <= last.position) {
        throw new DecodeError(`segment index: entry ${index} is not behind the one before it`);
      }
      last = entry;
    }
    if (last.baseOffset === Number.MAX_SAFE_INTEGER) throw new DecodeError('segment index: an impossible offset');
  }

  #entry(index: number): IndexEntry {
    return {
      baseOffset: this.#offset(index),
      position: this.#bytes.readUInt32BE(headerBytes + index * entryBytes + 8),
    };
  }

  #offset(index: number): number {
    return decodeOffset(this.#bytes, headerBytes + index * entryBytes);
  }
}
