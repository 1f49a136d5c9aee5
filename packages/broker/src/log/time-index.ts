/**
 * Finds offsets by time: chunks and extents say how late their records are, batch headers say it more exactly, and only the one batch
 * that must hold the answer is decoded.
 */
import {
  DecodeError,
  ErrorCode,
  findMaxTimestampRecord,
  findRecordByTimestamp,
  KafkaError,
  splitBatches,
  type FoundRecord,
  type RecordBatchView,
} from '@kafscale/protocol';
import { findByOffset, type Extent, type ExtentChunk, type PartitionLog } from './partition-log.ts';
import type { LogReader } from './read/log-reader.ts';
import type { LogSpans } from './segments/log-spans.ts';

export interface TimestampedOffset extends FoundRecord {
  readonly leaderEpoch: number;
}

const bytesPerRead = 2 ** 20;
/** A batch whose records take more is not looked into. */
const maxDecompressedBytes = 64 * 2 ** 20;

export class TimeIndex {
  readonly #reader: LogReader;
  readonly #spans: LogSpans;

  constructor(reader: LogReader, spans: LogSpans) {
    this.#reader = reader;
    this.#spans = spans;
  }

  /**
   * The first record, in the order of offsets, that is not older than `timestamp`; undefined when there is none. Throws
   * StorageError, and KafkaError NOT_LEADER_OR_FOLLOWER when the partition closes meanwhile.
   */
  async findByTimestamp(
    log: PartitionLog,
    timestamp: number,
    signal?: AbortSignal,
  ): Promise<TimestampedOffset | undefined> {
    let offset = log.logStartOffset;
    for (;;) {
      const extent = await this.#firstExtentSince(log, offset, timestamp, signal);
      if (extent === undefined) return undefined;
      offset = Math.max(offset, extent.baseOffset);
      const { batches, nextOffset } = await this.#readBatches(log, offset, bytesPerRead, signal);
      for (const batch of batches) {
        const wanted = { timestamp, fromOffset: offset };
        const found = await lookInto(batch, wanted.fromOffset, () =>
          findRecordByTimestamp(batch, wanted, maxDecompressedBytes),
        );
        if (found !== undefined) return found;
      }
      offset = Math.max(nextOffset, log.logStartOffset); // The log start may have moved during the read.
    }
  }

  /** The first record that has the largest timestamp of the log (KIP-734); undefined when no record has one. Throws as above. */
  async findMaxTimestamp(log: PartitionLog, signal?: AbortSignal): Promise<TimestampedOffset | undefined> {
    const latest = await this.#latestExtent(log, signal);
    if (latest === undefined) return undefined;
    const offset = Math.max(latest.maxTimestampBaseOffset, log.logStartOffset);
    const { batches } = await this.#readBatches(log, offset, 1, signal);
    const batch = batches[0];
    return batch && lookInto(batch, offset, () => findMaxTimestampRecord(batch, maxDecompressedBytes));
  }

  /** The first at or behind the one with `offset` whose records are not all older; chunks of older ones are passed over unread. */
  async #firstExtentSince(
    log: PartitionLog,
    offset: number,
    timestamp: number,
    signal: AbortSignal | undefined,
  ): Promise<Extent | undefined> {
    let from = offset;
    for (;;) {
      from = Math.max(from, log.logStartOffset); // It may have moved while a list was loaded.
      const chunk = log.chunks[findByOffset(log.chunks, from)];
      if (chunk === undefined) return firstSince(log.extents, log.findExtent(from), timestamp);
      if (chunk.maxTimestamp >= timestamp) {
        const span = await this.#spans.load(log, Math.max(from, chunk.baseOffset), signal);
        if (span === log) continue;
        const extent = firstSince(span.extents, span.findExtent(from), timestamp);
        if (extent !== undefined) return extent;
      }
      from = chunk.nextOffset;
    }
  }

  /** Loads the list of the chunk that is latest, and of others only where the log start has passed what was latest in one. */
  async #latestExtent(log: PartitionLog, signal: AbortSignal | undefined): Promise<Extent | undefined> {
    let parts: (Extent | ExtentChunk)[] = [...log.chunks, ...log.extents];
    for (;;) {
      const latest = firstLatest(parts);
      if (latest === undefined || !('described' in latest)) return latest;
      const from = Math.max(latest.baseOffset, log.logStartOffset);
      const span = await this.#spans.load(log, from, signal);
      const living = span.extents.slice(span.findExtent(from));
      if (span === log) parts = [...log.chunks, ...log.extents];
      else parts.splice(parts.indexOf(latest), 1, ...living);
    }
  }

  /** A copy of the batches from `offset` on; whoever looks into them may take a while. */
  async #readBatches(log: PartitionLog, offset: number, maxBytes: number, signal: AbortSignal | undefined) {
    const slices = await this.#reader.read(log, offset, maxBytes, {
      minOneBatch: true,
      ...(signal !== undefined && { signal }),
    });
    try {
      if (log.closed) throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
      return { batches: splitBatches(Buffer.concat(slices.chunks)).batches, nextOffset: slices.nextOffset };
    } finally {
      slices.release();
    }
  }
}

function firstSince(extents: readonly Extent[], from: number, timestamp: number): Extent | undefined {
  for (let index = from; index < extents.length; index += 1) {
    const extent = extents[index]!;
    if (extent.maxTimestamp >= timestamp) return extent;
  }
  return undefined;
}

function firstLatest<T extends { readonly maxTimestamp: number }>(parts: readonly T[]): T | undefined {
  let latest: T | undefined;
  for (const part of parts) if (part.maxTimestamp > (latest?.maxTimestamp ?? -1)) latest = part;
  return latest;
}

/**
 * A batch that nobody can decode was accepted from its producer all the same, and must not end every search that comes by: it
 * counts as one record, the earliest that may be meant.
 */
async function lookInto(
  batch: RecordBatchView,
  fromOffset: number,
  find: () => Promise<FoundRecord | undefined>,
): Promise<TimestampedOffset | undefined> {
  const leaderEpoch = batch.partitionLeaderEpoch;
  try {
    const found = await find();
    return found && { ...found, leaderEpoch };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { offset: Math.max(batch.baseOffset, fromOffset), timestamp: batch.maxTimestamp, leaderEpoch };
  }
}
