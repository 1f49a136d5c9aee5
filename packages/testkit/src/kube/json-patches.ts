/** JSON merge patches (RFC 7386) and JSON patches (RFC 6902: add, replace, remove, test). */
import { isDeepStrictEqual } from 'node:util';

type Json = Record<string, unknown>;

/** `target` after a merge patch: null removes, objects merge, everything else replaces. */
export function mergePatched(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Json =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...(target as Json) } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, name);
    else result[name] = mergePatched(result[name], value);
  }
  return result;
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

/** `target` after a JSON patch. Throws an Error when a step cannot be done or a test fails. */
export function jsonPatched(target: object, operations: readonly Operation[]): unknown {
  const result = structuredClone(target) as Json;
  for (const { op, path, value } of operations) {
    const steps = path
      .split('/')
      .slice(1)
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const name = steps.pop()!;
    const parent = steps.reduce<unknown>((at, step) => (at as Json | undefined)?.[step], result) as Json | undefined;
    if (parent === undefined) throw new Error(`nothing at ${path}`);
    if (op === 'test') {
      if (!isDeepStrictEqual(parent[name], value)) throw new Error(`the test of ${path} failed`);
    } else if (op !== 'add' && !(name in parent)) throw new Error(`nothing at ${path}`);
    else if (Array.isArray(parent)) {
      const index = name === '-' ? parent.length : Number(name);
      parent.splice(index, op === 'add' ? 0 : 1, ...(op === 'remove' ? [] : [value]));
    } else if (op === 'remove') Reflect.deleteProperty(parent, name);
    else parent[name] = value;
  }
  return result;
}
