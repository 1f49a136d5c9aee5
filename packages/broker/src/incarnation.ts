/**
 * One life of a broker in its cluster: from opening its session to losing or ending it. None of its components, which
 * compose-incarnation.ts puts together, outlives the session.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { settlesWithin } from '@kafscale/runtime';
import { drain } from './cluster/drain.ts';
import {
  callDeadlineMs,
  composeIncarnation,
  type IncarnationDependencies,
  type IncarnationParts,
} from './compose-incarnation.ts';
import type { BrokerControl } from './control/broker-control.ts';
import type { Services } from './handlers/services.ts';
import { Session } from './metadata/session.ts';
import { ownedKindNames, reportNothingOwned, reportOwned } from './metrics/ownership-metrics.ts';

const incarnationBytes = 16;
/**
 * How long the upkeep of a lost session is waited for: nothing of it can be published any more, and while a store hangs it does not
 * end, which must not keep the next life from beginning.
 */
const lostSessionLimitMs = 500;
/** A broker that has handed everything over answers for so long: clients hear from it who has their partitions now. */
const farewellMs = 500;

export class Incarnation {
  readonly #parts: IncarnationParts;

  private constructor(parts: IncarnationParts) {
    this.#parts = parts;
  }

  /** Resolves when the broker owns its partitions and can serve. Throws MetadataError or StorageError. */
  static async start(dependencies: IncarnationDependencies): Promise<Incarnation> {
    const { config, metadataStore: store, clock, random } = dependencies;
    const incarnation = random.bytes(incarnationBytes).toString('hex');
    const session = await Session.open(incarnation, {
      store,
      clock,
      settings: { ttlMs: config.sessionTtlMs, callDeadlineMs, settleDeadlineMs: config.sessionTtlMs },
    });
    try {
      return new Incarnation(await composeIncarnation(session, dependencies));
    } catch (error) {
      // Kept alive, it would hold the broker's id against the next attempt for ever. What cannot be revoked expires.
      await session.revoke(new Error('the incarnation could not start', { cause: error })).catch(() => undefined);
      throw error;
    }
  }

  get brokerId(): number {
    return this.#parts.brokerId;
  }

  get services(): Services {
    return this.#parts.services;
  }

  get control(): BrokerControl {
    return this.#parts.control;
  }

  /** Runs once when the session is over: nothing may be served from this incarnation any more. */
  onEnd(listener: (reason: Error) => void): void {
    this.#parts.session.onEnd(listener);
  }

  /** Sets the gauges that are read rather than counted. */
  reportMetrics(): void {
    const metrics = this.#parts.metrics;
    const { hits, misses } = this.#parts.cache.counts;
    const fromMemory = hits + this.#parts.hotTail.hits;
    if (fromMemory + misses > 0) metrics.cacheHitRatio.set(fromMemory / (fromMemory + misses));
    metrics.cacheBytes.set(this.#parts.cache.sizeBytes);
    metrics.hotTailBytes.set(this.#parts.hotTail.sizeBytes);
    metrics.partitions.set(this.services.logs.count);
    metrics.followedPartitions.set(this.services.followed?.count ?? 0);
    metrics.topics.set([...this.services.image.topics()].length);
    metrics.consumerGroups.set(this.services.groups.groupCount);
    this.#reportOwnership();
    this.#parts.tiers.reportMetrics();
    metrics.knownFlushBytes.set(this.#parts.known?.sizeBytes ?? 0);
  }

  #reportOwnership(): void {
    const { metrics, image, session, standing, ownerships, controller } = this.#parts;
    const isController = session.alive && controller.isController;
    for (const [index, kind] of ownedKindNames.entries()) {
      const ownership = ownerships[index]!;
      reportOwned(metrics, kind, { phases: ownership.phases, census: ownership.census(), isController });
    }
    const known = image.controller === undefined ? undefined : image.brokerOf(image.controller);
    metrics.controllerActive.set(isController ? 1 : 0);
    metrics.controllerBrokerId.set(known?.brokerId ?? -1);
    metrics.brokerDraining.set(standing.current.draining ? 1 : 0);
    metrics.brokerCordoned.set(standing.current.cordoned ? 1 : 0);
  }

  /**
   * Hands everything over that others can take, while clients are served. What is not handed over within `limitMs` is given up with
   * the session, as in a crash.
   */
  async drain(limitMs: number): Promise<void> {
    if (this.#parts.session.endReason !== undefined) return;
    const { incarnation } = this.#parts.session;
    const { clock, metrics } = this.services;
    const sinceMs = clock.monotonicMs();
    try {
      const outcome = await drain(
        {
          ownerships: this.#parts.ownerships,
          image: this.#parts.image,
          incarnation,
          clock,
          announce: () => this.#parts.standing.drainForGood(),
        },
        limitMs,
      );
      metrics.drains.inc({ outcome });
      metrics.drainDurationSeconds.observe((clock.monotonicMs() - sinceMs) / 1_000);
      if (outcome === 'empty') await clock.sleep(farewellMs);
      if (outcome !== 'late') return;
      const partitions = this.#parts.ownerships.reduce((sum, { count }) => sum + count, 0);
      this.#parts.logger.warn({ partitions }, 'not everything could be handed over in time; the others take it over');
      await this.#revoke();
    } catch (error) {
      this.#parts.logger.warn({ err: error }, 'the broker could not hand over what it owns');
    }
  }

  /**
   * Lets what was accepted settle, but not for ever, then gives the session up. After a lost session everything without outcome is
   * refused; what a store that does not answer leaves open is never answered, and its lease expires by itself.
   */
  async close(): Promise<void> {
    this.#parts.control.close();
    this.#parts.stopUpkeep();
    this.#parts.controller.close();
    reportNothingOwned(this.#parts.metrics);
    this.services.topics.close();
    this.services.finder.close();
    for (const ownership of this.#parts.ownerships) ownership.close();
    const { clock, config, groups, followed } = this.services;
    const isLost = this.#parts.session.endReason !== undefined;
    const isSettled = await settlesWithin(
      clock,
      isLost ? Math.min(config.shutdownTimeoutMs, lostSessionLimitMs) : config.shutdownTimeoutMs,
      Promise.all([
        this.#settled(),
        groups.close(),
        this.#parts.keeper.close(),
        this.#parts.tiers.stop(),
        followed?.close(),
      ]),
    );
    if (!isSettled) this.#parts.logger.error('the stores do not answer: what was accepted last has no outcome');
    if (this.#parts.session.endReason === undefined) await this.#revoke();
    this.services.appender.abandon(new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER));
    for (const log of [...this.services.logs.all()]) this.services.logs.close(log.topicId, log.partition);
    await this.#parts.image.close();
    this.#parts.hotTail.close();
    this.#parts.arena.close();
    this.#parts.endCounting();
  }

  async #settled(): Promise<void> {
    if (this.#parts.session.endReason === undefined) await this.services.appender.settled();
  }

  async #revoke(): Promise<void> {
    try {
      await this.#parts.session.revoke(new Error('the broker was stopped'));
    } catch (error) {
      this.#parts.logger.warn({ err: error }, 'the session could not be given up; it expires');
    }
  }
}
