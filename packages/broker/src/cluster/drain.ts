/**
 * Emptying a broker before it stops: it says that it is to own nothing, the controller gives what it has to others, and it hands that
 * over. A drain that takes too long is given up: then the session is revoked, which is as safe as a crash and faster.
 */
import type { Clock } from '@kafscale/runtime';
import type { ClusterImage } from '../metadata/metadata-image.ts';
import type { Ownership } from './ownership.ts';

export interface DrainDependencies {
  readonly ownerships: readonly Pick<Ownership, 'count' | 'changed'>[];
  readonly image: Pick<ClusterImage, 'brokers' | 'onChange'>;
  readonly incarnation: string;
  readonly clock: Clock;
  /** Stores that this broker is to own nothing. */
  readonly announce: () => Promise<void>;
  /** Whoever waits no longer does; what was announced stays. */
  readonly cancelled?: AbortSignal;
}

/** `empty`: it owns nothing any more. `alone`: nobody could take what it owns. `late`: the time was over first, or the wait. */
export type DrainOutcome = 'empty' | 'alone' | 'late';

/** Resolves when there is nothing more to wait for, after `limitMs` at the latest. Rejects when it cannot be announced. */
export async function drain(
  { ownerships, image, incarnation, clock, announce, cancelled }: DrainDependencies,
  limitMs: number,
): Promise<DrainOutcome> {
  const isAlone = () => !image.brokers().some((broker) => !broker.draining && broker.incarnation !== incarnation);
  const isEmpty = () => ownerships.every(({ count }) => count === 0);
  if (isAlone()) return 'alone';

  const over = new AbortController();
  const finish = () => over.abort();
  const cancel = clock.schedule(limitMs, finish);
  cancelled?.addEventListener('abort', finish, { once: true });
  if (cancelled?.aborted === true) finish();
  try {
    const late = new Promise<void>((resolve) => over.signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([announce(), late]);
    while (!over.signal.aborted) {
      if (isEmpty()) return 'empty';
      if (isAlone()) return 'alone';
      await nextChange(image, ownerships, over.signal);
    }
    return isEmpty() ? 'empty' : 'late';
  } finally {
    cancel();
    cancelled?.removeEventListener('abort', finish);
  }
}

async function nextChange(
  image: DrainDependencies['image'],
  ownerships: DrainDependencies['ownerships'],
  over: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const finish = () => done.abort();
  over.addEventListener('abort', finish, { once: true });
  const stopListening = image.onChange(finish);
  try {
    await Promise.race(ownerships.map((ownership) => ownership.changed(done.signal)));
  } finally {
    finish();
    stopListening();
    over.removeEventListener('abort', finish);
  }
}
