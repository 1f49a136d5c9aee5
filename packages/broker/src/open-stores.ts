/** The two stores a broker stands on, as its configuration names them: a folder and an embedded file, or S3 and etcd. */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Random } from '@kafscale/runtime';
import { join, resolve } from 'node:path';
import { EmbeddedMetadataStore } from './metadata/embedded-metadata-store.ts';
import { openEtcd } from './metadata/etcd/open-etcd.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import type { BrokerMetrics } from './metrics/metrics.ts';
import { FolderObjectStore } from './storage/folder-object-store.ts';
import { InstrumentedObjectStore, type ObjectStoreObservation } from './storage/instrumented-object-store.ts';
import type { ObjectStore } from './storage/object-store.ts';

export interface Stores {
  readonly objectStore: ObjectStore;
  readonly metadataStore: MetadataStore;
}

export interface StoreDependencies {
  readonly clock: Clock;
  readonly random: Random;
}

/** Opens both or none. Throws MetadataError and StorageError with what to do about it. */
export async function openStores(
  config: BrokerConfig,
  dependencies: StoreDependencies,
  metrics: BrokerMetrics,
): Promise<Stores> {
  const metadataStore = await openMetadataStore(config, dependencies);
  try {
    const objectStore = await openObjectStore(config);
    return {
      metadataStore,
      objectStore: new InstrumentedObjectStore(objectStore, dependencies.clock, observe(metrics)),
    };
  } catch (error) {
    await metadataStore.close();
    throw error;
  }
}

function openMetadataStore(config: BrokerConfig, dependencies: StoreDependencies): Promise<MetadataStore> {
  const { etcdEndpoints = [], dataDir } = config;
  if (etcdEndpoints.length > 0) return openEtcd({ ...config, etcdEndpoints }, dependencies);
  return EmbeddedMetadataStore.open({ folder: join(resolve(dataDir), 'metadata'), ...dependencies });
}

function openObjectStore({ dataDir }: BrokerConfig): Promise<ObjectStore> {
  return FolderObjectStore.open({ folder: join(resolve(dataDir), 'objects') });
}

const observe = (metrics: BrokerMetrics) => (observation: ObjectStoreObservation) => {
  const { operation, durationMs, outcome } = observation;
  if (outcome !== 'ok') metrics.objectStoreErrors.inc({ operation, kind: outcome });
  else if (operation === 'create') {
    metrics.s3UploadDurationSeconds.observe(durationMs / 1_000);
    metrics.s3UploadDurationMs.observe(durationMs);
  } else if (operation === 'read') metrics.s3DownloadDurationMs.observe(durationMs);
};
