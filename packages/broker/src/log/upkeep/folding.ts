/**
 * Compaction of the tail: rewrites what lies in shared flush objects by partition, into segments or merged objects, and publishes it
 * through the partition records. Changes where batches lie, never what they are. In this order: objects stored; records changed, by
 * compare on their mod revision, so that whoever lost the partition meanwhile changes nothing (COMMIT.md F12); then the log in
 * memory. Producers and epochs are published with the offsets whose manifests die by it (F11).
 */
import { IndexObjectBuilder, type metadata } from '@kafscale/protocol';
import { mapConcurrently, withDeadline, type Clock, type Logger, type RecordMemory } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { ObjectNames } from '../../storage/object-names.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { findByOffset, type Extent, type PartitionLog, type PartitionPlace } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { CommittedBatch } from '../producer-state.ts';
import type { HotTail } from '../read/hot-tail.ts';
import { foldedLogOf, withoutDeadSegments } from '../segments/folded-log.ts';
import { FoldCandidates, foldedExtents, type DueLog } from './fold-candidates.ts';
import { FoldMemory } from './fold-memory.ts';
import { FoldPace } from './fold-pace.ts';
import { planFold, type PlannedFold } from './fold-plan.ts';
import { loadExtents, type LoadedExtent } from './fold-sources.ts';
import { storeRuns, type RunToStore } from './folded-runs.ts';
import { snapshotOf } from './producer-snapshots.ts';
import type { Publication, Publications } from './publications.ts';
import { cutIntoRuns, firstRewritten, firstTidied } from './run-tiers.ts';
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
  /** Where retention would have the log start now, so that the move is published with the fold; nowhere else unless it is set. */
  readonly retainedFrom?: ((log: PartitionLog) => Promise<number>) | undefined;
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
  /** Where a round reads into, and the batches that one may hold; unbounded memory of its own unless set. */
  readonly memory?: RecordMemory | undefined;
  readonly roundBytes?: number | undefined;
  /** Whether what is folded could be stored now; true for ever where it is left out. */
  readonly canStore?: (() => boolean) | undefined;
  readonly callDeadlineMs: number;
  readonly uploadDeadlineMs: number;
}

/** Bytes of batches that one round holds in memory. */
const maxRoundBytes = 64 * 2 ** 20;
const maxPartitionsPerRound = 2_000;
/** A record is written for so large a part of a segment at least. */
const minBytesShare = 32;
/** Of a round: a larger segment could not be put together in memory, out of runs that are nearly one and one more. */
const maxSegmentShare = 1 / 2;
const maxUnfoldedExtents = 400_000;
const retentionLooksAtOnce = 8;
const longestIntervalMs = 10_000;
/** When an extent that could not be read is tried again. */
const lookAgainMs = 600_000;
/** Older epochs than so many are not told apart any more; nothing rests on them, as no log is ever cut. */
const epochStartsKept = 64;

/** What is read for one partition. */
interface FoldWork {
  readonly log: PartitionLog;
  readonly logStartOffset: number;
  /** Older runs that go along. */
  readonly rewritten: readonly Extent[];
  /** None for one of which only dead extents are due. */
  readonly alive: readonly Extent[];
  /** Where the log is folded up to when nothing of it is alive. */
  readonly passedOffset: number;
  /** All of its extents are taken that were due. */
  readonly isWhole: boolean;
}

/** How long a partition that gets few bytes is left unfolded. */
export const longestFoldWaitMs = (foldAfterMs: number): number => 5 * foldAfterMs;

/** One partition's part of a round. */
interface Fold {
  readonly log: PartitionLog;
  readonly foldedBefore: number;
  readonly foldedOffset: number;
  /** What lies below goes with the fold. */
  readonly logStartOffset: number;
  /** Runs that stay as they are, then where the stored ones come. */
  readonly kept: readonly Extent[];
  readonly runs: readonly RunToStore[];
  readonly bytes: number;
  /** Nothing of what was due is left. */
  readonly isWhole: boolean;
  /** Nothing new is in it: runs became fewer. */
  readonly isTidying: boolean;
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
  readonly #memory: FoldMemory;
  readonly #loop: UpkeepLoop;
  /** The last partition of the round before. */
  #reached: PartitionPlace | undefined;
  /** Where a log could not be read, and when to try again. */
  readonly #blocked = new WeakMap<PartitionLog, { readonly offset: number; readonly untilMs: number }>();

  constructor(dependencies: FoldingDependencies) {
    this.#dependencies = dependencies;
    const { clock, logger, settings, observer } = dependencies;
    const { foldAfterMs } = settings;
    const { roundBytes = maxRoundBytes } = dependencies;
    this.#segmentBytes = Math.min(settings.segmentBytes, roundBytes * maxSegmentShare);
    this.#candidates = new FoldCandidates({
      foldAfterMs,
      segmentBytes: this.#segmentBytes,
      minBytes: this.#segmentBytes / minBytesShare,
      maxBytesTogether: this.#segmentBytes / minBytesShare,
      maxWaitMs: longestFoldWaitMs(foldAfterMs),
      maxUnfoldedExtents,
    });
    this.#chunks = new SegmentChunks({ ...dependencies, segmentBytes: this.#segmentBytes });
    this.#pace = new FoldPace(clock);
    this.#memory = new FoldMemory({
      memory: dependencies.memory,
      roundBytes,
    });
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
      this.#memory.free();
    }
  }

  /** True when there is more to be done at once. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { logs, clock, publications, observer } = this.#dependencies;
    const startedMs = clock.monotonicMs();
    const candidates = this.#candidates.look(logs.all(), startedMs).filter((one) => !this.#isBlocked(one));
    this.#pace.follow(this.#candidates.unfolded.dueBytes);
    const minShareBytes = this.#segmentBytes / minBytesShare;
    const limits = { maxBytes: this.#memory.roundBytes, maxPartitions: maxPartitionsPerRound, minShareBytes };
    const planned = planFold(candidates, limits, this.#reached);
    const last = planned.at(-1);
    if (last === undefined || !(await this.#memory.hasRoom(clock, signal))) return false;
    this.#reached = { topicId: last.log.topicId, partition: last.log.partition };

    const folds = await this.#load(planned, candidates, signal);
    if (folds.length === 0) return false;
    const isPlanned = new Set(planned.map(({ log }) => log));
    const leavesSome = candidates.some(({ log, isDue }) => isDue && !isPlanned.has(log));
    const publication = publications.begin();
    try {
      const published = await this.#publish(folds, publication, signal);
      const bytes = published.reduce((sum, fold) => sum + fold.bytes, 0);
      observer.onRound({ bytes, partitions: published.length, durationMs: clock.monotonicMs() - startedMs });
      return published.length > 0 && (leavesSome || folds.some(({ isWhole }) => !isWhole));
    } finally {
      publication.settle();
    }
  }

  #isBlocked({ log, extents }: DueLog): boolean {
    const blocked = this.#blocked.get(log);
    if (blocked === undefined) return false;
    const isThere = extents.length === 0 || extents[0]!.baseOffset === blocked.offset;
    return isThere && this.#dependencies.clock.monotonicMs() < blocked.untilMs;
  }

  /** Reads what was planned, and older runs that go along; not what retention lets go of. */
  async #load(
    planned: readonly PlannedFold[],
    candidates: readonly DueLog[],
    signal: AbortSignal,
  ): Promise<readonly Fold[]> {
    const candidateOf = new Map(candidates.map((one) => [one.log, one]));
    const works = await mapConcurrently(planned, retentionLooksAtOnce, async ({ log, extents }): Promise<FoldWork> => {
      const logStartOffset = await this.#retainedFrom(log);
      const candidate = candidateOf.get(log)!;
      const alive = aliveIn(extents, logStartOffset);
      const runs = aliveIn(foldedExtents(log), logStartOffset);
      return {
        log,
        logStartOffset,
        rewritten: candidate.rewritesRuns ? this.#rewritten(runs, alive) : [],
        alive,
        passedOffset: extents.at(-1)?.nextOffset ?? candidate.passedOffset,
        isWhole: extents.length === candidate.extents.length,
      };
    });
    const wanted = works.flatMap(({ rewritten, alive }) => [...rewritten, ...alive]);
    // These reads are large and nobody waits for them; one that is given up costs the whole round.
    const { uploadDeadlineMs: callDeadlineMs } = this.#dependencies;
    const reading = { ...this.#dependencies, callDeadlineMs, pace: this.#pace, memory: this.#memory };
    const loaded = await loadExtents(wanted, reading, signal);
    return works.map((work) => this.#foldOf(work, loaded)).filter((fold) => fold !== undefined);
  }

  /** Of the runs those that become one with what is alive of the new extents, or among themselves. */
  #rewritten(runs: readonly Extent[], alive: readonly Extent[]): readonly Extent[] {
    const settings = { segmentBytes: this.#segmentBytes };
    const bytes = alive.reduce((sum, { length }) => sum + length, 0);
    return runs.slice(alive.length === 0 ? firstTidied(runs, settings) : firstRewritten(runs, bytes, settings));
  }

  async #retainedFrom(log: PartitionLog): Promise<number> {
    const { retainedFrom, logger } = this.#dependencies;
    if (retainedFrom === undefined) return log.logStartOffset;
    try {
      return Math.max(log.logStartOffset, await retainedFrom(log));
    } catch (error) {
      logger.debug({ topic: log.topicName, partition: log.partition, err: error }, 'a log start stays for now');
      return log.logStartOffset;
    }
  }

  #foldOf(work: FoldWork, loaded: ReadonlyMap<Extent, LoadedExtent>): Fold | undefined {
    const { log, logStartOffset, rewritten, alive, passedOffset } = work;
    const base = { log, logStartOffset, foldedBefore: log.foldedOffset };
    if (alive.length === 0 && rewritten.length === 0) {
      const kept = aliveIn(foldedExtents(log), logStartOffset);
      return { ...base, foldedOffset: passedOffset, kept, runs: [], bytes: 0, isWhole: work.isWhole, isTidying: false };
    }
    // Nothing that cannot be read is moved, and nothing behind it that would have to be.
    const readable = this.#readable(log, alive, loaded);
    const older = this.#readableBehind(log, rewritten, loaded);
    if (readable.length === 0 && (alive.length > 0 || older.length < 2)) return undefined;
    const sources = [...older, ...readable].map((source) => ({ ...source, length: source.bytes.length }));
    const runs = cutIntoRuns(sources, { segmentBytes: this.#segmentBytes }).map((run) => ({ log, sources: run }));
    // The log start may have passed some of them while they were read, so it is not their number that tells which ones stay.
    const isRewritten = new Set(older.map(({ extent }) => extent));
    return {
      ...base,
      foldedOffset: readable.at(-1)?.extent.nextOffset ?? passedOffset,
      kept: aliveIn(foldedExtents(log), logStartOffset).filter((extent) => !isRewritten.has(extent)),
      runs,
      bytes: sources.reduce((sum, { length }) => sum + length, 0),
      isWhole: work.isWhole && readable.length === alive.length,
      isTidying: alive.length === 0,
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
    const spilled = await this.#chunks.plan(this.#listsOf(folds, segments));

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

  /** What each fold's record would name if nothing left it. */
  #listsOf(folds: readonly Fold[], stored: readonly metadata.Segment[]) {
    let next = 0;
    return folds.map(({ log, logStartOffset, kept, runs }) => {
      const before = next;
      next += runs.length;
      return {
        chunks: aliveIn(log.chunks, logStartOffset).map(({ described }) => described),
        segments: [...kept.map(segmentOf), ...stored.slice(before, next)],
      };
    });
  }

  /** The record as this publication makes it; puts what it points to into the index object. */
  #recordOf(
    { log, foldedOffset, logStartOffset }: Fold,
    { chunks, leaving, segments }: Awaited<ReturnType<SegmentChunks['plan']>>[number],
    batches: readonly CommittedBatch[],
    builder: IndexObjectBuilder,
  ): metadata.PartitionRecord {
    const { incarnation: owner, brokerId } = this.#dependencies;
    const { topicId, topicName, partition, leaderEpoch, highWatermark } = log;
    const of = { topicId: Buffer.from(topicId, 'base64url'), topicName, partition };
    const record: metadata.PartitionRecord = {
      ...{ owner, brokerId, leaderEpoch },
      logStartOffset: BigInt(Math.max(log.logStartOffset, logStartOffset)),
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
      const { log, isWhole, isTidying } = fold;
      const error = outcomes[index];
      if (error === undefined) {
        if (!log.closed) log.fold(foldedLogOf(stored.get(fold)!));
        if (isWhole && !isTidying) this.#candidates.folded(log, clock.monotonicMs());
        return true;
      }
      const { topicName: topic, partition } = log;
      if (isLostToOthers(error)) logger.info({ topic, partition }, 'a fold came too late for its partition');
      else logger.warn({ topic, partition, err: error }, 'a fold could not be published; trying again later');
      return false;
    });
  }
}

/** The record with the fold in it. Throws MetadataError `conflict` when it is not the one that the fold was made for. */
function published(record: metadata.PartitionRecord, { log, foldedBefore, record: planned }: PublishedFold) {
  if (log.closed || record.leaderEpoch !== log.leaderEpoch || Number(record.foldedOffset) !== foldedBefore) {
    throw new MetadataError('conflict', 'the partition is no longer as it was when its fold began');
  }
  const { foldedOffset, epochStarts, chunks, segments, producerSnapshot } = planned;
  const nextOffset = larger(planned.nextOffset, record.nextOffset);
  const logStartOffset = larger(planned.logStartOffset, record.logStartOffset);
  return withoutDeadSegments({
    ...record,
    ...{ logStartOffset, foldedOffset, epochStarts, chunks, segments, producerSnapshot, nextOffset },
  });
}

const larger = (left: bigint, right: bigint): bigint => (left > right ? left : right);

const aliveIn = <T extends { readonly nextOffset: number }>(
  parts: readonly T[],
  logStartOffset: number,
): readonly T[] => parts.slice(findByOffset(parts, logStartOffset));

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
