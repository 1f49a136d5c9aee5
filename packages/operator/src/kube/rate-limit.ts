/** A bucket of permits that fills evenly: a burst at once, then so many per second. */
import type { Clock } from '@kafscale/runtime';

export class RateLimit {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  /** Below zero by what is promised for later. */
  #permits: number;
  #filledMs: number;

  constructor({
    clock,
    perSecond,
    burst,
  }: {
    readonly clock: Clock;
    readonly perSecond: number;
    readonly burst: number;
  }) {
    this.#clock = clock;
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#permits = burst;
    this.#filledMs = clock.monotonicMs();
  }

  /** Takes a permit now or later: milliseconds until it may be used. */
  reserve(): number {
    this.#fill();
    this.#permits -= 1;
    return this.#permits >= 0 ? 0 : -this.#permits / this.#perMs;
  }

  /** Takes a permit if there is one now. */
  take(): boolean {
    this.#fill();
    if (this.#permits < 1) return false;
    this.#permits -= 1;
    return true;
  }

  #fill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#permits = Math.min(this.#burst, this.#permits + (nowMs - this.#filledMs) * this.#perMs);
    this.#filledMs = nowMs;
  }
}
