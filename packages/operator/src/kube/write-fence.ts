/**
 * The one gate that every write passes: open only while this process surely holds the lease. Closing it aborts what is under way. It
 * closes by itself when its time is over, judged by the monotonic clock at the moment of each write, so that a process that slept
 * through its term writes nothing when it wakes.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import type { KubeClient, WriteOptions } from './kube-client.ts';
import { KubeError } from './kube-error.ts';

export class WriteFence {
  readonly #clock: Clock;
  #openUntilMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: CancelTimer | undefined;
  #term: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds that are surely left; 0 when it is closed. */
  get remainingMs(): number {
    if (this.#term === undefined) return 0;
    const leftMs = this.#openUntilMs - this.#clock.monotonicMs();
    if (leftMs > 0) return leftMs;
    this.close('the lease may have passed to another operator');
    return 0;
  }

  /** Opens it, or keeps it open, until `untilMs` of the monotonic clock. */
  open(untilMs: number): void {
    this.#term ??= new AbortController();
    this.#openUntilMs = untilMs;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.schedule(Math.max(0, untilMs - this.#clock.monotonicMs()), () => {
      if (this.remainingMs > 0) this.open(this.#openUntilMs);
    });
  }

  close(why: string): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const term = this.#term;
    this.#term = undefined;
    this.#openUntilMs = Number.NEGATIVE_INFINITY;
    term?.abort(new KubeError('not-leader', why));
  }

  /** Aborts when the term that runs now is over. Throws `not-leader` when none runs. */
  get signal(): AbortSignal {
    if (this.remainingMs === 0 || this.#term === undefined) {
      throw new KubeError('not-leader', 'this operator does not hold the lease; nothing was sent');
    }
    return this.#term.signal;
  }
}

const longestWriteMs = 10_000;

/** The client whose writes pass the fence; reading is free to all. */
export function fencedClient(client: KubeClient, fence: WriteFence): KubeClient {
  const fenced = async <Result>(
    options: WriteOptions,
    write: (options: WriteOptions) => Promise<Result>,
  ): Promise<Result> => {
    const term = fence.signal;
    const deadlineMs = Math.min(options.deadlineMs ?? longestWriteMs, fence.remainingMs);
    const controller = new AbortController();
    const sources = options.signal === undefined ? [term] : [term, options.signal];
    const releases = sources.map((source) => {
      const onAbort = () => controller.abort(source.reason);
      if (source.aborted) onAbort();
      source.addEventListener('abort', onAbort, { once: true });
      return () => source.removeEventListener('abort', onAbort);
    });
    try {
      return await write({ ...options, deadlineMs, signal: controller.signal });
    } finally {
      for (const release of releases) release();
    }
  };
  return {
    get: client.get.bind(client),
    find: client.find.bind(client),
    list: client.list.bind(client),
    listPages: client.listPages.bind(client),
    watch: client.watch.bind(client),
    scale: client.scale.bind(client),
    serverVersion: client.serverVersion.bind(client),
    close: client.close.bind(client),
    create: (kind, object, options = {}) =>
      fenced(options, (bounded) => client.create(kind, object, { ...options, ...bounded })),
    replace: (kind, object, options = {}) =>
      fenced(options, (bounded) => client.replace(kind, object, { ...options, ...bounded })),
    apply: (kind, object, options = {}) =>
      fenced(options, (bounded) => client.apply(kind, object, { ...options, ...bounded })),
    applyStatus: (kind, object, options = {}) =>
      fenced(options, (bounded) => client.applyStatus(kind, object, { ...options, ...bounded })),
    patch: (kind, name, patch, options = {}) =>
      fenced(options, (bounded) => client.patch(kind, name, patch, { ...options, ...bounded })),
    delete: (kind, name, options = {}) =>
      fenced(options, (bounded) => client.delete(kind, name, { ...options, ...bounded })),
    setScale: (kind, name, replicas, options = {}) =>
      fenced(options, (bounded) => client.setScale(kind, name, replicas, { ...options, ...bounded })),
    evict: (pod, options = {}) => fenced(options, (bounded) => client.evict(pod, { ...options, ...bounded })),
  };
}
