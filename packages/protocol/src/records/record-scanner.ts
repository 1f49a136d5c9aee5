// Steps over the records of a batch, uncompressed or already decompressed, without making an object of any of them. It is
// the one place that knows how a record is laid out, and it believes no length that the bytes do not back.

import { DecodeError } from '../errors/decode-error.ts';
import { RecordCursor } from './varint.ts';

/**
 * After `next()` the fields describe the record stepped over. Layout of a record: length, attributes (one byte, unused),
 * timestamp delta, offset delta, key, value, header count, then key and value of every header; all integers are zigzag
 * varints, and a negative length means null.
 */
export class RecordScanner extends RecordCursor {
  offsetDelta = 0;
  /** Milliseconds after the base timestamp of the batch. */
  timestampDelta = 0;
  keyPosition = 0;
  /** Negative for null, like `valueLength`. */
  keyLength = 0;
  valuePosition = 0;
  valueLength = 0;
  headersPosition = 0;
  headerCount = 0;

  /** Steps over one record. Throws DecodeError when none lies here. */
  next(): void {
    const length = this.varint();
    const recordsEnd = this.end;
    if (length < 0 || length > recordsEnd - this.position) throw new DecodeError(`record: length ${length}`);
    const recordEnd = this.position + length;
    this.end = recordEnd; // nothing inside may reach beyond the record
    this.byte();
    this.timestampDelta = this.varlong();
    this.offsetDelta = this.varint();
    this.keyLength = this.varint();
    this.keyPosition = this.position;
    if (this.keyLength > 0) this.skip(this.keyLength);
    this.valueLength = this.varint();
    this.valuePosition = this.position;
    if (this.valueLength > 0) this.skip(this.valueLength);
    this.headerCount = this.varint();
    this.headersPosition = this.position;
    if (this.headerCount !== 0) skipHeaders(this);
    if (this.position !== recordEnd) throw new DecodeError('record: bytes follow its headers');
    this.end = recordsEnd;
  }

  /** Throws DecodeError unless the last record was the last of the bytes. */
  expectEnd(): void {
    if (this.position !== this.end) throw new DecodeError('record batch: bytes follow its last record');
  }
}

function skipHeaders(scanner: RecordScanner): void {
  if (scanner.headerCount < 0) throw new DecodeError(`record: ${scanner.headerCount} headers`);
  for (let index = 0; index < scanner.headerCount; index++) {
    const keyLength = scanner.varint();
    if (keyLength < 0) throw new DecodeError('record: a header without a key');
    scanner.skip(keyLength);
    const valueLength = scanner.varint();
    if (valueLength > 0) scanner.skip(valueLength);
  }
}
