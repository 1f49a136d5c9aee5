/** How long to wait before trying again: exponential with full jitter, so that many who failed together do not return together. */
import type { Random } from './random.ts';

export interface BackoffSettings {
  /** Upper bound of the first wait, milliseconds. */
  readonly baseMs: number;
  /** Upper bound of every wait, milliseconds. */
  readonly maxMs: number;
}

/** Milliseconds before the retry after failure number `attempt` (the first is 0): uniform in `[0, min(maxMs, baseMs * 2^attempt))`. */
export function backoffDelayMs(attempt: number, { baseMs, maxMs }: BackoffSettings, random: Random): number {
  return random.float() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 52));
}
