/**
 * What one round of folding takes: of few partitions much each, so that a record is written once for many bytes and not once for each
 * round. Partitions are taken in the order in which flush objects hold them, on from where the last round ended: neighbours lie side by
 * side in every object, and one read of it serves all of them. So none takes so much that reads become small, however much waits.
 */
import { comparePlaces, type Extent, type PartitionLog, type PartitionPlace } from '../partition-log.ts';

/** What a partition would fold now. */
export interface FoldCandidate {
  readonly log: PartitionLog;
  /** Of the offsets from the folded one on, in order; old enough. */
  readonly extents: readonly Extent[];
  /** Bytes of older runs that will be read and written again with them. */
  readonly rewrittenBytes: number;
  /** Whether it is to be folded for its own sake; if not, it only joins neighbours that are. */
  readonly isDue: boolean;
}

export interface FoldLimits {
  /** Bytes held in memory together. */
  readonly maxBytes: number;
  readonly maxPartitions: number;
  /** What one partition may take however many there are. */
  readonly minShareBytes: number;
}

export interface PlannedFold {
  readonly log: PartitionLog;
  /** The candidate's extents from the first one on, as far as its share goes. */
  readonly extents: readonly Extent[];
}

/** With fewer partitions each gets more of a round. */
const sharesPerRound = 128;

/** The first that is due behind `after`, where the last round ended, and its neighbours, as far as they fit; one of them when none does. */
export function planFold(
  candidates: readonly FoldCandidate[],
  { maxBytes, maxPartitions, minShareBytes }: FoldLimits,
  after?: PartitionPlace,
): readonly PlannedFold[] {
  const inOrder = [...candidates].sort((left, right) => comparePlaces(left.log, right.log));
  const next = after === undefined ? 0 : inOrder.findIndex(({ log }) => comparePlaces(log, after) > 0);
  const from = Math.max(0, next);
  const ahead = [...inOrder.slice(from), ...inOrder.slice(0, from)];
  const first = ahead.findIndex(({ isDue }) => isDue);
  if (first < 0) return [];

  const due = candidates.reduce((count, { isDue }) => count + (isDue ? 1 : 0), 0);
  const share = Math.max(minShareBytes, maxBytes / Math.min(due, sharesPerRound));
  const planned: PlannedFold[] = [];
  let bytes = 0;
  for (const { log, extents, rewrittenBytes } of ahead.slice(first)) {
    const taken = firstThatFit(extents, Math.min(share, maxBytes - rewrittenBytes));
    const cost = rewrittenBytes + taken.reduce((sum, { length }) => sum + length, 0);
    if (planned.length === maxPartitions || (planned.length > 0 && bytes + cost > maxBytes)) break;
    planned.push({ log, extents: taken });
    bytes += cost;
  }
  return planned;
}

/** One of them at least, where there is any. */
function firstThatFit(extents: readonly Extent[], maxBytes: number): readonly Extent[] {
  let bytes = 0;
  const tooMuch = extents.findIndex(({ length }) => (bytes += length) > maxBytes);
  return tooMuch < 0 ? extents : extents.slice(0, Math.max(1, tooMuch));
}
