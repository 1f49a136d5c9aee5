/**
 * What the operator asks of an API server: one set of calls for built-in and custom resources alike. Every call has a deadline and
 * throws only KubeError. Reading answers what the server has; writing goes out under one field manager and only while this process
 * may write.
 */
import type { Desired, Kind, KubeObject, ObjectName, Stored } from './kube-object.ts';

/** Who our fields belong to. */
export const fieldManager = 'kafscale-operator';

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Bound on the whole call, retries of a throttled one included; the client's own unless given. */
  readonly deadlineMs?: number;
}

export interface ListOptions extends CallOptions {
  /** Every namespace when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** One page of a list; all pages of one list are of one moment, named by `resourceVersion`. */
export interface KubeList<T extends KubeObject> {
  readonly resourceVersion: string;
  readonly items: readonly Stored<T>[];
}

export interface WatchOptions extends ListOptions {
  /** Only what happened after it. */
  readonly resourceVersion: string;
  /** When the server ends the watch by itself. */
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Stored<T> }
  /** Nothing happened up to this version. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface WriteOptions extends CallOptions {
  /** The server checks everything and stores nothing. */
  readonly dryRun?: boolean;
}

export interface ApplyOptions extends WriteOptions {
  /** Take fields from other managers; for objects that are ours. Without it such a field is a `conflict`. */
  readonly force?: boolean;
}

export interface DeleteOptions extends WriteOptions {
  /** `Background` unless given: dependents are collected afterwards. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
  /** Delete only this very object: a `conflict` when another one took its name. */
  readonly uid?: string;
  /** Delete only this very state of it. */
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
}

export type PatchType = 'merge' | 'json' | 'strategic';

/** The scale subresource of any kind that has one. */
export interface Scale {
  readonly resourceVersion: string;
  /** Wanted. */
  readonly replicas: number;
  /** There are. */
  readonly statusReplicas: number;
  /** Label selector of the pods, as text. */
  readonly selector: string;
}

export interface SetScaleOptions extends WriteOptions {
  /** Only if nobody changed the object since. */
  readonly resourceVersion?: string;
}

export interface KubeClient {
  /** Throws `not-found`. */
  get<T extends KubeObject>(kind: Kind<T>, name: ObjectName, options?: CallOptions): Promise<Stored<T>>;
  /** As `get`, undefined when there is none. */
  find<T extends KubeObject>(kind: Kind<T>, name: ObjectName, options?: CallOptions): Promise<Stored<T> | undefined>;
  /** Everything, however many pages it takes. */
  list<T extends KubeObject>(kind: Kind<T>, options?: ListOptions): Promise<KubeList<T>>;
  /** Page by page, for lists too long to hold. Throws `gone` when it took longer than the server remembers. */
  listPages<T extends KubeObject>(kind: Kind<T>, options?: ListOptions): AsyncIterable<KubeList<T>>;
  /** Ends when the server ends it; throws `gone`, or `unavailable` when the connection breaks or falls silent. */
  watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** Throws `already-exists`. */
  create<T extends KubeObject>(kind: Kind<T>, object: Desired<T>, options?: WriteOptions): Promise<Stored<T>>;
  /** Replaces the whole object; throws `conflict` unless its resource version is the newest. */
  replace<T extends KubeObject>(kind: Kind<T>, object: Stored<T>, options?: WriteOptions): Promise<Stored<T>>;
  /** Server-side apply: what the object names becomes so, what it no longer names and nobody else does goes. Creates what is missing. */
  apply<T extends KubeObject>(kind: Kind<T>, object: Desired<T>, options?: ApplyOptions): Promise<Stored<T>>;
  /** Server-side apply to the status alone, by force: the status is ours. */
  applyStatus<T extends KubeObject>(kind: Kind<T>, object: Desired<T>, options?: WriteOptions): Promise<Stored<T>>;
  patch<T extends KubeObject>(
    kind: Kind<T>,
    name: ObjectName,
    patch: object,
    options?: WriteOptions & { readonly type?: PatchType; readonly subresource?: 'status' },
  ): Promise<Stored<T>>;
  /** True when it was there; one that is gone already is no error. */
  delete(kind: Kind, name: ObjectName, options?: DeleteOptions): Promise<boolean>;
  scale(kind: Kind, name: ObjectName, options?: CallOptions): Promise<Scale>;
  setScale(kind: Kind, name: ObjectName, replicas: number, options?: SetScaleOptions): Promise<Scale>;
  /** Asks for a pod's end as `kubectl drain` does. Throws `too-many-requests` while a disruption budget forbids it. */
  evict(pod: ObjectName, options?: DeleteOptions): Promise<void>;
  /** The server's version, such as `v1.32.3`. */
  serverVersion(options?: CallOptions): Promise<string>;
  close(): Promise<void>;
}
