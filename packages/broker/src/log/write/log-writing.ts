/** Everything of an incarnation that writes logs, built together. */
import type { BrokerConfig } from '@kafscale/protocol';
import { SlabArena, type Logger, type SlabPool } from '@kafscale/runtime';
import type { BrokerMetrics } from '../../metrics/metrics.ts';
import { LogAppender, type LogAppenderDependencies } from './log-appender.ts';

export type LogWritingDependencies = Omit<LogAppenderDependencies, 'arena' | 'observer' | 'settings'> & {
  readonly config: BrokerConfig;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  /** What flushes are laid out in, in slabs that a full one fits into. */
  readonly pool: SlabPool;
  /** A manifest was stored. */
  readonly onManifest: (manifest: CommittedManifest) => void;
};

type CommittedManifest = Parameters<LogAppenderDependencies['observer']['onCommitted']>[0]['manifest'];

export interface LogWriting {
  readonly appender: LogAppender;
  /** Where flushes lie until they are durable, and as the hot tail after that. */
  readonly arena: SlabArena;
}

/** Bounds a flush's description: over 2 KiB it lives in the object's footer alone. */
const maxFlushEntries = 20_000;
const uploadAttemptDeadlineMs = 10_000;
const uploadDeadlineMs = 30_000;

export function openLogWriting({
  config,
  logger,
  metrics,
  onManifest,
  pool,
  ...dependencies
}: LogWritingDependencies): LogWriting {
  const arena = new SlabArena(pool);
  const appender = new LogAppender({
    ...dependencies,
    arena,
    observer: {
      onCommitted(flush) {
        onManifest(flush.manifest);
        metrics.producedBytes.inc(flush.recordBytes);
        metrics.producedBatches.inc(flush.batchCount);
        metrics.flushBytes.observe(flush.sizeBytes);
        metrics.flushBatches.observe(flush.batchCount);
        metrics.flushPartitions.observe(flush.partitionCount);
        metrics.segmentFlushDurationSeconds.observe(flush.durationMs / 1_000);
        metrics.commitDurationSeconds.observe(flush.commitDurationMs / 1_000);
      },
      onFailed(flushCount) {
        metrics.flushFailures.inc(flushCount);
        logger.error({ flushes: flushCount }, 'flushes failed; their batches were refused');
      },
    },
    settings: {
      windowMs: config.flushIntervalMs,
      maxBytes: config.flushBytes,
      maxEntries: maxFlushEntries,
      maxUploads: config.flushInFlight,
      uploadAttemptDeadlineMs,
      uploadDeadlineMs,
    },
  });
  return { appender, arena };
}
