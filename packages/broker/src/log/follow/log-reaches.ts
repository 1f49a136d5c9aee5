/** Waiting for a log that is a little behind what its reader knows. */
import type { Clock } from '@kafscale/runtime';
import type { PartitionLog } from '../partition-log.ts';

export interface ReachesOptions {
  readonly clock: Clock;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** Resolves when the log has reached `offset` or is closed, after `waitMs`, or when the signal aborts. */
export async function logReaches(
  log: PartitionLog,
  offset: number,
  { clock, waitMs, signal }: ReachesOptions,
): Promise<void> {
  const isOver = () => log.closed || log.highWatermark >= offset || signal.aborted;
  if (isOver() || waitMs <= 0) return;
  let finish = () => {};
  const over = new Promise<void>((resolve) => (finish = resolve));
  const cancelTimer = clock.schedule(waitMs, finish);
  const stopListening = log.onAdvance(() => {
    if (isOver()) finish();
  });
  signal.addEventListener('abort', finish, { once: true });
  await over;
  cancelTimer();
  stopListening();
  signal.removeEventListener('abort', finish);
}
