/**
 * A new topic with another one's records up to a time. Records are copied into objects of their own, never shared, so neither topic's
 * retention or deletion ever concerns the other, and the source is only read. The new topic appears whole or not at all: its name is put
 * last. Until then a tombstone stands over what is written, and what an interrupted restore leaves is garbage like any other.
 */
import { checkTopicConfigs, IndexObjectBuilder, metadata, metadataKeys } from '@kafscale/protocol';
import type { Random } from '@kafscale/runtime';
import { absent, newTopicId, putTopic } from '../../cluster/topic-operations.ts';
import { topicNameFault } from '../../cluster/topic-rules.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { Operation } from '../../metadata/metadata-store.ts';
import { Session } from '../../metadata/session.ts';
import type { ObjectNames } from '../../storage/object-names.ts';
import type { ClusterIdentity } from '../bucket-identity.ts';
import { writeCheckpoint } from '../checkpoint-writer.ts';
import { liveState } from '../cluster-state.ts';
import { createObject, readKey, type StoreAccess } from '../store-access.ts';
import { readClusterLogs, type ClusterLog } from '../verify/cluster-logs.ts';
import { ObjectReader } from '../verify/object-reader.ts';
import { copyLog, type CopiedLog, type CopyTarget } from './copy-log.ts';

/** Why nothing was restored, and what to do. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused';
}

export interface RestoreDependencies extends StoreAccess {
  readonly names: ObjectNames;
  readonly random: Random;
  /** Bytes from which a new segment begins. */
  readonly segmentBytes: number;
}

export interface RestoreRequest {
  readonly topic: string;
  readonly targetTopic: string;
  /** The last timestamp that is taken, milliseconds since the Unix epoch. */
  readonly toMs: number;
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

export interface RestoreProgress {
  readonly partitionsDone: number;
  readonly partitions: number;
  readonly bytesCopied: number;
}

export interface RestoreReport {
  readonly topicId: string;
  readonly partitions: number;
  readonly records: number;
  readonly bytes: number;
}

const incarnationBytes = 16;
const uniqueBytes = 12;
const sessionTtlMs = 60_000;
const recordsPerCommit = 50;
/** Segments that stay in the record; the others go into an index object. */
const maxRecordSegments = 50;
const segmentsPerChunk = 1_000;

/** Throws RestoreRefused, SourceFault, MetadataError, StorageError. */
export async function restoreTopic(request: RestoreRequest, dependencies: RestoreDependencies): Promise<RestoreReport> {
  const { metadataStore: store, clock, random, callDeadlineMs } = dependencies;
  const source = await readSource(request, dependencies);
  const identity = await readIdentity(dependencies);
  const incarnation = random.bytes(incarnationBytes).toString('hex');
  const settings = { ttlMs: sessionTtlMs, callDeadlineMs, settleDeadlineMs: sessionTtlMs };
  const session = await Session.open(incarnation, { store, clock, settings });
  try {
    const report = await new Restore(request, dependencies, { session, source, clusterId: identity.clusterId }).run();
    // No flush object tells of the new topic: until a checkpoint does, losing the metadata store would lose it.
    await writeCheckpoint(await liveState(dependencies), { ...dependencies, identity, incarnation });
    return report;
  } finally {
    // What it leaves without having finished is garbage from then on.
    await session.revoke(new Error('the restore is over')).catch(() => undefined);
  }
}

async function readSource({ topic, targetTopic }: RestoreRequest, dependencies: RestoreDependencies) {
  const fault = topicNameFault(targetTopic);
  if (fault !== undefined) throw new RestoreRefused(`${targetTopic} is no name for a topic: ${fault}`);
  const target = await readKey(dependencies, metadataKeys.topic(targetTopic));
  if (target.item !== undefined) {
    throw new RestoreRefused(
      `There is a topic ${targetTopic}. A restore makes a new one: choose another --target-topic.`,
    );
  }
  const isName = topicNameFault(topic) === undefined;
  const found = isName ? (await readKey(dependencies, metadataKeys.topic(topic))).item : undefined;
  const record = found && metadata.TopicRecord.decode(found.value);
  if (record === undefined || record.deleting) {
    throw new RestoreRefused(`There is no topic ${topic}. Only what has not been deleted can be restored from.`);
  }
  return record;
}

async function readIdentity(dependencies: RestoreDependencies): Promise<ClusterIdentity> {
  const { item } = await readKey(dependencies, metadataKeys.cluster);
  if (item === undefined)
    throw new RestoreRefused('The metadata store holds no cluster. Check which one the settings name.');
  const { clusterId, generation } = metadata.ClusterRecord.decode(item.value);
  return { clusterId, generation: Number(generation) };
}

interface RestoreParts {
  readonly session: Session;
  readonly source: metadata.TopicRecord;
  readonly clusterId: string;
}

class Restore {
  readonly #request: RestoreRequest;
  readonly #dependencies: RestoreDependencies;
  readonly #parts: RestoreParts;
  readonly #topicId: string;
  readonly #target: CopyTarget;
  #sequence = 0;

  constructor(request: RestoreRequest, dependencies: RestoreDependencies, parts: RestoreParts) {
    this.#request = request;
    this.#dependencies = dependencies;
    this.#parts = parts;
    const { random } = dependencies;
    this.#topicId = newTopicId(random);
    this.#target = {
      ...dependencies,
      topicName: request.targetTopic,
      incarnation: parts.session.incarnation,
      nextSequence: () => {
        this.#sequence += 1;
        return this.#sequence - 1;
      },
      unique: () => random.bytes(uniqueBytes).toString('base64url'),
    };
  }

  async run(): Promise<RestoreReport> {
    const { source } = this.#parts;
    const { toMs, bytesPerSecond, signal, onProgress } = this.#request;
    const { logs } = await readClusterLogs(this.#dependencies, { topicId: source.topicId.toString('base64url') });
    const reader = new ObjectReader(this.#dependencies, {
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
      ...(signal !== undefined && { signal }),
    });
    const records: metadata.PartitionRecord[] = [];
    let [recordCount, bytesCopied] = [0, 0];
    for (let partition = 0; partition < source.partitionCount; partition += 1) {
      const log = [...logs.values()].find((one) => one.partition === partition);
      const copied = log === undefined ? nothing : await copyLog(log, toMs, reader, this.#target);
      records.push(await this.#record(log, copied, partition));
      recordCount += copied.recordCount;
      bytesCopied += copied.sizeBytes;
      onProgress?.({ partitionsDone: partition + 1, partitions: source.partitionCount, bytesCopied });
    }
    try {
      await this.#publish(records);
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind !== 'conflict') throw error;
      const text = `A topic ${this.#request.targetTopic} was created meanwhile, and is left alone. Choose another --target-topic.`;
      throw new RestoreRefused(text, { cause: error });
    }
    return { topicId: this.#topicId, partitions: records.length, records: recordCount, bytes: bytesCopied };
  }

  async #record(log: ClusterLog | undefined, copied: CopiedLog, partition: number): Promise<metadata.PartitionRecord> {
    const { segments, epochStarts } = copied;
    const end = segments.at(-1)?.nextOffset ?? 0n;
    const listed = Math.max(0, segments.length - maxRecordSegments);
    return {
      owner: '',
      brokerId: -1,
      leaderEpoch: epochStarts.at(-1)?.leaderEpoch ?? 0,
      logStartOffset: segments.length === 0 ? 0n : (log?.record.logStartOffset ?? 0n),
      foldedOffset: end,
      epochStarts: [...epochStarts],
      nextOffset: end,
      chunks: await this.#chunks(segments.slice(0, listed), partition),
      segments: segments.slice(listed),
      producerSnapshot: undefined,
    };
  }

  async #chunks(segments: readonly metadata.Segment[], partition: number): Promise<metadata.SegmentChunk[]> {
    const { names, clock } = this.#dependencies;
    const { incarnation, nextSequence, unique, topicName } = this.#target;
    const chunks: metadata.SegmentChunk[] = [];
    for (let start = 0; start < segments.length; start += segmentsPerChunk) {
      const sequence = nextSequence();
      const key = names.flat('index', { incarnation, sequence, unique: unique() });
      const builder = new IndexObjectBuilder(key);
      const of = { topicId: Buffer.from(this.#topicId, 'base64url'), topicName, partition };
      chunks.push(builder.addSegments(of, segments.slice(start, start + segmentsPerChunk)));
      const origin = { clusterId: this.#parts.clusterId, incarnation, sequence, createdMs: clock.wallMs() };
      await createObject(this.#target, key, builder.finish(origin));
    }
    return chunks;
  }

  async #publish(records: readonly metadata.PartitionRecord[]): Promise<void> {
    const { session, source } = this.#parts;
    const { targetTopic } = this.#request;
    const { clock } = this.#dependencies;
    const lane = session.lane('upkeep');
    const name = metadataKeys.topic(targetTopic);
    const tombstone = metadataKeys.tombstone(this.#topicId);
    const deletedMs = BigInt(clock.wallMs());
    await lane.commit({
      compare: [absent(name), absent(tombstone)],
      operations: [
        {
          type: 'put',
          key: tombstone,
          value: metadata.TopicTombstone.encode({ name: targetTopic, deletedMs }).finish(),
        },
      ],
    });
    const puts = records.map((record, partition): Operation => {
      const value = metadata.PartitionRecord.encode(record).finish();
      return { type: 'put', key: metadataKeys.partition(this.#topicId, partition), value };
    });
    const stands = { key: tombstone, target: 'createRevision', operator: '!=', operand: 0 } as const;
    for (let start = 0; start < puts.length; start += recordsPerCommit) {
      await lane.commit({ compare: [stands], operations: puts.slice(start, start + recordsPerCommit) });
    }
    const topic: metadata.TopicRecord = {
      topicId: Buffer.from(this.#topicId, 'base64url'),
      partitionCount: records.length,
      replicationFactor: source.replicationFactor,
      configs: checkTopicConfigs(source.configs),
      createdMs: BigInt(clock.wallMs()),
      deleting: false,
    };
    await lane.commit({
      compare: [absent(name), stands],
      operations: [putTopic(targetTopic, topic), { type: 'delete', key: tombstone }],
    });
  }
}

const nothing: CopiedLog = { segments: [], epochStarts: [], recordCount: 0, sizeBytes: 0 };
