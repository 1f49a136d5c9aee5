/**
 * Keeps folding out of the way of produce and fetch: what is read, checked and stored takes as long as its bytes may take, so that it never
 * comes in one lump. The rate follows what is due to be folded, so folding keeps up with any producer.
 */
import type { Clock } from '@kafscale/runtime';

/** What folding may move in a second at least. */
const minBytesPerSecond = 16 * 2 ** 20;
/** How soon everything that is due is to be folded. */
const targetSeconds = 30;
/** Timers are no finer than milliseconds, so small pieces of work share a pause. */
const shortestPauseMs = 5;

export class FoldPace {
  readonly #clock: Clock;
  #bytesPerSecond = minBytesPerSecond;
  /** When the work that was begun may be done, by the monotonic clock. */
  #paidUntilMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** So many bytes are due. */
  follow(dueBytes: number): void {
    this.#bytesPerSecond = Math.max(minBytesPerSecond, dueBytes / targetSeconds);
  }

  /** Waits for what `bytes` of work cost, behind what others of the round spent. Rejects when `signal` aborts. */
  async spend(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(nowMs, this.#paidUntilMs) + (bytes * 1_000) / this.#bytesPerSecond;
    const aheadMs = this.#paidUntilMs - nowMs;
    if (aheadMs >= shortestPauseMs) await this.#clock.sleep(aheadMs, signal);
  }
}
