/**
 * What a new owner has to know of its partitions: partition records, and all manifests and shelves of the cluster, read at one revision
 * not before the takeover (COMMIT.md K3). No record, chunk or segment is read, so it takes as long for a large log as for a small one.
 * A partition whose extents do not make a log stays closed, and so does one that may have records in something that cannot be read.
 */
import { decodeManifestOf, metadata, metadataKeys, metadataPrefixes, type WantedPartitions } from '@kafscale/protocol';
import { mapConcurrently, withDeadline } from '@kafscale/runtime';
import { prefixEnd, type KeyValue, type MetadataStore, type Revision } from '../../metadata/metadata-store.ts';
import type { Extent, RecoveredPartition } from '../partition-log.ts';
import type { CommittedBatch } from '../producer-state.ts';
import { committedBatchesOf, readProducerSnapshots, type ReadSnapshot } from './producer-snapshots.ts';
import { describeFlush, extentOfFlush, isLost, readShelf, type ReadingManifests } from './stored-manifests.ts';
import { tilePartition } from './tiling.ts';

/** A partition whose record names us. */
export interface PartitionToRecover {
  readonly topicId: string;
  readonly partition: number;
  readonly record: metadata.PartitionRecord;
}

export type RecoveryResult =
  | {
      readonly recovered: RecoveredPartition;
      readonly committedBatches: readonly CommittedBatch[];
      readonly fault?: undefined;
    }
  /** Why the extents do not make a log. */
  | { readonly fault: string };

export interface RecoveryDependencies extends ReadingManifests {
  readonly store: MetadataStore;
}

const manifestsPerRead = 200;
/** Read for the store's revision. */
const anyKey = { key: metadataKeys.cluster };
const readsAtOnce = 32;

interface Found {
  readonly extents: Extent[];
  readonly producerBatches: metadata.ProducerBatch[];
  /** By incarnation: the sequence of the last flush that holds the partition. */
  readonly lastSequences: Map<string, number>;
}

/** Something committed of which nobody can tell which partitions it holds. */
interface Unreadable {
  readonly name: string;
  /** Undefined for a whole shelf. */
  readonly flush?: { readonly incarnation: string; readonly sequence: number } | undefined;
}

/**
 * One result per partition, in their order. Throws MetadataError (`compacted` when history no longer reaches back to `revision`: start
 * again at a newer one) or StorageError when the stores do not answer.
 */
export async function recoverPartitions(
  partitions: readonly PartitionToRecover[],
  revision: Revision,
  dependencies: RecoveryDependencies,
): Promise<readonly RecoveryResult[]> {
  const snapshots = readProducerSnapshots(
    partitions.map(({ record }) => record.producerSnapshot),
    dependencies,
  );
  snapshots.catch(() => undefined); // Met below, when the rest has been read.
  let collected = await collectAll(partitions, revision, dependencies);
  if (collected.unreadable.length > 0) {
    // What was there at that revision may have been put elsewhere since, and its object collected: one newer look decides.
    const { store, clock, callDeadlineMs } = dependencies;
    const current = await withDeadline(clock, callDeadlineMs, (signal) => store.range(anyKey, signal));
    collected = await collectAll(partitions, current.revision, dependencies);
  }
  const { found, unreadable } = collected;
  const readSnapshots = await snapshots;
  return partitions.map(({ topicId, partition, record }, index) =>
    recover(record, found.get(partitionKey(topicId, partition))!, readSnapshots[index]!, unreadable),
  );
}

const partitionKey = (topicId: string, partition: number) => `${topicId}/${partition}`;

interface Collected {
  /** For each of the partitions. */
  readonly found: ReadonlyMap<string, Found>;
  readonly unreadable: readonly Unreadable[];
}

/** What manifests and shelves say of the partitions at `revision`, and what of it could not be read. */
async function collectAll(
  partitions: readonly PartitionToRecover[],
  revision: Revision,
  dependencies: RecoveryDependencies,
): Promise<Collected> {
  const found = new Map<string, Found>();
  const byTopic = new Map<string, Set<number>>();
  for (const { topicId, partition } of partitions) {
    found.set(partitionKey(topicId, partition), { extents: [], producerBatches: [], lastSequences: new Map() });
    byTopic.set(topicId, (byTopic.get(topicId) ?? new Set()).add(partition));
  }
  const wanted: WantedPartitions = (topicId) => byTopic.get(topicId);
  const unreadable: Unreadable[] = [];
  const take = async (manifest: metadata.FlushManifest, key?: string) => {
    try {
      collect(manifest.objectKey, await describeFlush(manifest, dependencies, wanted), found);
    } catch (error) {
      if (!isLost(error)) throw error;
      unreadable.push({ name: manifest.objectKey, flush: key === undefined ? undefined : flushOf(key) });
    }
  };
  // Objects are read behind all keys: the metadata store does not keep a revision for as long as a slow bucket may take.
  const inFooters: { readonly key: string; readonly manifest: metadata.FlushManifest }[] = [];
  for await (const items of readKeys(metadataPrefixes.manifests, revision, dependencies)) {
    for (const { key, value } of items) {
      const manifest = decodeManifestOf(value, wanted);
      if (manifest.body?.$case === 'footer') inFooters.push({ key, manifest });
      else await take(manifest, key);
    }
  }
  const shelfKeys: KeyValue[] = [];
  for await (const items of readKeys(metadataPrefixes.shelves, revision, dependencies)) shelfKeys.push(...items);

  await mapConcurrently(inFooters, readsAtOnce, ({ key, manifest }) => take(manifest, key));
  await mapConcurrently(shelfKeys, readsAtOnce, async ({ key, value }) => {
    const { shelf } = metadata.ShelfRecord.decode(value);
    let manifests: readonly metadata.FlushManifest[] = [];
    try {
      if (shelf === undefined) unreadable.push({ name: key });
      else manifests = await readShelf(shelf, dependencies, wanted);
    } catch (error) {
      if (!isLost(error)) throw error;
      unreadable.push({ name: shelf?.objectKey ?? key });
    }
    for (const manifest of manifests) await take(manifest);
  });
  return { found, unreadable };
}

async function* readKeys(
  prefix: string,
  revision: Revision,
  { store, clock, callDeadlineMs }: RecoveryDependencies,
): AsyncGenerator<readonly KeyValue[], void, undefined> {
  const end = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    const request = { key, end, revision, limit: manifestsPerRead };
    const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
    yield items;
    const last = items.at(-1);
    if (!more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

function flushOf(manifestKey: string): Unreadable['flush'] {
  const [incarnation = '', sequence] = manifestKey.slice(metadataPrefixes.manifests.length).split('/');
  return { incarnation, sequence: Number(sequence) };
}

function collect(objectKey: string, description: metadata.FlushDescription, found: ReadonlyMap<string, Found>): void {
  for (const topic of description.topics) {
    const topicId = topic.topicId.toString('base64url');
    for (const extent of topic.extents) {
      const partition = found.get(partitionKey(topicId, extent.partition));
      if (partition === undefined) continue;
      const { extents, producerBatches, lastSequences } = partition;
      extents.push(extentOfFlush(objectKey, extent));
      for (const batch of extent.producerBatches) producerBatches.push(batch);
      const { incarnation, sequence } = description;
      lastSequences.set(incarnation, Math.max(lastSequences.get(incarnation) ?? -1, Number(sequence)));
    }
  }
}

function recover(
  record: metadata.PartitionRecord,
  { extents, producerBatches, lastSequences }: Found,
  read: ReadSnapshot,
  unreadable: readonly Unreadable[],
): RecoveryResult {
  const tiled = tilePartition(record, extents);
  if (tiled.fault !== undefined) return tiled;
  // A later flush of the same incarnation continues this log, so the one that cannot be read is none of its extents.
  const uncertain = unreadable.find(
    ({ flush }) => flush === undefined || (lastSequences.get(flush.incarnation) ?? -1) <= flush.sequence,
  );
  if (uncertain !== undefined) return { fault: `${uncertain.name} cannot be read, and may hold records of this log` };
  if (read.fault !== undefined) return read;

  // The snapshot says everything up to its offset, also what manifests that are still there say once more.
  const snapshotEnd = Number(read.snapshot?.offset ?? record.foldedOffset);
  const committedBatches = [
    ...committedBatchesOf(read.snapshot?.batches ?? []),
    ...committedBatchesOf(producerBatches).filter(({ baseOffset }) => baseOffset >= snapshotEnd),
  ].sort((left, right) => left.baseOffset - right.baseOffset);
  return { recovered: tiled.recovered, committedBatches };
}
