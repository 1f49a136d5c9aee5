/**
 * What a new owner has to know of its partitions, from the metadata store alone: partition records and all manifests of the cluster,
 * read at one revision not before the takeover (COMMIT.md K3). Extents above the folded offset have to tile the log without gap or
 * overlap and in the order of epochs; a partition where they do not stays closed.
 */
import { decodeFlushFooter, metadata, metadataPrefixes } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { prefixEnd, type MetadataStore, type Revision } from '../../metadata/metadata-store.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Extent, RecoveredPartition } from '../partition-log.ts';
import type { CommittedBatch } from '../producer-state.ts';
import { foldedLogOf } from '../segments/folded-log.ts';

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

export interface RecoveryDependencies {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  /** How long one read may take. */
  readonly callDeadlineMs: number;
}

const manifestsPerRead = 500;

interface Found {
  readonly extents: Extent[];
  readonly committedBatches: CommittedBatch[];
}

/** One result per partition, in their order. Throws MetadataError or StorageError when the stores do not answer. */
export async function recoverPartitions(
  partitions: readonly PartitionToRecover[],
  revision: Revision,
  dependencies: RecoveryDependencies,
): Promise<readonly RecoveryResult[]> {
  const found = new Map<string, Found>();
  for (const { topicId, partition } of partitions) {
    found.set(partitionKey(topicId, partition), { extents: [], committedBatches: [] });
  }
  for await (const { objectKey, description } of readManifests(revision, dependencies)) {
    collect(objectKey, description, found);
  }
  return partitions.map(({ topicId, partition, record }) => tile(record, found.get(partitionKey(topicId, partition))!));
}

const partitionKey = (topicId: string, partition: number) => `${topicId}/${partition}`;

async function* readManifests(revision: Revision, dependencies: RecoveryDependencies) {
  const { store, clock, callDeadlineMs } = dependencies;
  const end = prefixEnd(metadataPrefixes.manifests);
  let key: string = metadataPrefixes.manifests;
  for (;;) {
    const request = { key, end, revision, limit: manifestsPerRead };
    const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
    for (const item of items) yield await decodeManifest(item.key, item.value, dependencies);
    const last = items.at(-1);
    if (!more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

async function decodeManifest(
  key: string,
  value: Uint8Array,
  { objectStore, clock, callDeadlineMs }: RecoveryDependencies,
) {
  const { objectKey, body } = metadata.FlushManifest.decode(value);
  switch (body?.$case) {
    case 'inline':
      return { objectKey, description: body.value };
    case 'footer': {
      const start = Number(body.value.position);
      const range = { start, end: start + body.value.length };
      const footer = await withDeadline(clock, callDeadlineMs, (signal) => objectStore.read(objectKey, range, signal));
      return { objectKey, description: decodeFlushFooter(footer, body.value.crc32c) };
    }
    case undefined:
      throw new MetadataError('corrupt', `manifest ${key} says nothing`);
  }
}

function collect(objectKey: string, description: metadata.FlushDescription, found: Map<string, Found>): void {
  for (const topic of description.topics) {
    const topicId = topic.topicId.toString('base64url');
    for (const extent of topic.extents) {
      const partition = found.get(partitionKey(topicId, extent.partition));
      if (partition === undefined) continue;
      partition.extents.push({
        baseOffset: Number(extent.baseOffset),
        nextOffset: Number(extent.nextOffset),
        leaderEpoch: extent.leaderEpoch,
        objectKey,
        position: Number(extent.position),
        length: extent.length,
        maxTimestamp: Number(extent.maxTimestamp),
        maxTimestampBaseOffset: Number(extent.maxTimestampBaseOffset),
      });
      for (const batch of extent.producerBatches) {
        partition.committedBatches.push({
          producerId: batch.producerId,
          producerEpoch: batch.producerEpoch,
          firstSequence: batch.firstSequence,
          lastSequence: batch.lastSequence,
          baseOffset: Number(batch.baseOffset),
          lastTimestamp: Number(batch.lastTimestamp),
        });
      }
    }
  }
}

function tile(record: metadata.PartitionRecord, { extents, committedBatches }: Found): RecoveryResult {
  const logStartOffset = Number(record.logStartOffset);
  extents.sort((left, right) => left.baseOffset - right.baseOffset);
  let nextOffset = Number(record.foldedOffset);
  let leaderEpoch = 0;
  for (const extent of extents) {
    if (extent.nextOffset <= Number(record.foldedOffset)) continue;
    if (extent.baseOffset !== nextOffset) {
      return {
        fault: `an extent starts at offset ${extent.baseOffset} where ${nextOffset} is next (${extent.objectKey})`,
      };
    }
    if (extent.leaderEpoch < leaderEpoch) {
      return {
        fault: `leader epoch ${extent.leaderEpoch} after ${leaderEpoch} at offset ${extent.baseOffset} (${extent.objectKey})`,
      };
    }
    nextOffset = extent.nextOffset;
    leaderEpoch = extent.leaderEpoch;
  }
  if (logStartOffset > nextOffset) return { fault: `log start ${logStartOffset} lies behind the end ${nextOffset}` };

  const epochStarts = record.epochStarts.map((start) => ({
    leaderEpoch: start.leaderEpoch,
    startOffset: Number(start.startOffset),
  }));
  for (const extent of extents) {
    if (extent.leaderEpoch > (epochStarts.at(-1)?.leaderEpoch ?? -1)) {
      epochStarts.push({ leaderEpoch: extent.leaderEpoch, startOffset: extent.baseOffset });
    }
  }
  committedBatches.sort((left, right) => left.baseOffset - right.baseOffset);
  return {
    recovered: {
      logStartOffset,
      nextOffset,
      folded: foldedLogOf(record),
      extents: extents.filter((extent) => extent.nextOffset > logStartOffset),
      epochStarts,
    },
    committedBatches,
  };
}
