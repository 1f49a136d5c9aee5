/** All that is known of one kind in the namespaces that are watched: one informer for each of them, or one for all, read as if it were one cache. */
import type { Source } from './controller.ts';
import type { Informer } from './informer.ts';
import type { Kind, KubeObject, ObjectName, Stored } from './kube-object.ts';

export class WatchedKind<T extends KubeObject> {
  readonly kind: Kind<T>;
  readonly #informers: readonly Informer<T>[];

  /** Of one kind, no two of the same namespace. */
  constructor(kind: Kind<T>, informers: readonly Informer<T>[]) {
    this.kind = kind;
    this.#informers = informers;
  }

  get size(): number {
    return this.#informers.reduce((sum, { cache }) => sum + cache.size, 0);
  }

  get hasSynced(): boolean {
    return this.#informers.every(({ hasSynced }) => hasSynced);
  }

  /** Failures in a row of the informer that is worst off; 0 while all follow. */
  get failures(): number {
    return Math.max(0, ...this.#informers.map(({ failures }) => failures));
  }

  get(name: ObjectName): Stored<T> | undefined {
    for (const { cache } of this.#informers) {
      const found = cache.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  list(namespace?: string): readonly Stored<T>[] {
    return this.#informers.flatMap(({ cache }) => cache.list(namespace));
  }

  ownedBy(uid: string): readonly Stored<T>[] {
    return this.#informers.flatMap(({ cache }) => cache.ownedBy(uid));
  }

  byIndex(name: string, value: string): readonly Stored<T>[] {
    return this.#informers.flatMap(({ cache }) => cache.byIndex(name, value));
  }

  /** One source for each informer. */
  sources(make: (informer: Informer<T>) => Source): readonly Source[] {
    return this.#informers.map(make);
  }

  start(): void {
    for (const informer of this.#informers) informer.start();
  }

  async whenSynced(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.whenSynced()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.stop()));
  }
}
