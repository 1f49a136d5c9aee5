/**
 * Ownership as the metadata store has it: how partition records are read, and the transactions that change their owner (COMMIT.md K3).
 * Nothing here remembers anything.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import {
  prefixEnd,
  type Compare,
  type Operation,
  type Revision,
  type Transaction,
} from '../metadata/metadata-store.ts';
import type { TransactionResult } from '../metadata/metadata-store.ts';
import type { LaneCommit } from '../metadata/lane.ts';
import type { OwnedTopic } from './owned-kind.ts';
import { absent, unchanged } from './topic-operations.ts';

export interface PartitionOf {
  readonly topic: OwnedTopic;
  readonly partition: number;
}

/** A partition's record, as of one revision. */
export interface StoredPartition extends PartitionOf {
  /** Undefined for a partition that never had an owner. */
  readonly record: metadata.PartitionRecord | undefined;
  /** 0 for a partition that never had an owner. */
  readonly modRevision: Revision;
  /** The topic exists and is not being deleted. */
  readonly topicLives: boolean;
  readonly topicModRevision: Revision;
  /** Whether the session of the record's owner exists. */
  readonly ownerLives: boolean;
}

/** The record as somebody is about to store it. */
export interface OwnerChange {
  readonly topicId: string;
  readonly partition: number;
  /** What the record is compared with. */
  readonly modRevision: Revision;
  readonly record: metadata.PartitionRecord;
}

export interface Owner {
  readonly incarnation: string;
  readonly brokerId: number;
}

/** As many as one transaction reads or changes; a takeover compares up to three keys for each of them: record, topic and session. */
export const partitionsPerTransaction = 40;

/** Records that one transaction changes which compares nothing else for them; the lane has a few compares and operations of its own. */
export const changesPerTransaction = 120;

/** Of the records in one transaction; a store takes 1.5 MiB. */
const bytesPerTransaction = 512 * 1024;

export const noOwner: Owner = { incarnation: '', brokerId: -1 };

/** One linearizable read of up to `partitionsPerTransaction` partitions, their topics, and who lives. */
export function readPartitions(partitions: readonly PartitionOf[]): Transaction {
  const names = [...new Set(partitions.map(({ topic }) => topic.name))];
  const { sessions } = metadataPrefixes;
  return {
    compare: [],
    success: [
      { type: 'range', key: sessions, end: prefixEnd(sessions) },
      ...partitions.map(({ topic, partition }): Operation => {
        return { type: 'range', key: metadataKeys.partition(topic.topicId, partition) };
      }),
      ...names.map((name): Operation => ({ type: 'range', key: metadataKeys.topic(name) })),
    ],
  };
}

/** What `readPartitions` found. A partition whose record or topic does not decode is left out, and told to `onUndecodable`. */
export function storedPartitions(
  partitions: readonly PartitionOf[],
  { ranges }: Pick<TransactionResult, 'ranges'>,
  onUndecodable: (partition: PartitionOf, error: unknown) => void,
): StoredPartition[] {
  const sessions = new Set(ranges[0]!.items.map(({ key }) => key));
  const records = ranges.slice(1, 1 + partitions.length);
  const topics = new Map(ranges.slice(1 + partitions.length).flatMap(({ items }) => items.map((kv) => [kv.key, kv])));
  const found: StoredPartition[] = [];
  for (const [index, { topic, partition }] of partitions.entries()) {
    const kv = records[index]!.items[0];
    const topicKv = topics.get(metadataKeys.topic(topic.name));
    try {
      const record = kv && metadata.PartitionRecord.decode(kv.value);
      found.push({
        topic,
        partition,
        record,
        modRevision: kv?.modRevision ?? 0,
        topicLives: topic.modRevision === undefined || (topicKv !== undefined && isLiving(topic, topicKv.value)),
        topicModRevision: topicKv?.modRevision ?? 0,
        ownerLives: record !== undefined && record.owner !== '' && sessions.has(metadataKeys.session(record.owner)),
      });
    } catch (error) {
      onUndecodable({ topic, partition }, error);
    }
  }
  return found;
}

function isLiving({ topicId }: OwnedTopic, value: Uint8Array): boolean {
  const record = metadata.TopicRecord.decode(value);
  return !record.deleting && Buffer.from(record.topicId).toString('base64url') === topicId;
}

/** The record as its next owner has it: a higher leader epoch, everything else as it was. */
export function nextRecord(
  previous: metadata.PartitionRecord | undefined,
  { incarnation: owner, brokerId }: Owner,
): metadata.PartitionRecord {
  if (previous !== undefined) return { ...previous, owner, brokerId, leaderEpoch: previous.leaderEpoch + 1 };
  return {
    owner,
    brokerId,
    leaderEpoch: 0,
    logStartOffset: 0n,
    foldedOffset: 0n,
    epochStarts: [],
    nextOffset: 0n,
    chunks: [],
    segments: [],
    producerSnapshot: undefined,
  };
}

/** Takes them for `me`: no record has changed, every session that one names is gone, and every topic lives. */
export function takeover(partitions: readonly StoredPartition[], me: Owner): LaneCommit {
  const compare = new Map<string, Compare>();
  const operations: Operation[] = [];
  for (const { topic, partition, record: previous, modRevision, topicModRevision } of partitions) {
    const key = metadataKeys.partition(topic.topicId, partition);
    compare.set(key, { key, target: 'modRevision', operator: '=', operand: modRevision });
    if (topic.modRevision !== undefined) {
      const topicKey = metadataKeys.topic(topic.name);
      compare.set(topicKey, unchanged(topicKey, topicModRevision));
    }
    const owner = previous?.owner ?? '';
    if (owner !== '' && owner !== me.incarnation) {
      const session = metadataKeys.session(owner);
      compare.set(session, absent(session));
    }
    operations.push(putRecord(topic.topicId, partition, nextRecord(previous, me)));
  }
  return { compare: [...compare.values()], operations };
}

/** Stores records of our own. Given an heir, whom they name then, its session lives. */
export function changeRecords(changes: readonly OwnerChange[], heir?: Owner): LaneCommit {
  const compare = changes.map(({ topicId, partition, modRevision }) => {
    return unchanged(metadataKeys.partition(topicId, partition), modRevision);
  });
  if (heir !== undefined) {
    const key = metadataKeys.session(heir.incarnation);
    compare.push({ key, target: 'createRevision', operator: '>', operand: 0 });
  }
  return {
    compare,
    operations: changes.map(({ topicId, partition, record }) => putRecord(topicId, partition, record)),
  };
}

export function putRecord(topicId: string, partition: number, record: metadata.PartitionRecord) {
  const value = metadata.PartitionRecord.encode(record).finish();
  return { type: 'put' as const, key: metadataKeys.partition(topicId, partition), value };
}

/** In order, as many to a group as one transaction takes: `most`, unless they are large. */
export function* inTransactions<Item extends { readonly record: metadata.PartitionRecord | undefined }>(
  items: Iterable<Item>,
  most = partitionsPerTransaction,
): Iterable<Item[]> {
  let group: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const itemBytes = item.record === undefined ? 0 : metadata.PartitionRecord.encode(item.record).finish().length;
    if (group.length === most || (group.length > 0 && bytes + itemBytes > bytesPerTransaction)) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(item);
    bytes += itemBytes;
  }
  if (group.length > 0) yield group;
}
