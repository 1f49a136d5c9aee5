/**
 * Several brokers in one process on one pair of embedded stores: a cluster to try out where neither etcd nor an object store is at
 * hand. They share nothing else, and meet each other through the stores as brokers on their own machines do.
 */
import type { BrokerConfig } from '@kafscale/protocol';
import { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
import { createMetrics } from './metrics/metrics.ts';
import { openStores, type Stores } from './open-stores.ts';

export interface EmbeddedCluster {
  readonly brokers: readonly RunningBroker[];
  /** Closes every broker, then the stores. */
  close(): Promise<void>;
}

/** The stores are those of the first configuration. Throws what keeps a broker from starting, with all others closed again. */
export async function startEmbeddedCluster(
  configs: readonly BrokerConfig[],
  dependencies: BrokerDependencies,
): Promise<EmbeddedCluster> {
  const stores = await openStores(configs[0]!, dependencies, createMetrics());
  const shared: Stores = {
    ...stores,
    objectStore: keptOpen(stores.objectStore),
    metadataStore: keptOpen(stores.metadataStore),
  };
  const starts = await Promise.allSettled(configs.map((config) => startBroker(config, dependencies, shared)));
  const brokers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const close = async (): Promise<void> => {
    await Promise.all(brokers.map((broker) => broker.close()));
    await stores.objectStore.close();
    await stores.metadataStore.close();
  };
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed !== undefined) {
    await close();
    throw failed.reason;
  }
  return { brokers, close };
}

/** The store, except that a broker which closes itself does not close it for the others. */
function keptOpen<Store extends { close(): Promise<void> }>(store: Store): Store {
  return new Proxy(store, {
    get(target, property) {
      if (property === 'close') return () => Promise.resolve();
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
