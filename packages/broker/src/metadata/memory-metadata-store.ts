/**
 * A metadata store in memory with etcd's semantics: for tests and simulations. Every call takes effect when it is made, so the
 * order of calls is the order of revisions; unknown outcomes and late copies are a wrapper's.
 */
import type { Clock } from '@kafscale/runtime';
import { ChangeSignal } from './change-signal.ts';
import { checkKeyRange, checkPositive } from './check-request.ts';
import { defaultHistoryLimits, KeySpace, type HistoryLimits } from './key-space.ts';
import { LeaseTable } from './lease-table.ts';
import { MetadataError } from './metadata-error.ts';
import type {
  KeyRange,
  LeaseId,
  MetadataStore,
  RangeRequest,
  RangeResult,
  Revision,
  StoreUsage,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './metadata-store.ts';

export interface MemoryMetadataStoreOptions {
  readonly clock: Clock;
  readonly history?: HistoryLimits;
}

export class MemoryMetadataStore implements MetadataStore {
  readonly #keys: KeySpace;
  readonly #leases: LeaseTable;
  readonly #history: HistoryLimits;
  readonly #changed = new ChangeSignal();
  #closed = false;

  constructor({ clock, history = defaultHistoryLimits }: MemoryMetadataStoreOptions) {
    this.#history = history;
    this.#keys = new KeySpace((lease) => this.#leases.has(lease));
    this.#leases = new LeaseTable({ clock, idPrefix: '', onExpired: (_, keys) => this.#deleteKeys(keys) });
  }

  range(request: RangeRequest, signal?: AbortSignal): Promise<RangeResult> {
    return this.#answer(signal, () => this.#keys.range(request));
  }

  transact(transaction: Transaction, signal?: AbortSignal): Promise<TransactionResult> {
    return this.#answer(signal, () => {
      const { result, events } = this.#keys.transact(transaction);
      this.#leases.follow(events);
      this.#afterChange();
      return result;
    });
  }

  grantLease(ttlMs: number, signal?: AbortSignal): Promise<LeaseId> {
    return this.#answer(signal, () => this.#leases.grant(ttlMs));
  }

  keepAlive(lease: LeaseId, signal?: AbortSignal): Promise<{ readonly ttlMs: number }> {
    return this.#answer(signal, () => ({ ttlMs: this.#leases.keepAlive(lease) }));
  }

  revokeLease(lease: LeaseId, signal?: AbortSignal): Promise<void> {
    return this.#answer(signal, () => {
      this.#deleteKeys(this.#leases.end(lease));
    });
  }

  async *watch(
    range: KeyRange,
    fromRevision: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    checkKeyRange(range);
    checkPositive('revision', fromRevision);
    let nextRevision = fromRevision;
    while (!signal.aborted) {
      if (this.#closed) throw closedError();
      const batch = this.#keys.nextBatch(range, nextRevision, this.#keys.revision);
      nextRevision = batch === undefined ? Math.max(nextRevision, this.#keys.revision + 1) : batch.revision + 1;
      if (batch !== undefined) yield batch;
      else await this.#changed.wait(signal);
    }
  }

  compact(revision: Revision, signal?: AbortSignal): Promise<void> {
    return this.#answer(signal, () => {
      checkPositive('revision', revision);
      this.#keys.compact(revision);
    });
  }

  usage(signal?: AbortSignal): Promise<StoreUsage> {
    return this.#answer(signal, () => ({ sizeBytes: this.#keys.sizeBytes, inUseBytes: this.#keys.sizeBytes }));
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#leases.close();
    this.#changed.notify();
    return Promise.resolve();
  }

  #answer<T>(signal: AbortSignal | undefined, act: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (signal?.aborted) throw new MetadataError('aborted', 'the caller gave up', { cause: signal.reason });
      if (this.#closed) throw closedError();
      this.#leases.expire();
      resolve(act());
    });
  }

  #deleteKeys(keys: readonly string[]): void {
    this.#leases.follow(this.#keys.deleteKeys(keys));
    this.#afterChange();
  }

  #afterChange(): void {
    this.#keys.trimHistory(this.#history);
    this.#changed.notify();
  }
}

const closedError = () => new MetadataError('unavailable', 'the metadata store is closed');
