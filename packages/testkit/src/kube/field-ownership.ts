/**
 * Who manages which field, and server-side apply on top of it. Lists merge by key where Kubernetes' well-known lists do (the table
 * below, by the list's name alone, since there are no schemas here) and are replaced whole everywhere else; that is what differs from
 * a real server.
 */
import { isDeepStrictEqual } from 'node:util';
import { without, type FakeObject } from './fake-kinds.ts';

type Json = Record<string, unknown>;

/** Keys of lists that merge; a name of a list absent here is replaced as one value. */
const listKeys: Readonly<Record<string, readonly string[]>> = {
  conditions: ['type'],
  containers: ['name'],
  env: ['name'],
  hostAliases: ['ip'],
  imagePullSecrets: ['name'],
  initContainers: ['name'],
  ownerReferences: ['uid'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
  volumeMounts: ['mountPath'],
  volumes: ['name'],
};

/** Lists of plain values in which each manager owns its own. */
const setLists = new Set(['finalizers']);

/** `f:name`, `k:{"name":"a"}` or `v:"text"`, as in `fieldsV1`. */
type Step = string;

/** Paths of leaves, keyed by their text. */
export type FieldSet = Map<string, readonly Step[]>;

export interface FieldManager {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly subresource: string;
  fields: FieldSet;
}

export class ApplyConflict extends Error {
  readonly fields: readonly { readonly manager: string; readonly field: string }[];

  constructor(fields: readonly { readonly manager: string; readonly field: string }[]) {
    const list = fields.map(({ manager, field }) => `conflict with "${manager}": ${field}`).join(', ');
    super(`Apply failed with ${fields.length} conflict${fields.length === 1 ? '' : 's'}: ${list}`);
    this.fields = fields;
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Ports are keyed differently in a container and in a Service. */
function keysOfList(name: string | undefined, list: readonly unknown[]): readonly string[] | undefined {
  if (name === undefined) return undefined;
  if (name === 'ports' && list.every(isObject)) {
    if (list.every((port) => 'containerPort' in port)) return ['containerPort', 'protocol'];
    if (list.every((port) => 'port' in port)) return ['port', 'protocol'];
    return undefined;
  }
  const keys = listKeys[name];
  return keys !== undefined && list.every((item) => isObject(item) && keys.some((key) => key in item))
    ? keys
    : undefined;
}

function keyStep(item: Json, keys: readonly string[]): Step {
  const named = keys.map((key) => [key, item[key] ?? (key === 'protocol' ? 'TCP' : undefined)]);
  return `k:${JSON.stringify(Object.fromEntries(named))}`;
}

/** The leaves of what a manager says about an object; what names the object is nobody's. */
export function fieldsOf(object: FakeObject): FieldSet {
  const fields: FieldSet = new Map();
  const rest = without(object, 'apiVersion', 'kind', 'metadata');
  const { labels, annotations, ownerReferences, finalizers } = object.metadata ?? {};
  const meta = Object.fromEntries(
    Object.entries({ labels, annotations, ownerReferences, finalizers }).filter(([, value]) => value !== undefined),
  );
  collect({ ...rest, ...(Object.keys(meta).length > 0 && { metadata: meta }) }, [], fields);
  return fields;
}

function collect(value: unknown, path: readonly Step[], fields: FieldSet): void {
  const add = (leaf: readonly Step[]) => fields.set(leaf.join('\u0000'), leaf);
  if (isObject(value)) {
    if (Object.keys(value).length === 0 && path.length > 0) add(path);
    for (const [name, item] of Object.entries(value)) collect(item, [...path, `f:${name}`], fields);
    return;
  }
  const name = path.at(-1)?.slice(2);
  if (!Array.isArray(value) || name === undefined) return void add(path);
  const keys = keysOfList(name, value);
  if (keys !== undefined && value.length > 0) {
    for (const item of value as Json[]) {
      const at = [...path, keyStep(item, keys)];
      add(at);
      collect(item, at, fields);
    }
  } else if (setLists.has(name)) {
    for (const item of value) add([...path, `v:${JSON.stringify(item)}`]);
  } else add(path);
}

function childAt(container: unknown, step: Step): unknown {
  const name = step.slice(2);
  if (step.startsWith('f:')) return isObject(container) ? container[name] : undefined;
  if (!Array.isArray(container)) return undefined;
  if (step.startsWith('v:')) return container.find((item) => JSON.stringify(item) === name) as unknown;
  const wanted = Object.entries(JSON.parse(name) as Json);
  return container.find(
    (item) =>
      isObject(item) &&
      wanted.every(([key, value]) => (item[key] ?? (key === 'protocol' ? 'TCP' : undefined)) === value),
  ) as unknown;
}

const valueAt = (object: unknown, path: readonly Step[]): unknown => path.reduce<unknown>(childAt, object);

function setAt(object: Json, path: readonly Step[], value: unknown): void {
  let container: unknown = object;
  path.forEach((step, index) => {
    const last = index === path.length - 1;
    const next = path[index + 1];
    const found = childAt(container, step);
    const name = step.slice(2);
    if (step.startsWith('f:')) {
      const parent = container as Json;
      if (last) parent[name] = structuredClone(value);
      else if (typeof found !== 'object' || found === null) parent[name] = next?.startsWith('f:') === true ? {} : [];
    } else if (found === undefined) {
      const list = container as unknown[];
      list.push(step.startsWith('v:') ? JSON.parse(name) : last ? structuredClone(value) : (JSON.parse(name) as Json));
    }
    container = childAt(container, step);
  });
}

function deleteAt(object: Json, path: readonly Step[]): void {
  const parent = valueAt(object, path.slice(0, -1));
  const step = path.at(-1)!;
  if (isObject(parent)) Reflect.deleteProperty(parent, step.slice(2));
  else if (Array.isArray(parent)) {
    const index = parent.indexOf(childAt(parent, step));
    if (index >= 0) parent.splice(index, 1);
  }
  const left = isObject(parent) ? Object.keys(parent).length : Array.isArray(parent) ? parent.length : 1;
  const removable = path.length > 1 && !path.at(-2)!.startsWith('k:');
  if (left === 0 && removable) deleteAt(object, path.slice(0, -1));
}

const fieldText = (path: readonly Step[]): string =>
  path.map((step) => (step.startsWith('f:') ? `.${step.slice(2)}` : `[${step.slice(2)}]`)).join('');

interface Application {
  readonly live: FakeObject;
  readonly applied: FakeObject;
  readonly managers: readonly FieldManager[];
  readonly manager: string;
  readonly subresource: string;
  readonly force: boolean;
}

/** The object and its managers after an apply. Throws ApplyConflict when another manager's field would change without `force`. */
export function applyFields(application: Application): { object: FakeObject; managers: FieldManager[] } {
  const { live, applied, manager, subresource, force } = application;
  const wanted = fieldsOf(applied);
  const isOurs = (other: FieldManager) =>
    other.manager === manager && other.operation === 'Apply' && other.subresource === subresource;
  const managers = application.managers.map((other) => ({ ...other, fields: new Map(other.fields) }));
  const others = managers.filter((other) => !isOurs(other));
  const conflicts: { manager: string; field: string }[] = [];
  for (const [key, path] of wanted) {
    if (path.at(-1)!.startsWith('k:') || isDeepStrictEqual(valueAt(live, path), valueAt(applied, path))) continue;
    for (const other of others.filter(({ fields }) => fields.has(key))) {
      if (force) other.fields.delete(key);
      else conflicts.push({ manager: other.manager, field: fieldText(path) });
    }
  }
  if (conflicts.length > 0) throw new ApplyConflict(conflicts);

  const object = structuredClone(live);
  const before = managers.find(isOurs)?.fields ?? new Map<string, readonly Step[]>();
  const abandoned = [...before].filter(([key]) => !wanted.has(key) && !others.some(({ fields }) => fields.has(key)));
  for (const [, path] of abandoned) deleteAt(object, path);
  for (const path of wanted.values()) {
    if (!path.at(-1)!.startsWith('k:')) setAt(object, path, valueAt(applied, path));
  }
  const ours: FieldManager = { manager, operation: 'Apply', subresource, fields: wanted };
  return { object, managers: [...others.filter(({ fields }) => fields.size > 0), ours] };
}

/** The managers after somebody wrote the whole object: what changed is that writer's. */
export function trackUpdate(
  before: FakeObject | undefined,
  after: FakeObject,
  managers: readonly FieldManager[],
  { manager, subresource }: { readonly manager: string; readonly subresource: string },
): FieldManager[] {
  const now = fieldsOf(after);
  const changed = [...now].filter(([, path]) => !isDeepStrictEqual(valueAt(before, path), valueAt(after, path)));
  const changedKeys = new Set(changed.map(([key]) => key));
  const isWriter = (other: FieldManager) =>
    other.manager === manager && other.operation === 'Update' && other.subresource === subresource;
  const kept = managers.map((other) => ({
    ...other,
    fields: new Map([...other.fields].filter(([key]) => now.has(key) && (isWriter(other) || !changedKeys.has(key)))),
  }));
  const writer = kept.find(isWriter);
  if (writer !== undefined) for (const [key, path] of changed) writer.fields.set(key, path);
  else if (changed.length > 0) {
    kept.push({ manager, operation: 'Update', subresource, fields: new Map(changed) });
  }
  return kept.filter(({ fields }) => fields.size > 0);
}

/** As a server shows it under `metadata.managedFields`. */
export function shownManagers(managers: readonly FieldManager[], apiVersion: string): readonly object[] {
  return managers.map(({ manager, operation, subresource, fields }) => {
    const fieldsV1: Json = {};
    for (const path of fields.values()) {
      let at = fieldsV1;
      for (const step of path) at = (at[step] ??= {}) as Json;
      if (path.at(-1)!.startsWith('k:')) at['.'] = {};
    }
    return {
      manager,
      operation,
      apiVersion,
      fieldsType: 'FieldsV1',
      ...(subresource !== '' && { subresource }),
      fieldsV1,
    };
  });
}
