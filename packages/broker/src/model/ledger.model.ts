/**
 * The judge: follows every transaction at the moment it applies, knows from it what is committed, and holds everything else against
 * that: answers to producers, what readers see, what a new owner recovers, who owned what when.
 */
import { ErrorCode, metadata, metadataPrefixes, type KafkaError } from '@kafscale/protocol';
import type { MetadataStore, Operation, Transaction } from '../metadata/metadata-store.ts';
import { prefixEnd } from '../metadata/metadata-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { decodeBatches, type BatchLabel, type DecodedBatch } from './batch-bytes.model.ts';
import type { EventCounts } from './event-counts.model.ts';
import type { Report } from './violation.model.ts';

/** A key per incarnation that its lane writes under a condition that comes and goes. */
export const registerPrefix = 'registers/';

interface PartitionBooks {
  readonly batches: DecodedBatch[];
  readonly byOffset: Map<number, DecodedBatch>;
  nextOffset: number;
  /** One more than the highest offset that was acknowledged. */
  acknowledgedEnd: number;
  record: metadata.PartitionRecord | undefined;
}

export interface LedgerDependencies {
  readonly report: Report;
  readonly events: EventCounts;
  readonly isIdempotent: (producer: number) => boolean;
  /** Whether that incarnation, running or not, would count on its session now. */
  readonly countsOnSession: (incarnation: string) => boolean;
}

export class Ledger {
  readonly #dependencies: LedgerDependencies;
  readonly #objects = new Map<string, Buffer>();
  readonly #manifests = new Set<string>();
  readonly #partitions = new Map<number, PartitionBooks>();
  /** `producer/index` to the offset it has. */
  readonly #places = new Map<string, number>();
  readonly #lastIndex = new Map<number, number>();
  readonly #committedAttempts = new Set<number>();
  readonly #failedAttempts = new Set<number>();
  readonly #registers = new Map<string, number>();
  readonly #refusedRegisters = new Set<string>();

  constructor(dependencies: LedgerDependencies) {
    this.#dependencies = dependencies;
  }

  /** The store, with every transaction entered here as it applies. */
  followMetadata(store: MetadataStore): MetadataStore {
    const sessions = { key: metadataPrefixes.sessions, end: prefixEnd(metadataPrefixes.sessions) };
    return {
      range: (request, signal) => store.range(request, signal),
      transact: (transaction, signal) => {
        let living: readonly string[] = [];
        // A store in memory acts when it is called, so both see the same moment, and entries are made in the order of commits.
        if (
          transaction.success.some(({ type, key }) => type === 'put' && key.startsWith(metadataPrefixes.partitions))
        ) {
          void store.range(sessions).then(({ items }) => {
            living = items.map(({ key }) => key.slice(metadataPrefixes.sessions.length));
          });
        }
        return store.transact(transaction, signal).then((result) => {
          if (result.succeeded) this.#enter(transaction, living);
          return result;
        });
      },
      grantLease: (ttlMs, signal) => store.grantLease(ttlMs, signal),
      keepAlive: (lease, signal) => store.keepAlive(lease, signal),
      revokeLease: (lease, signal) => store.revokeLease(lease, signal),
      watch: (range, revision, signal) => store.watch(range, revision, signal),
      compact: (revision, signal) => store.compact(revision, signal),
      usage: (signal) => store.usage(signal),
      close: () => store.close(),
    };
  }

  followObjects(store: ObjectStore): ObjectStore {
    return {
      capabilities: store.capabilities,
      create: (key, body, signal) => {
        if (!this.#objects.has(key)) this.#objects.set(key, Buffer.concat(body));
        return store.create(key, body, signal);
      },
      read: (key, range, signal) => store.read(key, range, signal),
      list: (prefix, signal) => store.list(prefix, signal),
      delete: (keys, signal) => store.delete(keys, signal),
      close: () => store.close(),
    };
  }

  nextOffset(partition: number): number {
    return this.#books(partition).nextOffset;
  }

  logStart(partition: number): number {
    return Number(this.#books(partition).record?.logStartOffset ?? 0);
  }

  owner(partition: number): string | undefined {
    return this.#books(partition).record?.owner;
  }

  isCommitted(label: BatchLabel): boolean {
    return this.#places.has(nameOf(label));
  }

  /** Whether that manifest was folded away: it applied, and its key is free again. */
  wasFolded(transaction: Transaction, present: ReadonlySet<string>): boolean {
    return transaction.success.some(({ type, key }) => type === 'put' && this.#manifests.has(key) && !present.has(key));
  }

  /** A broker answers an attempt. */
  answered(
    partition: number,
    label: BatchLabel,
    outcome:
      | { readonly committed: true; readonly baseOffset: number }
      | { readonly committed: false; readonly error: KafkaError },
  ): void {
    const { report } = this.#dependencies;
    const place = this.#places.get(nameOf(label));
    if (outcome.committed) {
      if (place !== outcome.baseOffset) {
        report(
          'acknowledged and not committed',
          `${nameOf(label)} acknowledged at ${outcome.baseOffset}, is at ${place ?? 'no offset'}`,
        );
        return;
      }
      const books = this.#books(partition);
      books.acknowledgedEnd = Math.max(books.acknowledgedEnd, place + 1);
      return;
    }
    this.#failedAttempts.add(label.attempt);
    if (this.#committedAttempts.has(label.attempt)) {
      report(
        'failed and committed',
        `${nameOf(label)} is at ${place ?? 'no offset'} and answered with ${outcome.error.message}`,
      );
    }
    const isNext = (this.#lastIndex.get(label.producer) ?? -1) === label.index - 1;
    if (isNext && outcome.error.code === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER) {
      report('refused in order', `${nameOf(label)} is the next of its producer`);
    }
  }

  /** A lane says what became of the value it was to put into the register. */
  registerAnswered(incarnation: string, value: number, applied: boolean): void {
    const { report } = this.#dependencies;
    if (applied) {
      if ((this.#registers.get(incarnation) ?? 0) < value) {
        report('acknowledged and not committed', `register ${incarnation} = ${value}`);
      }
      return;
    }
    this.#refusedRegisters.add(`${incarnation}=${value}`);
    if (this.#registers.get(incarnation) === value) {
      report('applied again', `register ${incarnation} holds ${value}, which its lane refused`);
    }
  }

  /** A reader is shown the batches of `bytes` from `offset` on. */
  shown(partition: number, offset: number, bytes: Buffer): void {
    const { report } = this.#dependencies;
    const { byOffset, nextOffset } = this.#books(partition);
    let expected = offset;
    for (const batch of decodeBatches(bytes)) {
      if (batch.baseOffset !== expected) {
        report('hole', `a reader of partition ${partition} is led from ${expected} to ${batch.baseOffset}`);
      }
      expected = batch.baseOffset + batch.recordCount;
      const committed = byOffset.get(batch.baseOffset);
      if (batch.baseOffset >= nextOffset) {
        report('phantom', `partition ${partition} shows ${batch.baseOffset} before it is committed`);
      } else if (committed === undefined || committed.attempt !== batch.attempt) {
        report('wrong bytes', `partition ${partition} shows ${nameOf(batch)} at ${batch.baseOffset}`);
      }
    }
  }

  /** A broker that counts on its session ends its log at `highWatermark`. */
  served(incarnation: string, partition: number, highWatermark: number): void {
    const { acknowledgedEnd, record } = this.#books(partition);
    if (record?.owner !== incarnation) {
      this.#dependencies.report('session overestimated', `${incarnation} serves partition ${partition}`);
    }
    if (highWatermark < acknowledgedEnd) {
      this.#dependencies.report(
        'stale read',
        `partition ${partition} ends at ${highWatermark}, ${acknowledgedEnd} is acknowledged`,
      );
    }
  }

  /** An owner found the log to be `[logStartOffset, nextOffset)`; it may have lost it again meanwhile. */
  recovered(partition: number, owned: metadata.PartitionRecord, logStartOffset: number, nextOffset: number): void {
    const { record, nextOffset: committed } = this.#books(partition);
    if (record?.leaderEpoch !== owned.leaderEpoch || record.owner !== owned.owner) return;
    const { report } = this.#dependencies;
    if (nextOffset < committed)
      report('lost', `partition ${partition} was recovered up to ${nextOffset} of ${committed}`);
    if (logStartOffset < this.logStart(partition)) report('went back', `log start of partition ${partition}`);
  }

  #books(partition: number): PartitionBooks {
    let books = this.#partitions.get(partition);
    if (books === undefined) {
      books = { batches: [], byOffset: new Map(), nextOffset: 0, acknowledgedEnd: 0, record: undefined };
      this.#partitions.set(partition, books);
    }
    return books;
  }

  #enter(transaction: Transaction, living: readonly string[]): void {
    const writer = laneOwner(transaction.success);
    for (const operation of transaction.success) {
      if (operation.type !== 'put') continue;
      const { key, value } = operation;
      if (key.startsWith(metadataPrefixes.manifests)) this.#enterManifest(key, value, writer);
      else if (key.startsWith(metadataPrefixes.partitions)) this.#enterRecord(key, value, writer, living);
      else if (key.startsWith(registerPrefix)) this.#enterRegister(key.slice(registerPrefix.length), value);
    }
  }

  #enterRegister(incarnation: string, bytes: Uint8Array): void {
    const value = Number(Buffer.from(bytes).toString());
    if (this.#refusedRegisters.has(`${incarnation}=${value}`) || value <= (this.#registers.get(incarnation) ?? 0)) {
      this.#dependencies.report('applied again', `register ${incarnation} = ${value}`);
    }
    this.#registers.set(incarnation, value);
  }

  #enterRecord(key: string, value: Uint8Array, writer: string, living: readonly string[]): void {
    const { report, events, countsOnSession } = this.#dependencies;
    const partition = Number(key.split('/').at(-1));
    const record = metadata.PartitionRecord.decode(value);
    const books = this.#books(partition);
    const previous = books.record;
    books.record = record;
    if (previous === undefined) return;
    if (record.logStartOffset < previous.logStartOffset) report('went back', `log start of ${key}`);
    if (record.owner === previous.owner) {
      if (record.leaderEpoch < previous.leaderEpoch) report('went back', `leader epoch of ${key}`);
      return;
    }
    if (record.leaderEpoch <= previous.leaderEpoch) {
      report('went back', `${key} goes to ${record.owner} in epoch ${record.leaderEpoch}`);
    }
    if (writer === previous.owner) {
      events.count('hand-over');
      return;
    }
    events.count('takeover');
    if (living.includes(previous.owner)) report('taken from the living', `${key} from ${previous.owner} by ${writer}`);
    if (countsOnSession(previous.owner)) report('session overestimated', `${previous.owner} when it lost ${key}`);
  }

  #enterManifest(key: string, value: Uint8Array, writer: string): void {
    const { report, events } = this.#dependencies;
    if (this.#manifests.has(key)) {
      report('applied again', `manifest ${key}`);
      return;
    }
    this.#manifests.add(key);
    events.count('commit');
    const { objectKey, body } = metadata.FlushManifest.decode(value);
    const object = this.#objects.get(objectKey);
    if (object === undefined || body?.$case !== 'inline') {
      report('object missing', `${objectKey} of manifest ${key}`);
      return;
    }
    for (const topic of body.value.topics) {
      for (const extent of topic.extents) this.#enterExtent(extent, object, writer);
    }
  }

  #enterExtent(extent: metadata.FlushExtent, object: Buffer, writer: string): void {
    const { report } = this.#dependencies;
    const books = this.#books(extent.partition);
    const { record } = books;
    const baseOffset = Number(extent.baseOffset);
    if (record?.owner !== writer || record.leaderEpoch !== extent.leaderEpoch) {
      report(
        'fenced writer committed',
        `${writer} in epoch ${extent.leaderEpoch}, owner is ${record?.owner ?? 'nobody'}`,
      );
    }
    const where = `partition ${extent.partition}: ${baseOffset} where ${books.nextOffset} is next`;
    if (baseOffset < books.nextOffset) report('offset reused', where);
    if (baseOffset > books.nextOffset) report('hole', where);
    const position = Number(extent.position);
    let expected = baseOffset;
    for (const batch of decodeBatches(object.subarray(position, position + extent.length))) {
      if (batch.baseOffset !== expected || batch.leaderEpoch !== extent.leaderEpoch) {
        report('wrong bytes', `${nameOf(batch)} says offset ${batch.baseOffset} in epoch ${batch.leaderEpoch}`);
      }
      expected += batch.recordCount;
      this.#enterBatch(batch);
      books.batches.push(batch);
      books.byOffset.set(batch.baseOffset, batch);
    }
    books.nextOffset = Number(extent.nextOffset);
    if (expected !== books.nextOffset) report('hole', `extent at ${baseOffset} ends at ${expected}`);
  }

  #enterBatch(batch: DecodedBatch): void {
    const { report, isIdempotent } = this.#dependencies;
    const name = nameOf(batch);
    const before = this.#places.get(name);
    if (before !== undefined) report('duplicate', `${name} at ${before} and ${batch.baseOffset}`);
    this.#places.set(name, batch.baseOffset);
    this.#committedAttempts.add(batch.attempt);
    if (this.#failedAttempts.has(batch.attempt)) report('failed and committed', `${name} at ${batch.baseOffset}`);
    const last = this.#lastIndex.get(batch.producer) ?? -1;
    if (isIdempotent(batch.producer) && batch.index !== last + 1) {
      report('out of order', `${name} follows ${last}`);
    }
    this.#lastIndex.set(batch.producer, Math.max(last, batch.index));
  }
}

const nameOf = ({ producer, index }: BatchLabel) => `${producer}/${index}`;

/** Whose lane a transaction went through; empty for the world's own. */
function laneOwner(operations: readonly Operation[]): string {
  const last = operations.at(-1);
  return last?.type === 'put' && last.key.startsWith('lanes/') ? (last.key.split('/')[1] ?? '') : '';
}
