/** What a caller of the object store can meet, split by what it does next. */

/**
 * - `not-found`: the object does not exist.
 * - `conflict`: the key is taken; the object under it is as it was.
 * - `unavailable`: the store did not answer in time or refused for now; for `create` the outcome is unknown.
 * - `denied`: the store refuses until somebody changes something (credentials, permissions, bucket, region, clock); trying again is
 *   no help, and the message says what to do. Says nothing about any object.
 * - `archived`: the object exists, but its bytes cannot be had before somebody restores it from an archive class.
 * - `corrupt`: the bytes are not what was stored (checksum, length).
 * - `aborted`: the caller's signal ended the wait; for `create` the outcome is unknown.
 */
export type StorageErrorKind = 'not-found' | 'conflict' | 'unavailable' | 'denied' | 'archived' | 'corrupt' | 'aborted';

export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly kind: StorageErrorKind;

  constructor(kind: StorageErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
