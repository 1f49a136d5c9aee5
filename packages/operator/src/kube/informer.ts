/**
 * Follows every object of one kind: lists once, then watches from where the list ended, for as long as the operator lives. A broken or
 * silent connection only makes it watch again from the last version it heard of; a version too old makes it list again, and what is
 * missing from that list is reported as deleted. What a handler throws is logged and harms nobody else.
 */
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import type { KubeClient } from './kube-client.ts';
import { isKubeError } from './kube-error.ts';
import { nameOf, objectKey, type Kind, type KubeObject, type Stored } from './kube-object.ts';
import { ObjectCache, type CacheChange, type IndexFunction } from './object-cache.ts';

export interface InformerSettings<T extends KubeObject> {
  readonly kind: Kind<T>;
  readonly client: Pick<KubeClient, 'listPages' | 'watch'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** All namespaces when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Leaves out what nobody here reads, so that many objects cost little memory. */
  readonly project?: (object: Stored<T>) => Stored<T>;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
}

export type ChangeHandler<T extends KubeObject> = (change: CacheChange<T>) => void;

/** Watches end by themselves after 5 to 10 minutes, so that they spread over the API servers there are. */
const shortestWatchSeconds = 300;
const watchSpreadSeconds = 300;
/** A watch that ends sooner counts as a failure, or a server that ends each at once would be asked without pause. */
const shortestGoodWatchMs = 1_000;
/** Short enough to be back within 10 s of a server's return. */
const brokenBackoff = { baseMs: 200, maxMs: 4_000 };
/** For what people must mend first: rights, a missing definition. */
const refusedBackoff = { baseMs: 1_000, maxMs: 30_000 };

/** What `kubectl apply` notes down repeats the whole object. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

export class Informer<T extends KubeObject> {
  readonly kind: Kind<T>;
  readonly cache: ObjectCache<T>;
  readonly #settings: InformerSettings<T>;
  readonly #handlers: ChangeHandler<T>[] = [];
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #synced = false;
  #whenSynced: (() => void)[] = [];
  /** From where to watch; undefined when only a list can tell. */
  #version: string | undefined;
  #failures = 0;

  constructor(settings: InformerSettings<T>) {
    this.#settings = settings;
    this.kind = settings.kind;
    this.cache = new ObjectCache(settings.kind, settings.indexes);
    this.#logger = settings.logger.child({ component: 'informer', kind: settings.kind.kind });
  }

  /** True once everything that existed at the start is in the cache and was handed to the handlers. */
  get hasSynced(): boolean {
    return this.#synced;
  }

  /** Failures in a row; 0 while it follows. */
  get failures(): number {
    return this.#failures;
  }

  /** Calls `handler` for every change from now on, what is in the cache already included. */
  onChange(handler: ChangeHandler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.cache.list()) this.#handle(handler, { type: 'added', object });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the informer stops'));
    await this.#running;
  }

  /** Resolves with the first complete list. */
  whenSynced(): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve) => this.#whenSynced.push(resolve));
  }

  async #run(): Promise<void> {
    const { clock } = this.#settings;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#relist();
        const startedMs = clock.monotonicMs();
        const heard = await this.#follow(this.#version);
        if (!heard && clock.monotonicMs() - startedMs < shortestGoodWatchMs) await this.#pause(undefined);
        else this.#failures = 0;
      } catch (error) {
        if (this.#stopped()) return;
        if (isKubeError(error, 'gone')) this.#version = undefined;
        await this.#pause(error);
      }
    }
  }

  #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** The version that the whole list is of. */
  async #relist(): Promise<string> {
    const { client, kind, namespace, labelSelector, fieldSelector } = this.#settings;
    const { signal } = this.#stopping;
    const missing = new Set(this.cache.keys());
    let version = '';
    for await (const page of client.listPages(kind, { namespace, labelSelector, fieldSelector, signal })) {
      for (const object of page.items) {
        missing.delete(objectKey(nameOf(object)));
        this.#put(object);
      }
      version = page.resourceVersion;
    }
    for (const key of missing) this.#emit(this.cache.remove(key));
    this.#synced = true;
    for (const resolve of this.#whenSynced.splice(0)) resolve();
    return version;
  }

  /** Watches until the server ends it; true when anything was heard. */
  async #follow(resourceVersion: string): Promise<boolean> {
    const { client, kind, namespace, labelSelector, fieldSelector, random } = this.#settings;
    const { signal } = this.#stopping;
    const timeoutSeconds = shortestWatchSeconds + random.int(watchSpreadSeconds);
    const options = { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, signal };
    let heard = false;
    for await (const event of client.watch(kind, options)) {
      heard = true;
      this.#failures = 0;
      if (event.type === 'BOOKMARK') {
        this.#version = event.resourceVersion;
        continue;
      }
      if (event.type === 'DELETED') this.#emit(this.cache.remove(objectKey(nameOf(event.object)), event.object));
      else this.#put(event.object);
      this.#version = event.object.metadata.resourceVersion;
    }
    return heard;
  }

  async #pause(error: unknown): Promise<void> {
    const { clock, random } = this.#settings;
    const mendable = error === undefined || isKubeError(error, 'unavailable', 'gone', 'too-many-requests');
    const delayMs = Math.max(
      backoffDelayMs(this.#failures, mendable ? brokenBackoff : refusedBackoff, random),
      isKubeError(error) ? (error.retryAfterMs ?? 0) : 0,
    );
    this.#failures += 1;
    if (!mendable) this.#logger.warn({ err: error, delayMs }, 'cannot follow, trying again');
    else if (error !== undefined) this.#logger.info({ err: error, delayMs }, 'watch broke, going on from where it was');
    await clock.sleep(delayMs, this.#stopping.signal).catch(() => undefined);
  }

  #put(object: Stored<T>): void {
    const { project } = this.#settings;
    const slim = withoutLastApplied(object);
    this.#emit(this.cache.put(project === undefined ? slim : project(slim)));
  }

  #emit(change: CacheChange<T> | undefined): void {
    if (change === undefined) return;
    for (const handler of this.#handlers) this.#handle(handler, change);
  }

  #handle(handler: ChangeHandler<T>, change: CacheChange<T>): void {
    try {
      handler(change);
    } catch (error) {
      this.#logger.error({ err: error, object: objectKey(nameOf(change.object)) }, 'a handler failed');
    }
  }
}

function withoutLastApplied<T extends KubeObject>(object: Stored<T>): Stored<T> {
  const { annotations } = object.metadata;
  if (annotations?.[lastApplied] === undefined) return object;
  const rest = Object.entries(annotations).filter(([name]) => name !== lastApplied);
  return { ...object, metadata: { ...object.metadata, annotations: Object.fromEntries(rest) } };
}
