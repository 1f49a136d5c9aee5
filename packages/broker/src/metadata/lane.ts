/**
 * A lane: the one serial road by which an incarnation changes metadata (COMMIT.md K1). Every transaction compares that the
 * session lives and that the lane's counter is what this incarnation last left there, and raises the counter; so a late copy of
 * it fails for ever, and a lost reply is answered by reading the counter.
 */
import type { Compare, Operation, Revision } from './metadata-store.ts';

export interface LaneCommit {
  /** What must hold besides session and counter. A failure of one of these is a `conflict`. */
  readonly compare?: readonly Compare[];
  /** At most 120 puts and deletes, none of them on the lane or session keys. */
  readonly operations: readonly Operation[];
}

export interface Lane {
  /**
   * Queues the transaction behind those before it, one in flight; resolves with its revision once it is known to have applied.
   * Rejects with MetadataError `conflict`, `invalid` or `no-space` (not applied, the lane goes on) or `fenced` (not applied and
   * never will be; every later commit rejects the same way). An unknown outcome never surfaces: the lane
   * settles it first, by the counter or by ending its own session.
   */
  commit(commit: LaneCommit): Promise<Revision>;
}

/** A lane that tells garbage collection which publications are settled (COMMIT.md K7). */
export interface FlooredLane extends Lane {
  /** From the next commit on the lane says that no publication of an object below `sequence` is open. Never goes back. */
  raiseFloor(sequence: number): void;
}
