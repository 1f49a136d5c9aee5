/**
 * The objects of the fake API server and the rules about them: resource versions, generations, subresources, finalizers, owners whose
 * dependents are collected, and the history that watches follow.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { without, type FakeKind, type FakeMeta, type FakeObject } from './fake-kinds.ts';
import { ApplyConflict, applyFields, shownManagers, trackUpdate, type FieldManager } from './field-ownership.ts';

/** A refusal as a Status says it. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly reason: string;
  readonly details: object;

  constructor(status: number, reason: string, message: string, details: object = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.details = details;
  }
}

export interface StoreEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly kind: FakeKind;
  readonly object: FakeObject;
  /** What it was before; undefined for what was created. */
  readonly before: FakeObject | undefined;
}

interface Entry {
  object: FakeObject;
  managers: readonly FieldManager[];
}

export interface Write {
  readonly manager: string;
  readonly dryRun: boolean;
  readonly subresource?: string;
}

export interface DeleteRules {
  readonly propagation?: string | undefined;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

const idOf = (kind: FakeKind): string => `${kind.apiVersion}/${kind.plural}`;
const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;

export class FakeKubeStore {
  readonly #objects = new Map<string, Map<string, Entry>>();
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  #history: StoreEvent[] = [];
  #version = 1000;
  /** The oldest version from which a watch may still begin. */
  #oldestVersion = 1000;
  #created = 0;

  get version(): number {
    return this.#version;
  }

  /** Forgets what happened so far: watches from before are answered 410. */
  compact(): void {
    this.#history = [];
    this.#oldestVersion = this.#version;
  }

  /** What happened after `version`; undefined when that is forgotten. */
  since(version: number): readonly StoreEvent[] | undefined {
    if (version < this.#oldestVersion) return undefined;
    return this.#history.filter((event) => event.version > version);
  }

  onEvent(listener: (event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list(kind: FakeKind, namespace?: string): readonly FakeObject[] {
    const entries = [...this.#kindObjects(kind).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
    return entries
      .map(([, { object }]) => object)
      .filter(({ metadata }) => namespace === undefined || metadata?.namespace === namespace);
  }

  find(kind: FakeKind, namespace: string | undefined, name: string): FakeObject | undefined {
    return this.#kindObjects(kind).get(keyOf(namespace, name))?.object;
  }

  get(kind: FakeKind, namespace: string | undefined, name: string): FakeObject {
    const object = this.find(kind, namespace, name);
    if (object === undefined) throw notFound(kind, name);
    return object;
  }

  create(kind: FakeKind, namespace: string | undefined, given: FakeObject, { manager, dryRun }: Write): FakeObject {
    const meta = given.metadata ?? {};
    const name = meta.name ?? `${meta.generateName ?? ''}${(this.#created += 1).toString(36).padStart(5, '0')}`;
    if (this.find(kind, namespace, name) !== undefined) {
      throw new ApiFailure(409, 'AlreadyExists', `${kind.plural} "${name}" already exists`, {
        name,
        kind: kind.plural,
      });
    }
    if (namespace !== undefined && meta.namespace !== undefined && meta.namespace !== namespace) {
      throw new ApiFailure(
        400,
        'BadRequest',
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    const object = this.#born(kind, namespace, name, given);
    if (kind.status !== false) delete object['status'];
    this.#check(kind, object, undefined);
    return this.#store(kind, object, trackUpdate(undefined, object, [], { manager, subresource: '' }), dryRun);
  }

  /** A PUT or a patch: `change` makes the new object of the old. */
  update(
    kind: FakeKind,
    at: { readonly namespace: string | undefined; readonly name: string },
    change: (before: FakeObject) => FakeObject,
    { manager, dryRun, subresource = '' }: Write,
  ): FakeObject {
    const entry = this.#entry(kind, at.namespace, at.name);
    const wanted = change(structuredClone(entry.object));
    const given = wanted.metadata?.resourceVersion;
    if (given !== undefined && given !== entry.object.metadata?.resourceVersion) throw outdated(kind, at.name);
    if (wanted.metadata?.uid !== undefined && wanted.metadata.uid !== entry.object.metadata?.uid)
      throw outdated(kind, at.name);
    const object = this.#merged(kind, entry.object, wanted, subresource);
    this.#check(kind, object, entry.object);
    const managers = trackUpdate(entry.object, object, entry.managers, { manager, subresource });
    return this.#store(kind, object, managers, dryRun, entry);
  }

  apply(
    kind: FakeKind,
    at: { readonly namespace: string | undefined; readonly name: string },
    applied: FakeObject,
    { manager, dryRun, subresource = '', force }: Write & { readonly force: boolean },
  ): FakeObject {
    const entry = this.#kindObjects(kind).get(keyOf(at.namespace, at.name));
    const { uid, resourceVersion } = applied.metadata ?? {};
    if (entry === undefined && (subresource !== '' || uid !== undefined || resourceVersion !== undefined)) {
      throw uid !== undefined && subresource === '' ? outdated(kind, at.name) : notFound(kind, at.name);
    }
    if (entry !== undefined) {
      const { metadata } = entry.object;
      if (uid !== undefined && uid !== metadata?.uid) throw otherObject(kind, at.name);
      if (resourceVersion !== undefined && resourceVersion !== metadata?.resourceVersion) throw outdated(kind, at.name);
    }
    const live = entry?.object ?? this.#born(kind, at.namespace, at.name, {});
    const { status } = applied;
    const identity = without(applied, 'status', 'spec');
    const said = subresource === 'status' ? { ...identity, status } : withoutStatus(kind, applied);
    try {
      const { object, managers } = applyFields({
        ...{ live, applied: said, managers: entry?.managers ?? [], manager, subresource, force },
      });
      const merged = entry === undefined ? object : this.#merged(kind, entry.object, object, subresource);
      kind.defaults?.(merged);
      this.#check(kind, merged, entry?.object);
      return this.#store(kind, merged, managers, dryRun, entry);
    } catch (error) {
      if (!(error instanceof ApplyConflict)) throw error;
      const causes = error.fields.map(({ manager: other, field }) => ({
        ...{ reason: 'FieldManagerConflict', message: `conflict with "${other}"`, field },
      }));
      throw new ApiFailure(409, 'Conflict', error.message, { causes });
    }
  }

  delete(
    kind: FakeKind,
    at: { readonly namespace: string | undefined; readonly name: string },
    { propagation = 'Background', uid, resourceVersion }: DeleteRules,
    dryRun: boolean,
  ): FakeObject {
    const { object } = this.#entry(kind, at.namespace, at.name);
    const { metadata } = object;
    if (uid !== undefined && uid !== metadata?.uid) throw outdated(kind, at.name);
    if (resourceVersion !== undefined && resourceVersion !== metadata?.resourceVersion) throw outdated(kind, at.name);
    if (dryRun) return object;
    if (propagation === 'Orphan') this.#orphanDependents(metadata!.uid!);
    if ((metadata?.finalizers ?? []).length > 0) {
      if (metadata?.deletionTimestamp !== undefined) return object;
      const marked = structuredClone(object);
      marked.metadata!.deletionTimestamp = wholeSecond();
      const entry = this.#entry(kind, at.namespace, at.name);
      return this.#store(kind, marked, entry.managers, false, entry);
    }
    this.#remove(kind, object);
    return object;
  }

  #kindObjects(kind: FakeKind): Map<string, Entry> {
    const id = idOf(kind);
    let objects = this.#objects.get(id);
    if (objects === undefined) this.#objects.set(id, (objects = new Map<string, Entry>()));
    return objects;
  }

  #entry(kind: FakeKind, namespace: string | undefined, name: string): Entry {
    const entry = this.#kindObjects(kind).get(keyOf(namespace, name));
    if (entry === undefined) throw notFound(kind, name);
    return entry;
  }

  #born(kind: FakeKind, namespace: string | undefined, name: string, given: FakeObject): FakeObject {
    const { labels, annotations, ownerReferences, finalizers, generateName } = structuredClone(given.metadata ?? {});
    const metadata: FakeMeta = {
      ...{ name, ...(generateName !== undefined && { generateName }) },
      ...(kind.namespaced && { namespace: namespace ?? 'default' }),
      ...{ uid: randomUUID(), creationTimestamp: wholeSecond() },
      ...(kind.status !== false && { generation: 1 }),
      ...(labels !== undefined && { labels }),
      ...(annotations !== undefined && { annotations }),
      ...(ownerReferences !== undefined && { ownerReferences }),
      ...(finalizers !== undefined && { finalizers }),
    };
    const object: FakeObject = { ...structuredClone(given), apiVersion: kind.apiVersion, kind: kind.kind, metadata };
    kind.defaults?.(object);
    return object;
  }

  /** The new object as this endpoint may change it: the status only through its subresource, and nothing else through that. */
  #merged(kind: FakeKind, before: FakeObject, wanted: FakeObject, subresource: string): FakeObject {
    if (subresource === 'status') {
      const object = structuredClone(before);
      if (wanted['status'] === undefined) delete object['status'];
      else object['status'] = structuredClone(wanted['status']);
      return object;
    }
    const { labels, annotations, ownerReferences, finalizers } = wanted.metadata ?? {};
    const fixed = before.metadata!;
    const object = structuredClone(wanted);
    object.apiVersion = kind.apiVersion;
    object.kind = kind.kind;
    object.metadata = {
      ...Object.fromEntries(Object.entries(fixed).filter(([name]) => !changeableMeta.has(name))),
      ...(labels !== undefined && { labels }),
      ...(annotations !== undefined && { annotations }),
      ...(ownerReferences !== undefined && { ownerReferences }),
      ...(finalizers !== undefined && { finalizers }),
    };
    if (kind.status !== false) {
      if (before['status'] === undefined) delete object['status'];
      else object['status'] = structuredClone(before['status']);
    }
    kind.defaults?.(object);
    if (kind.status !== false && !isDeepStrictEqual(contentOf(before), contentOf(object))) {
      object.metadata.generation = (fixed.generation ?? 0) + 1;
    }
    return object;
  }

  #check(kind: FakeKind, object: FakeObject, before: FakeObject | undefined): void {
    const name = object.metadata?.name ?? '';
    const fault = kind.validate?.(object, before) ?? commonFault(object);
    if (fault === undefined) return;
    const causes = [{ reason: 'FieldValueInvalid', message: fault, field: '<nil>' }];
    throw new ApiFailure(422, 'Invalid', `${kind.kind} "${name}" is invalid: ${fault}`, {
      name,
      kind: kind.kind,
      causes,
    });
  }

  #store(
    kind: FakeKind,
    object: FakeObject,
    managers: readonly FieldManager[],
    dryRun: boolean,
    entry?: Entry,
  ): FakeObject {
    const before = entry?.object;
    const shown = shownManagers(managers, kind.apiVersion);
    const unchanged =
      before !== undefined &&
      isDeepStrictEqual(
        { ...object, metadata: comparable(object, shown) },
        { ...before, metadata: comparable(before) },
      );
    if (unchanged) return before;
    object.metadata!.managedFields = shown;
    object.metadata!.resourceVersion = String(this.#version + 1);
    if (dryRun) return object;
    if (object.metadata!.deletionTimestamp !== undefined && (object.metadata!.finalizers ?? []).length === 0) {
      this.#remove(kind, object);
      return object;
    }
    const { namespace, name } = object.metadata!;
    this.#kindObjects(kind).set(keyOf(namespace, name!), { object, managers });
    this.#emit({ type: before === undefined ? 'ADDED' : 'MODIFIED', kind, object, before });
    return object;
  }

  #remove(kind: FakeKind, object: FakeObject): void {
    const { namespace, name, uid } = object.metadata!;
    this.#kindObjects(kind).delete(keyOf(namespace, name!));
    const last = structuredClone(object);
    last.metadata!.resourceVersion = String(this.#version + 1);
    this.#emit({ type: 'DELETED', kind, object: last, before: object });
    this.#collectDependents(uid!);
  }

  #emit(event: Omit<StoreEvent, 'version'>): void {
    this.#version += 1;
    const stamped = { ...event, version: this.#version };
    this.#history.push(stamped);
    for (const listener of [...this.#listeners]) listener(stamped);
  }

  #dependents(uid: string): { readonly kind: FakeKind; readonly object: FakeObject }[] {
    return [...this.#objects.values()].flatMap((entries) =>
      [...entries.values()]
        .filter(({ object }) => object.metadata?.ownerReferences?.some((owner) => owner.uid === uid))
        .map(({ object }) => ({ kind: this.#kindOf(object), object })),
    );
  }

  readonly #kinds = new Map<string, FakeKind>();

  /** Kinds that objects may be of, for finding the kind of a dependent. */
  know(kind: FakeKind): void {
    this.#kinds.set(`${kind.apiVersion}/${kind.kind}`, kind);
  }

  #kindOf(object: FakeObject): FakeKind {
    return this.#kinds.get(`${object.apiVersion!}/${object.kind!}`)!;
  }

  #collectDependents(uid: string): void {
    for (const { kind, object } of this.#dependents(uid)) {
      const { namespace, name } = object.metadata!;
      const others = object.metadata!.ownerReferences!.filter((owner) => owner.uid !== uid);
      if (others.length === 0) this.delete(kind, { namespace, name: name! }, {}, false);
      else this.#setOwners(kind, object, others);
    }
  }

  #orphanDependents(uid: string): void {
    for (const { kind, object } of this.#dependents(uid)) {
      this.#setOwners(
        kind,
        object,
        object.metadata!.ownerReferences!.filter((owner) => owner.uid !== uid),
      );
    }
  }

  #setOwners(kind: FakeKind, object: FakeObject, owners: NonNullable<FakeMeta['ownerReferences']>): void {
    const { namespace, name } = object.metadata!;
    const change = (old: FakeObject): FakeObject => ({
      ...old,
      metadata: { ...old.metadata, ownerReferences: owners },
    });
    this.update(kind, { namespace, name: name! }, change, { manager: 'garbage-collector', dryRun: false });
  }
}

const changeableMeta = new Set(['labels', 'annotations', 'ownerReferences', 'finalizers', 'managedFields']);

const wholeSecond = (): string => `${new Date().toISOString().slice(0, 19)}Z`;

function withoutStatus(kind: FakeKind, object: FakeObject): FakeObject {
  if (kind.status === false) return object;
  return without(object, 'status');
}

/** What the generation counts. */
function contentOf(object: FakeObject): object {
  return without(object, 'metadata', 'status');
}

function comparable(object: FakeObject, managedFields = object.metadata?.managedFields): object {
  return { ...without(object.metadata ?? {}, 'resourceVersion'), managedFields };
}

function commonFault({ metadata }: FakeObject): string | undefined {
  const name = metadata?.name ?? '';
  if (!/^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$/.test(name) || name.length > 253) {
    return `metadata.name: Invalid value: "${name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters`;
  }
  const controllers = (metadata?.ownerReferences ?? []).filter(({ controller }) => controller === true);
  if (controllers.length > 1) {
    return 'metadata.ownerReferences: Invalid value: only one reference can have Controller set to true';
  }
  const long = Object.values(metadata?.labels ?? {}).find((value) => value.length > 63);
  return long === undefined
    ? undefined
    : `metadata.labels: Invalid value: "${long}": must be no more than 63 characters`;
}

function notFound(kind: FakeKind, name: string): ApiFailure {
  return new ApiFailure(404, 'NotFound', `${kind.plural} "${name}" not found`, { name, kind: kind.plural });
}

function outdated(kind: FakeKind, name: string): ApiFailure {
  return new ApiFailure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${kind.plural} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
  );
}

/** What a real server answers to an apply that names another object's uid. */
function otherObject(kind: FakeKind, name: string): ApiFailure {
  const causes = [{ reason: 'FieldValueInvalid', message: 'Invalid value: field is immutable', field: 'metadata.uid' }];
  return new ApiFailure(422, 'Invalid', `${kind.kind} "${name}" is invalid: metadata.uid: field is immutable`, {
    causes,
  });
}
