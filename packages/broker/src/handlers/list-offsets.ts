/**
 * ListOffsets v0-11: the offset at a timestamp, or at one of the special ones: -1 latest, -2 earliest, -3 largest timestamp (v7),
 * -4 earliest local (v8), -5 latest tiered (v9), -6 earliest pending upload (v11). Nothing is tiered as Kafka means it, so -4 is the
 * earliest offset and the last two find nothing, as in Kafka without tiered storage. v0 lists starts of segments, for which our
 * extents stand. Without transactions the isolation level changes nothing.
 */
import { ErrorCode, KafkaError, listOffsets, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { epochAt } from '../log/leader-epochs.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { leaderEpochError } from '../log/read/fetch-records.ts';
import type { TimestampedOffset } from '../log/time-index.ts';
import { StorageError } from '../storage/storage-error.ts';
import { defineHandler, type RequestContext } from './define-handler.ts';
import { findPartitionSoon, type FoundPartition } from './find-partition.ts';
import { inGroups } from './in-groups.ts';
import type { Services } from './services.ts';

type ListOffsetsRequest = RequestOf<typeof listOffsets>;
type PartitionRequest = ListOffsetsRequest['topics'][number]['partitions'][number];
type PartitionResponse = ResponseOf<typeof listOffsets>['topics'][number]['partitions'][number];

const specialTimestamp = {
  latest: -1n,
  earliest: -2n,
  max: -3n,
  earliestLocal: -4n,
  latestTiered: -5n,
  earliestPendingUpload: -6n,
} as const;

const firstVersionOf: ReadonlyMap<bigint, number> = new Map([
  [specialTimestamp.latest, 1],
  [specialTimestamp.earliest, 1],
  [specialTimestamp.max, 7],
  [specialTimestamp.earliestLocal, 8],
  [specialTimestamp.latestTiered, 9],
  [specialTimestamp.earliestPendingUpload, 11],
]);

const noTimestamp = -1;
const nowhere: TimestampedOffset = { offset: -1, timestamp: noTimestamp, leaderEpoch: -1 };
/** Lookups by time read from the store; so many of a request go on together. */
const maxConcurrentLookups = 32;

export const listOffsetsHandler = defineHandler({
  api: listOffsets,

  fail: (code, request) => ({
    throttleTimeMs: 0,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => failed(partitionIndex, code)),
    })),
  }),

  async handle(request, context, services) {
    const duplicates = duplicatesIn(request);
    const wanted = request.topics.flatMap(({ name, partitions }) =>
      partitions.map((partition) => ({ name, partition, isDuplicate: duplicates.has(nameOf(name, partition)) })),
    );
    const sought = await Promise.all(
      wanted.map(async ({ name, partition, isDuplicate }) => {
        const found = await findPartitionSoon(services, services.image.topic(name), partition.partitionIndex);
        return { partition, isDuplicate, found };
      }),
    );
    const answers = await inGroups(sought, maxConcurrentLookups, async ({ partition, isDuplicate, found }) => {
      const { partitionIndex } = partition;
      if (isDuplicate && context.apiVersion > 0) return failed(partitionIndex, ErrorCode.INVALID_REQUEST);
      try {
        return await lookUp(found, partition, context, services);
      } catch (error) {
        return failed(partitionIndex, errorOf(error));
      }
    });
    const next = answers.values();
    return {
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(() => next.next().value!),
      })),
    };
  },
});

const nameOf = (topic: string, { partitionIndex }: PartitionRequest) => `${topic}/${partitionIndex}`;

function duplicatesIn({ topics }: ListOffsetsRequest): ReadonlySet<string> {
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  for (const { name, partitions } of topics) {
    for (const partition of partitions) {
      const key = nameOf(name, partition);
      if (seen.has(key)) duplicates.add(key);
      seen.add(key);
    }
  }
  return duplicates;
}

async function lookUp(
  { log, error }: FoundPartition,
  partition: PartitionRequest,
  { apiVersion, signal }: RequestContext,
  services: Services,
): Promise<PartitionResponse> {
  const { partitionIndex, timestamp } = partition;
  const isUnsupported = timestamp < 0n && apiVersion < (firstVersionOf.get(timestamp) ?? Infinity);
  if (apiVersion > 0 && isUnsupported) return failed(partitionIndex, ErrorCode.UNSUPPORTED_VERSION);
  if (log === undefined) return failed(partitionIndex, error);
  const epochError = leaderEpochError(log, partition.currentLeaderEpoch, services.ownershipProof);
  if (epochError !== undefined) return failed(partitionIndex, epochError);
  // An end that is older than the request would hide records that were acknowledged before it.
  if (timestamp === specialTimestamp.latest) await services.ownershipProof.confirm(log, signal);
  if (apiVersion === 0) {
    return { ...succeeded(partitionIndex, nowhere), oldStyleOffsets: segmentStarts(log, partition) };
  }
  const found = await find(log, timestamp, services, signal);
  if (log.closed || !services.ownershipProof.mayServe) return failed(partitionIndex, ErrorCode.NOT_LEADER_OR_FOLLOWER);
  return succeeded(partitionIndex, found ?? nowhere);
}

function find(
  log: PartitionLog,
  timestamp: bigint,
  { timeIndex }: Services,
  signal: AbortSignal,
): Promise<TimestampedOffset | undefined> | TimestampedOffset {
  switch (timestamp) {
    case specialTimestamp.latest:
      return { offset: log.lastStableOffset, timestamp: noTimestamp, leaderEpoch: log.leaderEpoch };
    case specialTimestamp.earliest:
    case specialTimestamp.earliestLocal: {
      const offset = log.logStartOffset;
      return { offset, timestamp: noTimestamp, leaderEpoch: epochAt(log, offset) };
    }
    case specialTimestamp.latestTiered:
    case specialTimestamp.earliestPendingUpload:
      return nowhere;
    case specialTimestamp.max:
      return timeIndex.findMaxTimestamp(log, signal);
    default:
      return timeIndex.findByTimestamp(log, safeNumber(timestamp), signal);
  }
}

/** No record is as late as the largest safe integer, so saturating changes no answer. */
const safeNumber = (timestamp: bigint) =>
  timestamp > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(timestamp);

/** v0: up to `maxNumOffsets` starts of extents that were full before the timestamp, latest first; for -1 the end before them. */
function segmentStarts(log: PartitionLog, { timestamp, maxNumOffsets }: PartitionRequest): number[] {
  const starts = partsOf(log).map(({ baseOffset }) => Math.max(baseOffset, log.logStartOffset));
  if (starts.length === 0) starts.push(log.logStartOffset);
  const offsets = offsetsBefore(log, timestamp, starts).reverse();
  return [...new Set(offsets)].slice(0, Math.max(0, maxNumOffsets));
}

function offsetsBefore(log: PartitionLog, timestamp: bigint, starts: readonly number[]): number[] {
  if (timestamp === specialTimestamp.latest) return [...starts, log.highWatermark];
  if (timestamp === specialTimestamp.earliest) return [log.logStartOffset];
  const later = partsOf(log).findIndex(({ maxTimestamp }) => BigInt(maxTimestamp) > timestamp);
  return starts.slice(0, later < 0 ? starts.length : later);
}

/** What stands for Kafka's segments: a chunk of many counts as one, since nobody needs its list for this. */
const partsOf = ({ chunks, extents }: PartitionLog) => [...chunks, ...extents];

function errorOf(error: unknown): ErrorCode {
  if (error instanceof KafkaError) return error.code;
  if (error instanceof StorageError) return ErrorCode.KAFKA_STORAGE_ERROR;
  throw error;
}

function succeeded(partitionIndex: number, { offset, timestamp, leaderEpoch }: TimestampedOffset): PartitionResponse {
  const errorCode = ErrorCode.NONE;
  return { partitionIndex, errorCode, oldStyleOffsets: [], timestamp: BigInt(timestamp), offset, leaderEpoch };
}

function failed(partitionIndex: number, errorCode: ErrorCode): PartitionResponse {
  return { ...succeeded(partitionIndex, nowhere), errorCode };
}
