/** Partitions as they are at one revision, for a broker that owns none of them: records by topic, then what recovery finds of the rest. */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { mapConcurrently, withDeadline } from '@kafscale/runtime';
import { prefixEnd, type Revision } from '../../metadata/metadata-store.ts';
import { recoverPartitions, type RecoveryDependencies, type RecoveryResult } from '../upkeep/recovery.ts';

export interface FollowedName {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
}

export interface ReadFollowed {
  readonly revision: Revision;
  /** One per name, in their order; undefined for a partition that has no record. */
  readonly partitions: readonly ({ readonly leaderEpoch: number; readonly result: RecoveryResult } | undefined)[];
}

const recordsPerRead = 200;
const readsAtOnce = 8;

/** Throws MetadataError (`compacted`: start again) or StorageError when the stores do not answer. */
export async function readFollowed(
  names: readonly FollowedName[],
  dependencies: RecoveryDependencies,
): Promise<ReadFollowed> {
  const { store, clock, callDeadlineMs } = dependencies;
  const any = { key: metadataKeys.cluster };
  const { revision } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(any, signal));
  const records = await readRecords(names, revision, dependencies);
  const known = names.flatMap(({ topicId, partition }) => {
    const record = records.get(metadataKeys.partition(topicId, partition));
    // What producers wrote last matters to who appends.
    return record === undefined ? [] : [{ topicId, partition, record: { ...record, producerSnapshot: undefined } }];
  });
  const inOrder = (known.length === 0 ? [] : await recoverPartitions(known, revision, dependencies)).values();
  const partitions = names.map(({ topicId, partition }) => {
    const record = records.get(metadataKeys.partition(topicId, partition));
    return record && { leaderEpoch: record.leaderEpoch, result: inOrder.next().value! };
  });
  return { revision, partitions };
}

async function readRecords(
  names: readonly FollowedName[],
  revision: Revision,
  { store, clock, callDeadlineMs }: RecoveryDependencies,
): Promise<ReadonlyMap<string, metadata.PartitionRecord>> {
  const wanted = new Set(names.map(({ topicId, partition }) => metadataKeys.partition(topicId, partition)));
  const records = new Map<string, metadata.PartitionRecord>();
  const topicIds = [...new Set(names.map(({ topicId }) => topicId))];
  await mapConcurrently(topicIds, readsAtOnce, async (topicId) => {
    const prefix = metadataPrefixes.partitionsOf(topicId);
    const end = prefixEnd(prefix);
    for (let key = prefix, isOver = false; !isOver;) {
      const request = { key, end, revision, limit: recordsPerRead };
      const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
      for (const item of items) {
        if (wanted.has(item.key)) records.set(item.key, metadata.PartitionRecord.decode(item.value));
      }
      const last = items.at(-1);
      isOver = !more || last === undefined;
      if (last !== undefined) key = `${last.key}\0`;
    }
  });
  return records;
}
