/**
 * Where extents of several leader epochs claim the same offsets, the first extent of the higher epoch cuts the lower ones: its owner
 * began where the committed log ended, so what a former owner left behind that point was never committed (COMMIT.md K8, F27 iii).
 */
export interface EpochExtent {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly leaderEpoch: number;
}

/** The extents that a higher epoch cuts. */
export function cutByHigherEpochs<Extent extends EpochExtent>(extents: readonly Extent[]): ReadonlySet<Extent> {
  const cut = new Set<Extent>();
  const descending = [...extents].sort((left, right) => right.leaderEpoch - left.leaderEpoch);
  /** Where the higher epochs so far begin. */
  let limit = Infinity;
  let start = Infinity;
  let epoch = descending[0]?.leaderEpoch;
  for (const extent of descending) {
    if (extent.leaderEpoch !== epoch) {
      limit = Math.min(limit, start);
      ({ leaderEpoch: epoch } = extent);
    }
    if (extent.nextOffset > limit) cut.add(extent);
    else start = Math.min(start, extent.baseOffset);
  }
  return cut;
}
