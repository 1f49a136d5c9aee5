/**
 * One controller: changes of the objects it watches become keys of the objects it reconciles, and each key's reconcile runs until it
 * is settled. A reconcile looks at what is, never at which change came; its failure is reported and tried again.
 */
import { withDeadline, type Clock, type Logger, type Random } from '@kafscale/runtime';
import type { OperatorMetrics } from '../metrics/metrics.ts';
import { isKubeError } from './kube-error.ts';
import {
  groupOf,
  nameOf,
  objectKey,
  parseObjectKey,
  type Kind,
  type KubeObject,
  type ObjectName,
} from './kube-object.ts';
import type { Informer } from './informer.ts';
import type { CacheChange } from './object-cache.ts';
import { controllerOf } from './owner-references.ts';
import { WorkQueue, type WorkQueueSettings } from './work-queue.ts';

export interface ReconcileResult {
  /** Wants to be called again after so long even if nothing changes. */
  readonly requeueAfterMs?: number;
}

/** Nothing more to do until something changes. */
export const settledResult: ReconcileResult = {};

export interface ReconcileContext {
  /** Aborts at the reconcile's deadline and when the operator stops or may no longer write. */
  readonly signal: AbortSignal;
}

export type Reconcile = (name: ObjectName, context: ReconcileContext) => Promise<ReconcileResult>;

/** Where changes come from, and the keys they concern. */
export interface Source {
  readonly start: (enqueue: (name: ObjectName) => void) => void;
  readonly whenSynced: () => Promise<void>;
}

export interface ControllerSettings {
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly sources: readonly Source[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: OperatorMetrics;
  /** Bound on one reconcile. */
  readonly deadlineMs?: number;
  readonly queue?: Pick<WorkQueueSettings, 'workers' | 'backoff' | 'retriesPerSecond' | 'retryBurst'>;
  /** Told of every failure but the ones that are part of the game (somebody else wrote in between), for an event or a condition. */
  readonly onFailure?: (name: ObjectName, error: unknown) => void;
}

const defaultDeadlineMs = 120_000;

export class Controller {
  readonly #settings: ControllerSettings;
  readonly #logger: Logger;
  readonly #queue: WorkQueue;
  #started = false;

  constructor(settings: ControllerSettings) {
    const { name, clock, random, metrics, queue, logger } = settings;
    this.#settings = settings;
    this.#logger = logger.child({ component: 'controller', controller: name });
    const process = (key: string, signal: AbortSignal) => this.#process(key, signal);
    this.#queue = new WorkQueue({ ...queue, name, clock, random, metrics, process });
    metrics.beforeScrape(() => this.#queue.observeUnfinished());
  }

  /** Starts to reconcile once every source has its objects; before that a reconcile would take what is not yet known for missing. */
  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const { sources } = this.#settings;
    await Promise.all(sources.map((source) => source.whenSynced()));
    for (const source of sources) source.start((name) => this.enqueue(name));
  }

  /** Wants a reconcile of `name`. */
  enqueue(name: ObjectName): void {
    this.#queue.add(objectKey(name));
  }

  /** Resolves when no reconcile runs any more. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #process(key: string, stopping: AbortSignal): Promise<void> {
    const { name: controller, reconcile, clock, metrics, deadlineMs = defaultDeadlineMs } = this.#settings;
    const name = parseObjectKey(key);
    const startedMs = clock.monotonicMs();
    metrics.activeWorkers.inc({ controller });
    const deadline = new AbortController();
    const onStop = () => deadline.abort(stopping.reason);
    stopping.addEventListener('abort', onStop, { once: true });
    try {
      const { requeueAfterMs } = await withDeadline(
        clock,
        deadlineMs,
        (signal) => reconcile(name, { signal }),
        deadline,
      );
      this.#queue.forget(key);
      if (requeueAfterMs !== undefined) this.#queue.addAfter(key, requeueAfterMs);
      metrics.reconcileTotal.inc({ controller, result: requeueAfterMs === undefined ? 'success' : 'requeue_after' });
    } catch (error) {
      if (!stopping.aborted) this.#failed(key, name, error);
    } finally {
      stopping.removeEventListener('abort', onStop);
      metrics.activeWorkers.dec({ controller });
      metrics.reconcileSeconds.observe({ controller }, (clock.monotonicMs() - startedMs) / 1000);
    }
  }

  #failed(key: string, name: ObjectName, error: unknown): void {
    const { name: controller, metrics, onFailure } = this.#settings;
    const retryAfterMs = isKubeError(error) ? error.retryAfterMs : undefined;
    const delayMs = Math.round(this.#queue.retry(key, retryAfterMs));
    if (isKubeError(error, 'conflict', 'not-leader')) {
      metrics.reconcileTotal.inc({ controller, result: 'requeue' });
      this.#logger.debug({ object: key, err: error, delayMs }, 'reconcile comes again');
      return;
    }
    metrics.reconcileTotal.inc({ controller, result: 'error' });
    metrics.reconcileErrors.inc({ controller });
    this.#logger.warn({ object: key, err: error, delayMs }, 'reconcile failed, trying again');
    try {
      onFailure?.(name, error);
    } catch (failure) {
      this.#logger.error({ object: key, err: failure }, 'the failure could not be reported');
    }
  }
}

export interface SourceFilter<T extends KubeObject> {
  /** Changes for which it answers false concern nobody. */
  readonly when?: (change: CacheChange<T>) => boolean;
}

/** The reconciled kind itself: each object is its own key. */
export function ownSource<T extends KubeObject>(informer: Informer<T>, filter: SourceFilter<T> = {}): Source {
  return mappedSource(informer, ({ object }) => [nameOf(object)], filter);
}

/** Objects that belong to the reconciled kind: their controller's name is the key. */
export function ownedSource<T extends KubeObject>(
  informer: Informer<T>,
  owner: Kind,
  filter: SourceFilter<T> = {},
): Source {
  return mappedSource(
    informer,
    (change) => {
      const states = change.type === 'updated' ? [change.before, change.object] : [change.object];
      return states.flatMap((object) => {
        const reference = controllerOf(object);
        if (reference?.kind !== owner.kind || groupOf(owner) !== groupOfVersion(reference.apiVersion)) return [];
        return [{ namespace: owner.namespaced ? object.metadata.namespace : undefined, name: reference.name }];
      });
    },
    filter,
  );
}

/** Any objects, with the keys their change concerns. */
export function mappedSource<T extends KubeObject>(
  informer: Informer<T>,
  map: (change: CacheChange<T>) => readonly ObjectName[],
  { when = () => true }: SourceFilter<T> = {},
): Source {
  return {
    whenSynced: () => informer.whenSynced(),
    start(enqueue) {
      informer.onChange((change) => {
        if (when(change)) for (const name of map(change)) enqueue(name);
      });
    },
  };
}

/** For `when`: what is wanted has changed, not only what a status says. Every change of a kind whose generation is not counted. */
export function specChanged<T extends KubeObject>(change: CacheChange<T>): boolean {
  if (change.type !== 'updated') return true;
  const [before, after] = [change.before.metadata, change.object.metadata];
  return (
    after.generation === undefined ||
    before.uid !== after.uid ||
    before.generation !== after.generation ||
    before.deletionTimestamp !== after.deletionTimestamp ||
    JSON.stringify([before.labels, before.annotations, before.finalizers, before.ownerReferences]) !==
      JSON.stringify([after.labels, after.annotations, after.finalizers, after.ownerReferences])
  );
}

const groupOfVersion = (apiVersion: string): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
