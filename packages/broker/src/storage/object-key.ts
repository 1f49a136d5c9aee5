/** What every store asks of a key and a range before it looks anything up: a key is a relative path that stays where it is. */
import type { ByteRange, ObjectKey } from './object-store.ts';

const maxKeyBytes = 1024; // S3's limit
const maxSegmentBytes = 255; // the limit of common file systems

/**
 * Throws RangeError for a key that is empty, absolute, too long, not well-formed Unicode, or has an empty, `.` or `..` segment or
 * a NUL. Keys are made by us, so such a key is a bug and no answer of the store.
 */
export function checkObjectKey(key: ObjectKey): void {
  const wellFormed =
    key.length <= maxKeyBytes && !key.includes('\0') && Buffer.from(key, 'utf8').toString('utf8') === key;
  if (!wellFormed || Buffer.byteLength(key) > maxKeyBytes) throw invalidKey(key);
  for (const segment of key.split('/')) {
    if (segment === '' || segment === '.' || segment === '..' || Buffer.byteLength(segment) > maxSegmentBytes) {
      throw invalidKey(key);
    }
  }
}

/** Throws RangeError unless `0 <= start <= end`, both integers. */
export function checkRange({ start, end }: ByteRange): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new RangeError(`byte range [${start}, ${end}) is not a range`);
  }
}

/** The order of keys: by their UTF-8 bytes. */
export const compareKeys = (left: string, right: string): number =>
  Buffer.compare(Buffer.from(left, 'utf8'), Buffer.from(right, 'utf8'));

function invalidKey(key: string): RangeError {
  return new RangeError(`${JSON.stringify(key.slice(0, 200))} is not an object key`);
}
