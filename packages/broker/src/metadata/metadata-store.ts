/**
 * The metadata store as the broker sees it: etcd's model (revisions, compare-and-swap transactions, leases, watches), also
 * for the embedded stores. Linearizable: a read that starts after a write was answered sees it.
 */

/** etcd's store revision: one more with every transaction that changes something. */
export type Revision = number;

/** A lease id; opaque, unique per store. */
export type LeaseId = string;

export interface KeyValue {
  readonly key: string;
  /** Stays as it is for ever; whoever wants to change it takes a copy. */
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 at creation, one more with each put; starts again after a delete. */
  readonly version: number;
  /** The lease the key is bound to; absent for a key that outlives every session. */
  readonly leaseId?: LeaseId;
}

/** One key, or with `end` the half-open range `[key, end)` in the order of UTF-8 bytes. */
export interface KeyRange {
  readonly key: string;
  readonly end?: string;
}

export interface RangeRequest extends KeyRange {
  /** At most so many keys; `more` in the answer says that there were others. */
  readonly limit?: number;
  /** Read as of this revision. Throws MetadataError `compacted` when history no longer reaches back to it. */
  readonly revision?: Revision;
  /** Leaves every `value` empty: for who only wants to know what there is, and since when. */
  readonly keysOnly?: boolean;
}

export interface RangeResult {
  /** The store's revision when the answer was made (also for a read of an older revision). */
  readonly revision: Revision;
  /** In ascending key order. */
  readonly items: readonly KeyValue[];
  readonly more: boolean;
}

/** A key that does not exist compares as revision 0, version 0; a `value` compare on it fails. */
export type Compare =
  | {
      readonly key: string;
      readonly target: 'createRevision' | 'modRevision' | 'version';
      readonly operator: '=' | '!=' | '<' | '>';
      readonly operand: number;
    }
  | { readonly key: string; readonly target: 'value'; readonly operator: '=' | '!='; readonly operand: Uint8Array };

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly leaseId?: LeaseId }
  | ({ readonly type: 'delete' } & KeyRange)
  | ({ readonly type: 'range' } & Omit<RangeRequest, 'revision'>);

/** Applied as a whole: every compare holds and `success` runs, or one does not and `failure` runs. At most 128 operations a list. */
export interface Transaction {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure?: readonly Operation[];
}

export interface TransactionResult {
  readonly succeeded: boolean;
  /** The store's revision after the transaction; every key it put has it as its mod revision. */
  readonly revision: Revision;
  /** One entry per `range` operation of the branch that ran, in order. */
  readonly ranges: readonly RangeResult[];
}

export type WatchEvent =
  | { readonly type: 'put'; readonly kv: KeyValue }
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: Revision };

/** All events of one revision that the watched range saw; batches come in ascending revision order, none twice. */
export interface WatchBatch {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
}

/** How full the store is. etcd refuses every put once `sizeBytes` reaches its quota, whatever of it is in use. */
export interface StoreUsage {
  /** What the database takes: in etcd the file with its free pages, which only a defragmentation gives back. */
  readonly sizeBytes: number;
  /** The part that holds keys and their history; the rest is used again before the file grows. */
  readonly inUseBytes: number;
  /** Where the store says so or the configuration does. */
  readonly quotaBytes?: number;
}

export interface MetadataStore {
  /** Throws MetadataError `unavailable`, `compacted`, `invalid`, `aborted`. */
  range(request: RangeRequest, signal?: AbortSignal): Promise<RangeResult>;

  /**
   * Durable when the promise resolves. Rejects with MetadataError: `invalid` and `lease-not-found` mean it was not applied and
   * never will be; **any other rejection leaves the outcome unknown**, and the transaction may still apply later.
   */
  transact(transaction: Transaction, signal?: AbortSignal): Promise<TransactionResult>;

  /** A lease that ends `ttlMs` after its last keepalive; keys bound to it are deleted with it, at one revision. */
  grantLease(ttlMs: number, signal?: AbortSignal): Promise<LeaseId>;

  /** Resolves with the lease's full time to live from now. Throws `lease-not-found` when it has ended. */
  keepAlive(lease: LeaseId, signal?: AbortSignal): Promise<{ readonly ttlMs: number }>;

  /** Ends the lease and deletes its keys. One that has already ended counts as revoked. */
  revokeLease(lease: LeaseId, signal?: AbortSignal): Promise<void>;

  /**
   * Changes in `range` from `fromRevision` on, until `signal` aborts (the iteration then ends). A hint, never the truth: throws
   * `compacted` when history does not reach back that far, `unavailable` when the stream broke; the caller reads the range again.
   */
  watch(range: KeyRange, fromRevision: Revision, signal: AbortSignal): AsyncIterable<WatchBatch>;

  /**
   * Drops history below `revision`; reads and watches from below it then throw `compacted`. What is dropped already counts as
   * done, a revision of the future is `invalid`. Stores may drop old history by themselves at any time.
   */
  compact(revision: Revision, signal?: AbortSignal): Promise<void>;

  /** How full the store is, as far as it knows; of several etcd members the one that is asked. Throws as `range` does. */
  usage(signal?: AbortSignal): Promise<StoreUsage>;

  close(): Promise<void>;
}

/** The end of the range of all keys that start with `prefix`, which must not be empty. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
