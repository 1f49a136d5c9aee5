/**
 * Names of the small objects by which a store is tried. They hold nothing, nothing refers to them, and whoever starts removes those
 * that are older than an hour: `{namespace}/__health/{what}_probe_{random}`. A topic may have the folder's name, so the folder alone
 * tells nothing: its segments lie one level deeper.
 */
import type { Random } from '@kafscale/runtime';
import type { ObjectKey } from './object-store.ts';

const randomBytes = 12;
const probeName = /^[a-z]+_probe_[A-Za-z0-9_-]+$/;

export const healthProbePrefix = (namespace: string): string => `${namespace}/__health/`;

export const healthProbeKey = (namespace: string, what: string, random: Random): ObjectKey =>
  `${healthProbePrefix(namespace)}${what}_probe_${random.bytes(randomBytes).toString('base64url')}`;

export function isHealthProbeKey(namespace: string, key: ObjectKey): boolean {
  const prefix = healthProbePrefix(namespace);
  return key.startsWith(prefix) && probeName.test(key.slice(prefix.length));
}
