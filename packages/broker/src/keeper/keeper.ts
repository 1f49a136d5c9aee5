/**
 * What the controller's broker does for the bucket as a whole, now and then: copies the metadata into it, and searches it for garbage.
 * Every broker has a keeper; it rests while another one is the controller. A failure is logged, counted and tried again at the next turn.
 */
import type { CancelTimer, Clock, Logger, Random } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import type { ObjectNames } from '../storage/object-names.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { IdentityMismatch, type ClusterIdentity } from './bucket-identity.ts';
import { writeCheckpoint } from './checkpoint-writer.ts';
import { liveState } from './cluster-state.ts';
import { GarbageCollector } from './garbage-collector.ts';

export interface KeeperSettings {
  readonly checkpointIntervalMs: number;
  readonly garbageCollection: 'on' | 'dry-run' | 'off';
  readonly garbageIntervalMs: number;
  readonly garbageGraceMs: number;
  readonly garbageReaderGraceMs: number;
  readonly garbageDeletesPerSecond: number;
}

export interface KeeperDependencies {
  readonly metadataStore: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  readonly names: ObjectNames;
  readonly identity: ClusterIdentity;
  readonly incarnation: string;
  /** The upkeep lane. */
  readonly lane: Lane;
  readonly isController: () => boolean;
  readonly callDeadlineMs: number;
  readonly settings: KeeperSettings;
}

/** How often it looks whether something is due. */
const turnMs = 1_000;
/** After a failed turn. */
const retryMs = 30_000;

export class Keeper {
  readonly #dependencies: KeeperDependencies;
  readonly #collector: GarbageCollector;
  readonly #closing = new AbortController();
  /** By the monotonic clock; undefined while another broker is the controller. */
  #checkpointDueMs: number | undefined;
  #searchDueMs: number | undefined;
  #cancelTurn: CancelTimer = () => undefined;
  #turn: Promise<void> = Promise.resolve();

  private constructor(dependencies: KeeperDependencies) {
    this.#dependencies = dependencies;
    const { settings, logger } = dependencies;
    this.#collector = new GarbageCollector({
      ...dependencies,
      logger: logger.child({ component: 'garbage' }),
      settings: {
        dryRun: settings.garbageCollection === 'dry-run',
        graceMs: settings.garbageGraceMs,
        readerGraceMs: settings.garbageReaderGraceMs,
        deletesPerSecond: settings.garbageDeletesPerSecond,
      },
    });
  }

  static start(dependencies: KeeperDependencies): Keeper {
    const keeper = new Keeper(dependencies);
    keeper.#plan();
    return keeper;
  }

  /** Resolves when nothing of it is under way any more. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the broker was stopped'));
    this.#cancelTurn();
    await this.#turn;
  }

  #plan(): void {
    if (this.#closing.signal.aborted) return;
    this.#cancelTurn = this.#dependencies.clock.schedule(turnMs, () => {
      this.#turn = this.#take().finally(() => this.#plan());
    });
  }

  async #take(): Promise<void> {
    const { clock, isController, settings } = this.#dependencies;
    if (!isController()) {
      [this.#checkpointDueMs, this.#searchDueMs] = [undefined, undefined];
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#checkpointDueMs ??= nowMs;
    this.#searchDueMs ??= nowMs + settings.garbageIntervalMs;
    if (nowMs >= this.#checkpointDueMs) {
      const isDone = await this.#attempt('checkpoint', () => this.#checkpoint());
      this.#checkpointDueMs = clock.monotonicMs() + waitMs(settings.checkpointIntervalMs, isDone);
    }
    if (settings.garbageCollection !== 'off' && nowMs >= this.#searchDueMs) {
      const isDone = await this.#attempt('garbage', () => this.#search());
      this.#searchDueMs = clock.monotonicMs() + waitMs(settings.garbageIntervalMs, isDone);
    }
  }

  async #checkpoint(): Promise<void> {
    const { clock, metrics, logger } = this.#dependencies;
    const { revision, entryCount } = await writeCheckpoint(await liveState(this.#dependencies), this.#dependencies);
    metrics.checkpointLastRun.set(clock.wallMs() / 1_000);
    logger.debug({ revision, entries: entryCount }, 'copied the metadata into the bucket');
  }

  async #search(): Promise<void> {
    const { clock, metrics, logger } = this.#dependencies;
    const report = await this.#collector.run(this.#closing.signal);
    if (report === undefined) return;
    metrics.garbageDeletedObjects.inc(report.deletedObjects);
    metrics.garbageDeletedBytes.inc(report.deletedBytes);
    metrics.garbageObjects.set(report.objects.garbage - report.deletedObjects);
    metrics.unknownObjects.set(report.objects.unknown);
    metrics.garbageLastRun.set(clock.wallMs() / 1_000);
    if (report.objects.unknown > 0) {
      const fields = { objects: report.objects.unknown, examples: report.unknownExamples };
      logger.warn(fields, 'the bucket holds objects that are not of this cluster; they are left alone');
    }
  }

  /** Whether it went through. */
  async #attempt(what: 'checkpoint' | 'garbage', act: () => Promise<void>): Promise<boolean> {
    const { logger, metrics } = this.#dependencies;
    try {
      await act();
      return true;
    } catch (error) {
      if (this.#closing.signal.aborted) return false;
      const failures = what === 'checkpoint' ? metrics.checkpointFailures : metrics.garbageFailures;
      failures.inc();
      if (error instanceof IdentityMismatch)
        logger.error({ err: error }, 'nothing is deleted: the stores do not belong together');
      else
        logger.error(
          { err: error },
          what === 'checkpoint' ? 'no checkpoint was written' : 'the search for garbage ended early',
        );
      return false;
    }
  }
}

const waitMs = (intervalMs: number, isDone: boolean) => (isDone ? intervalMs : Math.min(intervalMs, retryMs));
