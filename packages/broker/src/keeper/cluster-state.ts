/**
 * Everything the metadata store holds at one revision, read a page at a time: now (`liveState`), or as a checkpoint keeps it
 * (checkpoint-reader.ts). What garbage collection, verify, restore and rebuild know of the cluster, they know from here.
 */
import {
  decodeFlushFooter,
  DecodeError,
  decodeSegmentChunk,
  decodeShelf,
  metadata,
  metadataKeys,
  metadataPrefixes,
} from '@kafscale/protocol';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { Revision } from '../metadata/metadata-store.ts';
import { keysAt, readKey, readObject, readSlice, type StoreAccess } from './store-access.ts';

export interface StateEntry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface ClusterState {
  readonly revision: Revision;
  /** The entries whose key starts with `prefix` ('' for all), in the order of keys. Throws MetadataError, StorageError. */
  entries(prefix: string): AsyncIterable<StateEntry>;
}

/** As of a linearizable read made now. Reading on throws MetadataError `compacted` once the store has dropped that revision. */
export async function liveState(access: StoreAccess): Promise<ClusterState> {
  const { revision } = await readKey(access, metadataKeys.cluster);
  return { revision, entries: (prefix) => keysAt(access, prefix, revision) };
}

export interface StatePartition {
  readonly key: string;
  /** base64url of the id's 16 bytes. */
  readonly topicId: string;
  readonly partition: number;
  readonly record: metadata.PartitionRecord;
}

/** Records of partitions, without those of coordinator shards. */
export async function* partitionsOf(state: ClusterState): AsyncGenerator<StatePartition, void, undefined> {
  for await (const { key, value } of state.entries(metadataPrefixes.partitions)) {
    const [, topicId, partition] = key.split('/');
    if (topicId === undefined || partition === undefined || !isTopicId(topicId)) continue;
    const record = decoded(key, () => metadata.PartitionRecord.decode(value));
    yield { key, topicId, partition: Number(partition), record };
  }
}

const isTopicId = (text: string) => /^[A-Za-z0-9_-]{22}$/.test(text);

export interface StateTopic {
  readonly name: string;
  readonly topicId: string;
  readonly record: metadata.TopicRecord;
}

export async function* topicsOf(state: ClusterState): AsyncGenerator<StateTopic, void, undefined> {
  for await (const { key, value } of state.entries(metadataPrefixes.topics)) {
    const record = decoded(key, () => metadata.TopicRecord.decode(value));
    yield { name: key.slice(metadataPrefixes.topics.length), topicId: record.topicId.toString('base64url'), record };
  }
}

/** Tombstones by topic id. */
export async function tombstonesOf(state: ClusterState): Promise<Map<string, metadata.TopicTombstone>> {
  const tombstones = new Map<string, metadata.TopicTombstone>();
  for await (const { key, value } of state.entries(metadataPrefixes.tombstones)) {
    const tombstone = decoded(key, () => metadata.TopicTombstone.decode(value));
    tombstones.set(key.slice(metadataPrefixes.tombstones.length), tombstone);
  }
  return tombstones;
}

export interface StateManifest {
  /** The key that holds it: its own, or that of its shelf. */
  readonly key: string;
  readonly manifest: metadata.FlushManifest;
}

export interface StateShelf {
  readonly key: string;
  readonly record: metadata.ShelfRecord;
}

export async function* shelvesOf(state: ClusterState): AsyncGenerator<StateShelf, void, undefined> {
  for await (const { key, value } of state.entries(metadataPrefixes.shelves)) {
    yield { key, record: decoded(key, () => metadata.ShelfRecord.decode(value)) };
  }
}

export async function* manifestKeysOf(state: ClusterState): AsyncGenerator<StateManifest, void, undefined> {
  for await (const { key, value } of state.entries(metadataPrefixes.manifests)) {
    yield { key, manifest: decoded(key, () => metadata.FlushManifest.decode(value)) };
  }
}

/** Throws StorageError, also `corrupt`. */
export async function readShelf(access: StoreAccess, { key, record }: StateShelf): Promise<metadata.Shelf> {
  const { shelf } = record;
  if (shelf === undefined) throw new MetadataError('corrupt', `shelf ${key} names no object`);
  const bytes = await readSlice(access, shelf);
  return decoded(key, () => ({ manifests: decodeShelf(bytes, shelf) }));
}

/** Manifests with keys of their own, then those on shelves. A shelf that cannot be read throws, unless `onUnreadable` takes note of it. */
export async function* manifestsOf(
  access: StoreAccess,
  state: ClusterState,
  onUnreadable: (shelf: StateShelf, error: unknown) => void = rethrow,
): AsyncGenerator<StateManifest, void, undefined> {
  yield* manifestKeysOf(state);
  for await (const shelf of shelvesOf(state)) {
    let manifests: readonly metadata.FlushManifest[] = [];
    try {
      ({ manifests } = await readShelf(access, shelf));
    } catch (error) {
      onUnreadable(shelf, error);
    }
    for (const manifest of manifests) yield { key: shelf.key, manifest };
  }
}

function rethrow(_shelf: StateShelf, error: unknown): never {
  throw error;
}

/** What the manifest says of its object, from its footer where it is too large for the key. Throws MetadataError, StorageError, DecodeError. */
export async function describe(
  access: StoreAccess,
  { key, manifest }: StateManifest,
): Promise<metadata.FlushDescription> {
  const { objectKey, body } = manifest;
  switch (body?.$case) {
    case 'inline':
      return body.value;
    case 'footer': {
      const start = Number(body.value.position);
      const footer = await readObject(access, objectKey, { start, end: start + body.value.length });
      return decodeFlushFooter(footer, body.value.crc32c);
    }
    case undefined:
      throw new MetadataError('corrupt', `${key} names ${objectKey} and says nothing of it`);
  }
}

/** The segments of a record, oldest first, those in its chunks included. Throws StorageError, DecodeError. */
export async function* segmentsOf(
  access: StoreAccess,
  record: Pick<metadata.PartitionRecord, 'chunks' | 'segments'>,
): AsyncGenerator<metadata.Segment, void, undefined> {
  for (const chunk of record.chunks) {
    if (chunk.list === undefined) throw new DecodeError('a chunk has no list');
    yield* decodeSegmentChunk(await readSlice(access, chunk.list), chunk);
  }
  yield* record.segments;
}

export interface IncarnationPlace {
  readonly incarnation: string;
  readonly sequence: number;
}

/** What a key of `manifests/` or `shelves/` says. */
export function placeOf(key: string): IncarnationPlace {
  const [, incarnation, sequence] = key.split('/');
  return { incarnation: incarnation ?? '', sequence: Number(sequence) };
}

function decoded<T>(key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new MetadataError('corrupt', `the value of ${key} does not decode`, { cause: error });
  }
}
