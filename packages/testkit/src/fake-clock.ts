/**
 * Time that moves only when a test says so. Timers run in the order of their due time, equal ones in the order they were set, so
 * a schedule plays out the same way every time.
 */
import { setImmediate } from 'node:timers';
import type { CancelTimer, Clock } from '@kafscale/runtime';

interface FakeTimer {
  readonly dueMs: number;
  readonly callback: () => void;
}

export interface FakeClockSettings {
  /** What `monotonicMs` starts at. */
  readonly monotonicMs?: number;
  /** What `wallMs` starts at. */
  readonly wallMs?: number;
}

export class FakeClock implements Clock {
  #monotonicMs: number;
  #wallMs: number;
  /** In the order they were set. */
  readonly #timers = new Set<FakeTimer>();

  constructor({ monotonicMs = 0, wallMs = 1_700_000_000_000 }: FakeClockSettings = {}) {
    this.#monotonicMs = monotonicMs;
    this.#wallMs = wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return Math.floor(this.#wallMs);
  }

  /** Timers that are set and have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer is due; undefined when none is set. */
  get nextTimerInMs(): number | undefined {
    const timer = this.#nextTimer();
    return timer === undefined ? undefined : Math.max(0, timer.dueMs - this.#monotonicMs);
  }

  schedule(delayMs: number, callback: () => void): CancelTimer {
    const timer = { dueMs: this.#monotonicMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = () => {
        cancel();
        reject(signal?.reason as Error);
      };
      const cancel = this.schedule(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Moves time forward and runs what falls due on the way, also timers set by those that ran. Promises settle afterwards. */
  advance(durationMs: number): void {
    const untilMs = this.#monotonicMs + durationMs;
    while (this.#runNextTimer(untilMs)) continue;
    this.#moveTo(untilMs);
  }

  /** Like `advance`, but lets promises settle before the first timer, after each one and at the end. */
  async advanceAsync(durationMs: number): Promise<void> {
    const untilMs = this.#monotonicMs + durationMs;
    await settled();
    while (this.#runNextTimer(untilMs)) await settled();
    this.#moveTo(untilMs);
  }

  /** Advances from timer to timer until `promise` settles, and answers like it. Throws when no timer is left that could end it. */
  async runUntilSettled<T>(promise: Promise<T>): Promise<T> {
    let pending = true;
    const isPending = () => pending;
    const finish = () => {
      pending = false;
    };
    promise.then(finish, finish);
    await settled();
    while (isPending() && this.#runNextTimer(Number.POSITIVE_INFINITY)) await settled();
    await settled();
    if (isPending()) throw new Error('no timer is left and the promise is still pending');
    return promise;
  }

  /** Moves the wall clock alone, as a correction of the machine's time would. */
  jumpWall(byMs: number): void {
    this.#wallMs += byMs;
  }

  #nextTimer(): FakeTimer | undefined {
    let next: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueMs < next.dueMs) next = timer;
    }
    return next;
  }

  #runNextTimer(untilMs: number): boolean {
    const timer = this.#nextTimer();
    if (timer === undefined || timer.dueMs > untilMs) return false;
    this.#timers.delete(timer);
    this.#moveTo(Math.max(timer.dueMs, this.#monotonicMs));
    timer.callback();
    return true;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

/** Resolves when every promise job that can run without I/O or timers has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
