/** Which objects a state of the cluster refers to. Whoever decides over an object's life asks here and nowhere else. */
import type { metadata } from '@kafscale/protocol';
import {
  manifestKeysOf,
  partitionsOf,
  readShelf,
  segmentsOf,
  shelvesOf,
  type ClusterState,
  type StateShelf,
} from './cluster-state.ts';
import { indexOfSegment } from '../storage/object-names.ts';
import type { ObjectKey } from '../storage/object-store.ts';
import type { StoreAccess } from './store-access.ts';

export interface Reference {
  readonly objectKey: ObjectKey;
  /** The metadata key that holds it, or leads to it. */
  readonly key: string;
}

/** References that an object lists, once it has been read. */
type List = () => Promise<Iterable<Reference>>;

const readsAtOnce = 8;

/**
 * Every reference of a state; memory for the places of its shelves and chunks, and a few of these themselves. Those named in
 * `alreadyRead` are not read again, and those read are added: one set serves several states of which all references are wanted
 * together. Throws MetadataError, StorageError and DecodeError: a state that cannot be read whole says nothing about what is garbage.
 */
export async function* referencesOf(
  access: StoreAccess,
  state: ClusterState,
  alreadyRead = new Set<string>(),
): AsyncGenerator<Reference, void, undefined> {
  // Read behind all keys: the metadata store does not keep a revision for as long as that may take.
  const lists: List[] = [];
  for await (const { key, manifest } of manifestKeysOf(state)) yield { key, objectKey: manifest.objectKey };
  for await (const shelf of shelvesOf(state)) {
    const { key, record } = shelf;
    if (record.shelf !== undefined) yield { key, objectKey: record.shelf.objectKey };
    if (isNew(record.shelf, alreadyRead)) lists.push(() => onShelf(access, shelf));
  }
  for await (const { key, record } of partitionsOf(state)) {
    if (record.producerSnapshot !== undefined) yield { key, objectKey: record.producerSnapshot.objectKey };
    for (const { list } of record.chunks) if (list !== undefined) yield { key, objectKey: list.objectKey };
    yield* toSegments(key, record.segments);
    for (const chunk of record.chunks.filter(({ list }) => isNew(list, alreadyRead))) {
      lists.push(() => inChunk(access, key, chunk));
    }
  }
  for (let start = 0; start < lists.length; start += readsAtOnce) {
    const read = await Promise.all(lists.slice(start, start + readsAtOnce).map((list) => list()));
    for (const references of read) yield* references;
  }
}

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
