/** The two stores a broker stands on, as its configuration names them: a folder and an embedded file, or S3 and etcd. */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Logger, Random } from '@kafscale/runtime';
import { join, resolve } from 'node:path';
import { EmbeddedMetadataStore } from './metadata/embedded-metadata-store.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import { createMetrics, type BrokerMetrics } from './metrics/metrics.ts';
import { FolderObjectStore } from './storage/folder-object-store.ts';
import { HealthObjectStore } from './storage/health-object-store.ts';
import { InstrumentedObjectStore, type ObjectStoreObservation } from './storage/instrumented-object-store.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { openS3Store } from './storage/s3-stores.ts';
import { StoreHealth, storeHealthStates } from './storage/store-health.ts';

export interface Stores {
  readonly objectStore: ObjectStore;
  readonly metadataStore: MetadataStore;
  /** How the object store is doing; healthy for ever where it is left out. */
  readonly storeHealth?: StoreHealth;
}

export interface StoreDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Opens both or none. Throws MetadataError and StorageError with what to do about it. */
export async function openStores(
  config: BrokerConfig,
  dependencies: StoreDependencies,
  metrics: BrokerMetrics,
): Promise<Stores> {
  const metadataStore = await openMetadataStore(config, dependencies);
  try {
    const storeHealth = healthOf(config, dependencies, metrics);
    const objectStore = await openObjectStore(config, dependencies, metrics, storeHealth);
    return {
      metadataStore,
      objectStore: new InstrumentedObjectStore(objectStore, dependencies.clock, observe(metrics)),
      storeHealth,
    };
  } catch (error) {
    await metadataStore.close();
    throw error;
  }
}

/** The object store alone, for who keeps something beside the brokers' objects. Throws StorageError with what to do about it. */
export async function openBucket(config: BrokerConfig, dependencies: StoreDependencies): Promise<ObjectStore> {
  const metrics = createMetrics();
  return openObjectStore(config, dependencies, metrics, healthOf(config, dependencies, metrics));
}

function openMetadataStore(config: BrokerConfig, dependencies: StoreDependencies): Promise<MetadataStore> {
  const { etcdEndpoints = [], dataDir } = config;
  if (etcdEndpoints.length > 0) return openEtcd({ ...config, etcdEndpoints }, dependencies);
  return EmbeddedMetadataStore.open({ folder: join(resolve(dataDir), 'metadata'), ...dependencies });
}

async function openObjectStore(
  config: BrokerConfig,
  { clock, random, logger }: StoreDependencies,
  metrics: BrokerMetrics,
  health: StoreHealth,
): Promise<ObjectStore> {
  const s3 = await openS3Store(config, {
    clock,
    random,
    logger: logger.child({ component: 'object-store' }),
    metrics,
    health,
  });
  if (s3 !== undefined) return s3;
  const folder = await FolderObjectStore.open({ folder: join(resolve(config.dataDir), 'objects') });
  return new HealthObjectStore(folder, { health, clock, random, namespace: config.namespace });
}

function healthOf(config: BrokerConfig, { clock, logger }: StoreDependencies, metrics: BrokerMetrics): StoreHealth {
  const health = new StoreHealth(clock, {
    windowMs: config.s3HealthWindowMs,
    latencyWarnMs: config.s3LatencyWarnMs,
    latencyCritMs: config.s3LatencyCritMs,
    errorRateWarn: config.s3ErrorRateWarn,
    errorRateCrit: config.s3ErrorRateCrit,
  });
  health.onChange((report) => logger.warn({ ...report }, 'the health of the object store changed'));
  metrics.beforeScrape(() => {
    const { state, latencyMs, errorRate, stateDurationMs } = health.report();
    for (const one of storeHealthStates) metrics.s3HealthState.set({ state: one }, one === state ? 1 : 0);
    metrics.s3LatencyMsAvg.set(latencyMs);
    metrics.s3ErrorRate.set(errorRate);
    metrics.s3StateDurationSeconds.set(stateDurationMs / 1_000);
  });
  return health;
}

const observe = (metrics: BrokerMetrics) => (observation: ObjectStoreObservation) => {
  const { operation, durationMs, outcome } = observation;
  if (outcome !== 'ok') metrics.objectStoreErrors.inc({ operation, kind: outcome });
  else if (operation === 'create') {
    metrics.s3UploadDurationSeconds.observe(durationMs / 1_000);
    metrics.s3UploadDurationMs.observe(durationMs);
  } else if (operation === 'read') metrics.s3DownloadDurationMs.observe(durationMs);
};
