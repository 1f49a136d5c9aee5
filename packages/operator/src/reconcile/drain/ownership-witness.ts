/**
 * What another broker knows of what one owns: a broker's word about itself alone takes nobody away. Every broker follows all moves, so
 * any of them can say; what it says may be a moment old, and then counts as still owned.
 */
import type { Clock } from '@kafscale/runtime';
import type { BrokerCalls } from '../../brokers/broker-directory.ts';
import { ControlCallError } from '../../brokers/control-client.ts';

export interface WitnessDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Nothing said for so long: everything was. */
const quietMs = 500;
/** However much moves meanwhile. */
const limitMs = 5_000;

/** Number of partitions that the broker with this id owns in the eyes of the witness; undefined when that one does not answer. */
export async function ownedInEyesOf(
  witness: Pick<BrokerCalls, 'watchAssignments'>,
  brokerId: number,
  { clock, signal }: WitnessDeps,
): Promise<number | undefined> {
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener('abort', end, { once: true });
  const cancelLimit = clock.schedule(limitMs, end);
  let cancelQuiet = clock.schedule(quietMs, end);
  const owned = new Set<string>();
  try {
    for await (const update of witness.watchAssignments({ brokerId, signal: over.signal })) {
      const { partition, brokerId: owner, status } = update;
      const name = `${partition.topic} ${partition.partition}`;
      if (status === 'owned' && owner === brokerId) owned.add(name);
      else if (status !== 'wanted') owned.delete(name); // who is to own it does not yet
      cancelQuiet();
      cancelQuiet = clock.schedule(quietMs, end);
    }
    return owned.size;
  } catch (error) {
    if (error instanceof ControlCallError) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', end);
    cancelLimit();
    cancelQuiet();
  }
}
