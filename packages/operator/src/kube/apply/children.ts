/**
 * The objects that one of ours needs: each is made and kept as it should be by server-side apply, and those no longer wanted go.
 * Nothing is written when nothing changed, nothing of anybody else's is taken over, and nothing leaves the owner's namespace.
 */
import type { Logger } from '@kafscale/runtime';
import { createHash } from 'node:crypto';
import { fieldManager, type KubeClient } from '../kube-client.ts';
import { isKubeError } from '../kube-error.ts';
import {
  describeObject,
  objectKey,
  type Desired,
  type Kind,
  type KubeObject,
  type ObjectName,
  type Stored,
} from '../kube-object.ts';
import { isObjectName } from '../names.ts';
import { controllerOf, controllerReference } from '../owner-references.ts';
import { differences } from './differences.ts';
import { describe, OwnWrites } from './own-writes.ts';

/** On every child: who made it. */
export const managedByLabel = 'app.kubernetes.io/managed-by';
/** On every child: which of our objects it serves. */
export const instanceLabel = 'app.kubernetes.io/instance';
/** What was asked for last, so that a field that is no longer asked for is noticed. */
export const appliedAnnotation = 'kafscale.io/applied';

export interface Child<T extends KubeObject = KubeObject> {
  readonly kind: Kind<T>;
  readonly object: Desired<T>;
}

/** Pairs an object with its kind, both checked to fit. */
export function child<T extends KubeObject>(kind: Kind<T>, object: Desired<T>): Child {
  return { kind, object };
}

export interface Owner<T extends KubeObject = KubeObject> {
  readonly kind: Kind<T>;
  readonly object: Stored<T>;
}

/** A child cannot be made as asked; nothing was written for it. */
export class ChildRefused extends Error {
  override readonly name = 'ChildRefused';
  /** - `not-ours`: the name belongs to somebody else. `out-of-bounds`: outside the owner's namespace. `bad-name`: no name Kubernetes takes. */
  readonly reason: 'not-ours' | 'out-of-bounds' | 'bad-name';

  constructor(reason: ChildRefused['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

export type ChildOutcome = 'created' | 'updated' | 'unchanged' | 'terminating';

/** What is read of an informer's cache. */
export interface ChildCache {
  readonly kind: Kind;
  get(name: ObjectName): Stored<KubeObject> | undefined;
  ownedBy(uid: string): readonly Stored<KubeObject>[];
}

export interface ChildrenSettings {
  readonly client: KubeClient;
  /** One per kind of child: what is read instead of asking the server. */
  readonly caches: readonly ChildCache[];
  readonly logger: Logger;
}

export interface SyncOptions {
  readonly signal?: AbortSignal;
}

export interface ApplyChildOptions extends SyncOptions {
  /** Only if nobody wrote the child since this state of it: a `conflict` otherwise. */
  readonly resourceVersion?: string | undefined;
}

export class Children {
  readonly #client: KubeClient;
  readonly #caches: ReadonlyMap<string, ChildCache>;
  readonly #logger: Logger;
  readonly #writes = new OwnWrites();

  constructor({ client, caches, logger }: ChildrenSettings) {
    this.#client = client;
    this.#caches = new Map(caches.map((cache) => [kindId(cache.kind), cache]));
    this.#logger = logger.child({ component: 'children' });
  }

  /**
   * Makes every child as it should be, in this order, then removes what the owner has beyond them. One that fails stops the rest and
   * nothing is removed then. Throws ChildRefused or KubeError.
   */
  async sync(
    owner: Owner,
    children: readonly Child[],
    options: SyncOptions = {},
  ): Promise<ReadonlyMap<string, ChildOutcome>> {
    const outcomes = new Map<string, ChildOutcome>();
    for (const { kind, object } of children) {
      outcomes.set(`${kind.kind}/${object.metadata.name}`, await this.apply(owner, { kind, object }, options));
    }
    await this.#prune(owner, children, options);
    return outcomes;
  }

  /** Makes one child as it should be. */
  async apply(owner: Owner, { kind, object }: Child, options: ApplyChildOptions = {}): Promise<ChildOutcome> {
    const wanted = bounded(owner, { kind, object });
    const { metadata } = wanted;
    const key = `${kindId(kind)} ${objectKey(metadata)}`;
    const cached = this.#cacheOf(kind).get(metadata);
    const live =
      cached === undefined ? await this.#client.find(kind, metadata, options) : this.#writes.newest(key, cached);
    if (live !== undefined) {
      refuseForeign(owner, kind, { live, wanted });
      if (live.metadata.deletionTimestamp !== undefined) return 'terminating';
      if (differences(wanted, live).length === 0) return 'unchanged';
      if (this.#writes.isSettled(key, asked(wanted), wanted, live)) return 'unchanged';
      this.#logger.info(
        {
          object: describeObject(kind, metadata),
          fields: differences(wanted, live)
            .map(({ path }) => path)
            .slice(0, 10),
        },
        'child is not as it should be',
      );
    }
    const { resourceVersion, ...call } = options;
    const uid = live === undefined ? {} : { uid: live.metadata.uid };
    const unchangedSince = resourceVersion === undefined ? {} : { resourceVersion };
    const applied = await this.#client.apply(
      kind,
      { ...wanted, metadata: { ...metadata, ...uid, ...unchangedSince } },
      { ...call, force: true },
    );
    this.#writes.remember(key, { object: applied, asked: asked(wanted), rewritten: describe(wanted, applied) });
    return live === undefined ? 'created' : 'updated';
  }

  /** The child as it is: as the cache has it, or as our last write left it when the cache does not know that yet. */
  async newest<T extends KubeObject>(
    kind: Kind<T>,
    name: ObjectName,
    options: SyncOptions = {},
  ): Promise<Stored<T> | undefined> {
    const cached = this.#cacheOf(kind).get(name);
    if (cached === undefined) return this.#client.find(kind, name, options);
    return this.#writes.newest(`${kindId(kind)} ${objectKey(name)}`, cached) as Stored<T>;
  }

  /** Removes a child that is no longer wanted. True when there was one; somebody else's of that name is left alone. */
  async remove(owner: Owner, kind: Kind, name: string, options: SyncOptions = {}): Promise<boolean> {
    const at = { namespace: owner.object.metadata.namespace, name };
    const live = this.#cacheOf(kind).get(at);
    return live !== undefined && isChildOf(owner, live) ? this.#delete(kind, live, options) : false;
  }

  async #prune(owner: Owner, children: readonly Child[], options: SyncOptions): Promise<void> {
    const wanted = new Set(children.map(({ kind, object }) => `${kindId(kind)} ${object.metadata.name}`));
    for (const cache of this.#caches.values()) {
      for (const live of cache.ownedBy(owner.object.metadata.uid)) {
        if (wanted.has(`${kindId(cache.kind)} ${live.metadata.name}`) || !isChildOf(owner, live)) continue;
        await this.#delete(cache.kind, live, options);
      }
    }
  }

  async #delete(kind: Kind, live: Stored<KubeObject>, options: SyncOptions): Promise<boolean> {
    if (live.metadata.deletionTimestamp !== undefined) return false;
    this.#logger.info({ object: describeObject(kind, live.metadata) }, 'child is no longer wanted');
    this.#writes.forget(`${kindId(kind)} ${objectKey(live.metadata)}`);
    try {
      return await this.#client.delete(kind, live.metadata, { ...options, uid: live.metadata.uid });
    } catch (error) {
      if (isKubeError(error, 'conflict')) return false; // another object has its name by now
      throw error;
    }
  }

  #cacheOf(kind: Kind): ChildCache {
    const cache = this.#caches.get(kindId(kind));
    if (cache === undefined) throw new Error(`nobody follows ${kind.plural}, so they cannot be children`);
    return cache;
  }
}

const kindId = ({ apiVersion, plural }: Kind): string => `${apiVersion}/${plural}`;

/** The child with its owner, labels and mark, sure to be in the owner's namespace. */
function bounded(owner: Owner, { kind, object }: Child): Desired<KubeObject> {
  const { namespace, name: instance } = owner.object.metadata;
  const { metadata } = object;
  const what = `${kind.kind} ${metadata.name}`;
  if (!kind.namespaced || namespace === undefined || (metadata.namespace ?? namespace) !== namespace) {
    throw new ChildRefused('out-of-bounds', `${what} would lie outside the namespace of ${describeOwner(owner)}`);
  }
  if (!isObjectName(metadata.name)) {
    throw new ChildRefused(
      'bad-name',
      `${what}: a name has lower-case letters, digits, "-" and ".", at most 253 characters`,
    );
  }
  const labels = { ...metadata.labels, [managedByLabel]: fieldManager, [instanceLabel]: instance };
  const whole = {
    ...object,
    metadata: { ...metadata, namespace, labels, ownerReferences: [controllerReference(owner.kind, owner.object)] },
  };
  const annotations = { ...metadata.annotations, [appliedAnnotation]: digest(whole) };
  return { ...whole, metadata: { ...whole.metadata, annotations } };
}

const asked = ({ metadata }: Desired<KubeObject>): string => metadata.annotations?.[appliedAnnotation] ?? '';

function refuseForeign(
  owner: Owner,
  kind: Kind,
  { live, wanted }: { readonly live: Stored<KubeObject>; readonly wanted: Desired<KubeObject> },
): void {
  const controller = controllerOf(live);
  if (controller?.uid === owner.object.metadata.uid) return;
  const what = describeObject(kind, live.metadata);
  if (controller !== undefined) {
    throw new ChildRefused(
      'not-ours',
      `${what} belongs to ${controller.kind} ${controller.name}; rename one of the two, or delete it if nobody needs it`,
    );
  }
  // What an earlier owner of our name left behind without an owner is ours again.
  const sameLabels = [managedByLabel, instanceLabel].every(
    (label) => live.metadata.labels?.[label] === wanted.metadata.labels?.[label],
  );
  if (!sameLabels) {
    throw new ChildRefused(
      'not-ours',
      `${what} was not made by the operator; delete it, or give ${describeOwner(owner)} another name`,
    );
  }
}

function isChildOf(owner: Owner, live: Stored<KubeObject>): boolean {
  return (
    controllerOf(live)?.uid === owner.object.metadata.uid &&
    live.metadata.namespace === owner.object.metadata.namespace &&
    live.metadata.labels?.[managedByLabel] === fieldManager
  );
}

const describeOwner = ({ kind, object }: Owner): string => describeObject(kind, object.metadata);

/** A short hash of what is asked for, the same for the same content in whatever order. */
function digest(object: object): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(object)))
    .digest('hex')
    .slice(0, 16);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, sorted(item)]));
}
