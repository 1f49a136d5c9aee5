/** Bounds on one wait, measured by the process's clock. */
import type { Clock } from './clock.ts';

/**
 * Runs `work` with a signal that aborts after `deadlineMs`; what `work` does then is its own decision. Who may also give up earlier
 * passes the controller: a signal made of two costs far more than one with two reasons.
 */
export async function withDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  controller = new AbortController(),
): Promise<T> {
  const cancel = clock.schedule(deadlineMs, () => {
    controller.abort(new Error(`no answer within ${deadlineMs} ms`));
  });
  try {
    return await work(controller.signal);
  } finally {
    cancel();
  }
}

/** Waits for `work`, but no longer than `limitMs`: true when it settled well in time, false when it goes on by itself. Rejects as it does. */
export async function settlesWithin(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<boolean> {
  let cancel = () => {};
  const limit = new Promise<false>((resolve) => {
    cancel = clock.schedule(limitMs, () => resolve(false));
  });
  try {
    return await Promise.race([work.then(() => true), limit]);
  } finally {
    cancel();
  }
}
