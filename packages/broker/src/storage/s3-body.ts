/** The bytes of one answered read, taken from the network straight to where they are wanted, and checked against what was asked. */
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { ByteRange } from './object-store.ts';
import { StorageError } from './storage-error.ts';

/** What the answer says of its bytes. */
export interface ObjectHead {
  readonly ContentLength?: number | undefined;
  readonly ContentRange?: string | undefined;
  readonly ChecksumCRC32?: string | undefined;
  readonly ChecksumType?: string | undefined;
}

export interface ReadObjectBody {
  readonly key: string;
  readonly range: ByteRange | undefined;
  readonly into: Buffer | undefined;
  readonly head: ObjectHead;
}

/** All bytes of the answer, in `into` where they fit. Throws StorageError `corrupt` for others than were asked for, or fewer. */
export async function readObjectBody(body: Readable, { key, range, into, head }: ReadObjectBody): Promise<Buffer> {
  const length = expectedLength(key, range, head);
  const bytes = into !== undefined && into.length >= length ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length);
  let position = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (position + chunk.length > length) throw corrupt(key, `more than the ${length} bytes that were announced`);
      chunk.copy(bytes, position);
      position += chunk.length;
    }
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError('unavailable', `read ${key}: the answer broke off behind ${position} of ${length} bytes`, {
      cause: error,
    });
  }
  if (position < length) throw corrupt(key, `${position} of ${length} bytes`);
  const { ChecksumCRC32, ChecksumType } = head;
  // The checksum of a composite object is one of checksums and cannot be compared.
  if (
    range === undefined &&
    ChecksumCRC32 !== undefined &&
    ChecksumType !== 'COMPOSITE' &&
    !ChecksumCRC32.includes('-')
  ) {
    if (Buffer.from(ChecksumCRC32, 'base64').readUInt32BE(0) !== crc32(bytes)) {
      throw corrupt(key, 'bytes that do not match its checksum');
    }
  }
  return bytes;
}

function expectedLength(
  key: string,
  range: ByteRange | undefined,
  { ContentLength, ContentRange }: ObjectHead,
): number {
  if (range === undefined) {
    if (ContentLength === undefined) throw corrupt(key, 'an answer without a length');
    return ContentLength;
  }
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(ContentRange ?? '') ?? [];
  if (first === undefined) throw corrupt(key, 'a whole object where a range was asked for');
  const end = Math.min(Math.max(range.end, range.start + 1), total === '*' ? Infinity : Number(total));
  const length = end - range.start;
  if (Number(first) !== range.start || Number(last) !== end - 1 || (ContentLength ?? length) !== length) {
    throw corrupt(key, `"${ContentRange ?? ''}" where bytes ${range.start} to ${end} were asked for`);
  }
  return length;
}

const corrupt = (key: string, what: string) =>
  new StorageError('corrupt', `read ${key}: the store answered with ${what}`);
