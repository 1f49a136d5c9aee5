/** What a caller of the metadata store can meet, split by what it does next. */

/**
 * - `unavailable`: no answer in time, or the connection broke; for a transaction the outcome is unknown.
 * - `aborted`: the caller's signal ended the wait; for a transaction the outcome is unknown.
 * - `compacted`: the revision asked for is no longer in the store's history; read again at the current one.
 * - `invalid`: the request was refused as malformed or too large; nothing was applied.
 * - `lease-not-found`: the lease has ended; nothing was applied.
 * - `fenced`: the session behind a lane is over; nothing was applied and nothing of this incarnation will be.
 * - `conflict`: a compare of the caller's own did not hold; nothing was applied.
 * - `corrupt`: a stored value does not decode.
 * - `no-space`: the store has reached its quota and takes only deletes. A transaction with this answer may have been applied all
 *   the same, but not after the answer: a read that starts now shows which.
 * - `replaced`: another store answers, or the store went back to an older state. For ever: whoever meets it stops.
 */
export type MetadataErrorKind =
  | 'unavailable'
  | 'aborted'
  | 'compacted'
  | 'invalid'
  | 'lease-not-found'
  | 'fenced'
  | 'conflict'
  | 'corrupt'
  | 'no-space'
  | 'replaced';

export class MetadataError extends Error {
  override readonly name = 'MetadataError';
  readonly kind: MetadataErrorKind;

  constructor(kind: MetadataErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
