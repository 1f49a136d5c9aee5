/**
 * The keys of a metadata store with their history, in memory: revisions, transactions, ranges now and in the past, and the events
 * that watches see. Synchronous and without time or I/O; what makes a change durable and when it may be seen is the store's.
 */
import { checkRange, checkTransaction } from './check-request.ts';
import { MetadataError } from './metadata-error.ts';
import type {
  Compare,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  RangeRequest,
  RangeResult,
  Revision,
  Transaction,
  TransactionResult,
  WatchBatch,
  WatchEvent,
} from './metadata-store.ts';
import { sortKey, SortedEntries } from './sorted-entries.ts';

/** How much history is kept for watches and reads of the past; what exceeds either bound is dropped, oldest first. */
export interface HistoryLimits {
  readonly maxRevisions: number;
  readonly maxBytes: number;
}

export const defaultHistoryLimits: HistoryLimits = { maxRevisions: 10_000, maxBytes: 32 * 1024 * 1024 };

/** A transaction that ran: its answer, and what it changed (empty when the revision did not move). */
export interface AppliedTransaction {
  readonly result: TransactionResult;
  readonly events: readonly WatchEvent[];
}

interface KeyHistory {
  readonly sortKey: string;
  /** Ascending by revision, never empty; the last one is the present. */
  readonly versions: WatchEvent[];
}

/** etcd's revision of a store that nothing was ever written to. */
const emptyStoreRevision = 1;
const eventOverheadBytes = 128;

const noValue = new Uint8Array(0);

export class KeySpace {
  readonly #entries = new SortedEntries<KeyHistory>();
  readonly #leaseExists: (lease: LeaseId) => boolean;
  /** One batch per revision, without a gap, from `#firstBatch` on. */
  #batches: (WatchBatch | undefined)[] = [];
  #firstBatch = 0;
  #historyBytes = 0;
  #sizeBytes = 0;
  #revision: Revision;
  #compactedRevision: Revision;

  constructor(leaseExists: (lease: LeaseId) => boolean, revision: Revision = emptyStoreRevision) {
    this.#leaseExists = leaseExists;
    this.#revision = revision;
    this.#compactedRevision = revision;
  }

  /** Revision of the last change. */
  get revision(): Revision {
    return this.#revision;
  }

  /** The oldest revision that can still be read or watched from. */
  get compactedRevision(): Revision {
    return this.#compactedRevision;
  }

  /** What all keys and their history take, about. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Puts in a key as it was stored earlier. Only before the first transaction. */
  restore(kv: KeyValue): void {
    const event: WatchEvent = { type: 'put', kv };
    this.#entries.insert({ sortKey: sortKey(kv.key), versions: [event] });
    this.#sizeBytes += storedBytes(event);
  }

  /**
   * The keys of a range as of `request.revision`, or of now. `presentRevision` is what counts as now: a store may hold changes
   * that nobody may see yet. Throws `compacted`, and `invalid` for the future.
   */
  range(request: RangeRequest, presentRevision: Revision = this.#revision): RangeResult {
    checkRange(request);
    const revision = request.revision ?? presentRevision;
    if (revision > presentRevision) throw futureError(revision, presentRevision);
    this.#checkHistory(revision);
    return { ...this.#rangeAt(request, revision), revision: presentRevision };
  }

  /** Runs the transaction at once. Throws `invalid` or `lease-not-found`, and has then changed nothing. */
  transact(transaction: Transaction): AppliedTransaction {
    checkTransaction(transaction);
    const succeeded = transaction.compare.every((compare) => this.#holds(compare));
    const operations = succeeded ? transaction.success : (transaction.failure ?? []);
    for (const operation of operations) {
      if (operation.type === 'put' && operation.leaseId !== undefined && !this.#leaseExists(operation.leaseId)) {
        throw new MetadataError('lease-not-found', `lease ${operation.leaseId} has ended`);
      }
    }

    const events: WatchEvent[] = [];
    const ranges: RangeResult[] = [];
    const nextRevision = this.#revision + 1;
    for (const operation of operations) this.#run(operation, nextRevision, events, ranges);
    this.#record(events);
    return { result: { succeeded, revision: this.#revision, ranges }, events };
  }

  /** Deletes those of `keys` that exist, at one revision: the end of a lease. No limit of a transaction applies. */
  deleteKeys(keys: Iterable<string>): readonly WatchEvent[] {
    const events: WatchEvent[] = [];
    for (const key of keys) this.#delete({ key }, this.#revision + 1, events);
    this.#record(events);
    return events;
  }

  /** The key as it is now. */
  get(key: string): KeyValue | undefined {
    return present(this.#entries.get(sortKey(key)));
  }

  /** The next batch at or after `fromRevision` and up to `toRevision` that touches the range. Throws `compacted`. */
  nextBatch({ key, end }: KeyRange, fromRevision: Revision, toRevision: Revision): WatchBatch | undefined {
    this.#checkHistory(fromRevision);
    const start = sortKey(key);
    const stop = end === undefined ? undefined : sortKey(end);
    const inRange = (event: WatchEvent) => {
      const eventKey = sortKey(event.type === 'put' ? event.kv.key : event.key);
      return stop === undefined ? eventKey === start : eventKey >= start && eventKey < stop;
    };
    for (let revision = fromRevision; revision <= toRevision; revision += 1) {
      const batch = this.#batchOf(revision);
      const events = batch?.events.filter(inRange) ?? [];
      if (events.length > 0) return { revision, events };
    }
    return undefined;
  }

  /** Drops history below `revision`; what is dropped already stays so. Throws `invalid` for a revision of the future. */
  compact(revision: Revision, presentRevision: Revision = this.#revision): void {
    if (revision > presentRevision) throw futureError(revision, presentRevision);
    while (this.#compactedRevision < revision) {
      this.#compactedRevision += 1;
      const batch = this.#batches[this.#firstBatch];
      if (batch !== undefined && batch.revision < this.#compactedRevision) this.#dropOldestBatch(batch);
    }
  }

  /** Compacts what exceeds the limits, but nothing that a read at `keepRevision` or later needs. */
  trimHistory({ maxRevisions, maxBytes }: HistoryLimits, keepRevision: Revision = this.#revision): void {
    while (
      this.#compactedRevision < keepRevision &&
      (this.#batches.length - this.#firstBatch > maxRevisions || this.#historyBytes > maxBytes)
    ) {
      this.compact(this.#compactedRevision + 1);
    }
  }

  #run(operation: Operation, revision: Revision, events: WatchEvent[], ranges: RangeResult[]): void {
    switch (operation.type) {
      case 'put':
        this.#put(operation, revision, events);
        break;
      case 'delete':
        this.#delete(operation, revision, events);
        break;
      case 'range':
        ranges.push(this.#rangeAt(operation, events.length > 0 ? revision : this.#revision));
        break;
    }
  }

  #put(
    { key, value, leaseId }: Extract<Operation, { type: 'put' }>,
    modRevision: Revision,
    events: WatchEvent[],
  ): void {
    const entryKey = sortKey(key);
    const entry = this.#entries.get(entryKey);
    const previous = present(entry);
    const kv: KeyValue = {
      key,
      value: Uint8Array.prototype.slice.call(value),
      createRevision: previous?.createRevision ?? modRevision,
      modRevision,
      version: (previous?.version ?? 0) + 1,
      ...(leaseId === undefined ? {} : { leaseId }),
    };
    const event: WatchEvent = { type: 'put', kv };
    if (entry === undefined) this.#entries.insert({ sortKey: entryKey, versions: [event] });
    else entry.versions.push(event);
    this.#sizeBytes += storedBytes(event);
    events.push(event);
  }

  #delete(range: KeyRange, modRevision: Revision, events: WatchEvent[]): void {
    for (const entry of this.#entriesIn(range)) {
      const kv = present(entry);
      if (kv === undefined) continue;
      const event: WatchEvent = { type: 'delete', key: kv.key, modRevision };
      entry.versions.push(event);
      this.#sizeBytes += storedBytes(event);
      events.push(event);
    }
  }

  #rangeAt(request: Omit<RangeRequest, 'revision'>, revision: Revision): RangeResult {
    const limit = request.limit ?? Number.POSITIVE_INFINITY;
    const items: KeyValue[] = [];
    for (const entry of this.#entriesIn(request)) {
      const kv = asOf(entry, revision);
      if (kv === undefined) continue;
      if (items.length === limit) return { revision, items, more: true };
      items.push(request.keysOnly === true ? { ...kv, value: noValue } : kv);
    }
    return { revision, items, more: false };
  }

  #entriesIn({ key, end }: KeyRange): Iterable<KeyHistory> {
    const start = sortKey(key);
    if (end !== undefined) return this.#entries.range(start, sortKey(end));
    const entry = this.#entries.get(start);
    return entry === undefined ? [] : [entry];
  }

  #holds(compare: Compare): boolean {
    const kv = this.get(compare.key);
    if (compare.target === 'value') {
      if (kv === undefined) return false;
      return (Buffer.compare(kv.value, compare.operand) === 0) === (compare.operator === '=');
    }
    const actual = kv?.[compare.target] ?? 0;
    switch (compare.operator) {
      case '=':
        return actual === compare.operand;
      case '!=':
        return actual !== compare.operand;
      case '<':
        return actual < compare.operand;
      case '>':
        return actual > compare.operand;
    }
  }

  #record(events: readonly WatchEvent[]): void {
    if (events.length === 0) return;
    this.#revision += 1;
    this.#batches.push({ revision: this.#revision, events });
    this.#historyBytes += batchBytes(events);
  }

  #checkHistory(revision: Revision): void {
    if (revision < this.#compactedRevision) {
      throw new MetadataError('compacted', `history starts at revision ${this.#compactedRevision}, not ${revision}`);
    }
  }

  #batchOf(revision: Revision): WatchBatch | undefined {
    const oldest = this.#batches[this.#firstBatch];
    return oldest === undefined ? undefined : this.#batches[this.#firstBatch + revision - oldest.revision];
  }

  #dropOldestBatch({ events }: WatchBatch): void {
    this.#historyBytes -= batchBytes(events);
    this.#batches[this.#firstBatch] = undefined;
    this.#firstBatch += 1;
    if (this.#firstBatch > 1024 && this.#firstBatch * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#firstBatch);
      this.#firstBatch = 0;
    }
    for (const event of events) this.#forgetPast(sortKey(event.type === 'put' ? event.kv.key : event.key));
  }

  /** Drops the versions of a key that no read at the compacted revision or later can see. */
  #forgetPast(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    const { versions } = entry;
    let oldestNeeded = 0;
    while (oldestNeeded + 1 < versions.length && revisionOf(versions[oldestNeeded + 1]!) <= this.#compactedRevision) {
      oldestNeeded += 1;
    }
    const version = versions[oldestNeeded]!;
    if (version.type === 'delete' && version.modRevision <= this.#compactedRevision) oldestNeeded += 1;
    if (oldestNeeded === versions.length) this.#entries.remove(key);
    for (const forgotten of versions.splice(0, oldestNeeded)) this.#sizeBytes -= storedBytes(forgotten);
  }
}

const revisionOf = (event: WatchEvent): Revision => (event.type === 'put' ? event.kv.modRevision : event.modRevision);

const futureError = (revision: Revision, presentRevision: Revision) =>
  new MetadataError('invalid', `revision ${revision} is in the future, the store is at ${presentRevision}`);

function present(entry: KeyHistory | undefined): KeyValue | undefined {
  const last = entry?.versions.at(-1);
  return last?.type === 'put' ? last.kv : undefined;
}

function asOf({ versions }: KeyHistory, revision: Revision): KeyValue | undefined {
  for (let index = versions.length - 1; index >= 0; index -= 1) {
    const version = versions[index]!;
    if (revisionOf(version) <= revision) return version.type === 'put' ? version.kv : undefined;
  }
  return undefined;
}

const storedBytes = (event: WatchEvent): number =>
  eventOverheadBytes + (event.type === 'put' ? event.kv.key.length + event.kv.value.length : event.key.length);

function batchBytes(events: readonly WatchEvent[]): number {
  let bytes = 0;
  for (const event of events) bytes += eventOverheadBytes + (event.type === 'put' ? event.kv.value.length : 0);
  return bytes;
}
