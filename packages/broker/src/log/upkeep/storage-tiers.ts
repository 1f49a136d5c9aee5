/**
 * Upkeep of what was written, put together: manifests are shelved, flush objects folded, and producers slowed down when neither keeps up.
 * One of each for an incarnation; everything is published through its upkeep lane.
 */
import { withDeadline, type Clock, type Logger, type RecordMemory } from '@kafscale/runtime';
import type { FlooredLane } from '../../metadata/lane.ts';
import type { MetadataImage } from '../../metadata/metadata-image.ts';
import type { MetadataStore, StoreUsage } from '../../metadata/metadata-store.ts';
import type { BrokerMetrics } from '../../metrics/metrics.ts';
import type { ObjectNames } from '../../storage/object-names.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { CommittedBatch } from '../producer-state.ts';
import type { HotTail } from '../read/hot-tail.ts';
import type { CommittedManifest } from '../write/committer.ts';
import { DeadExtents } from './dead-extents.ts';
import { Folding, type FoldingSettings, type UpdateRecords } from './folding.ts';
import { ProduceThrottle } from './produce-throttle.ts';
import { Publications } from './publications.ts';
import { Shelver } from './shelver.ts';
import { ShelvingForOthers } from './shelving-for-others.ts';
import { defaultShelvingSettings, Shelving, type ShelvingSettings } from './shelving.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

export interface StorageTiersDependencies {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly lane: FlooredLane;
  readonly image: Pick<MetadataImage, 'partition' | 'topicById'>;
  readonly logs: PartitionLogs;
  readonly hotTail: Pick<HotTail, 'hold'>;
  readonly committedBatchesOf: (log: PartitionLog) => readonly CommittedBatch[] | undefined;
  readonly updateRecords: UpdateRecords;
  /** As of Folding. */
  readonly retainedFrom?: (log: PartitionLog) => Promise<number>;
  readonly isController: () => boolean;
  /** Whether the object store takes anything now; true for ever where it is left out. */
  readonly canStore?: () => boolean;
  readonly names: ObjectNames;
  /** At least 64 random bits, as letters, digits, `_` and `-`. */
  readonly unique: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  readonly clusterId: string;
  readonly incarnation: string;
  readonly brokerId: number;
  readonly settings: FoldingSettings & {
    readonly shelving?: ShelvingSettings;
    readonly shelvingForOthersIntervalMs?: number;
  };
  readonly callDeadlineMs: number;
  /** As of Folding. */
  readonly memory?: RecordMemory;
  readonly roundBytes?: number;
}

const uploadDeadlineMs = 30_000;
const othersIntervalMs = 30_000;
const lookIntervalMs = 5_000;
const secondsPerMs = 1 / 1_000;

export class StorageTiers {
  readonly throttle: ProduceThrottle;
  /** Names for whatever else is published through the upkeep lane. */
  readonly publications: Publications;
  readonly #dependencies: StorageTiersDependencies;
  readonly #shelving: Shelving;
  readonly #shelvingForOthers: ShelvingForOthers;
  readonly #folding: Folding;
  readonly #watch: UpkeepLoop;
  #usage: StoreUsage | undefined;

  constructor(dependencies: StorageTiersDependencies) {
    this.#dependencies = dependencies;
    const { store, image, clock, logger, metrics, incarnation, lane, names, unique, settings, callDeadlineMs } =
      dependencies;
    this.publications = new Publications({ names, lane, incarnation, unique });
    this.throttle = new ProduceThrottle(logger.child({ component: 'throttle' }));
    const shelvingLogger = logger.child({ component: 'shelving' });
    const { publications } = this;
    const shelver = new Shelver({
      ...{ ...dependencies, logger: shelvingLogger, publications, uploadDeadlineMs },
      dead: new DeadExtents({ image, store, clock, callDeadlineMs }),
    });
    this.#shelving = new Shelving({
      ...{ shelver, store, clock, logger: shelvingLogger, incarnation, callDeadlineMs },
      settings: settings.shelving ?? defaultShelvingSettings,
    });
    this.#shelvingForOthers = new ShelvingForOthers({
      ...{ shelver, store, clock, logger: shelvingLogger, incarnation, callDeadlineMs },
      isController: dependencies.isController,
      adopt: (shelf) => this.#shelving.adopt(shelf),
      intervalMs: settings.shelvingForOthersIntervalMs ?? othersIntervalMs,
    });
    this.#folding = new Folding({
      ...{ ...dependencies, logger: logger.child({ component: 'folding' }), publications, uploadDeadlineMs },
      observer: {
        onRound({ bytes, partitions, durationMs }) {
          metrics.foldedBytes.inc(bytes);
          metrics.foldedPartitions.inc(partitions);
          metrics.foldDurationSeconds.observe(durationMs * secondsPerMs);
        },
        onFailed: () => metrics.foldFailures.inc(),
      },
    });
    this.#watch = new UpkeepLoop({ clock, logger, intervalMs: lookIntervalMs, round: () => this.#look() });
  }

  /** Memory of records that are being folded. */
  get heldBytes(): number {
    return this.#folding.heldBytes;
  }

  /** A flush was committed. */
  committed({ key, modRevision, value, footer }: CommittedManifest): void {
    const isReference = value.length < footer.length;
    this.#shelving.add({ key, modRevision, value, ...(isReference && { footer }) });
  }

  /** Sets the gauges that are read rather than counted. */
  reportMetrics(): void {
    const { metrics } = this.#dependencies;
    metrics.manifests.set(this.#shelving.manifestCount);
    metrics.shelves.set(this.#shelving.shelfCount);
    metrics.unfoldedExtents.set(this.#folding.unfolded.extents);
    metrics.unfoldedBytes.set(this.#folding.unfolded.bytes);
    metrics.produceDelaySeconds.set(this.throttle.delayMs * secondsPerMs);
    if (this.#usage === undefined) return;
    metrics.metadataBytes.set(this.#usage.sizeBytes);
    metrics.metadataInUseBytes.set(this.#usage.inUseBytes);
    if (this.#usage.quotaBytes !== undefined) metrics.metadataQuotaBytes.set(this.#usage.quotaBytes);
  }

  /** Nothing new begins; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    const loops = [this.#shelving, this.#shelvingForOthers, this.#folding, this.#watch];
    await Promise.all(loops.map((loop) => loop.stop()));
  }

  async #look(): Promise<void> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    try {
      this.#usage = await withDeadline(clock, callDeadlineMs, (signal) => store.usage(signal));
    } finally {
      this.throttle.look({
        manifests: this.#shelving.manifestCount,
        shelves: this.#shelving.shelfCount,
        unfoldedExtents: this.#folding.unfolded.extents,
        usage: this.#usage,
      });
    }
  }
}
