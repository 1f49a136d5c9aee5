/**
 * An index object: what partition records only point to, of many partitions, because it would be too much for the metadata store.
 *
 * | bytes | what |
 * |-------|------|
 * | n     | slices, one behind the other: each a `kafscale.metadata.SegmentList` or `ProducerSnapshot` |
 * | f     | footer: `kafscale.metadata.IndexFooter` |
 * | u32   | footer length f |
 * | u32   | CRC-32C of the footer |
 * | u32   | magic `KIDX` (0x4B494458) |
 *
 * Big-endian. The footer names every slice with its topic and partition, and the partition records that were published with the
 * object: from it a lost metadata store is rebuilt.
 */
import { DecodeError } from '../errors/decode-error.ts';
import {
  IndexFooter,
  type IndexPartition,
  type IndexSlice,
  type ObjectSlice,
  type PartitionRecord,
  ProducerSnapshot,
  type Segment,
  type SegmentChunk,
  SegmentList,
} from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import { decodeChecked, decodeTrailer, encodeTrailer, trailerBytes, type FooterPlace } from './trailer.ts';

const magic = 0x4b494458;

/** Bytes behind the footer. */
export const indexTrailerBytes = trailerBytes;

/** Whose slice it is. */
export interface IndexedPartition {
  /** The 16 bytes of the id. */
  readonly topicId: Buffer;
  readonly topicName: string;
  readonly partition: number;
}

/** Who makes the object, as which. */
export interface IndexObjectOrigin {
  readonly clusterId: string;
  readonly incarnation: string;
  readonly sequence: number;
  readonly createdMs: number;
}

/** Collects what goes into one index object; its slices can be referred to at once, the object is theirs once it is stored. */
export class IndexObjectBuilder {
  readonly #objectKey: string;
  readonly #slices: Buffer[] = [];
  readonly #topics = new Map<string, { readonly topicId: Buffer; readonly partitions: Map<number, Entry> }>();
  #position = 0;

  constructor(objectKey: string) {
    this.#objectKey = objectKey;
  }

  /** Bytes of the slices so far. */
  get sizeBytes(): number {
    return this.#position;
  }

  /** Answers the chunk to put into the record. Throws RangeError for no segments or such as do not follow each other. */
  addSegments(of: IndexedPartition, segments: readonly Segment[]): SegmentChunk {
    const [first] = segments;
    if (first === undefined) throw new RangeError('a chunk has no segments');
    checkSequence(segments, (message) => new RangeError(message));
    const { nextOffset } = segments.at(-1)!;
    const { baseOffset } = first;
    const bytes = Buffer.from(SegmentList.encode({ segments: [...segments] }).finish());
    const list = this.#add(of, bytes, { $case: 'segmentList', value: { baseOffset, nextOffset } });
    return { list, baseOffset, nextOffset, ...totalsOf(segments) };
  }

  /** Answers the reference to put into the record. */
  addProducerSnapshot(of: IndexedPartition, snapshot: ProducerSnapshot): ObjectSlice {
    const bytes = Buffer.from(ProducerSnapshot.encode(snapshot).finish());
    return this.#add(of, bytes, { $case: 'producerSnapshot', value: snapshot.offset });
  }

  /** The partition's record as the publication puts it, so that the object tells what it was. */
  setRecord(of: IndexedPartition, record: PartitionRecord): void {
    this.#entry(of).record = record;
  }

  /** The whole object, as slices to be written in order. */
  finish({ clusterId, incarnation, sequence, createdMs }: IndexObjectOrigin): Buffer[] {
    const footer = Buffer.from(
      IndexFooter.encode({
        clusterId,
        incarnation,
        sequence: BigInt(sequence),
        createdMs: BigInt(createdMs),
        topics: [...this.#topics].map(([name, { topicId, partitions }]) => ({
          topicId,
          name,
          partitions: [...partitions].map(([partition, entry]) => ({ partition, ...entry })),
        })),
      }).finish(),
    );
    return [...this.#slices, footer, encodeTrailer(footer, magic)];
  }

  #add(of: IndexedPartition, bytes: Buffer, content: IndexSlice['content']): ObjectSlice {
    const place = { position: BigInt(this.#position), length: bytes.length, crc32c: crc32c(bytes) };
    this.#slices.push(bytes);
    this.#position += bytes.length;
    this.#entry(of).slices.push({ ...place, content });
    return { objectKey: this.#objectKey, ...place };
  }

  #entry({ topicId, topicName, partition }: IndexedPartition): Entry {
    const topic = this.#topics.get(topicName) ?? { topicId, partitions: new Map<number, Entry>() };
    this.#topics.set(topicName, topic);
    if (!topic.topicId.equals(topicId)) throw new RangeError(`topic ${topicName} has two ids`);
    const entry = topic.partitions.get(partition) ?? { record: undefined, slices: [] };
    topic.partitions.set(partition, entry);
    return entry;
  }
}

type Entry = Omit<IndexPartition, 'partition'>;

/** Where the footer of an object of `objectBytes` lies, from its last 12 bytes. Throws DecodeError. */
export function decodeIndexTrailer(trailer: Buffer, objectBytes: number): FooterPlace {
  return decodeTrailer(trailer, objectBytes, magic, 'an index object');
}

/** Throws DecodeError when the bytes are not the footer at `place`, or it names slices that cannot be in the object. */
export function decodeIndexFooter(bytes: Buffer, place: FooterPlace): IndexFooter {
  const footer = decodeChecked(bytes, place.crc32c, (checked) => IndexFooter.decode(checked), 'index footer');
  for (const { name, partitions } of footer.topics) {
    for (const { partition, slices } of partitions) {
      for (const { position, length, content } of slices) {
        const isInside = position >= 0n && length >= 0 && position + BigInt(length) <= BigInt(place.position);
        if (!isInside) throw new DecodeError(`index footer: a slice of ${name}-${partition} lies outside the object`);
        if (content === undefined) throw new DecodeError(`index footer: a slice of ${name}-${partition} is nothing`);
      }
    }
  }
  return footer;
}

/** The segments of a chunk, which together are what the chunk says. Throws DecodeError. */
export function decodeSegmentChunk(bytes: Buffer, chunk: SegmentChunk): Segment[] {
  const { list } = chunk;
  if (list === undefined || bytes.length !== list.length) throw new DecodeError('segment list: another length');
  const { segments } = decodeChecked(bytes, list.crc32c, (checked) => SegmentList.decode(checked), 'segment list');
  checkSequence(segments, (message) => new DecodeError(`segment list: ${message}`));
  const { segmentCount, length, maxTimestamp } = totalsOf(segments);
  const isSame =
    segments[0]?.baseOffset === chunk.baseOffset &&
    segments.at(-1)?.nextOffset === chunk.nextOffset &&
    segmentCount === chunk.segmentCount &&
    length === chunk.length &&
    maxTimestamp === chunk.maxTimestamp;
  if (!isSame) throw new DecodeError('segment list: not the one that its chunk describes');
  return segments;
}

/** Throws DecodeError. */
export function decodeProducerSnapshot(bytes: Buffer, { length, crc32c: checksum }: ObjectSlice): ProducerSnapshot {
  if (bytes.length !== length) throw new DecodeError('producer snapshot: another length');
  return decodeChecked(bytes, checksum, (checked) => ProducerSnapshot.decode(checked), 'producer snapshot');
}

const largestOffset = BigInt(Number.MAX_SAFE_INTEGER);

function checkSequence(segments: readonly Segment[], fault: (message: string) => Error): void {
  let expected = segments[0]?.baseOffset ?? 0n;
  let leaderEpoch = 0;
  for (const { objectKey, baseOffset, nextOffset, position, length, leaderEpoch: epoch } of segments) {
    if (baseOffset !== expected || baseOffset < 0n) throw fault(`a segment at offset ${baseOffset}, not ${expected}`);
    if (nextOffset <= baseOffset || nextOffset > largestOffset) throw fault(`a segment that ends before ${nextOffset}`);
    const isPlace = objectKey !== '' && position >= 0n && length > 0n && position + length <= largestOffset;
    if (!isPlace) throw fault(`the segment at offset ${baseOffset} lies nowhere`);
    if (epoch < leaderEpoch) throw fault(`leader epoch ${epoch} after ${leaderEpoch}`);
    expected = nextOffset;
    leaderEpoch = epoch;
  }
}

function totalsOf(segments: readonly Segment[]) {
  let length = 0n;
  let maxTimestamp = -1n;
  for (const segment of segments) {
    length += segment.length;
    if (segment.maxTimestamp > maxTimestamp) ({ maxTimestamp } = segment);
  }
  return { segmentCount: segments.length, length, maxTimestamp };
}
