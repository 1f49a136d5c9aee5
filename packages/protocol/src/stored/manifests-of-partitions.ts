/**
 * Manifests decoded for a few of their partitions: who takes partitions over reads what every flush of the cluster says, and nearly
 * all of it is about others. Extents of those are skipped and never built.
 */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { DecodeError } from '../errors/decode-error.ts';
import {
  FlushDescription,
  FlushExtent,
  FlushManifest,
  FlushTopic,
  Shelf,
  type ObjectSlice,
} from '../metadata/generated/metadata/metadata.ts';
import { decodeChecked } from './trailer.ts';

/** The partitions of a topic (its id as Kafka prints it) that are wanted; undefined for none. */
export type WantedPartitions = (topicId: string) => { has(partition: number): boolean } | undefined;

const manifestInline = 2;
const descriptionTopics = 6;
const topicId = 1;
const topicExtents = 3;
const extentPartition = 1;
const shelfManifests = 1;

/** As `FlushManifest.decode`, without extents of other partitions. Throws DecodeError. */
export function decodeManifestOf(bytes: Uint8Array, wanted: WantedPartitions): FlushManifest {
  try {
    return manifestOf(bytes, wanted);
  } catch (error) {
    throw new DecodeError('flush manifest does not decode', { cause: error });
  }
}

/** As `decodeFlushFooter`, without extents of other partitions. Throws DecodeError. */
export function decodeFlushFooterOf(footer: Buffer, checksum: number, wanted: WantedPartitions): FlushDescription {
  return decodeChecked(footer, checksum, (bytes) => descriptionOf(bytes, wanted), 'flush object footer');
}

/** As `decodeShelf`, without extents of other partitions. Throws DecodeError. */
export function decodeShelfOf(
  bytes: Buffer,
  { length, crc32c: checksum }: ObjectSlice,
  wanted: WantedPartitions,
): FlushManifest[] {
  if (bytes.length !== length) throw new DecodeError(`shelf: ${bytes.length} bytes where ${length} were stored`);
  return decodeChecked(bytes, checksum, (checked) => shelfOf(checked, wanted), 'shelf').manifests;
}

function shelfOf(bytes: Uint8Array, wanted: WantedPartitions): Shelf {
  const { taken, rest } = split(bytes, shelfManifests);
  return { ...Shelf.decode(rest), manifests: taken.map((manifest) => manifestOf(manifest, wanted)) };
}

function manifestOf(bytes: Uint8Array, wanted: WantedPartitions): FlushManifest {
  const { taken, rest } = split(bytes, manifestInline);
  const manifest = FlushManifest.decode(rest);
  const inline = taken.at(-1);
  if (inline === undefined) return manifest;
  return { ...manifest, body: { $case: 'inline', value: descriptionOf(inline, wanted) } };
}

function descriptionOf(bytes: Uint8Array, wanted: WantedPartitions): FlushDescription {
  const { taken, rest } = split(bytes, descriptionTopics);
  return { ...FlushDescription.decode(rest), topics: taken.flatMap((topic) => topicOf(topic, wanted) ?? []) };
}

function topicOf(bytes: Uint8Array, wanted: WantedPartitions): FlushTopic | undefined {
  const partitions = wanted(idOf(bytes));
  if (partitions === undefined) return undefined;
  const { taken, rest } = split(bytes, topicExtents, (extent) => partitions.has(partitionOf(extent)));
  return { ...FlushTopic.decode(rest), extents: taken.map((extent) => FlushExtent.decode(extent)) };
}

function idOf(topic: Uint8Array): string {
  const reader = new BinaryReader(topic);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === topicId) return Buffer.from(reader.bytes()).toString('base64url');
    reader.skip(wireType, field);
  }
  return '';
}

/** Partition 0 is what has no such field. */
function partitionOf(extent: Uint8Array): number {
  const reader = new BinaryReader(extent);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === extentPartition) return reader.int32();
    reader.skip(wireType, field);
  }
  return 0;
}

interface Split {
  /** The values of the field, as many as there are. */
  readonly taken: Uint8Array[];
  /** A message without that field. */
  readonly rest: Uint8Array;
}

/** A message taken apart by one of its fields. */
export function split(bytes: Uint8Array, field: number, isWanted: (value: Uint8Array) => boolean = () => true): Split {
  const reader = new BinaryReader(bytes);
  const taken: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    if (number === field) {
      const value = reader.bytes();
      if (isWanted(value)) taken.push(value);
    } else {
      reader.skip(wireType, number);
      rest.push(bytes.subarray(start, reader.pos));
    }
  }
  return { taken, rest: Buffer.concat(rest) };
}
