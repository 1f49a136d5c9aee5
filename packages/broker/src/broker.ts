/**
 * The composition root: stores, metrics and listener by hand, in the order they need each other, closed in reverse. A broker whose
 * session is over starts again in place as a new incarnation, behind a listener that closed every old connection; one whose metadata
 * store was replaced or put back stops for good.
 */
import { advertisedHostOf, type BrokerConfig } from '@kafscale/protocol';
import {
  backoffDelayMs,
  processMemoryLimit,
  RecordMemory,
  settlesWithin,
  type CancelTimer,
  type Clock,
  type Logger,
  type Random,
} from '@kafscale/runtime';
import { ControlSide } from './control/control-side.ts';
import { handlers, HandlerRegistry } from './handlers/registry.ts';
import { memoryShares, type MemoryShares } from './config/memory-shares.ts';
import { Incarnation } from './incarnation.ts';
import { agreedIdentity, IdentityMismatch, type ClusterIdentity } from './keeper/bucket-identity.ts';
import { crashingFailpoint, noFailpoint } from './log/write/failpoint.ts';
import { MetadataError } from './metadata/metadata-error.ts';
import { createMetrics, type BrokerMetrics } from './metrics/metrics.ts';
import { MetricsServer } from './metrics/metrics-server.ts';
import { Listener } from './network/listener.ts';
import { findFreePort } from './network/free-port.ts';
import { openStores, type Stores } from './open-stores.ts';
import { ObjectNames } from './storage/object-names.ts';

export interface BrokerDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface RunningBroker {
  /** Where clients are told to connect. */
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  /** 0 where the control API is off. */
  readonly controlPort: number;
  readonly brokerId: number;
  readonly clusterId: string;
  /** Resolves with the reason when the broker has stopped serving by itself and will not begin again; it is still to be closed. */
  readonly failed: Promise<Error>;
  /** Lets requests in work finish, settles what was accepted, and ends the session. */
  close(): Promise<void>;
}

interface Life {
  readonly incarnation: Incarnation;
  readonly listener: Listener;
}

const callDeadlineMs = 5_000;
/**
 * A request whose outcome is open when the session is lost may stay so for as long as the metadata store is away. Its connection is
 * closed without an answer after so long: the client goes on with whoever has the partition by now.
 */
const lostSessionLimitMs = 500;
/** How long a broker that is to stop waits for its next life, in order to end that properly. */
const betweenLivesLimitMs = 5_000;
const memoryPurposes = ['requests', 'flushes', 'hot-tail', 'folding', 'answers', 'cache', 'takeover'];
const freeUnusedMs = 15_000;
const restartBackoff = { baseMs: 200, maxMs: 2_000 };

/**
 * Starts a broker on the stores that the configuration names, or on `stores`, which it then closes with itself. Resolves when
 * clients can be served; throws what keeps it from starting.
 */
export async function startBroker(
  config: BrokerConfig,
  dependencies: BrokerDependencies,
  given?: Stores,
): Promise<RunningBroker> {
  const metrics = createMetrics();
  const stores = given ?? (await openStores(config, dependencies, metrics));
  const broker = new Broker(config, dependencies, stores, metrics);
  try {
    await broker.start();
  } catch (error) {
    await broker.close();
    throw error;
  }
  return broker;
}

const isReplaced = (error: unknown): error is MetadataError | IdentityMismatch =>
  error instanceof IdentityMismatch || (error instanceof MetadataError && error.kind === 'replaced');

/** As from outside: nothing is flushed, closed or answered. */
const killProcess = () => process.kill(process.pid, 'SIGKILL');

class Broker implements RunningBroker {
  readonly failed: Promise<Error>;
  #fail!: (reason: Error) => void;
  readonly #config: BrokerConfig;
  readonly #dependencies: BrokerDependencies;
  readonly #stores: Stores;
  readonly #metrics: BrokerMetrics;
  readonly #closing = new AbortController();
  readonly #shares: MemoryShares;
  readonly #memory: RecordMemory;
  #cancelFreeing: CancelTimer = () => undefined;
  #identity: ClusterIdentity | undefined;
  #port = 0;
  #metricsServer: MetricsServer | undefined;
  #control: ControlSide | undefined;
  #hasStarted = false;
  #life: Life | undefined;
  /** The session of the life that began last is over. */
  #isOver = false;
  #restarting: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(config: BrokerConfig, dependencies: BrokerDependencies, stores: Stores, metrics: BrokerMetrics) {
    this.#config = config;
    this.#dependencies = dependencies;
    this.#stores = stores;
    this.#metrics = metrics;
    this.#shares = memoryShares(config, processMemoryLimit());
    const { recordBytes: totalBytes, slabBytes } = this.#shares;
    this.#memory = new RecordMemory({ totalBytes, slabBytes });
    this.failed = new Promise((resolve) => (this.#fail = resolve));
  }

  get host(): string {
    return advertisedHostOf(this.#config);
  }

  get port(): number {
    return this.#config.advertisedPort ?? this.#port;
  }

  get metricsPort(): number {
    return this.#metricsServer?.port ?? 0;
  }

  get controlPort(): number {
    return this.#control?.port ?? 0;
  }

  get brokerId(): number {
    return this.#life?.incarnation.brokerId ?? -1;
  }

  get clusterId(): string {
    return this.#identity?.clusterId ?? '';
  }

  async start(): Promise<void> {
    const { clock, logger } = this.#dependencies;
    const { kafkaAddress, metricsAddress } = this.#config;
    this.#metrics.beforeScrape(() => {
      this.#life?.incarnation.reportMetrics();
      this.#reportMemory();
    });
    this.#metricsServer = await MetricsServer.start({
      address: metricsAddress,
      metrics: this.#metrics,
      isReady: () => this.#isReady,
      hasStarted: () => this.#hasStarted,
      objectStoreState: () => this.#stores.storeHealth?.report().state ?? 'healthy',
      clock,
      logger: logger.child({ component: 'metrics' }),
    });
    this.#control = await ControlSide.start({
      ...{ config: this.#config, ...this.#dependencies, metrics: this.#metrics },
      current: () => this.#life?.incarnation.control,
      brokerId: () => this.#life?.incarnation.brokerId,
      isReady: () => this.#isReady,
    });
    this.#port = kafkaAddress.port === 0 ? await findFreePort(kafkaAddress.host) : kafkaAddress.port;
    this.#freeUnused();
    await this.#live();
  }

  /** It serves, and clients may be sent to it: not while it is about to stop, and not while it is drained. */
  get #isReady(): boolean {
    return this.#life !== undefined && !this.#closing.signal.aborted && !this.#life.incarnation.control.isLeaving;
  }

  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  #reportMemory(): void {
    const { memoryBytes, memoryLimitBytes, recordMemoryLimitBytes } = this.#metrics;
    memoryLimitBytes.set(this.#shares.processBytes);
    recordMemoryLimitBytes.set(this.#shares.recordBytes);
    for (const purpose of memoryPurposes) memoryBytes.set({ purpose }, this.#memory.heldFor(purpose));
    memoryBytes.set({ purpose: 'free' }, this.#memory.pool.idleBytes);
  }

  /** A broker that was busy and is not any more does not keep the memory for that. */
  #freeUnused(): void {
    this.#cancelFreeing = this.#dependencies.clock.schedule(freeUnusedMs, () => {
      this.#memory.freeUnused();
      this.#freeUnused();
    });
  }

  async #live(): Promise<void> {
    const { clock, random, logger } = this.#dependencies;
    const { failpoint, namespace } = this.#config;
    this.#isOver = false;
    // At every life anew: what happened to the stores in between, this process cannot know.
    const names = new ObjectNames(namespace);
    const identity = await agreedIdentity({ ...this.#stores, clock, random, names, callDeadlineMs });
    this.#identity = identity;
    const incarnation = await Incarnation.start({
      config: this.#config,
      identity,
      endpoint: { host: this.host, port: this.port },
      ...this.#stores,
      clock,
      random,
      logger,
      metrics: this.#metrics,
      ...{ memory: this.#memory, shares: this.#shares },
      failpoint: failpoint === undefined ? noFailpoint : crashingFailpoint(failpoint, killProcess),
    });
    const { services } = incarnation;
    try {
      this.#closing.signal.throwIfAborted();
      const listener = await Listener.start({
        config: { ...this.#config, kafkaAddress: { ...this.#config.kafkaAddress, port: this.#port } },
        registry: new HandlerRegistry(handlers),
        services,
        ...{ memory: this.#memory, shares: this.#shares },
        clock,
        logger: logger.child({ component: 'listener' }),
        metrics: this.#metrics,
      });
      this.#life = { incarnation, listener };
      this.#hasStarted = true;
    } catch (error) {
      await incarnation.close();
      throw error;
    }
    incarnation.onEnd((reason) => {
      if (this.#closing.signal.aborted) return;
      if (isReplaced(reason)) {
        this.#stopForGood(reason);
        return;
      }
      logger.error({ err: reason }, 'session lost; starting again as a new incarnation');
      this.#isOver = true;
      this.#restarting ??= this.#restart();
    });
  }

  async #restart(): Promise<void> {
    const { clock, logger } = this.#dependencies;
    for (let attempt = 0; !this.#closing.signal.aborted; attempt += 1) {
      await this.#endLife(lostSessionLimitMs);
      try {
        await this.#live();
        // A life may have ended while it began, and then nobody else begins the next one.
        if (!this.#isOver) break;
      } catch (error) {
        if (isReplaced(error)) {
          this.#stopForGood(error);
          break;
        }
        logger.error({ err: error }, 'a new incarnation could not start; trying again');
      }
      await clock.sleep(this.#pauseMs(attempt), this.#closing.signal).catch(() => undefined);
    }
    this.#restarting = undefined;
  }

  #pauseMs(attempt: number): number {
    return backoffDelayMs(attempt, restartBackoff, this.#dependencies.random);
  }

  /** On a store that is not the one it was, nothing this process knows can be trusted, and no session may be begun. */
  #stopForGood(reason: Error): void {
    this.#dependencies.logger.fatal({ err: reason }, 'the metadata store is not the one it was; the broker stops');
    this.#restarting ??= this.#endLife();
    this.#fail(reason);
  }

  /** Requests that wait for an outcome are answered while the incarnation closes, so both close together. */
  async #endLife(limitMs?: number): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    this.#control?.lifeEnded();
    await Promise.all([life.listener.close(limitMs), life.incarnation.close()]);
  }

  async #finish(): Promise<void> {
    this.#closing.abort(new Error('the broker was stopped'));
    this.#cancelFreeing();
    // Between two lives it owes nobody anything, and while the metadata store is away the next one does not begin.
    const limitMs = Math.min(this.#config.shutdownTimeoutMs, betweenLivesLimitMs);
    await settlesWithin(this.#dependencies.clock, limitMs, this.#restarting ?? Promise.resolve());
    await this.#life?.incarnation.drain(this.#config.shutdownTimeoutMs);
    await this.#endLife();
    await this.#control?.close();
    await this.#metricsServer?.close();
    await this.#stores.objectStore.close();
    await this.#stores.metadataStore.close();
  }
}
