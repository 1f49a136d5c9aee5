/**
 * Fetches that wait for more bytes (long polls). Each is woken by the commits to its own partitions, never by polling: a commit
 * costs its waiters one step per new extent, however many partitions they wait for.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import type { PartitionLog } from './partition-log.ts';

/** One partition of a waiting fetch. */
export interface AwaitedPartition {
  readonly log: PartitionLog;
  readonly fetchOffset: number;
  /** Up to here the bytes are counted in `countedBytes`. */
  readonly countedUpTo: number;
  readonly countedBytes: number;
  /** More bytes than this are of no use to the fetch. */
  readonly maxBytes: number;
}

export interface DelayedFetch {
  readonly partitions: readonly AwaitedPartition[];
  readonly minBytes: number;
  readonly maxWaitMs: number;
  readonly signal?: AbortSignal;
}

export class DelayedFetches {
  readonly #clock: Clock;
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Fetches that wait now. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Resolves when the partitions have `minBytes` together, when one of them closed or lost the offset to fetch, after `maxWaitMs`, or
   * when the signal aborts: whichever comes first. Reading again tells which.
   */
  async wait(fetch: DelayedFetch): Promise<void> {
    this.#waiting += 1;
    try {
      await new Promise<void>((resolve) => new Wait(fetch, this.#clock, resolve));
    } finally {
      this.#waiting -= 1;
    }
  }
}

class Wait {
  readonly #fetch: DelayedFetch;
  readonly #resolve: () => void;
  readonly #cancelTimer: CancelTimer;
  readonly #stopListening: (() => void)[] = [];
  #totalBytes = 0;
  #isDone = false;

  constructor(fetch: DelayedFetch, clock: Clock, resolve: () => void) {
    this.#fetch = fetch;
    this.#resolve = resolve;
    this.#cancelTimer = clock.schedule(fetch.maxWaitMs, this.#finish);
    fetch.signal?.addEventListener('abort', this.#finish, { once: true });
    if (fetch.signal?.aborted) this.#finish();
    for (const awaited of fetch.partitions) {
      if (this.#isDone) break;
      this.#listen(awaited);
    }
  }

  #listen({ log, fetchOffset, countedUpTo, countedBytes, maxBytes }: AwaitedPartition): void {
    let counted = Math.min(countedBytes, maxBytes);
    let seen = countedUpTo;
    this.#totalBytes += counted;
    const count = () => {
      if (log.closed || log.logStartOffset > fetchOffset) {
        this.#finish();
        return;
      }
      const before = counted;
      counted = Math.min(counted + bytesFrom(log, seen), maxBytes);
      seen = log.highWatermark;
      this.#totalBytes += counted - before;
      if (this.#totalBytes >= this.#fetch.minBytes) this.#finish();
    };
    this.#stopListening.push(log.onAdvance(count));
    count();
  }

  /** Everything that could still call back is let go first: nothing is left behind on a partition that outlives the wait. */
  readonly #finish = (): void => {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#cancelTimer();
    this.#fetch.signal?.removeEventListener('abort', this.#finish);
    for (const stop of this.#stopListening) stop();
    this.#resolve();
  };
}

/** Bytes of the extents that lie wholly at or above `offset`; those are the newest ones. */
function bytesFrom(log: PartitionLog, offset: number): number {
  let bytes = 0;
  for (let index = log.extents.length - 1; index >= 0 && log.extents[index]!.baseOffset >= offset; index -= 1) {
    bytes += log.extents[index]!.length;
  }
  return bytes;
}
