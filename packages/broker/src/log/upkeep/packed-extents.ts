/**
 * What many flushes say of one partition, packed: each number is stored as its difference from what usually comes next, so an extent with
 * a producer's batch takes some 25 bytes. Entries are appended, and read in the order in which they came.
 */
import { metadata, type ScannedExtent } from '@kafscale/protocol';

/** An entry as it is read. */
export type TakeExtent = (flush: number, extent: metadata.FlushExtent) => void;

/** Beyond it differences would not be exact; the message is kept as it is then. */
const maxMagnitude = 2 ** 50;
const maxVarintBytes = 8;
const numbersPerExtent = 9;
const numbersPerBatch = 6;
const initialBytes = 64;

/** What the entry before said. */
interface Last {
  flush: number;
  leaderEpoch: number;
  nextOffset: number;
  maxTimestamp: number;
  producerId: number;
  sequence: number;
}

const beginning = (): Last => ({
  flush: 0,
  leaderEpoch: 0,
  nextOffset: 0,
  maxTimestamp: 0,
  producerId: 0,
  sequence: -1,
});

export class PackedExtents {
  #bytes = Buffer.allocUnsafeSlow(initialBytes);
  #length = 0;
  #last = beginning();

  /** Memory, used or not. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** `message` is what was scanned. Returns how many bytes the entry took. */
  add(flush: number, extent: Readonly<ScannedExtent>, message: Uint8Array): number {
    const before = this.#length;
    if (isPackable(extent)) this.#addPacked(flush, extent);
    else this.#addMessage(flush, message.subarray(extent.start, extent.end));
    return this.#length - before;
  }

  /** The entries of flushes that are `wanted`, but those that end at `above` or below. */
  read(wanted: (flush: number) => boolean, above: number, take: TakeExtent): void {
    const reader = new Reader(this.#bytes.subarray(0, this.#length));
    const last = beginning();
    while (!reader.isAtEnd) {
      const header = reader.natural();
      last.flush += fromZigzag(Math.floor(header / 2));
      if (header % 2 === 1) {
        const message = reader.message();
        if (!wanted(last.flush)) continue;
        const extent = metadata.FlushExtent.decode(message);
        if (extent.nextOffset > above) take(last.flush, extent);
        continue;
      }
      const isWanted = wanted(last.flush);
      const extent = readPacked(reader, last, isWanted ? above : Infinity);
      if (extent !== undefined) take(last.flush, extent);
    }
  }

  /** A copy with the entries of `wanted` flushes alone; undefined when there are none. */
  compacted(wanted: (flush: number) => boolean): PackedExtents | undefined {
    const copy = new PackedExtents();
    const scratch = scannedOf();
    this.read(wanted, -Infinity, (flush, extent) => {
      const message = fill(scratch, extent) ? noMessage : metadata.FlushExtent.encode(extent).finish();
      scratch.end = message.length;
      copy.add(flush, scratch, message);
    });
    return copy.#length === 0 ? undefined : copy;
  }

  #addPacked(flush: number, extent: Readonly<ScannedExtent>): void {
    this.#reserve(maxVarintBytes * (numbersPerExtent + 1 + numbersPerBatch * extent.batchCount));
    const last = this.#last;
    this.#put(toZigzag(flush - last.flush) * 2);
    this.#put(toZigzag(extent.leaderEpoch - last.leaderEpoch));
    this.#put(toZigzag(extent.baseOffset - last.nextOffset));
    this.#put(toZigzag(extent.nextOffset - extent.baseOffset));
    this.#put(toZigzag(extent.position));
    this.#put(toZigzag(extent.length));
    this.#put(toZigzag(extent.maxTimestamp - last.maxTimestamp));
    this.#put(toZigzag(extent.maxTimestampBaseOffset - extent.baseOffset));
    this.#put(toZigzag(extent.partition));
    this.#put(extent.batchCount);
    for (let index = 0; index < extent.batchCount; index += 1) {
      const batch = extent.batches[index]!;
      this.#put(toZigzag(batch.producerId - last.producerId));
      this.#put(toZigzag(batch.producerEpoch));
      this.#put(toZigzag(batch.firstSequence - last.sequence - 1));
      this.#put(toZigzag(batch.lastSequence - batch.firstSequence));
      this.#put(toZigzag(batch.baseOffset - extent.baseOffset));
      this.#put(toZigzag(batch.lastTimestamp - extent.maxTimestamp));
      last.producerId = batch.producerId;
      last.sequence = batch.lastSequence;
    }
    last.flush = flush;
    last.leaderEpoch = extent.leaderEpoch;
    last.nextOffset = extent.nextOffset;
    last.maxTimestamp = extent.maxTimestamp;
  }

  #addMessage(flush: number, message: Uint8Array): void {
    this.#reserve(2 * maxVarintBytes + message.length);
    this.#put(toZigzag(flush - this.#last.flush) * 2 + 1);
    this.#put(message.length);
    this.#bytes.set(message, this.#length);
    this.#length += message.length;
    this.#last.flush = flush;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(this.#bytes.length * 1.25)));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  #put(natural: number): void {
    const bytes = this.#bytes;
    let rest = natural;
    for (; rest >= 2 ** 28; rest = Math.floor(rest / 128)) bytes[this.#length++] = (rest % 128) + 128;
    for (; rest >= 128; rest >>>= 7) bytes[this.#length++] = (rest & 127) | 128;
    bytes[this.#length++] = rest;
  }
}

const toZigzag = (value: number) => (value >= 0 ? value * 2 : -value * 2 - 1);
const fromZigzag = (natural: number) => (natural % 2 === 0 ? natural / 2 : -(natural + 1) / 2);
const isSmall = (value: number) => value < maxMagnitude && value > -maxMagnitude;

function isPackable(extent: Readonly<ScannedExtent>): boolean {
  if (!extent.isExact || !isSmall(extent.baseOffset) || !isSmall(extent.nextOffset)) return false;
  if (!isSmall(extent.position) || !isSmall(extent.maxTimestamp) || !isSmall(extent.maxTimestampBaseOffset))
    return false;
  for (let index = 0; index < extent.batchCount; index += 1) {
    const batch = extent.batches[index]!;
    if (!isSmall(batch.producerId) || !isSmall(batch.baseOffset) || !isSmall(batch.lastTimestamp)) return false;
  }
  return true;
}

/** Goes past the entry; builds it only when it ends above `above`. */
function readPacked(reader: Reader, last: Last, above: number): metadata.FlushExtent | undefined {
  const leaderEpoch = last.leaderEpoch + reader.integer();
  const baseOffset = last.nextOffset + reader.integer();
  const nextOffset = baseOffset + reader.integer();
  const position = reader.integer();
  const length = reader.integer();
  const maxTimestamp = last.maxTimestamp + reader.integer();
  const maxTimestampBaseOffset = baseOffset + reader.integer();
  const partition = reader.integer();
  const isWanted = nextOffset > above;
  const producerBatches: metadata.ProducerBatch[] = [];
  for (let left = reader.natural(); left > 0; left -= 1) {
    const producerId = last.producerId + reader.integer();
    const producerEpoch = reader.integer();
    const firstSequence = last.sequence + 1 + reader.integer();
    const lastSequence = firstSequence + reader.integer();
    const batchOffset = baseOffset + reader.integer();
    const lastTimestamp = maxTimestamp + reader.integer();
    last.producerId = producerId;
    last.sequence = lastSequence;
    if (!isWanted) continue;
    producerBatches.push({
      producerId: BigInt(producerId),
      producerEpoch,
      firstSequence,
      lastSequence,
      baseOffset: BigInt(batchOffset),
      lastTimestamp: BigInt(lastTimestamp),
    });
  }
  last.leaderEpoch = leaderEpoch;
  last.nextOffset = nextOffset;
  last.maxTimestamp = maxTimestamp;
  if (!isWanted) return undefined;
  return {
    partition,
    leaderEpoch,
    baseOffset: BigInt(baseOffset),
    nextOffset: BigInt(nextOffset),
    position: BigInt(position),
    length,
    maxTimestamp: BigInt(maxTimestamp),
    maxTimestampBaseOffset: BigInt(maxTimestampBaseOffset),
    producerBatches,
  };
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  natural(): number {
    const bytes = this.#bytes;
    let value = bytes[this.#at++]!;
    if (value < 128) return value;
    value &= 127;
    for (let factor = 128; ; factor *= 128) {
      const byte = bytes[this.#at++]!;
      if (byte < 128) return value + byte * factor;
      value += (byte - 128) * factor;
    }
  }

  integer(): number {
    return fromZigzag(this.natural());
  }

  message(): Uint8Array {
    const length = this.natural();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

const noMessage = new Uint8Array(0);

function scannedOf(): ScannedExtent {
  const nothing = { topicId: '', partition: 0, leaderEpoch: 0, baseOffset: 0, nextOffset: 0, position: 0, length: 0 };
  const rest = { maxTimestamp: 0, maxTimestampBaseOffset: 0, batchCount: 0, batches: [], isExact: true };
  return { ...nothing, ...rest, start: 0, end: 0 };
}

/** False when not all of it is exact in there. */
function fill(scratch: ScannedExtent, extent: metadata.FlushExtent): boolean {
  scratch.partition = extent.partition;
  scratch.leaderEpoch = extent.leaderEpoch;
  scratch.baseOffset = Number(extent.baseOffset);
  scratch.nextOffset = Number(extent.nextOffset);
  scratch.position = Number(extent.position);
  scratch.length = extent.length;
  scratch.maxTimestamp = Number(extent.maxTimestamp);
  scratch.maxTimestampBaseOffset = Number(extent.maxTimestampBaseOffset);
  scratch.batchCount = extent.producerBatches.length;
  for (const [index, batch] of extent.producerBatches.entries()) {
    const { producerId, baseOffset, lastTimestamp, ...rest } = batch;
    scratch.batches[index] = {
      ...rest,
      producerId: Number(producerId),
      baseOffset: Number(baseOffset),
      lastTimestamp: Number(lastTimestamp),
    };
  }
  return isPackable(scratch);
}
