/**
 * Time and size retention of topics whose cleanup policy is `delete`: moves log starts, an extent at a time, and nothing else; the
 * bytes behind them are for garbage collection. A topic that is only compacted keeps everything, however old or large.
 */
import type { TopicConfig } from '@kafscale/protocol';
import type { Clock, Logger } from '@kafscale/runtime';
import type { LogStarts } from '../log-start.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';

export interface RetentionDependencies {
  readonly logs: PartitionLogs;
  readonly logStarts: LogStarts;
  /** Undefined for a topic that is gone. */
  readonly configOf: (topicId: string) => TopicConfig | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/** Looks at every log each `intervalMs`, one after another, until the returned function is called. */
export function startRetention(dependencies: RetentionDependencies): () => void {
  const { logs, clock, logger, intervalMs } = dependencies;
  let stopped = false;
  let cancel = () => {};

  const round = async () => {
    for (const log of [...logs.all()]) {
      if (stopped) return;
      try {
        await retain(log, dependencies);
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

async function retain(log: PartitionLog, { configOf, logStarts, clock }: RetentionDependencies): Promise<void> {
  const config = configOf(log.topicId);
  if (config === undefined || log.closed) return;
  const offset = retainedFrom(log, config, clock.wallMs());
  if (offset > log.logStartOffset) await logStarts.advanceLogStart(log, offset);
}

/** The log start that the settings ask for: as in Kafka, what is left is at least `retention.bytes`, and nothing in it has expired. */
export function retainedFrom(log: PartitionLog, config: TopicConfig, nowMs: number): number {
  if (!config.cleanupPolicy.delete) return log.logStartOffset;
  const { retentionMs, retentionBytes } = config;
  let offset = log.logStartOffset;
  let keptBytes = log.sizeBytes;
  for (const { nextOffset, length, maxTimestamp } of log.extents) {
    keptBytes -= length;
    const tooMuch = retentionBytes >= 0 && keptBytes >= retentionBytes;
    const expired = retentionMs >= 0 && maxTimestamp >= 0 && maxTimestamp < nowMs - retentionMs;
    // Records without a timestamp never expire by themselves; they go with the first later ones that do.
    if (tooMuch || expired) offset = nextOffset;
    else if (maxTimestamp >= 0) break;
  }
  return offset;
}
