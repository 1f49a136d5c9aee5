/**
 * Keys that want work: each is in it once, is worked on by one worker at a time, and comes back later when its work failed, the later
 * the oftener. A key added while it is worked on is worked on again afterwards, so that no change is missed.
 */
import { backoffDelayMs, type CancelTimer, type Clock, type Random } from '@kafscale/runtime';
import type { OperatorMetrics } from '../metrics/metrics.ts';
import { RateLimit } from './rate-limit.ts';

export type QueueMetrics = Pick<
  OperatorMetrics,
  | 'workqueueDepth'
  | 'workqueueAdds'
  | 'workqueueRetries'
  | 'workqueueQueueSeconds'
  | 'workqueueWorkSeconds'
  | 'workqueueUnfinishedSeconds'
>;

export interface WorkQueueSettings {
  /** Label of its metrics. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: QueueMetrics;
  /** Does the work of a key and says itself what comes next, by `retry`, `addAfter` or `forget`. */
  readonly process: (key: string, signal: AbortSignal) => Promise<void>;
  /** How many keys are worked on at once. */
  readonly workers?: number;
  /** Between failures of one key. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
  /** Retries of all keys together. */
  readonly retriesPerSecond?: number;
  readonly retryBurst?: number;
}

export class WorkQueue {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #metrics: QueueMetrics;
  readonly #process: WorkQueueSettings['process'];
  readonly #workers: number;
  readonly #backoff: { readonly baseMs: number; readonly maxMs: number };
  readonly #retryRate: RateLimit;
  /** Waiting keys in order, with the time they came. */
  readonly #waiting = new Map<string, number>();
  /** Keys worked on, and whether they were added meanwhile. */
  readonly #running = new Map<string, { again: boolean; readonly sinceMs: number }>();
  readonly #later = new Map<string, { readonly dueMs: number; readonly cancel: CancelTimer }>();
  readonly #failures = new Map<string, number>();
  readonly #stopping = new AbortController();
  #idle: (() => void)[] = [];

  constructor(settings: WorkQueueSettings) {
    const {
      backoff = { baseMs: 500, maxMs: 300_000 },
      retriesPerSecond = 10,
      retryBurst = 100,
      workers = 2,
    } = settings;
    this.#name = settings.name;
    this.#clock = settings.clock;
    this.#random = settings.random;
    this.#metrics = settings.metrics;
    this.#process = settings.process;
    this.#workers = workers;
    this.#backoff = backoff;
    this.#retryRate = new RateLimit({ clock: settings.clock, perSecond: retriesPerSecond, burst: retryBurst });
    this.#metrics.workqueueRetries.inc({ name: this.#name }, 0);
    this.#metrics.workqueueDepth.set({ name: this.#name }, 0);
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Keys that come back later. */
  get delayed(): number {
    return this.#later.size;
  }

  /** Wants work on `key` as soon as a worker is free. */
  add(key: string): void {
    if (this.#stopping.signal.aborted) return;
    const running = this.#running.get(key);
    if (running !== undefined) {
      if (!running.again) this.#metrics.workqueueAdds.inc({ name: this.#name });
      running.again = true;
      return;
    }
    if (this.#waiting.has(key)) return;
    this.#metrics.workqueueAdds.inc({ name: this.#name });
    this.#enqueue(key);
    this.#startWorkers();
  }

  /**
   * Wants work on `key` no later than `delayMs` from now. The earliest of several wins; whatever is worked on before takes its place,
   * since that work decides anew when it wants to be called.
   */
  addAfter(key: string, delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const planned = this.#later.get(key);
    if (planned !== undefined && planned.dueMs <= dueMs) return;
    planned?.cancel();
    const cancel = this.#clock.schedule(delayMs, () => {
      this.#later.delete(key);
      this.add(key);
    });
    this.#later.set(key, { dueMs, cancel });
  }

  /** Wants work on `key` again after a failure: later each time, and no sooner than `atLeastMs`. */
  retry(key: string, atLeastMs = 0): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics.workqueueRetries.inc({ name: this.#name });
    const { baseMs, maxMs } = this.#backoff;
    const half = { baseMs: baseMs / 2, maxMs: maxMs / 2 };
    const certainMs = Math.min(half.maxMs, half.baseMs * 2 ** Math.min(failures, 52));
    const backoffMs = certainMs + backoffDelayMs(failures, half, this.#random);
    const delayMs = Math.max(backoffMs, atLeastMs, this.#retryRate.reserve());
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key's failures are over: the next one waits as the first did. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Takes no more work, asks what runs to end, and resolves when it has. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the work queue stops'));
    for (const { cancel } of this.#later.values()) cancel();
    this.#later.clear();
    this.#waiting.clear();
    this.#metrics.workqueueDepth.set({ name: this.#name }, 0);
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enqueue(key: string): void {
    this.#waiting.set(key, this.#clock.monotonicMs());
    this.#metrics.workqueueDepth.set({ name: this.#name }, this.#waiting.size);
  }

  #startWorkers(): void {
    for (const [key, sinceMs] of this.#waiting) {
      if (this.#running.size >= this.#workers) return;
      this.#waiting.delete(key);
      this.#metrics.workqueueDepth.set({ name: this.#name }, this.#waiting.size);
      this.#metrics.workqueueQueueSeconds.observe({ name: this.#name }, (this.#clock.monotonicMs() - sinceMs) / 1000);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    const running = { again: false, sinceMs: startedMs };
    this.#running.set(key, running);
    this.#later.get(key)?.cancel();
    this.#later.delete(key);
    try {
      await this.#process(key, this.#stopping.signal);
    } catch {
      this.retry(key); // who processes reports its failures; here the key only must not get lost
    } finally {
      this.#metrics.workqueueWorkSeconds.observe({ name: this.#name }, (this.#clock.monotonicMs() - startedMs) / 1000);
      this.#running.delete(key);
      if (this.#stopping.signal.aborted) {
        if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      } else {
        if (running.again) this.#enqueue(key);
        this.#startWorkers();
      }
    }
  }

  /** Brings the gauge of what runs up to date; before a scrape. */
  observeUnfinished(): void {
    const nowMs = this.#clock.monotonicMs();
    let seconds = 0;
    for (const { sinceMs } of this.#running.values()) seconds += (nowMs - sinceMs) / 1000;
    this.#metrics.workqueueUnfinishedSeconds.set({ name: this.#name }, seconds);
  }
}
