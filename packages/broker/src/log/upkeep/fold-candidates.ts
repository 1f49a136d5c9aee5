/**
 * Which partitions are to be folded now. How old an extent is is known from when the log was seen to end before it. A partition is worth
 * a write of its record when it has bytes enough, or has waited long; so the rate of these writes follows bytes and time, not the
 * number of partitions. One that is halfway there may join neighbours that are folded: it is read with them, and comes due with them
 * from then on.
 */
import { findByOffset, type Extent, type PartitionLog } from '../partition-log.ts';
import type { FoldCandidate } from './fold-plan.ts';
import { firstRewritten, firstTidied, type TierSettings } from './run-tiers.ts';

export interface CandidateSettings extends TierSettings {
  /** An extent is folded when it is as old as this. */
  readonly foldAfterMs: number;
  /** Fewer bytes of a partition wait for more. */
  readonly minBytes: number;
  /** But not for longer than this. */
  readonly maxWaitMs: number;
  /** Older runs go along with new extents as far as both are no more than this; more of them are rewritten for themselves later. */
  readonly maxBytesTogether: number;
  /** More extents than this in all logs together, and everything is folded that is old enough. */
  readonly maxUnfoldedExtents: number;
}

interface Mark {
  readonly highWatermark: number;
  readonly atMs: number;
}

/** From this share of what makes a partition due on it may be folded with others. */
const joiningShare = 1 / 2;

interface Age {
  /** Oldest first. */
  marks: Mark[];
  /** Since when the log has something that is not folded. */
  waitingSinceMs: number;
}

/** What of a log is folded below the log start: nobody needs the bytes, but what manifests say of producers is still theirs. */
export interface DueLog extends FoldCandidate {
  /** The folded offset when no extent is taken: below it everything is folded or below the log start. */
  readonly passedOffset: number;
  /** Whether older runs go along; without new extents they are what it is about. */
  readonly rewritesRuns: boolean;
}

export interface Unfolded {
  readonly extents: number;
  readonly bytes: number;
  /** What folding the partitions that are due will move, older runs included. */
  readonly dueBytes: number;
}

export class FoldCandidates {
  readonly #settings: CandidateSettings;
  readonly #ages = new WeakMap<PartitionLog, Age>();
  #unfolded: Unfolded = { extents: 0, bytes: 0, dueBytes: 0 };

  constructor(settings: CandidateSettings) {
    this.#settings = settings;
  }

  /** What all logs together had not folded at the last look. */
  get unfolded(): Unfolded {
    return this.#unfolded;
  }

  /** Looks at every log; those that are due or may join, with what of them is old enough. */
  look(logs: Iterable<PartitionLog>, nowMs: number): DueLog[] {
    const seen: { readonly log: PartitionLog; readonly extents: readonly Extent[] }[] = [];
    let extents = 0;
    let bytes = 0;
    for (const log of logs) {
      this.#observe(log, nowMs);
      const unfolded = unfoldedExtents(log);
      extents += unfolded.length;
      for (const { length } of unfolded) bytes += length;
      seen.push({ log, extents: unfolded });
    }
    const isPressed = extents > this.#settings.maxUnfoldedExtents;
    const found: DueLog[] = [];
    let dueBytes = 0;
    for (const { log, extents: unfolded } of seen) {
      const due = this.#due(log, unfolded, { nowMs, isPressed });
      if (due === undefined) continue;
      found.push(due);
      if (due.isDue) dueBytes += due.rewrittenBytes + bytesOf(due.extents);
    }
    this.#unfolded = { extents, bytes, dueBytes };
    return found;
  }

  /** Everything of it that was due has been folded. */
  folded(log: PartitionLog, nowMs: number): void {
    const age = this.#ages.get(log);
    if (age !== undefined) age.waitingSinceMs = nowMs;
  }

  #observe(log: PartitionLog, nowMs: number): void {
    const age = this.#ages.get(log) ?? { marks: [], waitingSinceMs: nowMs };
    this.#ages.set(log, age);
    if (log.highWatermark === log.foldedOffset) age.waitingSinceMs = nowMs;
    if (age.marks.at(-1)?.highWatermark !== log.highWatermark) {
      age.marks.push({ highWatermark: log.highWatermark, atMs: nowMs });
    }
    const old = age.marks.findLastIndex(({ atMs }) => nowMs - atMs >= this.#settings.foldAfterMs);
    if (old > 0) age.marks = age.marks.slice(old);
  }

  #due(
    log: PartitionLog,
    unfolded: readonly Extent[],
    { nowMs, isPressed }: { readonly nowMs: number; readonly isPressed: boolean },
  ): DueLog | undefined {
    const { foldAfterMs, minBytes, maxWaitMs, maxBytesTogether } = this.#settings;
    const { marks, waitingSinceMs } = this.#ages.get(log)!;
    const oldest = marks[0]!;
    const cut = nowMs - oldest.atMs >= foldAfterMs ? oldest.highWatermark : 0;
    const extents = unfolded.slice(0, findByOffset(unfolded, cut));
    const bytes = bytesOf(extents);
    const passedOffset = unfolded[0]?.baseOffset ?? log.highWatermark;
    const waitedMs = nowMs - waitingSinceMs;
    const share = Math.max(bytes / minBytes, waitedMs / maxWaitMs, isPressed ? 1 : 0);
    const runs = foldedExtents(log);
    if (extents.length === 0) {
      const hasPassed = passedOffset > log.foldedOffset && waitedMs >= maxWaitMs;
      if (hasPassed) return { log, extents, rewrittenBytes: 0, passedOffset, rewritesRuns: false, isDue: true };
    }
    if (extents.length === 0 || share < joiningShare) return this.#tidying(log, runs, passedOffset);
    const rewrittenBytes = bytesOf(runs.slice(firstRewritten(runs, bytes, this.#settings)));
    const rewritesRuns = bytes + rewrittenBytes <= maxBytesTogether;
    const isDue = share >= 1;
    return { log, extents, rewrittenBytes: rewritesRuns ? rewrittenBytes : 0, passedOffset, rewritesRuns, isDue };
  }

  /** Runs that are to become fewer without anything new. */
  #tidying(log: PartitionLog, runs: readonly Extent[], passedOffset: number): DueLog | undefined {
    const from = firstTidied(runs, this.#settings);
    if (from === runs.length) return undefined;
    const rewrittenBytes = bytesOf(runs.slice(from));
    return { log, extents: [], rewrittenBytes, passedOffset, rewritesRuns: true, isDue: true };
  }
}

const bytesOf = (extents: readonly Extent[]): number => extents.reduce((sum, { length }) => sum + length, 0);

/** Of the offsets below the folded one: what the partition record names itself, beside its chunks. */
export const foldedExtents = (log: PartitionLog): readonly Extent[] =>
  log.extents.slice(0, log.findExtent(log.foldedOffset));

export const unfoldedExtents = (log: PartitionLog): readonly Extent[] =>
  log.extents.slice(log.findExtent(log.foldedOffset));
