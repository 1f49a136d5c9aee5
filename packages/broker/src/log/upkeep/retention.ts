/**
 * Time and size retention of topics whose cleanup policy is `delete`: moves log starts, an extent or segment at a time, and nothing
 * else; the bytes behind them are for garbage collection. A topic that is only compacted keeps everything, however old or large.
 * A log that is about to be folded has its start moved with the fold, which writes the record anyway; here it is moved when no fold comes.
 */
import type { TopicConfig } from '@kafscale/protocol';
import type { Clock, Logger } from '@kafscale/runtime';
import type { LogStarts } from '../log-start.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { RetentionLines } from './retained-from.ts';

export interface RetentionDependencies {
  readonly logs: PartitionLogs;
  readonly logStarts: LogStarts;
  readonly lines: RetentionLines;
  /** Undefined for a topic that is gone. */
  readonly configOf: (topicId: string) => TopicConfig | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
  /** How long a move waits for the fold of a log that has something to be folded. */
  readonly foldWaitMs: number;
}

/** Where the log should start now; its start for a topic that is gone. Throws what reading a list of segments throws. */
export function retainedFrom(
  log: PartitionLog,
  { lines, configOf, clock }: Pick<RetentionDependencies, 'lines' | 'configOf' | 'clock'>,
): Promise<number> {
  const config = configOf(log.topicId);
  if (config === undefined) return Promise.resolve(log.logStartOffset);
  return lines.retainedFrom(log, config, clock.wallMs());
}

/** Looks at every log each `intervalMs`, one after another, until the returned function is called. */
export function startRetention(dependencies: RetentionDependencies): () => void {
  const { logs, clock, logger, intervalMs } = dependencies;
  const waiting: WaitingMoves = new WeakMap();
  let stopped = false;
  let cancel = () => {};

  const round = async () => {
    for (const log of [...logs.all()]) {
      if (stopped) return;
      try {
        await retain(log, waiting, dependencies);
      } catch (error) {
        logger.warn(
          { topic: log.topicName, partition: log.partition, err: error },
          'retention failed; trying again later',
        );
      }
    }
  };
  const plan = () => {
    if (stopped) return;
    cancel = clock.schedule(intervalMs, () => void round().then(plan));
  };
  plan();
  return () => {
    stopped = true;
    cancel();
  };
}

/** Since when a log's start has been due to move, by the monotonic clock. */
type WaitingMoves = WeakMap<PartitionLog, number>;

async function retain(log: PartitionLog, waiting: WaitingMoves, dependencies: RetentionDependencies): Promise<void> {
  const { logStarts, clock, foldWaitMs } = dependencies;
  if (log.closed) return;
  const offset = await retainedFrom(log, dependencies);
  if (offset <= log.logStartOffset) {
    waiting.delete(log);
    return;
  }
  const nowMs = clock.monotonicMs();
  const sinceMs = waiting.get(log) ?? nowMs;
  waiting.set(log, sinceMs);
  if (log.foldedOffset < log.highWatermark && nowMs - sinceMs < foldWaitMs) return;
  await logStarts.advanceLogStart(log, offset);
  waiting.delete(log);
}
