/**
 * The object store as the broker sees it: immutable objects under names that are never used twice.
 * Retries, deadlines, metrics, faults and delays are decorators around an implementation, never inside one.
 */

/** Slash-separated, relative, made by `object-names.ts` alone; no client input reaches it unencoded. */
export type ObjectKey = string;

/** Bytes `[start, end)` of an object. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ObjectInfo {
  readonly key: ObjectKey;
  readonly sizeBytes: number;
  /** By the store's own clock. */
  readonly modifiedMs: number;
}

/** What a store is able to do, so that callers and contract tests ask instead of guessing. */
export interface ObjectStoreCapabilities {
  /** `create` on an existing key is reported as a `conflict` and leaves the first object as it is. */
  readonly conditionalCreate: boolean;
}

export interface ObjectStore {
  readonly capabilities: ObjectStoreCapabilities;

  /**
   * Creates the object under a name never used before; durable when the promise resolves. `body` is one or more slices that
   * together are the object; the store neither keeps nor changes them after it settled. Where the store can tell, an existing
   * key is a StorageError `conflict`. Any other rejection leaves the outcome unknown: the caller goes on under another name.
   */
  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void>;

  /**
   * The bytes of `range`, or the whole object. A range that ends behind the object is cut at its end.
   * Throws StorageError `not-found`, `unavailable` or `corrupt`. A store may put the bytes at the start of `into` where that is
   * large enough, and answer a view of it; it then never touches it again once the promise has settled.
   */
  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer>;

  /** Objects whose key starts with `prefix`, in ascending order of the key's UTF-8 bytes. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>;

  /** Removes the objects; one that is already gone counts as removed. */
  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void>;

  close(): Promise<void>;
}
