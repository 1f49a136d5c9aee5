/**
 * What a broker does for the bucket as a whole, now and then: it asks whether the stores still belong together, and the controller's
 * broker copies the metadata into the bucket and searches it for garbage. A failure is logged, counted and tried again.
 */
import type { CancelTimer, Clock, Logger, Random } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import type { ObjectNames } from '../storage/object-names.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { checkAgreement, IdentityMismatch, type ClusterIdentity } from './bucket-identity.ts';
import { writeCheckpoint } from './checkpoint-writer.ts';
import { liveState } from './cluster-state.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { TopicChanges, type TopicChangesImage } from './topic-changes.ts';

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
  readonly image: TopicChangesImage;
  /** The upkeep lane. */
  readonly lane: Lane;
  readonly isController: () => boolean;
  /** The stores do not belong together any more: this broker must write nothing from now on. */
  readonly onMismatch: (mismatch: IdentityMismatch) => void;
  readonly callDeadlineMs: number;
  readonly settings: KeeperSettings;
}

/** How often it looks whether something is due. */
const turnMs = 1_000;
/** After topics changed, a checkpoint comes this soon behind the last one. */
const changedTopicsMs = 30_000;
/** After a failed turn. */
const retryMs = 30_000;
/** How often every broker asks whether the stores still belong together, and how often it asks again before it believes a no. */
const agreementIntervalMs = 60_000;
const mismatchIntervalMs = 5_000;
const believedMismatches = 3;

export class Keeper {
  readonly #dependencies: KeeperDependencies;
  readonly #collector: GarbageCollector;
  readonly #topicChanges: TopicChanges;
  readonly #closing = new AbortController();
  /** By the monotonic clock; undefined while another broker is the controller. */
  #checkpointDueMs: number | undefined;
  #checkpointedMs = -Infinity;
  #searchDueMs: number | undefined;
  #agreementDueMs: number;
  #mismatches = 0;
  #cancelTurn: CancelTimer = () => undefined;
  #turn: Promise<void> = Promise.resolve();

  private constructor(dependencies: KeeperDependencies) {
    this.#dependencies = dependencies;
    this.#topicChanges = new TopicChanges(dependencies.image);
    const { settings, logger, clock } = dependencies;
    this.#agreementDueMs = clock.monotonicMs() + agreementIntervalMs;
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
    this.#topicChanges.close();
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
    if (clock.monotonicMs() >= this.#agreementDueMs) await this.#checkAgreement();
    if (this.#mismatches > 0) return;
    if (!isController()) {
      [this.#checkpointDueMs, this.#searchDueMs] = [undefined, undefined];
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#checkpointDueMs ??= nowMs;
    this.#searchDueMs ??= nowMs + settings.garbageIntervalMs;
    const isBehind = this.#topicChanges.isChanged && nowMs >= this.#checkpointedMs + changedTopicsMs;
    if (isBehind || nowMs >= this.#checkpointDueMs) {
      const isDone = await this.#attempt('checkpoint', () => this.#checkpoint());
      this.#checkpointDueMs = clock.monotonicMs() + waitMs(settings.checkpointIntervalMs, isDone);
    }
    if (settings.garbageCollection !== 'off' && nowMs >= this.#searchDueMs) {
      const isDone = await this.#attempt('garbage', () => this.#search());
      this.#searchDueMs = clock.monotonicMs() + waitMs(settings.garbageIntervalMs, isDone);
    }
  }

  /** A store may show something odd for a moment; what it shows again and again is so. */
  async #checkAgreement(): Promise<void> {
    const { clock, identity, logger, onMismatch } = this.#dependencies;
    try {
      await checkAgreement(identity, this.#dependencies);
      this.#mismatches = 0;
    } catch (error) {
      if (error instanceof IdentityMismatch) this.#mismatches += 1;
      else logger.warn({ err: error }, 'could not ask whether the stores belong together; trying again');
      if (error instanceof IdentityMismatch && this.#mismatches >= believedMismatches) onMismatch(error);
    }
    this.#agreementDueMs = clock.monotonicMs() + (this.#mismatches > 0 ? mismatchIntervalMs : agreementIntervalMs);
  }

  async #checkpoint(): Promise<void> {
    const { clock, metrics, logger } = this.#dependencies;
    this.#checkpointedMs = clock.monotonicMs();
    this.#topicChanges.clear(); // before the state is read: what changes from here on may not be in it
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
