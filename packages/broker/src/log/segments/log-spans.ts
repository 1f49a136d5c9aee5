/**
 * The extents around an offset, wherever they are described: in the log itself for what is recent, else in one chunk's list. A list
 * that is gone or damaged is looked for once more, in the record as it is now, before it counts as lost.
 */
import type { Logger } from '@kafscale/runtime';
import { StorageError } from '../../storage/storage-error.ts';
import { Alarms } from '../alarms.ts';
import { findByOffset, type ExtentChunk, type LogSpan, type PartitionLog } from '../partition-log.ts';
import type { RecordRefresh } from './record-refresh.ts';
import { listObjectOf, type SegmentLists } from './segment-lists.ts';

export interface LogSpansDependencies {
  readonly lists: SegmentLists;
  readonly refresh: RecordRefresh;
  readonly logger: Logger;
}

export class LogSpans {
  readonly #dependencies: LogSpansDependencies;
  readonly #alarms: Alarms;

  constructor(dependencies: LogSpansDependencies) {
    this.#dependencies = dependencies;
    this.#alarms = new Alarms(dependencies.logger);
  }

  /** What describes `offset`, when that is in memory: the log itself for everything at or above its `residentOffset`. */
  get(log: PartitionLog, offset: number): LogSpan | undefined {
    if (offset >= log.residentOffset) return log;
    const chunk = chunkAt(log, offset);
    return chunk === undefined ? log : this.#dependencies.lists.get(chunk);
  }

  /**
   * The same, loaded where it is not in memory; the log itself when the log start has passed the offset meanwhile. Throws StorageError
   * `corrupt` when the list cannot be had (raised as an alarm, too) and others, KafkaError NOT_LEADER_OR_FOLLOWER.
   */
  async load(log: PartitionLog, offset: number, signal?: AbortSignal): Promise<LogSpan> {
    const { lists, refresh } = this.#dependencies;
    for (let wasRefreshed = false; ; wasRefreshed = true) {
      const chunk = offset >= log.residentOffset ? undefined : chunkAt(log, offset);
      if (chunk === undefined) return log;
      try {
        return await lists.load(chunk, signal);
      } catch (error) {
        const isStale = error instanceof StorageError && (error.kind === 'not-found' || error.kind === 'corrupt');
        if (!isStale) throw error;
        if (wasRefreshed) throw this.#alarm(log, chunk, error);
        lists.discard(chunk);
        await refresh.refresh(log);
      }
    }
  }

  /** Starts to load what describes `offset`, since a reader will be there soon. */
  loadAhead(log: PartitionLog, offset: number): void {
    const chunk = offset >= log.residentOffset ? undefined : chunkAt(log, offset);
    // The reader that comes will try again, and meet the error.
    if (chunk !== undefined) void this.#dependencies.lists.load(chunk).catch(() => undefined);
  }

  #alarm({ topicName: topic, partition }: PartitionLog, chunk: ExtentChunk, cause: StorageError): StorageError {
    const { baseOffset, nextOffset } = chunk;
    const fields = { topic, partition, baseOffset, nextOffset, err: cause };
    this.#alarms.raise(listObjectOf(chunk), fields, 'the list of committed segments cannot be read');
    const what = `segments of ${topic}-${partition} from offset ${baseOffset} to ${nextOffset} cannot be found`;
    return new StorageError('corrupt', what, { cause });
  }
}

/** Undefined below the log's first chunk. */
function chunkAt({ chunks }: PartitionLog, offset: number): ExtentChunk | undefined {
  const chunk = chunks[findByOffset(chunks, offset)];
  return chunk !== undefined && chunk.baseOffset <= offset ? chunk : undefined;
}
