/**
 * When an object may be deleted: the one place that says so (RELIABILITY.md 6.6, COMMIT.md K7). All of it has to hold, and what cannot be
 * shown counts as not holding:
 *
 * 1. the name is of our making;
 * 2. its maker's lane is known to this store, and the object's publication has an outcome: the lane's floor is above it, or the maker's
 *    session is gone; shown by the store as it is, and by the oldest checkpoint that is kept;
 * 3. nothing refers to it, at a revision after that one, nor in any checkpoint that is kept, and nothing that is lost can have;
 * 4. it is older than the grace, by the object store's own clock;
 * 5. an earlier search found the same, and wrote it down long enough ago for readers to know.
 *
 * The checkpoints' part is what makes a rebuild safe at any moment: whatever is newer than a checkpoint, or part of it, is there.
 */
import type { ObjectName, ObjectNames } from '../storage/object-names.ts';
import type { ObjectInfo } from '../storage/object-store.ts';
import type { KeySet } from './key-set.ts';
import type { OriginProof } from './origin-proof.ts';

export interface GarbageEvidence {
  readonly names: ObjectNames;
  /** Of the store, read before `references`. */
  readonly live: OriginProof;
  /** Of the oldest checkpoint that is kept. */
  readonly oldest: OriginProof;
  /** Of the store at a later revision, and of every checkpoint that is kept. */
  readonly references: KeySet;
  /** Whether something that is lost may have referred to it. */
  readonly mayBeReferenced: (name: ObjectName) => boolean;
  /** A time that the object store's clock has passed. */
  readonly storeNowMs: number;
  readonly graceMs: number;
}

export type Verdict =
  /** Not of our making, or of a maker this store does not know: never touched. */
  | 'unknown'
  /** Its maker may publish it yet, or might have since the oldest checkpoint. */
  | 'open'
  | 'referenced'
  /** Nothing refers to it, but it is not old enough. */
  | 'young'
  | 'garbage';

export interface Judgement {
  readonly verdict: Verdict;
  /** Undefined for a name that is not of our making. */
  readonly name?: ObjectName;
}

/** What the object is, apart from marks. Objects about the cluster itself are not asked for here. */
export function judge({ key, modifiedMs }: ObjectInfo, evidence: GarbageEvidence): Judgement {
  const { names, live, oldest, references, mayBeReferenced, storeNowMs, graceMs } = evidence;
  const name = names.parse(key);
  if (name === undefined) return { verdict: 'unknown' };
  if (references.has(key) || mayBeReferenced(name)) return { verdict: 'referenced', name };
  const settlement = live.settlementOf(name);
  if (settlement === 'foreign') return { verdict: 'unknown', name };
  if (settlement === 'open' || oldest.settlementOf(name) !== 'settled') return { verdict: 'open', name };
  if (!(storeNowMs - modifiedMs >= graceMs)) return { verdict: 'young', name };
  return { verdict: 'garbage', name };
}
