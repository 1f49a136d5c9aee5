/**
 * Puts a partition's log together from what its record says and the extents that manifests and shelves describe. Extents from the folded
 * offset on have to follow each other without gap or overlap, in the order of epochs, and not end before the record says they do
 * (COMMIT.md K3, K4): a hole would be a lost record, an overlap or an early end an offset given out twice.
 */
import type { metadata } from '@kafscale/protocol';
import type { EpochStart, Extent, RecoveredPartition } from '../partition-log.ts';
import { foldedFault, foldedLogOf } from '../segments/folded-log.ts';

export type TiledPartition =
  | { readonly recovered: RecoveredPartition; readonly fault?: undefined }
  /** Why the extents do not make a log. */
  | { readonly fault: string };

/** `found` are all extents of the partition that any manifest or shelf has, in any order. */
export function tilePartition(record: metadata.PartitionRecord, found: readonly Extent[]): TiledPartition {
  const folded = foldedLogOf(record);
  const { logStartOffset, foldedOffset } = folded;
  const recordFault = foldedFault(folded);
  if (recordFault !== undefined) return { fault: recordFault };

  const unfolded = found
    .filter(({ nextOffset }) => nextOffset > foldedOffset)
    .sort((left, right) => left.baseOffset - right.baseOffset);
  const end = unfolded.at(-1)?.nextOffset ?? Math.max(foldedOffset, logStartOffset);
  if (end < logStartOffset) return { fault: `log start ${logStartOffset} lies behind the end ${end}` };
  if (end < Number(record.nextOffset)) {
    return { fault: `the log ends at ${end}, although its record says that it reached ${record.nextOffset}` };
  }
  // What lies wholly below the log start may be described or not: whoever reads it is gone.
  const extents = unfolded.filter(({ nextOffset }) => nextOffset > logStartOffset);
  const fault = sequenceFault(extents, { foldedOffset, logStartOffset }, record);
  if (fault !== undefined) return { fault };
  return {
    recovered: {
      logStartOffset,
      nextOffset: end,
      folded,
      extents,
      epochStarts: epochStartsOf(record, unfolded),
    },
  };
}

function sequenceFault(
  extents: readonly Extent[],
  { foldedOffset, logStartOffset }: { readonly foldedOffset: number; readonly logStartOffset: number },
  record: metadata.PartitionRecord,
): string | undefined {
  const [first] = extents;
  if (first === undefined) return undefined;
  const isJoined =
    foldedOffset >= logStartOffset
      ? first.baseOffset === foldedOffset
      : first.baseOffset >= foldedOffset && first.baseOffset <= logStartOffset;
  let nextOffset = isJoined ? first.baseOffset : foldedOffset;
  let leaderEpoch = record.segments.at(-1)?.leaderEpoch ?? 0;
  for (const extent of extents) {
    if (extent.baseOffset !== nextOffset) {
      return `an extent starts at offset ${extent.baseOffset} where ${nextOffset} is next (${extent.objectKey})`;
    }
    if (extent.leaderEpoch < leaderEpoch || extent.leaderEpoch > record.leaderEpoch) {
      const others = extent.leaderEpoch < leaderEpoch ? `after ${leaderEpoch}` : `in a log of ${record.leaderEpoch}`;
      return `leader epoch ${extent.leaderEpoch} ${others} at offset ${extent.baseOffset} (${extent.objectKey})`;
    }
    ({ nextOffset, leaderEpoch } = extent);
  }
  return undefined;
}

function epochStartsOf(record: metadata.PartitionRecord, unfolded: readonly Extent[]): EpochStart[] {
  const epochStarts = record.epochStarts.map(({ leaderEpoch, startOffset }) => ({
    leaderEpoch,
    startOffset: Number(startOffset),
  }));
  for (const { leaderEpoch, baseOffset } of unfolded) {
    if (leaderEpoch > (epochStarts.at(-1)?.leaderEpoch ?? -1)) {
      epochStarts.push({ leaderEpoch, startOffset: baseOffset });
    }
  }
  return epochStarts;
}
