/**
 * What an informer knows: the newest state of every object it follows, found by name, by controlling owner, by label or by an index
 * of one's own. Objects in it are shared and never changed; they may lack what a projection left out, so nobody writes one back whole.
 */
import { controllerOf } from './owner-references.ts';
import { nameOf, objectKey, type Kind, type KubeObject, type ObjectName, type Stored } from './kube-object.ts';

/** The values under which an object is found in an index. */
export type IndexFunction<T extends KubeObject> = (object: Stored<T>) => readonly string[];

export type CacheChange<T extends KubeObject> =
  | { readonly type: 'added'; readonly object: Stored<T> }
  | { readonly type: 'updated'; readonly object: Stored<T>; readonly before: Stored<T> }
  | { readonly type: 'deleted'; readonly object: Stored<T> };

interface Index<T extends KubeObject> {
  readonly of: IndexFunction<T>;
  readonly keys: Map<string, Set<string>>;
}

const ownerIndex = 'owner';

export class ObjectCache<T extends KubeObject> {
  readonly kind: Kind<T>;
  readonly #objects = new Map<string, Stored<T>>();
  readonly #indexes = new Map<string, Index<T>>();

  constructor(kind: Kind<T>, indexes: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.kind = kind;
    this.#addIndex(ownerIndex, (object) => {
      const owner = controllerOf(object);
      return owner === undefined ? [] : [owner.uid];
    });
    for (const [name, of] of Object.entries(indexes)) this.#addIndex(name, of);
  }

  get size(): number {
    return this.#objects.size;
  }

  get(name: ObjectName): Stored<T> | undefined {
    return this.#objects.get(objectKey(name));
  }

  /** In no particular order; of one namespace when given. */
  list(namespace?: string): readonly Stored<T>[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Those whose controller is the object with this uid. */
  ownedBy(uid: string): readonly Stored<T>[] {
    return this.byIndex(ownerIndex, uid);
  }

  /** Those that an index of this name holds under `value`. */
  byIndex(name: string, value: string): readonly Stored<T>[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`the cache of ${this.kind.plural} has no index ${name}`);
    return [...(index.keys.get(value) ?? [])].map((key) => this.#objects.get(key)!);
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()];
  }

  /** What storing it changed; undefined when this very state was known. */
  put(object: Stored<T>): CacheChange<T> | undefined {
    const key = objectKey(nameOf(object));
    const before = this.#objects.get(key);
    if (before !== undefined) {
      const { uid, resourceVersion } = before.metadata;
      if (uid === object.metadata.uid && resourceVersion === object.metadata.resourceVersion) return undefined;
      this.#forget(key, before);
    }
    this.#objects.set(key, object);
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(object)) {
        const indexed = keys.get(value);
        if (indexed === undefined) keys.set(value, new Set([key]));
        else indexed.add(key);
      }
    }
    return before === undefined ? { type: 'added', object } : { type: 'updated', object, before };
  }

  /** Forgets the object; `last` is its last state where known. */
  remove(key: string, last?: Stored<T>): CacheChange<T> | undefined {
    const before = this.#objects.get(key);
    if (before === undefined) return undefined;
    this.#forget(key, before);
    this.#objects.delete(key);
    return { type: 'deleted', object: last ?? before };
  }

  #addIndex(name: string, of: IndexFunction<T>): void {
    this.#indexes.set(name, { of, keys: new Map() });
  }

  #forget(key: string, object: Stored<T>): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(object)) {
        const indexed = keys.get(value);
        indexed?.delete(key);
        if (indexed?.size === 0) keys.delete(value);
      }
    }
  }
}

/** An index function for the value of one label. */
export function labelIndex<T extends KubeObject>(label: string): IndexFunction<T> {
  return ({ metadata }) => {
    const value = metadata.labels?.[label];
    return value === undefined ? [] : [value];
  };
}
