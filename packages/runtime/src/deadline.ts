/** A bound on one wait, measured by the process's clock. */
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
