/**
 * What a new owner has to know of its partitions: partition records, and all manifests and shelves of the cluster, read at one revision
 * not before the takeover (COMMIT.md K3). No record, chunk or segment is read, so it takes as long for a large log as for a small one.
 * A partition whose extents do not make a log stays closed, and so does one that may have records in something that cannot be read.
 */
import { metadataKeys, metadataPrefixes, type metadata } from '@kafscale/protocol';
import { withDeadline } from '@kafscale/runtime';
import { prefixEnd, type MetadataStore, type Revision } from '../../metadata/metadata-store.ts';
import type { RecoveredPartition } from '../partition-log.ts';
import type { CommittedBatch } from '../producer-state.ts';
import { CollectedExtents, mayConcern, type FoundExtents, type Unreadable } from './collected-extents.ts';
import { pagesOf, type KnownFlushes, type KnownView } from './known-flushes.ts';
import { committedBatchesOf, readProducerSnapshots, type ReadSnapshot } from './producer-snapshots.ts';
import type { ReadingManifests } from './stored-manifests.ts';
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
  /** What is known beforehand; without it everything is read. */
  readonly known?: KnownFlushes | undefined;
}

const manifestsPerRead = 200;
/** Read for the store's revision. */
const anyKey = { key: metadataKeys.cluster };
/** What an extent that is built costs, in terms of scanning. */
const scannedBytesPerExtent = 100;

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
  const first = await recoverAt(partitions, revision, snapshots, dependencies);
  if (first.isCertain) return first.results;
  // What was there at that revision may have been put elsewhere since, and its object collected: one newer look decides.
  const { store, clock, callDeadlineMs } = dependencies;
  const current = await withDeadline(clock, callDeadlineMs, (signal) => store.range(anyKey, signal));
  return (await recoverAt(partitions, current.revision, snapshots, dependencies)).results;
}

/** What can be said at one revision; certain when everything could be read. */
interface Look {
  readonly results: readonly RecoveryResult[];
  readonly isCertain: boolean;
}

async function recoverAt(
  partitions: readonly PartitionToRecover[],
  revision: Revision,
  snapshots: Promise<readonly ReadSnapshot[]>,
  dependencies: RecoveryDependencies,
): Promise<Look> {
  const { known } = dependencies;
  const collected = new CollectedExtents(partitions, dependencies);
  const recoverAll = async (view?: KnownView): Promise<Look> => {
    await collected.readObjects();
    const { unreadable } = collected;
    const readSnapshots = await snapshots;
    const results: RecoveryResult[] = [];
    for (const [index, partition] of partitions.entries()) {
      const found = collected.of(partition);
      if (view !== undefined) {
        addKnown(view, partition, found, unreadable.length > 0);
        await view.pause(found.extents.length * scannedBytesPerExtent);
      }
      results.push(recover(partition, found, readSnapshots[index]!, unreadable));
    }
    return { results, isCertain: unreadable.length === 0 };
  };
  if (known !== undefined) return known.at(revision, (kv) => collected.add(kv), recoverAll);
  for (const prefix of [metadataPrefixes.manifests, metadataPrefixes.shelves]) {
    const range = { key: prefix, end: prefixEnd(prefix), revision };
    for await (const items of pagesOf(range, manifestsPerRead, dependencies)) {
      for (const kv of items) collected.add(kv);
    }
  }
  return recoverAll();
}

/** Adds what the view knows of the partition; what is folded only where something unreadable is to be judged by it. */
function addKnown(
  view: KnownView,
  { topicId, partition, record }: PartitionToRecover,
  found: FoundExtents,
  withFolded: boolean,
): void {
  const above = withFolded ? -1 : Number(record.foldedOffset);
  view.read(topicId, partition, above, (flush, extent) => found.add(flush.objectKey, flush, extent));
}

function recover(
  partition: PartitionToRecover,
  found: FoundExtents,
  read: ReadSnapshot,
  unreadable: readonly Unreadable[],
): RecoveryResult {
  const { record } = partition;
  const { extents, producerBatches } = found;
  const tiled = tilePartition(record, extents);
  if (tiled.fault !== undefined) return tiled;
  const uncertain = unreadable.find((one) => mayConcern(one, partition, found));
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
