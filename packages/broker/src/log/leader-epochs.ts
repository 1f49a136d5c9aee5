/** Which leader epoch an offset belongs to, and where an epoch ended (KIP-101, KIP-320). */
import type { EpochStart, PartitionLog } from './partition-log.ts';

export interface EpochEnd {
  readonly leaderEpoch: number;
  /** One more than the last offset of that epoch. */
  readonly endOffset: number;
}

/**
 * The epochs that the log still holds records of, and always the current one: as in Kafka, where a new leader notes its epoch
 * at the log end before the first append, and a log start that moves drops the epochs below it.
 */
function knownEpochs(log: PartitionLog): readonly EpochStart[] {
  const { epochStarts, leaderEpoch, logStartOffset, highWatermark } = log;
  const all =
    epochStarts.at(-1)?.leaderEpoch === leaderEpoch
      ? epochStarts
      : [...epochStarts, { leaderEpoch, startOffset: highWatermark }];
  let first = 0;
  while (first + 1 < all.length && all[first + 1]!.startOffset <= logStartOffset) first += 1;
  const { leaderEpoch: firstEpoch, startOffset } = all[first]!;
  return [{ leaderEpoch: firstEpoch, startOffset: Math.max(startOffset, logStartOffset) }, ...all.slice(first + 1)];
}

/**
 * The largest epoch that is not above `requested` and the offset at which the next one starts; for the current epoch the high
 * watermark. An epoch older than all known ones ends where those start. Undefined for an epoch that is not known yet.
 */
export function endOfEpoch(log: PartitionLog, requested: number): EpochEnd | undefined {
  if (requested === log.leaderEpoch) return { leaderEpoch: requested, endOffset: log.highWatermark };
  if (requested < 0) return undefined;
  const epochs = knownEpochs(log);
  const next = epochs.findIndex(({ leaderEpoch }) => leaderEpoch > requested);
  if (next < 0) return undefined;
  return { leaderEpoch: epochs[next - 1]?.leaderEpoch ?? requested, endOffset: epochs[next]!.startOffset };
}

/** The epoch in which the record at `offset` was or will be written. */
export function epochAt(log: PartitionLog, offset: number): number {
  return knownEpochs(log).findLast(({ startOffset }) => startOffset <= offset)?.leaderEpoch ?? log.leaderEpoch;
}
