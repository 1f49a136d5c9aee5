/** Events per second over the last minute, or how much they came to, in one slot per second. */
import type { Clock } from '@kafscale/runtime';

const windowSeconds = 60;

export class RateWindow {
  readonly #clock: Clock;
  readonly #startSecond: number;
  readonly #slots = new Float64Array(windowSeconds);
  /** The second that the newest slot stands for. */
  #second: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#second = Math.floor(clock.monotonicMs() / 1_000);
    this.#startSecond = this.#second;
  }

  /** Counts an event that happened at `nowMs` of the monotonic clock. */
  add(nowMs: number, amount = 1): void {
    this.#advance(nowMs);
    const slot = this.#second % windowSeconds;
    this.#slots[slot] = this.#slots[slot]! + amount;
  }

  /** Of the last minute. */
  total(): number {
    this.#advance(this.#clock.monotonicMs());
    return this.#slots.reduce((sum, amount) => sum + amount, 0);
  }

  perSecond(): number {
    const total = this.total();
    return total / Math.min(windowSeconds, this.#second - this.#startSecond + 1);
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    if (second <= this.#second) return;
    if (second - this.#second >= windowSeconds) this.#slots.fill(0);
    else for (let passed = this.#second + 1; passed <= second; passed += 1) this.#slots[passed % windowSeconds] = 0;
    this.#second = second;
  }
}
