/**
 * What this process wrote lately and its caches may not know yet. Without it the reconcile right after a write would look at the old
 * state and write again; and what a server keeps otherwise than it was told would be written for ever.
 */
import type { Stored, KubeObject } from '../kube-object.ts';
import { differences } from './differences.ts';

interface OwnWrite {
  readonly object: Stored<KubeObject>;
  /** What was asked for, as a text to compare by. */
  readonly asked: string;
  /** Where the server's answer was otherwise, as a text to compare by. */
  readonly rewritten: string;
}

export class OwnWrites {
  readonly #writes = new Map<string, OwnWrite>();

  /** Number of objects remembered. */
  get size(): number {
    return this.#writes.size;
  }

  /** The newer of what the cache has and what the server answered to our last write. */
  newest<T extends KubeObject>(key: string, cached: Stored<T>): Stored<T> {
    const written = this.#writes.get(key)?.object;
    if (written === undefined || written.metadata.uid !== cached.metadata.uid) return cached;
    return isOlder(cached.metadata.resourceVersion, written.metadata.resourceVersion) ? (written as Stored<T>) : cached;
  }

  /** True when our last write asked the same and `live` is just as the server answered then. */
  isSettled(key: string, asked: string, wanted: unknown, live: unknown): boolean {
    const write = this.#writes.get(key);
    return write?.asked === asked && write.rewritten === describe(wanted, live);
  }

  remember(
    key: string,
    write: { readonly object: Stored<KubeObject>; readonly asked: string; readonly rewritten: string },
  ): void {
    this.#writes.set(key, write);
  }

  forget(key: string): void {
    this.#writes.delete(key);
  }
}

/** Differences as a text to compare by. */
export function describe(wanted: unknown, live: unknown): string {
  return JSON.stringify(differences(wanted, live));
}

/** API servers count resource versions upwards; what is no number is never called older. */
function isOlder(version: string, than: string): boolean {
  return /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
}
