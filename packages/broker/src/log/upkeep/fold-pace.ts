/**
 * Keeps folding out of the way of produce and fetch: after each piece of work it waits as long as its bytes may take, so that reads,
 * checksums and uploads never come in one lump. The rate follows what waits to be folded, so folding keeps up with any producer.
 */
import type { Clock } from '@kafscale/runtime';

/** What folding may move in a second at least. */
const minBytesPerSecond = 32 * 2 ** 20;
/** How soon everything that waits is to be folded. */
const targetSeconds = 30;
const shortestPauseMs = 1;

export class FoldPace {
  readonly #clock: Clock;
  #bytesPerSecond = minBytesPerSecond;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** So many bytes wait to be folded. */
  follow(waitingBytes: number): void {
    this.#bytesPerSecond = Math.max(minBytesPerSecond, waitingBytes / targetSeconds);
  }

  /** Waits for what `bytes` of work cost. Rejects when `signal` aborts. */
  spend(bytes: number, signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(Math.max(shortestPauseMs, (bytes * 1_000) / this.#bytesPerSecond), signal);
  }
}
