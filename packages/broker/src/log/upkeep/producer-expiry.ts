/** Forgets producers that have been silent for long (producer.id.expiration.ms), so that what is known of them has a bound. */
import type { Clock } from '@kafscale/runtime';

/** What knows producers. */
export interface KnownProducers {
  /** Forgets those that committed nothing since `timestamp`, milliseconds of the wall clock. */
  expireProducersBefore(timestamp: number): void;
}

const intervalMs = 60_000;

/** Until the returned function is called. */
export function startProducerExpiry(producers: KnownProducers, expirationMs: number, clock: Clock): () => void {
  let cancel = () => {};
  const plan = () => {
    cancel = clock.schedule(intervalMs, () => {
      producers.expireProducersBefore(clock.wallMs() - expirationMs);
      plan();
    });
  };
  plan();
  return () => cancel();
}
