/**
 * What of a wanted object is otherwise in the live one. Only what is wanted counts: whatever the API server or anybody else added
 * beside it is no difference, and two spellings of one quantity are the same.
 */
import { isDeepStrictEqual } from 'node:util';
import { sameQuantity } from '../quantity.ts';

export interface Difference {
  /** `spec.template.spec.containers[name=broker].image`. */
  readonly path: string;
  readonly live: unknown;
}

/** Lists in which the API server merges entries by key, so that others may have entries of their own in them. */
const listKeys: Readonly<Record<string, readonly string[]>> = {
  conditions: ['type'],
  containers: ['name'],
  env: ['name'],
  ephemeralContainers: ['name'],
  hostAliases: ['ip'],
  imagePullSecrets: ['name'],
  initContainers: ['name'],
  ownerReferences: ['uid'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
  volumeClaimTemplates: ['metadata.name'],
  volumeDevices: ['devicePath'],
  volumeMounts: ['mountPath'],
  volumes: ['name'],
};

/** Maps and fields whose values are quantities. */
const quantityParents = new Set(['limits', 'requests', 'capacity', 'hard', 'min', 'max', 'default', 'defaultRequest']);
const quantityFields = new Set(['averageValue', 'value', 'sizeLimit', 'storage', 'divisor']);

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every place where `live` is not as `wanted` says; empty when all of it is so. */
export function differences(wanted: unknown, live: unknown): readonly Difference[] {
  const found: Difference[] = [];
  compare(wanted, live, [], found);
  return found;
}

function compare(wanted: unknown, live: unknown, path: readonly string[], found: Difference[]): void {
  if (wanted === undefined || wanted === null) return;
  if (isObject(wanted) && (isObject(live) || (live === undefined && Object.keys(wanted).length === 0))) {
    for (const [name, value] of Object.entries(wanted)) {
      compare(value, isObject(live) ? live[name] : undefined, [...path, name], found);
    }
  } else if (Array.isArray(wanted) && (Array.isArray(live) || (live === undefined && wanted.length === 0))) {
    compareLists(wanted, (live ?? []) as readonly unknown[], path, found);
  } else if (!isDeepStrictEqual(wanted, live) && !isSameQuantity(wanted, live, path)) {
    found.push({ path: path.join('.'), live });
  }
}

function compareLists(
  wanted: readonly unknown[],
  live: readonly unknown[],
  path: readonly string[],
  found: Difference[],
): void {
  const keys = keysOf(wanted, path.at(-1));
  if (keys === undefined) {
    if (wanted.length !== live.length) found.push({ path: path.join('.'), live });
    else wanted.forEach((item, index) => compare(item, live[index], at(path, String(index)), found));
    return;
  }
  for (const item of wanted) {
    const same = live.find((other) => keys.every((key) => isDeepStrictEqual(fieldAt(item, key), fieldAt(other, key))));
    compare(item, same, at(path, keys.map((key) => `${key}=${String(fieldAt(item, key))}`).join(',')), found);
  }
}

const at = (path: readonly string[], selector: string): readonly string[] => [
  ...path.slice(0, -1),
  `${path.at(-1) ?? ''}[${selector}]`,
];

/** The keys by which entries belong together; undefined where the list is one value. */
function keysOf(wanted: readonly unknown[], name: string | undefined): readonly string[] | undefined {
  if (name === undefined || wanted.length === 0) return undefined;
  if (name === 'ports') {
    const key = ['containerPort', 'port'].find((port) => wanted.every((item) => fieldAt(item, port) !== undefined));
    if (key === undefined) return undefined;
    const withProtocol = wanted.some((item) => fieldAt(item, 'protocol') !== undefined);
    return withProtocol ? [key, 'protocol'] : [key];
  }
  const keys = listKeys[name];
  return keys !== undefined && wanted.every((item) => keys.every((key) => fieldAt(item, key) !== undefined))
    ? keys
    : undefined;
}

function fieldAt(item: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), item);
}

function isSameQuantity(wanted: unknown, live: unknown, path: readonly string[]): boolean {
  const [parent, field] = [path.at(-2), path.at(-1)];
  const mayBe =
    (parent !== undefined && quantityParents.has(parent)) || (field !== undefined && quantityFields.has(field));
  return mayBe && isText(wanted) && isText(live) && sameQuantity(wanted, live);
}

const isText = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number';
