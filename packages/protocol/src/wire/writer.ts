// Where encoded messages go: small fields into slabs, record bytes by reference, so that a message is a list of chunks for one
// gathered write and a record byte is never copied. Encoding is synchronous; one writer serves any number of connections.

const defaultSlabBytes = 16 * 1024;

/** An encoded message: its chunks in order, and the sum of their lengths. */
export interface Encoded {
  readonly chunks: readonly Uint8Array[];
  readonly byteLength: number;
}

export class Writer {
  /** The slab being filled; compiled encoders write into it between `offset` and `limit`. */
  bytes: Buffer;
  offset = 0;
  limit: number;
  #view: DataView | undefined;
  #start = 0;
  #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  #outer: { readonly chunks: Uint8Array[]; readonly chunkBytes: number }[] = [];
  readonly #slabBytes: number;

  /** A finished message keeps the slabs it lies in; `slabBytes` bounds what a small one can hold on to. */
  constructor(slabBytes = defaultSlabBytes) {
    this.#slabBytes = slabBytes;
    this.bytes = Buffer.allocUnsafeSlow(slabBytes);
    this.limit = slabBytes;
  }

  get view(): DataView {
    return (this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength));
  }

  /** Makes room for `length` bytes in one piece; `bytes`, `offset` and `limit` may have changed. */
  reserve(length: number): void {
    if (this.limit - this.offset >= length) return;
    this.#cut();
    const size = Math.max(this.#slabBytes, length);
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.#view = undefined;
    this.offset = 0;
    this.#start = 0;
    this.limit = size;
  }

  int16(value: number): void {
    this.reserve(2);
    this.offset = this.bytes.writeInt16BE(value, this.offset);
  }

  int32(value: number): void {
    this.reserve(4);
    this.offset = this.bytes.writeInt32BE(value, this.offset);
  }

  unsignedVarint(value: number): void {
    this.reserve(5);
    this.offset = putVarint(this.bytes, this.offset, value);
  }

  /** A string behind a 2-byte length. Throws RangeError above 32767 bytes. */
  string(text: string): void {
    const length = text.length;
    this.reserve(2 + 3 * length);
    const at = this.offset + 2;
    const end = putText(this.bytes, at, text);
    const size = end - at;
    if (size > 0x7fff) throw new RangeError(`a string of ${size} bytes does not fit a 2-byte length`);
    this.bytes[at - 2] = size >>> 8;
    this.bytes[at - 1] = size;
    this.offset = end;
  }

  nullableString(text: string | null): void {
    if (text === null) this.int16(-1);
    else this.string(text);
  }

  /** A string behind a varint of its length plus one (KIP-482). */
  compactString(text: string): void {
    const length = text.length;
    this.reserve(5 + 3 * length);
    const at = this.offset + 1;
    if (length < 0x7f) {
      const end = putText(this.bytes, at, text);
      if (end - at < 0x7f) {
        this.bytes[at - 1] = end - at + 1;
        this.offset = end;
        return;
      }
    }
    const start = putVarint(this.bytes, at - 1, Buffer.byteLength(text) + 1);
    this.offset = putText(this.bytes, start, text);
  }

  /** Copies the bytes; for fields that are small or must not be held by reference. */
  copy(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.offset);
    this.offset += bytes.length;
  }

  /** Adds the bytes without copying them: they must not change until the message was sent. */
  reference(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#cut();
    this.#chunks.push(bytes);
    this.#chunkBytes += bytes.length;
  }

  /** What is written up to `endSized` will stand behind a varint of its size, as tagged fields need. */
  beginSized(): void {
    this.#cut();
    this.#outer.push({ chunks: this.#chunks, chunkBytes: this.#chunkBytes });
    this.#chunks = [];
    this.#chunkBytes = 0;
  }

  endSized(): void {
    this.#cut();
    const inner = this.#chunks;
    const innerBytes = this.#chunkBytes;
    const outer = this.#outer.pop();
    if (outer === undefined) throw new Error('endSized without beginSized');
    this.#chunks = outer.chunks;
    this.#chunkBytes = outer.chunkBytes;
    this.unsignedVarint(innerBytes);
    this.#cut();
    this.#chunks.push(...inner);
    this.#chunkBytes += innerBytes;
  }

  /** The message written since the last `finish`. */
  finish(): Encoded {
    this.#cut();
    const encoded = { chunks: this.#chunks, byteLength: this.#chunkBytes };
    this.#chunks = [];
    this.#chunkBytes = 0;
    return encoded;
  }

  /** Forgets what was written since the last `finish`, after an encoder threw. */
  discard(): void {
    this.#outer = [];
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#start = this.offset;
  }

  #cut(): void {
    if (this.offset === this.#start) return;
    this.#chunks.push(this.bytes.subarray(this.#start, this.offset));
    this.#chunkBytes += this.offset - this.#start;
    this.#start = this.offset;
  }
}

/** Writes an unsigned 32-bit varint, at most 5 bytes, and answers the offset behind it. */
export function putVarint(bytes: Buffer, at: number, value: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[at++] = value;
  return at;
}

const shortText = 32;

/** Writes UTF-8 into room for three bytes per character, and answers the offset behind it. */
function putText(bytes: Buffer, at: number, text: string): number {
  const length = text.length;
  if (length <= shortText) {
    let index = 0;
    for (; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) break;
      bytes[at + index] = code;
    }
    if (index === length) return at + length;
  }
  return at + bytes.write(text, at, 'utf8');
}

/** Writes the 16 bytes of a uuid given as Kafka prints it. */
export function putUuid(bytes: Buffer, at: number, text: string): void {
  if (text.length !== 22 || bytes.write(text, at, 16, 'base64url') !== 16) throw new TypeError(`${text} is not a uuid`);
}

/** The int64 of an offset. */
export function putOffset(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  bytes[at] = high >>> 24;
  bytes[at + 1] = high >>> 16;
  bytes[at + 2] = high >>> 8;
  bytes[at + 3] = high;
  bytes[at + 4] = value >>> 24;
  bytes[at + 5] = value >>> 16;
  bytes[at + 6] = value >>> 8;
  bytes[at + 7] = value;
}
