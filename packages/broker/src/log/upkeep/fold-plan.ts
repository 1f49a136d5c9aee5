/**
 * What one round of folding takes: from each partition the extents that come next, as many as lie in objects that are worth reading and
 * fit into memory together. Flush objects hold many partitions, so whole objects are chosen, oldest first, and each is read once for
 * all partitions whose turn it is.
 */
import type { Extent, PartitionLog } from '../partition-log.ts';

/** What a partition would fold now. */
export interface FoldCandidate {
  readonly log: PartitionLog;
  /** Of the offsets from the folded one on, in order; old enough. */
  readonly extents: readonly Extent[];
  /** Bytes of older runs that will be read and written again with them. */
  readonly rewrittenBytes: number;
}

export interface FoldLimits {
  /** Bytes held in memory together. */
  readonly maxBytes: number;
  readonly maxPartitions: number;
}

/** How objects are to be ordered: the incarnations' own order first where it is known. */
export type OrderOfObject = (objectKey: string) => { readonly group: string; readonly sequence: number };

export interface PlannedFold {
  readonly log: PartitionLog;
  /** A part of the candidate's extents from the first one on. */
  readonly extents: readonly Extent[];
}

interface Place {
  readonly candidate: FoldCandidate;
  readonly index: number;
}

/** Of each candidate as many of its first extents as fit; at least one extent of one candidate, where there is any. */
export function planFold(
  candidates: readonly FoldCandidate[],
  { maxBytes, maxPartitions }: FoldLimits,
  orderOf: OrderOfObject,
): readonly PlannedFold[] {
  const taken = new Map<FoldCandidate, number>();
  let bytes = 0;
  for (const places of objectsInOrder(candidates, orderOf)) {
    // An extent can only be taken behind all before it; what is not at its turn is left to a later round.
    const next = places.filter(({ candidate, index }) => (taken.get(candidate) ?? 0) === index);
    for (const { candidate, index } of next) {
      const isFirst = index === 0;
      if (isFirst && taken.size >= maxPartitions) continue;
      const cost = candidate.extents[index]!.length + (isFirst ? candidate.rewrittenBytes : 0);
      if (taken.size > 0 && bytes + cost > maxBytes) continue;
      bytes += cost;
      taken.set(candidate, index + 1);
    }
    if (bytes >= maxBytes) break;
  }
  return [...taken].map(([{ log, extents }, count]) => ({ log, extents: extents.slice(0, count) }));
}

function objectsInOrder(candidates: readonly FoldCandidate[], orderOf: OrderOfObject): Iterable<readonly Place[]> {
  const objects = new Map<string, Place[]>();
  for (const candidate of candidates) {
    for (const [index, { objectKey }] of candidate.extents.entries()) {
      const places = objects.get(objectKey);
      if (places === undefined) objects.set(objectKey, [{ candidate, index }]);
      else places.push({ candidate, index });
    }
  }
  return [...objects]
    .map(([objectKey, places]) => ({ ...orderOf(objectKey), places }))
    .sort((left, right) =>
      left.group === right.group ? left.sequence - right.sequence : left.group < right.group ? -1 : 1,
    )
    .map(({ places }) => places);
}
