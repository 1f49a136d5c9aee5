/** Waiting, for a bounded time, until the image shows what was just written. */
import type { Clock } from '@kafscale/runtime';
import type { MetadataImage } from './metadata-image.ts';

export interface ImageWait {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Resolves with true as soon as `condition` holds, with false when the time is over or the signal aborted first. */
export function imageShows(
  image: MetadataImage,
  condition: () => boolean,
  { clock, timeoutMs, signal }: ImageWait,
): Promise<boolean> {
  if (condition()) return Promise.resolve(true);
  if (timeoutMs <= 0 || signal?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const settle = (shown: boolean) => {
      stopListening();
      cancelTimer();
      signal?.removeEventListener('abort', giveUp);
      resolve(shown);
    };
    const giveUp = () => settle(false);
    const stopListening = image.onChange(() => {
      if (condition()) settle(true);
    });
    const cancelTimer = clock.schedule(timeoutMs, giveUp);
    signal?.addEventListener('abort', giveUp, { once: true });
  });
}
