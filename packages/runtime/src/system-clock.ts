/** The real clock: the only place of the code base that reads the machine's time or sets its timers. */
import { setTimeout as sleepFor } from 'node:timers/promises';
import type { Clock } from './clock.ts';

/** Node fires a timer with a longer delay at once. */
const maxDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(delayMs, maxDelayMs));
    timer.unref();
    return () => clearTimeout(timer);
  },
  async sleep(delayMs, signal) {
    signal?.throwIfAborted();
    try {
      await sleepFor(Math.min(delayMs, maxDelayMs), undefined, { ref: false, ...(signal && { signal }) });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
