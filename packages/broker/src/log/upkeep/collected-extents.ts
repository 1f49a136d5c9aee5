/**
 * Of all manifests and shelves of the cluster what they say of a few partitions, and what of it cannot be read. Keys are taken first and
 * objects read behind all of them: the metadata store does not keep a revision for as long as a slow bucket may take.
 */
import {
  decodeManifestOf,
  mayHoldPartition,
  metadata,
  metadataPrefixes,
  type WantedPartitions,
} from '@kafscale/protocol';
import { mapConcurrently } from '@kafscale/runtime';
import type { KeyValue } from '../../metadata/metadata-store.ts';
import type { Extent } from '../partition-log.ts';
import { describeFlush, extentOfFlush, isLost, readShelf, type ReadingManifests } from './stored-manifests.ts';

interface PartitionName {
  readonly topicId: string;
  readonly partition: number;
}

interface FlushName {
  readonly incarnation: string;
  readonly sequence: number;
}

/** What was found of one partition, in any order. */
export class FoundExtents {
  readonly extents: Extent[] = [];
  readonly producerBatches: metadata.ProducerBatch[] = [];
  /** By incarnation: the sequence of the last flush that holds the partition. */
  readonly lastSequences = new Map<string, number>();

  add(objectKey: string, { incarnation, sequence }: FlushName, extent: metadata.FlushExtent): void {
    this.extents.push(extentOfFlush(objectKey, extent));
    for (const batch of extent.producerBatches) this.producerBatches.push(batch);
    this.lastSequences.set(incarnation, Math.max(this.lastSequences.get(incarnation) ?? -1, sequence));
  }
}

/** Something committed of which nobody can tell what it says. */
export interface Unreadable {
  readonly name: string;
  /** Undefined for a whole shelf, and for a flush that lies on one. */
  readonly flush?: FlushName | undefined;
  /** Which partitions it may be about; absent for any. */
  readonly partitions?: metadata.PartitionSummary | undefined;
}

/** Whether something unreadable may say something of the partition. */
export function mayConcern(
  { flush, partitions }: Unreadable,
  { topicId, partition }: PartitionName,
  { lastSequences }: FoundExtents,
): boolean {
  if (!mayHoldPartition(partitions, topicId, partition)) return false;
  // A later flush of the same incarnation continues this log, so the one that cannot be read is none of its extents.
  return flush === undefined || (lastSequences.get(flush.incarnation) ?? -1) <= flush.sequence;
}

const readsAtOnce = 32;

export class CollectedExtents {
  readonly unreadable: Unreadable[] = [];
  readonly #reading: ReadingManifests;
  readonly #found = new Map<string, Map<number, FoundExtents>>();
  readonly #inFooters: { readonly key: string; readonly manifest: metadata.FlushManifest }[] = [];
  readonly #shelves: KeyValue[] = [];

  constructor(partitions: readonly PartitionName[], reading: ReadingManifests) {
    this.#reading = reading;
    for (const { topicId, partition } of partitions) {
      const ofTopic = this.#found.get(topicId) ?? new Map<number, FoundExtents>();
      this.#found.set(topicId, ofTopic.set(partition, new FoundExtents()));
    }
  }

  /** Of one of the partitions that are wanted. */
  of({ topicId, partition }: PartitionName): FoundExtents {
    return this.#found.get(topicId)!.get(partition)!;
  }

  /** A manifest's key or a shelf's, each once. Throws DecodeError. */
  add(kv: KeyValue): void {
    const { key, value } = kv;
    if (!key.startsWith(metadataPrefixes.manifests)) {
      this.#shelves.push(kv);
      return;
    }
    const manifest = decodeManifestOf(value, this.#wanted);
    if (manifest.body?.$case === 'inline') this.#collect(manifest.objectKey, manifest.body.value);
    else this.#inFooters.push({ key, manifest });
  }

  /** Reads what the keys only point to. Throws StorageError when the store does not answer, and MetadataError `corrupt`. */
  async readObjects(): Promise<void> {
    await mapConcurrently(this.#inFooters, readsAtOnce, ({ key, manifest }) => this.#take(manifest, flushOf(key)));
    await mapConcurrently(this.#shelves, readsAtOnce, ({ key, value }) => this.#takeShelf(key, value));
  }

  async #takeShelf(key: string, value: Uint8Array): Promise<void> {
    const { shelf, partitions } = metadata.ShelfRecord.decode(value);
    let manifests: readonly metadata.FlushManifest[] = [];
    try {
      if (shelf === undefined) this.unreadable.push({ name: key, partitions });
      else manifests = await readShelf(shelf, this.#reading, this.#wanted);
    } catch (error) {
      if (!isLost(error)) throw error;
      this.unreadable.push({ name: shelf?.objectKey ?? key, partitions });
    }
    for (const manifest of manifests) await this.#take(manifest);
  }

  async #take(manifest: metadata.FlushManifest, flush?: FlushName): Promise<void> {
    const { objectKey } = manifest;
    try {
      this.#collect(objectKey, await describeFlush(manifest, this.#reading, this.#wanted));
    } catch (error) {
      if (!isLost(error)) throw error;
      const partitions = manifest.body?.$case === 'footer' ? manifest.body.value.partitions : undefined;
      this.unreadable.push({ name: objectKey, flush, partitions });
    }
  }

  #collect(objectKey: string, { incarnation, sequence, topics }: metadata.FlushDescription): void {
    const flush = { incarnation, sequence: Number(sequence) };
    for (const { topicId, extents } of topics) {
      const found = this.#found.get(topicId.toString('base64url'));
      for (const extent of extents) found?.get(extent.partition)?.add(objectKey, flush, extent);
    }
  }

  readonly #wanted: WantedPartitions = (topicId) => this.#found.get(topicId);
}

function flushOf(manifestKey: string): FlushName {
  const [incarnation = '', sequence] = manifestKey.slice(metadataPrefixes.manifests.length).split('/');
  return { incarnation, sequence: Number(sequence) };
}
