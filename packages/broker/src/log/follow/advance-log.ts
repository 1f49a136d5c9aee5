/**
 * Brings a log that another broker writes up to what the metadata says by now: extents in offset order, the folded part, the log start.
 * A log lives in one leader epoch; in another one it is put together anew.
 */
import type { metadata } from '@kafscale/protocol';
import type { Extent, PartitionLog, RecoveredPartition } from '../partition-log.ts';
import { foldedLogOf } from '../segments/folded-log.ts';

/**
 * Takes over an extent that a flush committed; one that is known already is passed over. Throws when offsets in between are missing, or
 * when it is of a later epoch, which the partition's record shows first.
 */
export function appendFollowed(log: PartitionLog, extent: Extent): void {
  if (extent.nextOffset <= log.highWatermark) return;
  if (extent.leaderEpoch > log.leaderEpoch) throw new Error(`epoch ${extent.leaderEpoch} after ${log.leaderEpoch}`);
  log.append(extent);
}

/** Takes over what the record says of the folded part and the log start. Throws when the log does not reach so far. */
export const foldFollowed = (log: PartitionLog, record: metadata.PartitionRecord): void =>
  log.fold(foldedLogOf(record));

/** Whether the log could be brought up to what was found; if not, it is as it was or has some of it, and is to be closed. */
export function canAdvance(log: PartitionLog, { extents, folded }: RecoveredPartition): boolean {
  try {
    for (const extent of extents) appendFollowed(log, extent);
    log.fold(folded);
    return true;
  } catch {
    return false; // Too much happened meanwhile: what is missing was folded away.
  }
}
