/**
 * The object store of a broker on S3: a bucket, perhaps with a read replica, and the wrappers around them in the order that
 * docs/adr/0012-the-order-of-object-store-wrappers.md argues for. Found fit by a probe before anybody gets it.
 */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Logger, Random } from '@kafscale/runtime';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import { CappedObjectStore } from './capped-object-store.ts';
import { DeadlineObjectStore } from './deadline-object-store.ts';
import { HealthObjectStore } from './health-object-store.ts';
import { healthProbeKey } from './health-probe-key.ts';
import { HedgedObjectStore } from './hedged-object-store.ts';
import { InstrumentedObjectStore } from './instrumented-object-store.ts';
import type { ObjectStore } from './object-store.ts';
import { probeObjectStore } from './probe-object-store.ts';
import { ReplicaObjectStore } from './replica-object-store.ts';
import { RetryingObjectStore } from './retrying-object-store.ts';
import { addressOf } from './s3-errors.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import { bucketSettings, replicaSettings, type S3Settings } from './s3-settings.ts';
import { StorageError } from './storage-error.ts';
import type { StoreHealth } from './store-health.ts';

export interface S3StoreDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  readonly health: StoreHealth;
}

/** Calls that may wait for a place; more than all consumers of a broker ask for together is a store that stands still. */
const maxWaiting = 512;
/** For one request without its bytes. */
const requestDeadlineMs = 10_000;
/** A replica is there to be quicker than the bucket. */
const replicaDeadlineMs = 2_500;
const minBytesPerSecond = 2 ** 20;
/** Reads, lists and deletes are begun again for so long: less than what clients wait for an answer. */
const retryDeadlineMs = 15_000;
const retryBackoff = { baseMs: 50, maxMs: 2_000 };
const replicaBackoff = { baseMs: 1_000, maxMs: 60_000 };
const hedging = { quantile: 0.95, minDelayMs: 10, maxShare: 0.05, maxBytes: 4 * 2 ** 20 };

/** Undefined where the configuration names no bucket. Throws StorageError with what to do about it. */
export async function openS3Store(
  config: BrokerConfig,
  dependencies: S3StoreDependencies,
): Promise<ObjectStore | undefined> {
  const settings = bucketSettings(config);
  if (settings === undefined) return undefined;
  const bucket = new S3ObjectStore({ settings, clock: dependencies.clock });
  try {
    await probe(bucket, settings, config, dependencies);
    return stacked(bucket, settings, config, dependencies);
  } catch (error) {
    await bucket.close();
    throw error;
  }
}

async function probe(
  bucket: S3ObjectStore,
  settings: S3Settings,
  { namespace, startupTimeoutMs }: BrokerConfig,
  { clock, random, logger }: S3StoreDependencies,
): Promise<void> {
  const place = `bucket ${settings.bucket} at ${addressOf(settings)}`;
  const { conditionalCreate } = await probeObjectStore(new DeadlineProbed(bucket, clock), {
    namespace,
    clock,
    random,
    budgetMs: startupTimeoutMs,
    place,
    onWaiting: (error) => logger.warn({ err: error }, 'the object store does not answer; waiting for it'),
  });
  if (!conditionalCreate) {
    logger.warn(
      { bucket: settings.bucket },
      'the object store cannot tell whether an object exists when it is created; nothing rests on that',
    );
  }
}

/** The probe's requests end in time, too. */
class DeadlineProbed extends DeadlineObjectStore {
  readonly #bucket: S3ObjectStore;

  constructor(bucket: S3ObjectStore, clock: Clock) {
    super(bucket, { clock, deadlineMs: requestDeadlineMs });
    this.#bucket = bucket;
  }

  withoutConditionalCreate(): void {
    this.#bucket.withoutConditionalCreate();
  }
}

function stacked(
  bucket: S3ObjectStore,
  settings: S3Settings,
  config: BrokerConfig,
  dependencies: S3StoreDependencies,
): ObjectStore {
  const { clock, random, metrics, health } = dependencies;
  const { namespace } = config;
  const seen = new HealthObjectStore(bucket, { health, clock, random, namespace });
  const requests = new InstrumentedObjectStore(seen, clock, ({ operation, durationMs, outcome }) => {
    metrics.objectStoreRequestDurationSeconds.observe({ operation, outcome }, durationMs / 1_000);
  });
  const primary = bounded(requests, settings, requestDeadlineMs, clock);
  const hedged = new HedgedObjectStore(withReplica(primary, config, dependencies), {
    ...hedging,
    clock,
    onHedged: (won) => metrics.objectStoreHedgedReads.inc({ won: String(won) }),
  });
  return new RetryingObjectStore(hedged, { clock, random, backoff: retryBackoff, deadlineMs: retryDeadlineMs });
}

/** The deadline includes the wait for a place. */
function bounded(store: ObjectStore, { concurrency }: S3Settings, deadlineMs: number, clock: Clock): ObjectStore {
  const capped = new CappedObjectStore(store, { maxInFlight: concurrency, maxWaiting });
  return new DeadlineObjectStore(capped, { clock, deadlineMs, minBytesPerSecond });
}

function withReplica(
  primary: ObjectStore,
  config: BrokerConfig,
  { clock, random, logger, metrics }: S3StoreDependencies,
): ObjectStore {
  const settings = replicaSettings(config);
  if (settings === undefined) return primary;
  const replica = bounded(new S3ObjectStore({ settings, clock }), settings, replicaDeadlineMs, clock);
  const place = { bucket: settings.bucket, address: addressOf(settings) };
  // Not worth a wait, nor a reason not to start.
  void replica.read(healthProbeKey(config.namespace, 'replica', random)).catch((error: unknown) => {
    if (error instanceof StorageError && error.kind === 'not-found') return;
    logger.warn({ ...place, err: error }, 'the read replica does not answer; reads go to the bucket itself meanwhile');
  });
  return new ReplicaObjectStore({
    primary,
    replica,
    clock,
    random,
    backoff: replicaBackoff,
    onFallback: (reason) => metrics.objectStoreReplicaFallbacks.inc({ reason }),
  });
}
