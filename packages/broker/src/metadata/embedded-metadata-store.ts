/**
 * A metadata store with etcd's semantics in one file, for one process: the keys are held in memory, where transactions run one
 * after another, and their changes go to the file in groups, one flush to disk for all that came during the last one. Nothing
 * that is not on the disk is answered, read or watched. Opening ends every lease that an earlier process left behind.
 */
import type { Clock, Random } from '@kafscale/runtime';
import { ChangeSignal } from './change-signal.ts';
import { checkKeyRange, checkPositive } from './check-request.ts';
import { FolderClaim } from './folder-claim.ts';
import { defaultHistoryLimits, KeySpace, type HistoryLimits } from './key-space.ts';
import { LeaseTable } from './lease-table.ts';
import { MetadataError } from './metadata-error.ts';
import { makeFolder, MetadataFile, type KeyFile } from './metadata-file.ts';
import type {
  KeyRange,
  KeyValue,
  LeaseId,
  MetadataStore,
  RangeRequest,
  RangeResult,
  Revision,
  StoreUsage,
  Transaction,
  TransactionResult,
  WatchBatch,
  WatchEvent,
} from './metadata-store.ts';

export interface EmbeddedMetadataStoreOptions {
  /** Made when it is missing; used by this store alone. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly history?: HistoryLimits;
  /** What holds the keys on disk; a test can put a disk that fails in its place. */
  readonly openFile?: (folder: string) => Promise<KeyFile>;
}

interface Waiter {
  readonly revision: Revision;
  readonly resolve: () => void;
  readonly reject: (error: MetadataError) => void;
}

const maxWaiters = 10_000;
const retryDelayMs = 200;

export class EmbeddedMetadataStore implements MetadataStore {
  readonly #claim: FolderClaim;
  readonly #file: KeyFile;
  readonly #opens: number;
  readonly #clock: Clock;
  readonly #keys: KeySpace;
  readonly #leases: LeaseTable;
  readonly #history: HistoryLimits;
  readonly #changed = new ChangeSignal();
  readonly #closing = new AbortController();
  /** Changes up to `#keys.revision` that no flush has taken yet. */
  #unflushed = new Map<string, KeyValue | undefined>();
  /** In ascending order of revisions. */
  #waiters: Waiter[] = [];
  /** Everything up to here is on the disk; what is above it nobody may see. */
  #durableRevision: Revision;
  #flushing: Promise<void> | undefined;
  /** Why the last flush failed; while it is set, nothing is taken in. */
  #failure: unknown;

  private constructor(claim: FolderClaim, file: KeyFile, options: EmbeddedMetadataStoreOptions) {
    const stored = file.readStoreRecord();
    this.#claim = claim;
    this.#file = file;
    this.#clock = options.clock;
    this.#history = options.history ?? defaultHistoryLimits;
    this.#opens = (stored?.opens ?? 0) + 1;
    this.#keys = new KeySpace((lease) => this.#leases.has(lease), stored?.revision);
    this.#leases = new LeaseTable({
      clock: options.clock,
      idPrefix: `${this.#opens}-`,
      onExpired: (_, keys) => this.#deleteKeys(keys),
    });
    this.#durableRevision = this.#keys.revision;
  }

  /** Throws MetadataError `unavailable` when another process has the folder, `corrupt` when the file is not one of ours. */
  static async open(options: EmbeddedMetadataStoreOptions): Promise<EmbeddedMetadataStore> {
    await makeFolder(options.folder);
    const claim = await FolderClaim.take(options.folder, options.random);
    let file: KeyFile | undefined;
    try {
      file = await (options.openFile ?? MetadataFile.open)(options.folder);
      const store = new EmbeddedMetadataStore(claim, file, options);
      await store.#load();
      return store;
    } catch (error) {
      await file?.close();
      await claim.release();
      throw error;
    }
  }

  range(request: RangeRequest, signal?: AbortSignal): Promise<RangeResult> {
    return this.#answer(signal, () => this.#keys.range(request, this.#durableRevision));
  }

  async transact(transaction: Transaction, signal?: AbortSignal): Promise<TransactionResult> {
    const result = await this.#answer(signal, () => {
      this.#checkWritable();
      const applied = this.#keys.transact(transaction);
      this.#followChanges(applied.events);
      // Also a transaction that changed nothing has seen what those before it changed.
      return { answer: applied.result, durable: this.#durable(applied.result.revision, signal) };
    });
    await result.durable;
    return result.answer;
  }

  grantLease(ttlMs: number, signal?: AbortSignal): Promise<LeaseId> {
    return this.#answer(signal, () => this.#leases.grant(ttlMs));
  }

  keepAlive(lease: LeaseId, signal?: AbortSignal): Promise<{ readonly ttlMs: number }> {
    return this.#answer(signal, () => ({ ttlMs: this.#leases.keepAlive(lease) }));
  }

  async revokeLease(lease: LeaseId, signal?: AbortSignal): Promise<void> {
    const { durable } = await this.#answer(signal, () => {
      this.#checkWritable();
      this.#deleteKeys(this.#leases.end(lease));
      return { durable: this.#durable(this.#keys.revision, signal) };
    });
    await durable;
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
      if (this.#closing.signal.aborted) throw closedError();
      const batch = this.#keys.nextBatch(range, nextRevision, this.#durableRevision);
      nextRevision = batch === undefined ? Math.max(nextRevision, this.#durableRevision + 1) : batch.revision + 1;
      if (batch !== undefined) yield batch;
      else await this.#changed.wait(signal);
    }
  }

  compact(revision: Revision, signal?: AbortSignal): Promise<void> {
    return this.#answer(signal, () => {
      checkPositive('revision', revision);
      this.#keys.compact(revision, this.#durableRevision);
    });
  }

  /** The file has no bound but the disk, so there is no quota to be told. */
  usage(signal?: AbortSignal): Promise<StoreUsage> {
    return this.#answer(signal, () => ({ sizeBytes: this.#keys.sizeBytes, inUseBytes: this.#keys.sizeBytes }));
  }

  /** Waits for what is on its way to the disk, then lets the next process in. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#leases.close();
    this.#changed.notify();
    await this.#flushing;
    await this.#file.close();
    await this.#claim.release();
  }

  /** Reads the file and ends the leases of earlier processes, at one revision. */
  async #load(): Promise<void> {
    const leasedKeys: string[] = [];
    for (const kv of this.#file.readKeys()) {
      this.#keys.restore(kv);
      if (kv.leaseId !== undefined) leasedKeys.push(kv.key);
    }
    for (const event of this.#keys.deleteKeys(leasedKeys)) this.#unflushed.set(keyOf(event), undefined);
    const { revision } = this.#keys;
    await this.#file.write(this.#unflushed, { revision, opens: this.#opens });
    this.#unflushed = new Map();
    this.#durableRevision = revision;
  }

  #answer<T>(signal: AbortSignal | undefined, act: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (signal?.aborted) throw abortedError(signal);
      if (this.#closing.signal.aborted) throw closedError();
      this.#leases.expire();
      resolve(act());
    });
  }

  #checkWritable(): void {
    if (this.#failure !== undefined) {
      throw new MetadataError('unavailable', 'the metadata file cannot be written', { cause: this.#failure });
    }
    if (this.#waiters.length >= maxWaiters) {
      throw new MetadataError('unavailable', `${maxWaiters} transactions wait for the disk already`);
    }
  }

  #deleteKeys(keys: readonly string[]): void {
    this.#followChanges(this.#keys.deleteKeys(keys));
  }

  #followChanges(events: readonly WatchEvent[]): void {
    if (events.length === 0) return;
    this.#leases.follow(events);
    for (const event of events) this.#unflushed.set(keyOf(event), event.type === 'put' ? event.kv : undefined);
    this.#flushing ??= this.#flush();
  }

  /** Resolves when everything up to `revision` is on the disk. */
  #durable(revision: Revision, signal: AbortSignal | undefined): Promise<void> {
    if (revision <= this.#durableRevision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(abortedError(signal!));
      const stopListening = () => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push({
        revision,
        resolve: () => {
          stopListening();
          resolve();
        },
        reject: (error) => {
          stopListening();
          reject(error);
        },
      });
    });
  }

  async #flush(): Promise<void> {
    await Promise.resolve(); // what comes in the same turn joins the first group
    while (this.#unflushed.size > 0) {
      const changes = this.#unflushed;
      const { revision } = this.#keys;
      this.#unflushed = new Map();
      try {
        await this.#file.write(changes, { revision, opens: this.#opens });
      } catch (error) {
        this.#fail(error, changes);
        if (this.#closing.signal.aborted) break;
        await this.#clock.sleep(retryDelayMs, this.#closing.signal).catch(() => undefined);
        continue;
      }
      this.#failure = undefined;
      this.#durableRevision = revision;
      this.#keys.trimHistory(this.#history, revision);
      const answered = this.#waiters.findIndex((waiter) => waiter.revision > revision);
      for (const waiter of this.#waiters.splice(0, answered < 0 ? this.#waiters.length : answered)) waiter.resolve();
      this.#changed.notify();
    }
    this.#flushing = undefined;
  }

  /** What did not get to the disk is tried again until it does; its transactions are answered with an unknown outcome. */
  #fail(error: unknown, changes: Map<string, KeyValue | undefined>): void {
    this.#failure = error;
    for (const [key, kv] of this.#unflushed) changes.set(key, kv);
    this.#unflushed = changes;
    for (const waiter of this.#waiters.splice(0)) {
      waiter.reject(new MetadataError('unavailable', 'the metadata file could not be written', { cause: error }));
    }
  }
}

const keyOf = (event: WatchEvent) => (event.type === 'put' ? event.kv.key : event.key);
const closedError = () => new MetadataError('unavailable', 'the metadata store is closed');
const abortedError = ({ reason }: AbortSignal) =>
  new MetadataError('aborted', 'the caller gave up', { cause: reason as unknown });
