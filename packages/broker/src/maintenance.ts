/**
 * What an operator runs beside or in place of brokers, on the stores that the configuration names: verify, restore, rebuild. Embedded
 * stores take one process at a time, so a broker on the same folder has to be stopped first; the store says so.
 */
import { metadata, metadataKeys, type BrokerConfig } from '@kafscale/protocol';
import { silentLogger, type Clock, type Random } from '@kafscale/runtime';
import { checkAgreement, IdentityMismatch } from './keeper/bucket-identity.ts';
import type { RebuildPlan } from './keeper/rebuild/rebuild-plan.ts';
import { executeRebuild, prepareRebuild } from './keeper/rebuild/rebuild.ts';
import { restoreTopic, type RestoreReport, type RestoreRequest } from './keeper/restore/restore-topic.ts';
import { readKey, type StoreAccess } from './keeper/store-access.ts';
import { verifyCluster, type VerifyOptions, type VerifyReport } from './keeper/verify/verifier.ts';
import { createMetrics } from './metrics/metrics.ts';
import { openStores, type Stores } from './open-stores.ts';
import { ObjectNames } from './storage/object-names.ts';

export interface MaintenanceDependencies {
  readonly clock: Clock;
  readonly random: Random;
}

export interface RebuildOptions {
  /** Told what would be done; the rebuild goes on if it answers true. */
  readonly confirm: (plan: RebuildPlan) => boolean;
  /** Whether what the metadata store holds of this cluster, such as an older backup, gives way. */
  readonly replaces?: boolean;
  readonly onProgress?: (text: string) => void;
}

const callDeadlineMs = 15_000;

interface Opened extends StoreAccess, MaintenanceDependencies {
  readonly names: ObjectNames;
}

/** Throws IdentityMismatch, MetadataError, StorageError. */
export function verifyStores(
  config: BrokerConfig,
  dependencies: MaintenanceDependencies,
  options: VerifyOptions,
  given?: Stores,
): Promise<VerifyReport> {
  return withStores(config, dependencies, given, async (opened) => {
    await checkBelongTogether(opened);
    return verifyCluster(opened, options);
  });
}

/** Throws RestoreRefused, SourceFault, IdentityMismatch, MetadataError, StorageError. */
export function restoreFromStores(
  config: BrokerConfig,
  dependencies: MaintenanceDependencies,
  request: RestoreRequest,
  given?: Stores,
): Promise<RestoreReport> {
  return withStores(config, dependencies, given, async (opened) => {
    await checkBelongTogether(opened);
    return restoreTopic(request, { ...opened, segmentBytes: config.segmentBytes });
  });
}

/** Resolves with the plan, and whether it was carried out. Throws RebuildRefused, MetadataError, StorageError. */
export function rebuildStores(
  config: BrokerConfig,
  dependencies: MaintenanceDependencies,
  { confirm, onProgress, replaces = false }: RebuildOptions,
  given?: Stores,
): Promise<{ readonly plan: RebuildPlan; readonly isDone: boolean }> {
  return withStores(config, dependencies, given, async (opened) => {
    const rebuilding = { ...opened, replaces, ...(onProgress !== undefined && { onProgress }) };
    const plan = await prepareRebuild(rebuilding);
    const isConfirmed = confirm(plan);
    if (isConfirmed) await executeRebuild(plan, rebuilding);
    return { plan, isDone: isConfirmed };
  });
}

async function withStores<Result>(
  config: BrokerConfig,
  dependencies: MaintenanceDependencies,
  given: Stores | undefined,
  act: (opened: Opened) => Promise<Result>,
): Promise<Result> {
  const stores = given ?? (await openStores(config, { ...dependencies, logger: silentLogger }, createMetrics()));
  const { metadataStore, objectStore } = stores;
  try {
    const names = new ObjectNames(config.namespace);
    return await act({ ...dependencies, metadataStore, objectStore, names, callDeadlineMs });
  } finally {
    await objectStore.close();
    await metadataStore.close();
  }
}

async function checkBelongTogether(opened: Opened): Promise<void> {
  const { item } = await readKey(opened, metadataKeys.cluster);
  if (item === undefined) {
    throw new IdentityMismatch(
      'The metadata store holds no cluster. Check KAFSCALE_ETCD_ENDPOINTS, KAFSCALE_ETCD_PREFIX and KAFSCALE_CLUSTER_ID, or --data-dir; if the store was lost, run: kafscale rebuild',
    );
  }
  const { clusterId, generation } = metadata.ClusterRecord.decode(item.value);
  await checkAgreement({ clusterId, generation: Number(generation) }, opened);
}
