/**
 * Which partitions this broker owns, and how it comes to own them: by a transaction that compares that its own session lives, that
 * the partition record is as it was read, and that the session it names is gone (COMMIT.md K3). The owner is also the only one who
 * writes the record again.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { backoffDelayMs, KeyedMutex, withDeadline, type Clock, type Logger, type Random } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataImage, TopicImage } from '../metadata/metadata-image.ts';
import {
  prefixEnd,
  type Compare,
  type MetadataStore,
  type Operation,
  type RangeRequest,
  type RangeResult,
  type Revision,
} from '../metadata/metadata-store.ts';

/** A partition that became ours. */
export interface AcquiredPartition {
  readonly topicId: string;
  readonly topicName: string;
  readonly partition: number;
  readonly record: metadata.PartitionRecord;
  /** It had no owner before, ever: nothing can have been written to it. */
  readonly isNew: boolean;
}

export interface OwnershipDependencies {
  readonly store: MetadataStore;
  readonly lane: Lane;
  /** The topics whose partitions are to be owned by somebody; one that is being deleted is not among them. */
  readonly topics: () => Iterable<TopicImage>;
  readonly image: Pick<MetadataImage, 'onChange'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly incarnation: string;
  readonly brokerId: number;
  /** How long one read of the store may take; it is tried again. */
  readonly callDeadlineMs: number;
  /** Opens what was acquired at `revision`; a rejection is logged and tried again. */
  readonly onAcquired: (acquired: readonly AcquiredPartition[], revision: Revision) => Promise<void>;
  /** The topic is gone or going; what was opened of it is closed. */
  readonly onTopicGone: (topicId: string) => void;
}

interface OwnedPartition {
  record: metadata.PartitionRecord;
  modRevision: Revision;
}

interface Candidate {
  readonly topic: TopicImage;
  readonly partition: number;
  readonly record: metadata.PartitionRecord | undefined;
  readonly modRevision: Revision;
}

const partitionsPerTransaction = 40;
const recordsPerRead = 1_000;
/** When a deletion must have succeeded or failed. */
const lookAgainMs = 5_000;
const retryBackoff = { baseMs: 100, maxMs: 5_000 };

const partitionKey = (topicId: string, partition: number) => `${topicId}/${partition}`;

export class Ownership {
  readonly #dependencies: OwnershipDependencies;
  readonly #owned = new Map<string, Map<number, OwnedPartition>>();
  readonly #mutex = new KeyedMutex();
  readonly #closing = new AbortController();
  #stopListening: (() => void) | undefined;
  #changed = false;
  #running: Promise<void> | undefined;

  constructor(dependencies: OwnershipDependencies) {
    this.#dependencies = dependencies;
  }

  /** Takes every partition that has no living owner, and from now on those that appear. Resolves when the first round is done. */
  async start(): Promise<void> {
    this.#stopListening = this.#dependencies.image.onChange(() => this.#wake());
    this.#wake();
    await this.#running;
  }

  close(): void {
    this.#stopListening?.();
    this.#closing.abort();
  }

  owns(topicId: string, partition: number): boolean {
    return this.#owned.get(topicId)?.has(partition) === true;
  }

  /**
   * The topic's logs are closed, because it is being deleted. Should that fail, the topic shows again and its partitions are taken
   * anew, with the next epoch.
   */
  forget(topicId: string): void {
    this.#owned.delete(topicId);
    this.#dependencies.clock.schedule(lookAgainMs, () => this.#wake());
  }

  /**
   * Changes the record of an owned partition, stored when the promise resolves. Changes of one partition are applied one after
   * another. Throws MetadataError `fenced` or `conflict`: then it is no longer ours to change.
   */
  async updateRecord(
    topicId: string,
    partition: number,
    change: (record: metadata.PartitionRecord) => metadata.PartitionRecord,
  ): Promise<void> {
    const key = partitionKey(topicId, partition);
    await this.#mutex.run(key, async () => {
      const owned = this.#owned.get(topicId)?.get(partition);
      if (owned === undefined) throw new MetadataError('conflict', `partition ${key} is not owned`);
      const record = change(owned.record);
      const recordKey = metadataKeys.partition(topicId, partition);
      owned.modRevision = await this.#dependencies.lane.commit({
        compare: [{ key: recordKey, target: 'modRevision', operator: '=', operand: owned.modRevision }],
        operations: [{ type: 'put', key: recordKey, value: metadata.PartitionRecord.encode(record).finish() }],
      });
      owned.record = record;
    });
  }

  #wake(): void {
    if (this.#closing.signal.aborted) return;
    this.#changed = true;
    this.#running ??= this.#acquireUntilQuiet().finally(() => (this.#running = undefined));
  }

  async #acquireUntilQuiet(): Promise<void> {
    let attempt = 0;
    while (this.#changed && !this.#closing.signal.aborted) {
      this.#changed = false;
      if (await this.#tryAcquireAll()) attempt = 0;
      else {
        const { clock, random } = this.#dependencies;
        await clock.sleep(backoffDelayMs(attempt, retryBackoff, random));
        attempt += 1;
      }
    }
  }

  /** False when it is worth another try. */
  async #tryAcquireAll(): Promise<boolean> {
    try {
      await this.#acquireAll();
      return true;
    } catch (error) {
      if (this.#closing.signal.aborted || (error instanceof MetadataError && error.kind === 'fenced')) return true;
      this.#dependencies.logger.warn({ err: error }, 'partitions could not be taken over; trying again');
      this.#changed = true;
      return false;
    }
  }

  async #acquireAll(): Promise<void> {
    const candidates: Candidate[] = [];
    const gone = new Set(this.#owned.keys());
    for (const topic of this.#dependencies.topics()) {
      gone.delete(topic.topicId);
      if (this.#missing(topic).length > 0) candidates.push(...(await this.#readCandidates(topic)));
    }
    await this.#acquire(candidates);
    for (const topicId of gone) {
      this.#owned.delete(topicId);
      this.#dependencies.onTopicGone(topicId);
    }
  }

  #missing(topic: TopicImage): number[] {
    const missing: number[] = [];
    for (let partition = 0; partition < topic.partitionCount; partition += 1) {
      if (!this.owns(topic.topicId, partition)) missing.push(partition);
    }
    return missing;
  }

  async #readCandidates(topic: TopicImage): Promise<Candidate[]> {
    const records = await this.#readRecords(topic.topicId);
    const living = await this.#livingSessions();
    const candidates: Candidate[] = [];
    for (const partition of this.#missing(topic)) {
      const stored = records.get(metadataKeys.partition(topic.topicId, partition));
      const owner = stored?.record.owner ?? '';
      if (owner !== '' && owner !== this.#dependencies.incarnation && living.has(owner)) continue;
      candidates.push({ topic, partition, record: stored?.record, modRevision: stored?.modRevision ?? 0 });
    }
    return candidates;
  }

  async #readRecords(topicId: string) {
    const prefix = metadataPrefixes.partitionsOf(topicId);
    const end = prefixEnd(prefix);
    const records = new Map<string, { record: metadata.PartitionRecord; modRevision: Revision }>();
    for (let key: string = prefix; ;) {
      const { items, more } = await this.#read({ key, end, limit: recordsPerRead });
      for (const item of items) {
        records.set(item.key, { record: metadata.PartitionRecord.decode(item.value), modRevision: item.modRevision });
      }
      const last = items.at(-1);
      if (!more || last === undefined) return records;
      key = `${last.key}\0`;
    }
  }

  async #livingSessions(): Promise<ReadonlySet<string>> {
    const prefix = metadataPrefixes.sessions;
    const { items } = await this.#read({ key: prefix, end: prefixEnd(prefix) });
    return new Set(items.map((item) => item.key.slice(prefix.length)));
  }

  #read(request: RangeRequest): Promise<RangeResult> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    return withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
  }

  /** Takes them a transaction at a time, then opens all together: what a log is made of is read once for all. */
  async #acquire(candidates: readonly Candidate[]): Promise<void> {
    const acquired: AcquiredPartition[] = [];
    const revisions: Revision[] = [];
    for (let from = 0; from < candidates.length; from += partitionsPerTransaction) {
      const taken = candidates.slice(from, from + partitionsPerTransaction);
      const revision = await this.#commit(taken);
      for (const { topic, partition, record: previous } of taken) {
        const { topicId, name: topicName } = topic;
        const record = this.#nextRecord(previous);
        acquired.push({ topicId, topicName, partition, record, isNew: previous === undefined });
        revisions.push(revision);
      }
    }
    if (acquired.length === 0) return;
    await this.#dependencies.onAcquired(acquired, revisions.at(-1)!);
    for (const [index, { topicId, partition, record }] of acquired.entries()) {
      const partitions = this.#owned.get(topicId) ?? new Map<number, OwnedPartition>();
      partitions.set(partition, { record, modRevision: revisions[index]! });
      this.#owned.set(topicId, partitions);
    }
  }

  #commit(candidates: readonly Candidate[]): Promise<Revision> {
    const { lane, incarnation } = this.#dependencies;
    const compare = new Map<string, Compare>();
    const operations: Operation[] = [];
    for (const { topic, partition, record: previous, modRevision } of candidates) {
      const key = metadataKeys.partition(topic.topicId, partition);
      const topicKey = metadataKeys.topic(topic.name);
      const tombstone = metadataKeys.tombstone(topic.topicId);
      compare.set(key, { key, target: 'modRevision', operator: '=', operand: modRevision });
      compare.set(topicKey, { key: topicKey, target: 'createRevision', operator: '>', operand: 0 });
      compare.set(tombstone, { key: tombstone, target: 'createRevision', operator: '=', operand: 0 });
      const owner = previous?.owner ?? '';
      if (owner !== '' && owner !== incarnation) {
        const session = metadataKeys.session(owner);
        compare.set(session, { key: session, target: 'createRevision', operator: '=', operand: 0 });
      }
      const value = metadata.PartitionRecord.encode(this.#nextRecord(previous)).finish();
      operations.push({ type: 'put', key, value });
    }
    return lane.commit({ compare: [...compare.values()], operations });
  }

  /** The record as this owner writes it: a higher leader epoch, everything else as it was. */
  #nextRecord(previous: metadata.PartitionRecord | undefined): metadata.PartitionRecord {
    const { incarnation: owner, brokerId } = this.#dependencies;
    if (previous === undefined) {
      return {
        owner,
        brokerId,
        leaderEpoch: 0,
        logStartOffset: 0n,
        foldedOffset: 0n,
        epochStarts: [],
        nextOffset: 0n,
        chunks: [],
        segments: [],
        producerSnapshot: undefined,
      };
    }
    return { ...previous, owner, brokerId, leaderEpoch: previous.leaderEpoch + 1 };
  }
}
