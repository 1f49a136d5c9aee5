/**
 * Time and size retention of topics whose cleanup policy is `delete`: moves log starts, an extent or segment at a time, and nothing
 * else; the bytes behind them are for garbage collection. A topic that is only compacted keeps everything, however old or large.
 */
import type { TopicConfig } from '@kafscale/protocol';
import type { Clock, Logger } from '@kafscale/runtime';
import type { LogStarts } from '../log-start.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { LogSpans } from '../segments/log-spans.ts';
import { RetentionLines } from './retained-from.ts';

export interface RetentionDependencies {
  readonly logs: PartitionLogs;
  readonly logStarts: LogStarts;
  readonly spans: LogSpans;
  /** Undefined for a topic that is gone. */
  readonly configOf: (topicId: string) => TopicConfig | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/** Looks at every log each `intervalMs`, one after another, until the returned function is called. */
export function startRetention(dependencies: RetentionDependencies): () => void {
  const { logs, spans, clock, logger, intervalMs } = dependencies;
  const lines = new RetentionLines(spans);
  let stopped = false;
  let cancel = () => {};

  const round = async () => {
    for (const log of [...logs.all()]) {
      if (stopped) return;
      try {
        await retain(log, lines, dependencies);
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

async function retain(
  log: PartitionLog,
  lines: RetentionLines,
  { configOf, logStarts, clock }: RetentionDependencies,
): Promise<void> {
  const config = configOf(log.topicId);
  if (config === undefined || log.closed) return;
  const offset = await lines.retainedFrom(log, config, clock.wallMs());
  if (offset > log.logStartOffset) await logStarts.advanceLogStart(log, offset);
}
