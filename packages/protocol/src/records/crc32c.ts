// CRC-32C (Castagnoli), the checksum of record batches and of everything we store. The native package does the work
// where it can be loaded; a table-driven fallback gives the same numbers, at a quarter of the speed or less.

import { createRequire } from 'node:module';

/** x^32 + x^28 + … + 1 with its bits reversed, as the algorithm shifts to the right. */
const polynomial = 0x82f63b78;

/** Continues `initial` (0 to begin) over `bytes[start, end)`; takes and gives unsigned 32-bit numbers. */
type Crc32c = (bytes: Uint8Array, start?: number, end?: number, initial?: number) => number;

/** Below this many bytes the call into native code costs more than it saves. */
const nativeFromBytes = 256;

/** Sixteen tables of 256 entries, laid end to end: entry [k][b] is the CRC of byte b followed by k zero bytes. */
const tables = ((): Int32Array => {
  const entries = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
    entries[byte] = crc;
  }
  for (let index = 256; index < entries.length; index++) {
    const previous = entries[index - 256]!;
    entries[index] = (previous >>> 8) ^ entries[previous & 0xff]!;
  }
  return entries;
})();

/** The CRC in plain JavaScript, sixteen bytes a step. */
export const crc32cFallback: Crc32c = (bytes, start = 0, end = bytes.length, initial = 0) => {
  const t = tables;
  let crc = ~initial;
  let at = start;
  for (const last = end - 16; at <= last; at += 16) {
    crc =
      t[3840 + (bytes[at]! ^ (crc & 0xff))]! ^
      t[3584 + (bytes[at + 1]! ^ ((crc >>> 8) & 0xff))]! ^
      t[3328 + (bytes[at + 2]! ^ ((crc >>> 16) & 0xff))]! ^
      t[3072 + (bytes[at + 3]! ^ (crc >>> 24))]! ^
      t[2816 + bytes[at + 4]!]! ^
      t[2560 + bytes[at + 5]!]! ^
      t[2304 + bytes[at + 6]!]! ^
      t[2048 + bytes[at + 7]!]! ^
      t[1792 + bytes[at + 8]!]! ^
      t[1536 + bytes[at + 9]!]! ^
      t[1280 + bytes[at + 10]!]! ^
      t[1024 + bytes[at + 11]!]! ^
      t[768 + bytes[at + 12]!]! ^
      t[512 + bytes[at + 13]!]! ^
      t[256 + bytes[at + 14]!]! ^
      t[bytes[at + 15]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
};

/** The CRC by the native package, or undefined on a platform it has no build for. */
export const crc32cNative: Crc32c | undefined = (() => {
  interface NativePackage {
    crc32c(bytes: Uint8Array, initial?: number): number;
  }
  try {
    const native = createRequire(import.meta.url)('@node-rs/crc32') as NativePackage;
    return (bytes, start = 0, end = bytes.length, initial = 0) =>
      native.crc32c(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), initial);
  } catch {
    return undefined; // The package throws while loading where it has no build; the fallback answers alike.
  }
})();

/** CRC-32C of `bytes[start, end)`, or its continuation of `initial`; an unsigned 32-bit number. */
export const crc32c: Crc32c =
  crc32cNative === undefined
    ? crc32cFallback
    : (bytes, start = 0, end = bytes.length, initial = 0) =>
        end - start < nativeFromBytes
          ? crc32cFallback(bytes, start, end, initial)
          : crc32cNative(bytes, start, end, initial);

/** The product of two polynomials over GF(2), modulo the CRC's; bit 31 is the coefficient of x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >>> 1) ^ polynomial : b >>> 1;
  }
  return product >>> 0;
}

/** `shifts[k]` is x^(8·2^k): multiplying by it appends 2^k zero bytes. 53 of them cover every safe integer. */
const shifts = ((): Uint32Array => {
  const powers = new Uint32Array(53);
  let power = 0x00800000; // x^8
  for (let k = 0; k < powers.length; k++) {
    powers[k] = power;
    power = multiply(power, power);
  }
  return powers;
})();

/** The CRC of two runs of bytes laid end to end, from the CRC of each and the second one's length; reads no byte. */
export function crc32cCombine(first: number, second: number, secondLength: number): number {
  let crc = first;
  for (let k = 0, rest = secondLength; rest > 0; k++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) crc = multiply(shifts[k]!, crc);
  }
  return (crc ^ second) >>> 0;
}
