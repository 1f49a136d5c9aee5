/**
 * The leases of a store that keeps its own: how long each still lives by the process's monotonic clock, and which keys die with
 * it. Ending a lease (deleting its keys) is the store's, since that is a change of the keys.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import { checkPositive } from './check-request.ts';
import { MetadataError } from './metadata-error.ts';
import type { LeaseId, WatchEvent } from './metadata-store.ts';

interface Lease {
  readonly id: LeaseId;
  readonly ttlMs: number;
  readonly keys: Set<string>;
  expiresAtMs: number;
  cancelTimer: CancelTimer;
}

export interface LeaseTableOptions {
  readonly clock: Clock;
  /** What every id starts with; two tables over the same keys must not share it. */
  readonly idPrefix: string;
  /** Called when a lease has run out and is gone from the table. */
  readonly onExpired: (lease: LeaseId, keys: readonly string[]) => void;
}

export class LeaseTable {
  readonly #clock: Clock;
  readonly #idPrefix: string;
  readonly #onExpired: (lease: LeaseId, keys: readonly string[]) => void;
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #leaseOfKey = new Map<string, Lease>();
  #granted = 0;

  constructor({ clock, idPrefix, onExpired }: LeaseTableOptions) {
    this.#clock = clock;
    this.#idPrefix = idPrefix;
    this.#onExpired = onExpired;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  /** Throws MetadataError `invalid` for a time to live that is not a positive integer. */
  grant(ttlMs: number): LeaseId {
    checkPositive('ttlMs', ttlMs);
    this.#granted += 1;
    const id = `${this.#idPrefix}${this.#granted}`;
    const lease: Lease = {
      id,
      ttlMs,
      keys: new Set(),
      expiresAtMs: this.#clock.monotonicMs() + ttlMs,
      cancelTimer: () => undefined,
    };
    this.#leases.set(id, lease);
    this.#armTimer(lease);
    return id;
  }

  /** Starts the lease's time anew and returns it, milliseconds. Throws `lease-not-found`. */
  keepAlive(id: LeaseId): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new MetadataError('lease-not-found', `lease ${id} has ended`);
    lease.expiresAtMs = this.#clock.monotonicMs() + lease.ttlMs;
    return lease.ttlMs;
  }

  /** Takes the lease out and returns its keys; none when it had ended before. */
  end(id: LeaseId): readonly string[] {
    const lease = this.#leases.get(id);
    if (lease === undefined) return [];
    lease.cancelTimer();
    this.#leases.delete(id);
    for (const key of lease.keys) this.#leaseOfKey.delete(key);
    return [...lease.keys];
  }

  /** Binds and unbinds keys as the changes say: a put without a lease detaches its key. */
  follow(events: readonly WatchEvent[]): void {
    for (const event of events) {
      const key = event.type === 'put' ? event.kv.key : event.key;
      const bound = this.#leaseOfKey.get(key);
      if (bound !== undefined) {
        bound.keys.delete(key);
        this.#leaseOfKey.delete(key);
      }
      if (event.type !== 'put' || event.kv.leaseId === undefined) continue;
      const lease = this.#leases.get(event.kv.leaseId);
      if (lease === undefined) throw new Error(`key ${key} was put with lease ${event.kv.leaseId}, which has ended`);
      lease.keys.add(key);
      this.#leaseOfKey.set(key, lease);
    }
  }

  /** Ends what has run out, in the order it ran out. Timers may be late, and an answer must not depend on that. */
  expire(): void {
    const nowMs = this.#clock.monotonicMs();
    const expired = [...this.#leases.values()].filter((lease) => lease.expiresAtMs <= nowMs);
    expired.sort((left, right) => left.expiresAtMs - right.expiresAtMs);
    for (const { id } of expired) this.#onExpired(id, this.end(id));
  }

  /** Cancels all timers; no lease runs out any more. */
  close(): void {
    for (const lease of this.#leases.values()) lease.cancelTimer();
  }

  #armTimer(lease: Lease): void {
    lease.cancelTimer = this.#clock.schedule(lease.expiresAtMs - this.#clock.monotonicMs(), () => {
      if (lease.expiresAtMs <= this.#clock.monotonicMs()) this.expire();
      else this.#armTimer(lease);
    });
  }
}
