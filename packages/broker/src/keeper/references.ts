/** Which objects a state of the cluster refers to. Whoever decides over an object's life asks here and nowhere else. */
import { DecodeError, type metadata } from '@kafscale/protocol';
import {
  manifestKeysOf,
  partitionsOf,
  readShelf,
  segmentsOf,
  shelvesOf,
  type ClusterState,
  type StateShelf,
} from './cluster-state.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { indexOfSegment, type ObjectName } from '../storage/object-names.ts';
import type { ObjectKey } from '../storage/object-store.ts';
import { StorageError } from '../storage/storage-error.ts';
import type { StoreAccess } from './store-access.ts';

export interface Reference {
  readonly objectKey: ObjectKey;
  /** The metadata key that holds it, or leads to it. */
  readonly key: string;
}

/** Something that lists references, and is lost: nobody can tell which. */
export interface LostList {
  readonly objectKey: ObjectKey;
  readonly key: string;
  /** Whether it may have listed an object of that name. */
  readonly mayList: (name: ObjectName) => boolean;
}

export interface ReadingReferences {
  /** Lists that are not to be read again; those that are read are added. */
  readonly alreadyRead?: Set<string>;
  /** Told of what is lost for good, not of what does not answer; what is lost throws unless this is given. */
  readonly onLost?: (lost: LostList) => void;
}

/** References that an object lists, once it has been read. */
interface List extends LostList {
  readonly read: () => Promise<Iterable<Reference>>;
}

const readsAtOnce = 8;

/**
 * Every reference of a state; memory for the places of its shelves and chunks, and a few of these themselves. Those named in
 * `alreadyRead` are not read again, and those read are added: one set serves several states of which all references are wanted
 * together. Throws MetadataError, StorageError and DecodeError: a state that cannot be read whole says nothing about what is garbage.
 */
export async function* referencesOf(
  access: StoreAccess,
  state: ClusterState,
  { alreadyRead = new Set<string>(), onLost }: ReadingReferences = {},
): AsyncGenerator<Reference, void, undefined> {
  // Read behind all keys: the metadata store does not keep a revision for as long as that may take.
  const lists: List[] = [];
  for await (const { key, manifest } of manifestKeysOf(state)) yield { key, objectKey: manifest.objectKey };
  for await (const shelf of shelvesOf(state)) {
    const { key, record } = shelf;
    if (record.shelf !== undefined) yield { key, objectKey: record.shelf.objectKey };
    if (!isNew(record.shelf, alreadyRead)) continue;
    const objectKey = record.shelf?.objectKey ?? key;
    lists.push({ key, objectKey, mayList: flushesOnShelf(record), read: () => onShelf(access, shelf) });
  }
  for await (const { key, record } of partitionsOf(state)) {
    if (record.producerSnapshot !== undefined) yield { key, objectKey: record.producerSnapshot.objectKey };
    for (const { list } of record.chunks) if (list !== undefined) yield { key, objectKey: list.objectKey };
    yield* toSegments(key, record.segments);
    for (const chunk of record.chunks.filter(({ list }) => isNew(list, alreadyRead))) {
      const objectKey = chunk.list?.objectKey ?? key;
      lists.push({ key, objectKey, mayList: isOfSegments, read: () => inChunk(access, key, chunk) });
    }
  }
  for (let start = 0; start < lists.length; start += readsAtOnce) {
    const some = lists.slice(start, start + readsAtOnce);
    const read = await Promise.all(some.map((list) => readList(list, onLost)));
    for (const references of read) yield* references;
  }
}

async function readList(list: List, onLost: ReadingReferences['onLost']): Promise<Iterable<Reference>> {
  try {
    return await list.read();
  } catch (error) {
    if (onLost === undefined || !isLost(error)) throw error;
    onLost(list);
    return [];
  }
}

/** What cannot be read now may be read later; only what is gone, or is not what was stored, is lost. */
const isLost = (error: unknown) =>
  error instanceof DecodeError ||
  ((error instanceof StorageError || error instanceof MetadataError) &&
    (error.kind === 'not-found' || error.kind === 'corrupt'));

/** Shelves list flushes alone: those of the ranges that the key names, or any. */
function flushesOnShelf({ flushes }: metadata.ShelfRecord): LostList['mayList'] {
  return ({ kind, incarnation, sequence }) => {
    if (kind !== 'flush') return false;
    if (flushes === undefined || flushes.ranges.length === 0) return true;
    return flushes.ranges.some(
      (range) => range.incarnation === incarnation && range.firstSequence <= sequence && sequence <= range.lastSequence,
    );
  };
}

/** Chunks list segments and merged objects, and an index goes with each segment. */
const isOfSegments: LostList['mayList'] = ({ kind }) =>
  kind === 'segment' || kind === 'segment-index' || kind === 'merged';

async function onShelf(access: StoreAccess, shelf: StateShelf): Promise<Iterable<Reference>> {
  const { manifests } = await readShelf(access, shelf);
  return toFlushes(shelf.key, manifests);
}

async function inChunk(access: StoreAccess, key: string, chunk: metadata.SegmentChunk): Promise<Iterable<Reference>> {
  const segments: metadata.Segment[] = [];
  for await (const segment of segmentsOf(access, { chunks: [chunk], segments: [] })) segments.push(segment);
  return toSegments(key, segments);
}

function* toFlushes(key: string, manifests: readonly metadata.FlushManifest[]): Generator<Reference, void, undefined> {
  for (const { objectKey } of manifests) yield { key, objectKey };
}

function* toSegments(key: string, segments: readonly metadata.Segment[]): Generator<Reference, void, undefined> {
  for (const { objectKey } of segments) {
    yield { key, objectKey };
    const index = indexOfSegment(objectKey);
    if (index !== undefined) yield { key, objectKey: index };
  }
}

function isNew(slice: metadata.ObjectSlice | undefined, alreadyRead: Set<string>): boolean {
  if (slice === undefined) return true;
  const id = `${slice.objectKey} ${slice.position}`;
  if (alreadyRead.has(id)) return false;
  alreadyRead.add(id);
  return true;
}
