/**
 * Flush descriptions read extent by extent without building a message of each: who keeps what all flushes of a cluster say goes through
 * millions of them. One object serves all extents of a scan; what is to be kept is copied out of it.
 */
import { DecodeError } from '../errors/decode-error.ts';
import { FlushManifest, type FlushFooterReference, type ObjectSlice } from '../metadata/generated/metadata/metadata.ts';
import { split } from './manifests-of-partitions.ts';
import { decodeChecked } from './trailer.ts';

/** A batch of a producer, as in `ProducerBatch`. */
export interface ScannedBatch {
  producerId: number;
  producerEpoch: number;
  firstSequence: number;
  lastSequence: number;
  baseOffset: number;
  lastTimestamp: number;
}

/** An extent, as in `FlushExtent`; good until the next one is scanned. */
export interface ScannedExtent {
  /** As Kafka prints it. */
  topicId: string;
  partition: number;
  leaderEpoch: number;
  baseOffset: number;
  nextOffset: number;
  position: number;
  length: number;
  maxTimestamp: number;
  maxTimestampBaseOffset: number;
  /** So many of `batches` are the extent's. */
  batchCount: number;
  readonly batches: ScannedBatch[];
  /** Whether every number is exact: a client may send some that are not safe integers. */
  isExact: boolean;
  /** Its message in the scanned bytes. */
  start: number;
  end: number;
}

/** A manifest with its description as it is encoded: with it, or in the footer that it points to. */
export type ScannedManifest =
  | { readonly objectKey: string; readonly description: Uint8Array; readonly footer?: undefined }
  | { readonly objectKey: string; readonly description?: undefined; readonly footer: FlushFooterReference };

export interface ScannedFlush {
  readonly incarnation: string;
  readonly sequence: number;
}

const incarnationField = 2;
const sequenceField = 3;
const topicsField = 6;

/** Calls `onExtent` for every extent of an encoded `FlushDescription`. Throws DecodeError. */
export function scanFlushDescription(
  description: Uint8Array,
  onExtent: (extent: Readonly<ScannedExtent>) => void,
): ScannedFlush {
  const scan = new Scan(description);
  const extent = emptyExtent();
  let [incarnation, sequence] = ['', 0];
  while (scan.at < description.length) {
    const tag = scan.varint();
    if (tag === bytesTag(incarnationField)) {
      const end = scan.messageEnd();
      incarnation = Buffer.from(description.buffer, description.byteOffset + scan.at, end - scan.at).toString();
      scan.at = end;
    } else if (tag === numberTag(sequenceField)) sequence = scan.number();
    else if (tag === bytesTag(topicsField)) scanTopic(scan, extent, onExtent);
    else scan.skip(tag);
  }
  scan.finish(description.length);
  return { incarnation, sequence };
}

/** Throws DecodeError, also for a manifest that says nothing. */
export function scanManifest(manifest: Uint8Array): ScannedManifest {
  const [description, rest] = lastOf(manifest, 2);
  const { objectKey, body } = FlushManifest.decode(rest);
  if (description !== undefined) return { objectKey, description };
  if (body?.$case !== 'footer') throw new DecodeError(`the manifest of ${objectKey} says nothing`);
  return { objectKey, footer: body.value };
}

/** The manifests of the bytes that a shelf's key points to. Throws DecodeError. */
export function scanShelf(bytes: Buffer, { length, crc32c: checksum }: ObjectSlice): ScannedManifest[] {
  if (bytes.length !== length) throw new DecodeError(`shelf: ${bytes.length} bytes where ${length} were stored`);
  return decodeChecked(bytes, checksum, (checked) => split(checked, 1).taken.map(scanManifest), 'shelf');
}

/** A footer's bytes, once they are what `checksum` was made from. Throws DecodeError. */
export function checkedFlushFooter(footer: Buffer, checksum: number): Uint8Array {
  return decodeChecked(footer, checksum, (checked) => checked, 'flush object footer');
}

function lastOf(message: Uint8Array, field: number): readonly [Uint8Array | undefined, Uint8Array] {
  try {
    const { taken, rest } = split(message, field);
    return [taken.at(-1), rest];
  } catch (error) {
    throw new DecodeError('flush manifest does not decode', { cause: error });
  }
}

const numberTag = (field: number) => field << 3;
const bytesTag = (field: number) => (field << 3) | 2;

const topicIdField = 1;
const extentsField = 3;

function scanTopic(scan: Scan, extent: ScannedExtent, onExtent: (extent: ScannedExtent) => void): void {
  const end = scan.messageEnd();
  const start = scan.at;
  extent.topicId = topicIdIn(scan, end);
  scan.at = start;
  while (scan.at < end) {
    const tag = scan.varint();
    if (tag === bytesTag(extentsField)) {
      scanExtent(scan, extent);
      onExtent(extent);
    } else scan.skip(tag);
  }
  scan.finish(end);
}

function topicIdIn(scan: Scan, end: number): string {
  while (scan.at < end) {
    const tag = scan.varint();
    if (tag !== bytesTag(topicIdField)) {
      scan.skip(tag);
      continue;
    }
    const idEnd = scan.messageEnd();
    const { bytes, at } = scan;
    return Buffer.from(bytes.buffer, bytes.byteOffset + at, idEnd - at).toString('base64url');
  }
  return '';
}

function scanExtent(scan: Scan, extent: ScannedExtent): void {
  const end = scan.messageEnd();
  extent.start = scan.at;
  extent.end = end;
  extent.partition = 0;
  extent.leaderEpoch = 0;
  extent.baseOffset = 0;
  extent.nextOffset = 0;
  extent.position = 0;
  extent.length = 0;
  extent.maxTimestamp = 0;
  extent.maxTimestampBaseOffset = 0;
  extent.batchCount = 0;
  scan.isExact = true;
  while (scan.at < end) {
    const tag = scan.varint();
    switch (tag) {
      case numberTag(1):
        extent.partition = scan.number();
        break;
      case numberTag(2):
        extent.leaderEpoch = scan.number();
        break;
      case numberTag(3):
        extent.baseOffset = scan.number();
        break;
      case numberTag(4):
        extent.nextOffset = scan.number();
        break;
      case numberTag(5):
        extent.position = scan.number();
        break;
      case numberTag(6):
        extent.length = scan.number();
        break;
      case numberTag(7):
        extent.maxTimestamp = scan.number();
        break;
      case bytesTag(8):
        scanBatch(scan, extent);
        break;
      case numberTag(9):
        extent.maxTimestampBaseOffset = scan.number();
        break;
      default:
        scan.skip(tag);
    }
  }
  scan.finish(end);
  extent.isExact = scan.isExact;
}

function scanBatch(scan: Scan, extent: ScannedExtent): void {
  const end = scan.messageEnd();
  const batch = (extent.batches[extent.batchCount] ??= emptyBatch());
  extent.batchCount += 1;
  Object.assign(batch, noBatch);
  while (scan.at < end) {
    const tag = scan.varint();
    switch (tag) {
      case numberTag(1):
        batch.producerId = scan.number();
        break;
      case numberTag(2):
        batch.producerEpoch = scan.number();
        break;
      case numberTag(3):
        batch.firstSequence = scan.number();
        break;
      case numberTag(4):
        batch.lastSequence = scan.number();
        break;
      case numberTag(5):
        batch.baseOffset = scan.number();
        break;
      case numberTag(6):
        batch.lastTimestamp = scan.number();
        break;
      default:
        scan.skip(tag);
    }
  }
  scan.finish(end);
}

const cutOff = () => new DecodeError('flush description: cut off');

const noBatch: Readonly<ScannedBatch> = {
  producerId: 0,
  producerEpoch: 0,
  firstSequence: 0,
  lastSequence: 0,
  baseOffset: 0,
  lastTimestamp: 0,
};
const emptyBatch = (): ScannedBatch => ({ ...noBatch });
const emptyExtent = (): ScannedExtent => ({
  topicId: '',
  partition: 0,
  leaderEpoch: 0,
  baseOffset: 0,
  nextOffset: 0,
  position: 0,
  length: 0,
  maxTimestamp: 0,
  maxTimestampBaseOffset: 0,
  batchCount: 0,
  batches: [],
  isExact: true,
  start: 0,
  end: 0,
});

class Scan {
  readonly bytes: Uint8Array;
  at = 0;
  isExact = true;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Of at most 28 bits, as tags and lengths are; a longer one is no description of ours. */
  varint(): number {
    const value = this.number();
    if (value < 0 || value >= 2 ** 28) throw new DecodeError(`flush description: ${value} is no tag or length`);
    return value;
  }

  /** An int32 or int64; one that is not a safe integer is near it, and noted. */
  number(): number {
    const { bytes } = this;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[this.at++]!;
      low |= (byte & 127) << shift;
      if (byte < 128) return low;
    }
    let high = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[this.at++]!;
      high |= (byte & 127) << shift;
      if (byte < 128) return this.#checked(low + high * 2 ** 28);
    }
    let top = 0;
    for (let shift = 0; shift < 14; shift += 7) {
      const byte = bytes[this.at++]!;
      top |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    return this.#checked(Number(BigInt.asIntN(64, BigInt(low) + (BigInt(high) << 28n) + (BigInt(top) << 56n))));
  }

  /** Where the message ends that begins with its length here. */
  messageEnd(): number {
    const length = this.varint();
    const end = this.at + length;
    if (end > this.bytes.length) throw cutOff();
    return end;
  }

  skip(tag: number): void {
    const wireType = tag & 7;
    if (wireType === 0) this.number();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 2) this.at = this.messageEnd();
    else if (wireType === 5) this.at += 4;
    else throw new DecodeError(`flush description: wire type ${wireType}`);
  }

  finish(end: number): void {
    if (this.at !== end) throw cutOff();
  }

  #checked(value: number): number {
    if (!Number.isSafeInteger(value)) this.isExact = false;
    return value;
  }
}
