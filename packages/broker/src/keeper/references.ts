/** Which objects a state of the cluster refers to. Whoever decides over an object's life asks here and nowhere else. */
import type { metadata } from '@kafscale/protocol';
import { manifestKeysOf, partitionsOf, readShelf, segmentsOf, shelvesOf, type ClusterState } from './cluster-state.ts';
import { indexOfSegment } from '../storage/object-names.ts';
import type { ObjectKey } from '../storage/object-store.ts';
import type { StoreAccess } from './store-access.ts';

export interface Reference {
  readonly objectKey: ObjectKey;
  /** The metadata key that holds it, or leads to it. */
  readonly key: string;
}

/**
 * Every reference of a state; memory for one shelf or chunk at a time. Shelves and chunks named in `alreadyRead` are not read again,
 * and those read are added: one set serves several states of which all references are wanted together. Throws MetadataError,
 * StorageError and DecodeError: a state that cannot be read whole says nothing about what is garbage.
 */
export async function* referencesOf(
  access: StoreAccess,
  state: ClusterState,
  alreadyRead = new Set<string>(),
): AsyncGenerator<Reference, void, undefined> {
  for await (const { key, manifest } of manifestKeysOf(state)) yield { key, objectKey: manifest.objectKey };
  for await (const shelf of shelvesOf(state)) {
    const { key, record } = shelf;
    if (record.shelf !== undefined) yield { key, objectKey: record.shelf.objectKey };
    if (!isNew(record.shelf, alreadyRead)) continue;
    const { manifests } = await readShelf(access, shelf);
    for (const { objectKey } of manifests) yield { key, objectKey };
  }
  for await (const { key, record } of partitionsOf(state)) {
    if (record.producerSnapshot !== undefined) yield { key, objectKey: record.producerSnapshot.objectKey };
    for (const { list } of record.chunks) if (list !== undefined) yield { key, objectKey: list.objectKey };
    const chunks = record.chunks.filter(({ list }) => isNew(list, alreadyRead));
    for await (const { objectKey } of segmentsOf(access, { ...record, chunks })) {
      yield { key, objectKey };
      const index = indexOfSegment(objectKey);
      if (index !== undefined) yield { key, objectKey: index };
    }
  }
}

function isNew(slice: metadata.ObjectSlice | undefined, alreadyRead: Set<string>): boolean {
  if (slice === undefined) return true;
  const id = `${slice.objectKey} ${slice.position}`;
  if (alreadyRead.has(id)) return false;
  alreadyRead.add(id);
  return true;
}
