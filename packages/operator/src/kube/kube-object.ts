/**
 * What every Kubernetes object has, and how a kind of object is named in the API. Objects are the JSON of the API itself: times are
 * strings, and nothing is converted on the way in or out.
 */

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name?: string;
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: ObjectMeta;
}

/** What the API server fills in. */
export type StoredMeta = ObjectMeta & {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
};

/** An object as the API server returned it. */
export type Stored<T extends KubeObject> = Omit<T, 'metadata'> & { readonly metadata: StoredMeta };

/** An object that is to be written: at least its name is known. */
export type Desired<T extends KubeObject> = Omit<T, 'metadata' | 'apiVersion' | 'kind'> & {
  readonly metadata: ObjectMeta & { readonly name: string };
};

declare const shape: unique symbol;

/** A kind of object: its place in the API, and in the type what its objects look like. */
export interface Kind<T extends KubeObject = KubeObject> {
  /** `v1` for the core group, otherwise `group/version`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Lower-case plural, as in the path. */
  readonly plural: string;
  readonly namespaced: boolean;
  readonly [shape]?: T;
}

/** Where an object is; a cluster-scoped one has no namespace. */
export interface ObjectName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Declares a kind whose objects look like `T`. */
export function defineKind<T extends KubeObject>(kind: Omit<Kind<T>, typeof shape>): Kind<T> {
  return kind;
}

/** The kind's group; empty for the core group. */
export function groupOf({ apiVersion }: Kind): string {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

/** The text by which caches and queues know an object: `namespace/name`, or `name` when it has no namespace. */
export function objectKey({ namespace, name }: ObjectName): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The reverse of `objectKey`. */
export function parseObjectKey(key: string): ObjectName {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The name of an object that has one. */
export function nameOf({ metadata }: { readonly metadata?: ObjectMeta }): ObjectName {
  if (metadata?.name === undefined) throw new Error('an object without a name');
  return { namespace: metadata.namespace, name: metadata.name };
}

/** `Deployment shop/kafscale-broker`, for messages. */
export function describeObject(kind: Kind, name: ObjectName): string {
  return `${kind.kind} ${objectKey(name)}`;
}
