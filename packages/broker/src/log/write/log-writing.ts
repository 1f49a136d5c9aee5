/** Everything of an incarnation that writes logs, built together. */
import type { BrokerConfig } from '@kafscale/protocol';
import { SlabArena, SlabPool, type Logger, type SlabPoolSettings } from '@kafscale/runtime';
import type { BrokerMetrics } from '../../metrics/metrics.ts';
import { LogAppender, type LogAppenderDependencies } from './log-appender.ts';

export type LogWritingDependencies = Omit<LogAppenderDependencies, 'arena' | 'observer' | 'settings'> & {
  readonly config: BrokerConfig;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  /** A manifest was stored. */
  readonly onManifest: (manifest: CommittedManifest) => void;
};

type CommittedManifest = Parameters<LogAppenderDependencies['observer']['onCommitted']>[0]['manifest'];

export interface LogWriting {
  readonly appender: LogAppender;
  /** Where flushes lie until they are durable, and as the hot tail after that. */
  readonly arena: SlabArena;
}

const minSlabBytes = 4 * 2 ** 20;
const maxSlabBytes = 16 * 2 ** 20;
const maxIdleBytes = 64 * 2 ** 20;
/** What a full flush has beside its batches: its footer, nearly always. */
const footerBytes = 256 * 1_024;
/** Bounds a flush's description: well over 16 KiB it lives in the object's footer alone. */
const maxFlushEntries = 20_000;
const uploadAttemptDeadlineMs = 10_000;
const uploadDeadlineMs = 30_000;

export function openLogWriting({
  config,
  logger,
  metrics,
  onManifest,
  ...dependencies
}: LogWritingDependencies): LogWriting {
  const arena = new SlabArena(new SlabPool(arenaSettings(config)));
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

/**
 * A full flush fits into one slab: memory of its own would be fresh each time, and left to the garbage collector. What is on its way
 * to the store when it fails comes back all at once, and is kept for what follows.
 */
function arenaSettings({ flushBytes, flushInFlight }: BrokerConfig): SlabPoolSettings {
  const slabBytes = Math.min(maxSlabBytes, Math.max(minSlabBytes, flushBytes + footerBytes));
  return { slabBytes, maxIdleSlabs: Math.min(flushInFlight, Math.ceil(maxIdleBytes / slabBytes)) };
}
