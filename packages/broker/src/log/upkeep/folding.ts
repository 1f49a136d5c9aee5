/**
 * Compaction of the tail: rewrites what lies in shared flush objects by partition, into segments or merged objects, and publishes it
 * through the partition records. Changes where batches lie, never what they are. In this order: objects stored; records changed, by
 * compare on their mod revision, so that whoever lost the partition meanwhile changes nothing (COMMIT.md F12); then the log in
 * memory. Producers and epochs are published with the offsets whose manifests die by it (F11).
 */
import { IndexObjectBuilder, type metadata } from '@kafscale/protocol';
import { withDeadline, type Clock, type Logger } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { ObjectNames } from '../../storage/object-names.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Extent, PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { CommittedBatch } from '../producer-state.ts';
import type { HotTail } from '../read/hot-tail.ts';
import { foldedLogOf, withoutDeadSegments } from '../segments/folded-log.ts';
import { FoldCandidates, foldedExtents, type DueLog } from './fold-candidates.ts';
import { FoldMemory } from './fold-memory.ts';
import { FoldPace } from './fold-pace.ts';
import { planFold } from './fold-plan.ts';
import { loadExtents, type LoadedExtent } from './fold-sources.ts';
import { storeRuns, type RunToStore } from './folded-runs.ts';
import { snapshotOf } from './producer-snapshots.ts';
import type { Publication, Publications } from './publications.ts';
import { cutIntoRuns, firstRewritten } from './run-tiers.ts';
import { SegmentChunks } from './segment-chunks.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

/** Changes the record of an owned partition; called once, with the record as it is stored. What it throws is the outcome. */
export interface RecordChange {
  readonly topicId: string;
  readonly partition: number;
  readonly change: (record: metadata.PartitionRecord) => metadata.PartitionRecord;
}

/** One outcome per change, in their order: undefined once it is stored, or why it never will be. */
export type UpdateRecords = (changes: readonly RecordChange[]) => Promise<readonly (Error | undefined)[]>;

export interface FoldObserver {
  onRound(round: { readonly bytes: number; readonly partitions: number; readonly durationMs: number }): void;
  onFailed(): void;
}

export interface FoldingSettings {
  readonly foldAfterMs: number;
  readonly segmentBytes: number;
}

export interface FoldingDependencies {
  readonly logs: PartitionLogs;
  /** What is known of a log's producers as of its high watermark; undefined for one that is being given up. */
  readonly committedBatchesOf: (log: PartitionLog) => readonly CommittedBatch[] | undefined;
  readonly updateRecords: UpdateRecords;
  readonly objectStore: ObjectStore;
  readonly hotTail: Pick<HotTail, 'hold'>;
  readonly names: ObjectNames;
  readonly publications: Publications;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clusterId: string;
  readonly incarnation: string;
  readonly brokerId: number;
  readonly observer: FoldObserver;
  readonly settings: FoldingSettings;
  /** Whether what is folded could be stored now; true for ever where it is left out. */
  readonly canStore?: (() => boolean) | undefined;
  readonly callDeadlineMs: number;
  readonly uploadDeadlineMs: number;
}

/** Bytes of batches that one round holds in memory. */
const maxRoundBytes = 64 * 2 ** 20;
const maxPartitionsPerRound = 2_000;
/** A larger segment could not be put together in memory. */
const maxSegmentBytes = maxRoundBytes / 2;
const maxUnfoldedExtents = 400_000;
const longestIntervalMs = 10_000;
/** When an extent that could not be read is tried again. */
const lookAgainMs = 600_000;
/** Older epochs than so many are not told apart any more; nothing rests on them, as no log is ever cut. */
const epochStartsKept = 64;

/** One partition's part of a round. */
interface Fold {
  readonly log: PartitionLog;
  readonly foldedBefore: number;
  readonly foldedOffset: number;
  /** Runs that stay as they are, then where the stored ones come. */
  readonly kept: readonly Extent[];
  readonly runs: readonly RunToStore[];
  readonly bytes: number;
  /** Nothing of what was due is left. */
  readonly isWhole: boolean;
}

interface PublishedFold extends Fold {
  readonly record: metadata.PartitionRecord;
}

export class Folding {
  readonly #dependencies: FoldingDependencies;
  readonly #segmentBytes: number;
  readonly #candidates: FoldCandidates;
  readonly #chunks: SegmentChunks;
  readonly #pace: FoldPace;
  readonly #memory = new FoldMemory();
  readonly #loop: UpkeepLoop;
  /** Where a log could not be read, and when to try again. */
  readonly #blocked = new WeakMap<PartitionLog, { readonly offset: number; readonly untilMs: number }>();

  constructor(dependencies: FoldingDependencies) {
    this.#dependencies = dependencies;
    const { clock, logger, settings, observer } = dependencies;
    const { foldAfterMs } = settings;
    this.#segmentBytes = Math.min(settings.segmentBytes, maxSegmentBytes);
    this.#candidates = new FoldCandidates({
      foldAfterMs,
      segmentBytes: this.#segmentBytes,
      minBytes: this.#segmentBytes / 16,
      maxWaitMs: 5 * foldAfterMs,
      maxUnfoldedExtents,
    });
    this.#chunks = new SegmentChunks({ ...dependencies, segmentBytes: this.#segmentBytes });
    this.#pace = new FoldPace(clock);
    this.#loop = new UpkeepLoop({
      clock,
      logger,
      intervalMs: Math.min(foldAfterMs / 4, longestIntervalMs),
      round: async (signal) => {
        try {
          await this.#roundsUntilDone(signal);
        } catch (error) {
          if (!signal.aborted) observer.onFailed();
          throw error;
        }
      },
    });
  }

  /** What was not folded yet at the last look. */
  get unfolded(): { readonly extents: number; readonly bytes: number } {
    return this.#candidates.unfolded;
  }

  /** Memory that the round under way holds. */
  get heldBytes(): number {
    return this.#memory.heldBytes;
  }

  /** Looks now, not at the next interval. */
  wake(): void {
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #roundsUntilDone(signal: AbortSignal): Promise<void> {
    const { canStore = () => true } = this.#dependencies;
    try {
      for (let more = true; more && !signal.aborted && canStore();) {
        more = await this.#round(signal);
        this.#memory.free();
      }
    } finally {
      this.#memory.forget(); // of a round that failed: calls of it may go on
    }
  }

  /** True when there is more to be done at once. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { logs, clock, publications, observer } = this.#dependencies;
    const startedMs = clock.monotonicMs();
    const due = this.#candidates.look(logs.all(), startedMs).filter((one) => !this.#isBlocked(one));
    this.#pace.follow(this.#candidates.unfolded.bytes);
    if (due.length === 0) return false;

    const folds = await this.#load(due, signal);
    if (folds.length === 0) return false;
    const publication = publications.begin();
    try {
      const published = await this.#publish(folds, publication, signal);
      const bytes = published.reduce((sum, fold) => sum + fold.bytes, 0);
      observer.onRound({ bytes, partitions: published.length, durationMs: clock.monotonicMs() - startedMs });
      return published.length > 0 && (folds.length < due.length || folds.some(({ isWhole }) => !isWhole));
    } finally {
      publication.settle();
    }
  }

  #isBlocked({ log, extents }: DueLog): boolean {
    const blocked = this.#blocked.get(log);
    if (blocked === undefined || extents[0]?.baseOffset !== blocked.offset) return false;
    return this.#dependencies.clock.monotonicMs() < blocked.untilMs;
  }

  /** Chooses what this round takes, and reads it. */
  async #load(due: readonly DueLog[], signal: AbortSignal): Promise<readonly Fold[]> {
    const planned = planFold(due, { maxBytes: maxRoundBytes, maxPartitions: maxPartitionsPerRound }, (objectKey) =>
      this.#orderOf(objectKey),
    );
    const dueOf = new Map(due.map((one) => [one.log, one]));
    const rewritten = new Map<PartitionLog, readonly Extent[]>();
    for (const { log, extents } of planned) {
      const runs = foldedExtents(log);
      const bytes = extents.reduce((sum, { length }) => sum + length, 0);
      rewritten.set(log, runs.slice(firstRewritten(runs, bytes, { segmentBytes: this.#segmentBytes })));
    }
    const wanted = planned.flatMap(({ log, extents }) => [...rewritten.get(log)!, ...extents]);
    const loaded = await loadExtents(wanted, { ...this.#dependencies, pace: this.#pace, memory: this.#memory }, signal);
    const folds: Fold[] = [];
    for (const { log, extents } of planned) {
      const isWhole = extents.length === dueOf.get(log)!.extents.length;
      const fold = this.#foldOf(log, rewritten.get(log)!, extents, loaded, isWhole);
      if (fold !== undefined) folds.push(fold);
    }
    for (const { log, extents, passedOffset } of due.slice(0, maxPartitionsPerRound)) {
      if (extents.length > 0) continue;
      const passed = { foldedBefore: log.foldedOffset, foldedOffset: passedOffset, isWhole: true };
      folds.push({ log, ...passed, kept: foldedExtents(log), runs: [], bytes: 0 });
    }
    return folds;
  }

  #foldOf(
    log: PartitionLog,
    rewritten: readonly Extent[],
    extents: readonly Extent[],
    loaded: ReadonlyMap<Extent, LoadedExtent>,
    isWhole: boolean,
  ): Fold | undefined {
    // Nothing that cannot be read is moved, and nothing behind it that would have to be.
    const readable = this.#readable(log, extents, loaded);
    if (readable.length === 0) return undefined;
    const older = this.#readableBehind(log, rewritten, loaded);
    const sources = [...older, ...readable].map((source) => ({ ...source, length: source.bytes.length }));
    const runs = cutIntoRuns(sources, { segmentBytes: this.#segmentBytes }).map((run) => ({ log, sources: run }));
    // The log start may have passed some of them while they were read, so it is not their number that tells which ones stay.
    const inRecord = foldedExtents(log);
    const isRewritten = new Set(older.map(({ extent }) => extent));
    return {
      log,
      foldedBefore: log.foldedOffset,
      foldedOffset: readable.at(-1)!.extent.nextOffset,
      kept: inRecord.filter((extent) => !isRewritten.has(extent)),
      runs,
      bytes: sources.reduce((sum, { length }) => sum + length, 0),
      isWhole: isWhole && readable.length === extents.length,
    };
  }

  /** Of runs that are to be rewritten those behind the last that cannot be read: one that is lost must not make the record grow. */
  #readableBehind(log: PartitionLog, runs: readonly Extent[], loaded: ReadonlyMap<Extent, LoadedExtent>) {
    const lost = runs.findLastIndex((run) => !Buffer.isBuffer(loaded.get(run)));
    if (lost >= 0) this.#readable(log, runs, loaded); // for the alarm
    return this.#readable(log, runs.slice(lost + 1), loaded);
  }

  /** Of these extents those before the first that cannot be read, which is an alarm. */
  #readable(log: PartitionLog, extents: readonly Extent[], loaded: ReadonlyMap<Extent, LoadedExtent>) {
    const { clock, logger } = this.#dependencies;
    const readable: { readonly extent: Extent; readonly bytes: Buffer }[] = [];
    for (const extent of extents) {
      const bytes = loaded.get(extent);
      if (Buffer.isBuffer(bytes)) {
        readable.push({ extent, bytes });
        continue;
      }
      // The log start may have passed it while it was read; then nobody needs it.
      if (log.closed || extent.nextOffset <= log.logStartOffset) break;
      const { topicName: topic, partition } = log;
      this.#blocked.set(log, { offset: extent.baseOffset, untilMs: clock.monotonicMs() + lookAgainMs });
      logger.error(
        { topic, partition, offset: extent.baseOffset, objectKey: extent.objectKey, err: bytes },
        'committed records cannot be read: they stay where they are, and nothing behind them is folded',
      );
      break;
    }
    return readable;
  }

  /** Stores the objects, then changes the records; answers what is published. */
  async #publish(
    folds: readonly Fold[],
    publication: Publication,
    signal: AbortSignal,
  ): Promise<readonly PublishedFold[]> {
    const { clock, clusterId, incarnation, objectStore, uploadDeadlineMs } = this.#dependencies;
    const segments = await storeRuns(
      folds.flatMap(({ runs }) => runs),
      { ...this.#dependencies, publication, pace: this.#pace, segmentBytes: this.#segmentBytes },
      signal,
    );
    const spilled = await this.#chunks.plan(folds.map((fold, index) => this.#listOf(folds, index, segments, fold)));

    const sequence = publication.nextSequence();
    const objectKey = publication.nameFlat('index', sequence);
    const builder = new IndexObjectBuilder(objectKey);
    const publishable: PublishedFold[] = [];
    const topicIds = new Map<string, string>();
    for (const [index, fold] of folds.entries()) {
      const { log } = fold;
      const batches = this.#dependencies.committedBatchesOf(log);
      // One that is being given up is not published, nor one of two topics that had one name in turn: the next round looks again.
      const isNamed = (topicIds.get(log.topicName) ?? log.topicId) === log.topicId;
      if (log.closed || batches === undefined || !isNamed) continue;
      topicIds.set(log.topicName, log.topicId);
      publishable.push({ ...fold, record: this.#recordOf(fold, spilled[index]!, batches, builder) });
    }
    const createdMs = clock.wallMs();
    const body = builder.finish({ clusterId, incarnation, sequence, createdMs });
    await withDeadline(clock, uploadDeadlineMs, (deadline) => objectStore.create(objectKey, body, deadline));
    signal.throwIfAborted();
    return this.#changeRecords(publishable);
  }

  #listOf(folds: readonly Fold[], index: number, stored: readonly metadata.Segment[], { log, kept, runs }: Fold) {
    const before = folds.slice(0, index).reduce((sum, fold) => sum + fold.runs.length, 0);
    return {
      chunks: log.chunks.map(({ described }) => described),
      segments: [...kept.map(segmentOf), ...stored.slice(before, before + runs.length)],
    };
  }

  /** The record as this publication makes it; puts what it points to into the index object. */
  #recordOf(
    { log, foldedOffset }: Fold,
    { chunks, leaving, segments }: Awaited<ReturnType<SegmentChunks['plan']>>[number],
    batches: readonly CommittedBatch[],
    builder: IndexObjectBuilder,
  ): metadata.PartitionRecord {
    const { incarnation: owner, brokerId } = this.#dependencies;
    const { topicId, topicName, partition, leaderEpoch, highWatermark } = log;
    const of = { topicId: Buffer.from(topicId, 'base64url'), topicName, partition };
    const record: metadata.PartitionRecord = {
      ...{ owner, brokerId, leaderEpoch },
      logStartOffset: BigInt(log.logStartOffset),
      foldedOffset: BigInt(foldedOffset),
      epochStarts: log.epochStarts
        .filter(({ startOffset }) => startOffset < foldedOffset)
        .slice(-epochStartsKept)
        .map(({ leaderEpoch: epoch, startOffset }) => ({ leaderEpoch: epoch, startOffset: BigInt(startOffset) })),
      nextOffset: BigInt(highWatermark),
      chunks: leaving.length === 0 ? [...chunks] : [...chunks, builder.addSegments(of, leaving)],
      segments: [...segments],
      // As of the high watermark, which is not before the folded offset: later manifests begin there.
      producerSnapshot:
        batches.length === 0 ? undefined : builder.addProducerSnapshot(of, snapshotOf(highWatermark, batches)),
    };
    builder.setRecord(of, record);
    return record;
  }

  async #changeRecords(folds: readonly PublishedFold[]): Promise<readonly PublishedFold[]> {
    const { updateRecords, logger, clock } = this.#dependencies;
    const stored = new Map<PublishedFold, metadata.PartitionRecord>();
    const outcomes = await updateRecords(
      folds.map((fold) => ({
        topicId: fold.log.topicId,
        partition: fold.log.partition,
        change: (record) => {
          const changed = published(record, fold);
          stored.set(fold, changed);
          return changed;
        },
      })),
    );
    return folds.filter((fold, index) => {
      const { log, isWhole } = fold;
      const error = outcomes[index];
      if (error === undefined) {
        if (!log.closed) log.fold(foldedLogOf(stored.get(fold)!));
        if (isWhole) this.#candidates.folded(log, clock.monotonicMs());
        return true;
      }
      const { topicName: topic, partition } = log;
      if (isLostToOthers(error)) logger.info({ topic, partition }, 'a fold came too late for its partition');
      else logger.warn({ topic, partition, err: error }, 'a fold could not be published; trying again later');
      return false;
    });
  }

  /** Objects of one incarnation in the order they were made, those of this one last: others' are older. */
  #orderOf(objectKey: string): { readonly group: string; readonly sequence: number } {
    const { names, incarnation } = this.#dependencies;
    const name = names.parse(objectKey);
    if (name === undefined || !('sequence' in name)) return { group: '', sequence: 0 };
    return { group: name.incarnation === incarnation ? '~' : name.incarnation, sequence: name.sequence };
  }
}

/** The record with the fold in it. Throws MetadataError `conflict` when it is not the one that the fold was made for. */
function published(record: metadata.PartitionRecord, { log, foldedBefore, record: planned }: PublishedFold) {
  if (log.closed || record.leaderEpoch !== log.leaderEpoch || Number(record.foldedOffset) !== foldedBefore) {
    throw new MetadataError('conflict', 'the partition is no longer as it was when its fold began');
  }
  const { foldedOffset, epochStarts, chunks, segments, producerSnapshot } = planned;
  const nextOffset = planned.nextOffset > record.nextOffset ? planned.nextOffset : record.nextOffset;
  return withoutDeadSegments({ ...record, foldedOffset, epochStarts, chunks, segments, producerSnapshot, nextOffset });
}

const isLostToOthers = (error: unknown) =>
  error instanceof MetadataError && (error.kind === 'conflict' || error.kind === 'fenced');

function segmentOf(extent: Extent): metadata.Segment {
  const { objectKey, leaderEpoch } = extent;
  return {
    objectKey,
    leaderEpoch,
    baseOffset: BigInt(extent.baseOffset),
    nextOffset: BigInt(extent.nextOffset),
    position: BigInt(extent.position),
    length: BigInt(extent.length),
    maxTimestamp: BigInt(extent.maxTimestamp),
    maxTimestampBaseOffset: BigInt(extent.maxTimestampBaseOffset),
  };
}
