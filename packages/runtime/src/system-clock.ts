/** The real clock: the only place of the code base that reads the machine's time or sets its timers. */
import { setTimeout as sleepFor } from 'node:timers/promises';
import type { Clock } from './clock.ts';

/** Node fires a timer with a longer delay at once. */
const maxDelayMs = 2 ** 31 - 1;

/** Node cuts delays to whole milliseconds and counts from a time that it read earlier, so a timer may fire up to one early. */
const leftOf = (dueMs: number): number => dueMs - performance.now();
const waitFor = (leftMs: number): number => Math.min(Math.ceil(leftMs), maxDelayMs);

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  schedule(delayMs, callback) {
    const dueMs = performance.now() + delayMs;
    const fire = () => {
      const leftMs = leftOf(dueMs);
      if (leftMs <= 0) callback();
      else timer = setTimeout(fire, waitFor(leftMs)).unref();
    };
    let timer = setTimeout(fire, waitFor(delayMs)).unref();
    return () => clearTimeout(timer);
  },
  async sleep(delayMs, signal) {
    signal?.throwIfAborted();
    const dueMs = performance.now() + delayMs;
    try {
      let leftMs = delayMs;
      do {
        await sleepFor(waitFor(leftMs), undefined, { ref: false, ...(signal && { signal }) });
        leftMs = leftOf(dueMs);
      } while (leftMs > 0);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
