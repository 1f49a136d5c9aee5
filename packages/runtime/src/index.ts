export { backoffDelayMs, type BackoffSettings } from './backoff.ts';
export type { CancelTimer, Clock } from './clock.ts';
export { mapConcurrently } from './map-concurrently.ts';
export { measureEventLoopDelay, type EventLoopDelay } from './event-loop-delay.ts';
export { KeyedMutex } from './keyed-mutex.ts';
export { failStopOnUncaughtErrors, Lifecycle, stopSignal } from './lifecycle.ts';
export { ConfigError, environmentNames, loadConfig, type LoadConfigOptions, type LoadedConfig } from './load-config.ts';
export {
  createLogger,
  logFormats,
  logLevels,
  silentLogger,
  type LogFields,
  type LogFormat,
  type Logger,
  type LoggerSettings,
  type LogLevel,
} from './logger.ts';
export { cryptoRandom, seededRandom, type Random } from './random.ts';
export { freeMemory } from './free-memory.ts';
export { boundHeap } from './bound-heap.ts';
export { processMemoryLimit } from './process-memory-limit.ts';
export { RecordMemory, type RecordMemorySettings, type Reservation, type YieldingMemory } from './record-memory.ts';
export { Slab, SlabPool, type SlabPoolSettings } from './slab-pool.ts';
export { systemClock } from './system-clock.ts';
export { settlesWithin, withDeadline } from './deadline.ts';
export { SlabArena, type SlabPiece } from './slab-arena.ts';
export { cacheFolder, preparedFolder } from './programs/cache-folder.ts';
export { ChildServer, type ChildServerSettings } from './programs/child-server.ts';
export { findProgram } from './programs/find-program.ts';
export { freePort } from './programs/free-port.ts';
export { goPrograms, type GoPrograms } from './programs/go-programs.ts';
export { isInstalled, ProgramError, runProgram, type ProgramOptions } from './programs/run-program.ts';
export { buildEtcd, buildMinio, newestEtcdVersion, previousEtcdVersion } from './programs/store-programs.ts';
