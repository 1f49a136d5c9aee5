/**
 * Reads what a Fetch asks for over several partitions: epochs checked, bytes shared out in order (KIP-74), and when they are too
 * few, waiting until there are enough. Finding the partitions and shaping the answer is the handler's.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { StorageError } from '../../storage/storage-error.ts';
import type { AwaitedPartition, DelayedFetches } from '../delayed-fetch.ts';
import { endOfEpoch, type EpochEnd } from '../leader-epochs.ts';
import type { OwnershipProof } from '../ownership-proof.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { LogReader } from './log-reader.ts';
import { LogSlices } from './log-slices.ts';

/** One partition to read. Epochs below 0 are not checked. */
export interface FetchTarget {
  readonly log: PartitionLog;
  readonly fetchOffset: number;
  readonly maxBytes: number;
  /** What the client takes for the partition's leader epoch (KIP-320). */
  readonly currentLeaderEpoch: number;
  /** The epoch of the record before `fetchOffset`, as the client has it (KIP-595). */
  readonly lastFetchedEpoch: number;
}

export interface FetchLimits {
  /** The answer waits until there are so many bytes, or an error. */
  readonly minBytes: number;
  /** For all partitions together; the first one that has anything gives at least one batch. */
  readonly maxBytes: number;
  readonly maxWaitMs: number;
}

/** What a partition gave; the slices are to be released by the caller. */
export interface ReadPartition {
  readonly error?: undefined;
  readonly slices: LogSlices;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  /** The client's log diverges from ours behind this; there are no records then. */
  readonly divergingEpoch?: EpochEnd;
}

export type FetchedPartition = ReadPartition | { readonly error: ErrorCode };

export interface FetchDependencies {
  readonly reader: LogReader;
  readonly delayedFetches: DelayedFetches;
  readonly ownershipProof: OwnershipProof;
}

interface Share {
  readonly maxBytes: number;
  readonly minOneBatch: boolean;
}

/** One result per target, in order. Errors of a partition stay with it; anything thrown is a fault of ours, with nothing held. */
export async function fetchRecords(
  targets: readonly FetchTarget[],
  limits: FetchLimits,
  dependencies: FetchDependencies,
  signal: AbortSignal,
): Promise<readonly FetchedPartition[]> {
  const fetched = await readAll(targets, limits.maxBytes, dependencies, signal);
  const partitions = partitionsToAwait(targets, fetched, limits);
  if (partitions === undefined) return ifServed(fetched, dependencies);
  releaseAll(fetched);
  const { minBytes, maxWaitMs } = limits;
  await dependencies.delayedFetches.wait({ partitions, minBytes, maxWaitMs, signal });
  return ifServed(await readAll(targets, limits.maxBytes, dependencies, signal), dependencies);
}

/** The session may have run out while records were loaded. */
function ifServed(
  fetched: readonly FetchedPartition[],
  { ownershipProof }: FetchDependencies,
): readonly FetchedPartition[] {
  if (ownershipProof.mayServe) return fetched;
  releaseAll(fetched);
  return fetched.map(({ error }) => ({ error: error ?? ErrorCode.NOT_LEADER_OR_FOLLOWER }));
}

/** Gives back the memory of every partition. */
export function releaseAll(fetched: readonly FetchedPartition[]): void {
  for (const partition of fetched) if (partition.error === undefined) partition.slices.release();
}

async function readAll(
  targets: readonly FetchTarget[],
  maxBytes: number,
  dependencies: FetchDependencies,
  signal: AbortSignal,
): Promise<readonly FetchedPartition[]> {
  let remainingBytes = maxBytes;
  let minOneBatch = true;
  const reads: (FetchedPartition | Promise<FetchedPartition>)[] = [];
  for (const target of targets) {
    const share = { maxBytes: Math.min(target.maxBytes, remainingBytes), minOneBatch };
    const read = readPartition(target, share, dependencies, signal);
    reads.push(read);
    if (!mayGive(target, read)) continue;
    minOneBatch = false;
    // What has to be loaded is counted as if it were all there; only then can the other partitions be read at the same time.
    remainingBytes -= read instanceof Promise ? Math.max(0, share.maxBytes) : sizeOf(read);
  }
  if (!reads.some((read) => read instanceof Promise)) return reads as FetchedPartition[];
  const settled = await Promise.allSettled(reads.map((read) => Promise.resolve(read)));
  const fetched = settled.flatMap((read) => (read.status === 'fulfilled' ? [read.value] : []));
  const failed = settled.find((read) => read.status === 'rejected');
  if (failed === undefined) return fetched;
  releaseAll(fetched);
  throw failed.reason;
}

const sizeOf = (read: FetchedPartition) => (read.error === undefined ? read.slices.bytes : 0);

const mayGive = ({ log, fetchOffset }: FetchTarget, read: FetchedPartition | Promise<FetchedPartition>) =>
  read instanceof Promise ? isInRange(log, fetchOffset) : sizeOf(read) > 0;

function readPartition(
  target: FetchTarget,
  share: Share,
  dependencies: FetchDependencies,
  signal: AbortSignal,
): FetchedPartition | Promise<FetchedPartition> {
  const { log, fetchOffset } = target;
  const error = leaderEpochError(log, target.currentLeaderEpoch, dependencies.ownershipProof);
  if (error !== undefined) return { error };
  if (!isInRange(log, fetchOffset)) return readOutOfRange(target, share, dependencies, signal);
  const divergence = divergingEpoch(target);
  if (divergence === 'unknown') return confirmed(log, ErrorCode.OFFSET_OUT_OF_RANGE, dependencies, signal);
  if (divergence !== undefined || fetchOffset === log.highWatermark)
    return answer(log, new LogSlices(fetchOffset), divergence);
  if (share.maxBytes <= 0 && !share.minOneBatch) {
    const none = new LogSlices(fetchOffset);
    none.isLimited = true;
    return answer(log, none);
  }
  const slices = dependencies.reader.read(log, fetchOffset, share.maxBytes, { minOneBatch: share.minOneBatch, signal });
  if (slices instanceof LogSlices) return answer(log, slices);
  return slices.then((loaded) => answerAfterWait(target, loaded, dependencies, signal), toFailure);
}

/** `NONE` is undefined; a client's epoch below 0 is not checked. */
export function leaderEpochError(
  log: PartitionLog,
  currentLeaderEpoch: number,
  { mayServe }: Pick<OwnershipProof, 'mayServe'>,
): ErrorCode | undefined {
  if (log.closed || !mayServe) return ErrorCode.NOT_LEADER_OR_FOLLOWER;
  if (currentLeaderEpoch < 0 || currentLeaderEpoch === log.leaderEpoch) return undefined;
  return currentLeaderEpoch < log.leaderEpoch ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH;
}

const isInRange = ({ logStartOffset, highWatermark }: PartitionLog, offset: number) =>
  offset >= logStartOffset && offset <= highWatermark;

function divergingEpoch({ log, fetchOffset, lastFetchedEpoch }: FetchTarget): EpochEnd | 'unknown' | undefined {
  if (lastFetchedEpoch < 0) return undefined;
  const end = endOfEpoch(log, lastFetchedEpoch);
  if (end === undefined) return 'unknown';
  return end.leaderEpoch < lastFetchedEpoch || end.endOffset < fetchOffset ? end : undefined;
}

function answer(log: PartitionLog, slices: LogSlices, divergence?: EpochEnd): FetchedPartition {
  const { highWatermark, lastStableOffset, logStartOffset } = log;
  return {
    slices,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    ...(divergence !== undefined && { divergingEpoch: divergence }),
  };
}

/** The partition may have closed and its start may have moved while its blocks were loaded. */
function answerAfterWait(
  { log, fetchOffset }: FetchTarget,
  slices: LogSlices,
  dependencies: FetchDependencies,
  signal: AbortSignal,
): FetchedPartition | Promise<FetchedPartition> {
  if (!log.closed && isInRange(log, fetchOffset)) return answer(log, slices);
  slices.release();
  if (log.closed) return { error: ErrorCode.NOT_LEADER_OR_FOLLOWER };
  return confirmed(log, ErrorCode.OFFSET_OUT_OF_RANGE, dependencies, signal);
}

/**
 * A client that hears OFFSET_OUT_OF_RANGE resets its position, so it must be true of a moment after the request: not of a log that
 * another broker has been writing to meanwhile.
 */
async function readOutOfRange(
  target: FetchTarget,
  share: Share,
  dependencies: FetchDependencies,
  signal: AbortSignal,
): Promise<FetchedPartition> {
  const failure = await confirmed(target.log, ErrorCode.OFFSET_OUT_OF_RANGE, dependencies, signal);
  const isStillTrue = failure.error !== ErrorCode.OFFSET_OUT_OF_RANGE || !isInRange(target.log, target.fetchOffset);
  return isStillTrue ? failure : readPartition(target, share, dependencies, signal);
}

async function confirmed(
  log: PartitionLog,
  error: ErrorCode,
  { ownershipProof }: FetchDependencies,
  signal: AbortSignal,
): Promise<FetchedPartition> {
  try {
    await ownershipProof.confirm(log, signal);
    return { error };
  } catch (failure) {
    return toFailure(failure);
  }
}

function toFailure(error: unknown): FetchedPartition {
  if (error instanceof KafkaError) return { error: error.code };
  if (error instanceof StorageError) return { error: ErrorCode.KAFKA_STORAGE_ERROR };
  throw error;
}

/**
 * What to wait for, or undefined when the answer goes out at once: there are bytes enough, nothing to wait for, or something the
 * client should hear now.
 */
function partitionsToAwait(
  targets: readonly FetchTarget[],
  fetched: readonly FetchedPartition[],
  { minBytes, maxWaitMs }: FetchLimits,
): AwaitedPartition[] | undefined {
  if (maxWaitMs <= 0 || minBytes <= 0 || targets.length === 0) return undefined;
  const awaited: AwaitedPartition[] = [];
  let totalBytes = 0;
  for (const [index, partition] of fetched.entries()) {
    if (partition.error !== undefined || partition.divergingEpoch !== undefined) return undefined;
    const { log, fetchOffset, maxBytes: targetBytes } = targets[index]!;
    const { slices } = partition;
    const maxBytes = Math.max(1, targetBytes); // One batch is given even where no byte is allowed.
    const countedBytes = slices.isLimited ? maxBytes : slices.bytes;
    totalBytes += countedBytes;
    awaited.push({ log, fetchOffset, countedUpTo: slices.nextOffset, countedBytes, maxBytes });
  }
  return totalBytes >= minBytes ? undefined : awaited;
}
