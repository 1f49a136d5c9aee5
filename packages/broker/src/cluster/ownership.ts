/**
 * Which partitions this broker owns, and how it comes to own them and ceases to. It takes what is assigned to it and has no living
 * owner, opens what another owner handed to it, hands over what is assigned to another living broker, and releases what nobody is to
 * own any more. The owner is also the only one who writes a partition's record. The same for partitions of topics and for shards of
 * groups (owned-kind.ts).
 */
import { withDeadline, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { ChangeSignal } from '../metadata/change-signal.ts';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { PartitionImage, TopicId } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
import { HeldRecords, type ChangeRecord, type HeldRecord, type RecordUpdate } from './held-records.ts';
import type { AcquiredPartition, OwnedKind, OwnedTopic } from './owned-kind.ts';
import { OwnerReads } from './owner-reads.ts';
import { ownershipCensus, type OwnershipCensus } from './ownership-census.ts';
import type { OwnershipView } from './ownership-view.ts';
import { Rounds, type Scope } from './rounds.ts';
import {
  changeRecords,
  inTransactions,
  nextRecord,
  noOwner,
  partitionsPerTransaction,
  readPartitions,
  storedPartitions,
  takeover,
  type Owner,
  type OwnerChange,
  type PartitionOf,
  type StoredPartition,
} from './stored-ownership.ts';

export interface OwnershipDependencies {
  readonly store: MetadataStore;
  /** The lane of what is written under this ownership: a hand-over goes behind all of it. */
  readonly lane: Lane;
  /** The lane of changes that leave the owner as it is. */
  readonly upkeepLane: Lane;
  readonly kind: OwnedKind;
  readonly view: OwnershipView;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly incarnation: string;
  readonly brokerId: number;
  /** How long one read of the store may take; it is tried again. */
  readonly callDeadlineMs: number;
  readonly observer?: OwnershipObserver;
}

/** Told of changes of owners, partition by partition counted. */
export interface OwnershipObserver {
  /** They serve, so long after they were found to be taken: from dead brokers, from their givers, and `all` with those of nobody. */
  opened(opened: { readonly takenOver: number; readonly received: number; readonly all: number }, tookMs: number): void;
  notOpened(partitions: number): void;
  /** Their records name the heir, so long after they stopped to take batches. */
  given(partitions: number, tookMs: number): void;
  notGiven(partitions: number): void;
}

/** What is ours and not open yet. */
interface Acquired {
  readonly partitions: AcquiredPartition[];
  readonly sinceMs: number;
  /** How many of them a dead broker had, and how many were handed to us. */
  takenOver: number;
  received: number;
  /** All of them are ours at this revision, so nobody else adds to them after it. */
  revision: Revision;
}

/** A partition that stays ours for the moment, and whom it goes to; `noOwner` for nobody. */
interface Leaving {
  readonly held: HeldRecord;
  readonly heir: Owner;
}

type HandOver = Leaving & OwnerChange;

/** Given up behind one barrier: so many are out of service together, for as long as their last flush takes. */
const partitionsPerHandOver = 120;

export class Ownership {
  readonly #dependencies: OwnershipDependencies;
  readonly #me: Owner;
  readonly #held: HeldRecords;
  /** The highest epoch in which this incarnation began to open a partition: what memory knows of it belongs to that or an older one. */
  readonly #epochs = new Map<TopicId, Map<number, number>>();
  /** Records that name us although we do not serve them: what became of them has to be looked at again. */
  readonly #stranded = new Map<TopicId, Set<number>>();
  readonly #acquisitions: Rounds;
  readonly #departures: Rounds;
  readonly #ownerReads: OwnerReads;
  readonly #changed = new ChangeSignal();
  #stopListening: (() => void) | undefined;
  /** Some of the candidates that were looked at have another owner who lives. */
  #isExpecting = false;

  constructor(dependencies: OwnershipDependencies) {
    this.#dependencies = dependencies;
    const { incarnation, brokerId, upkeepLane, clock, random } = dependencies;
    this.#me = { incarnation, brokerId };
    this.#held = new HeldRecords(upkeepLane);
    const rounds = (round: (scope: Scope) => Promise<void>) =>
      new Rounds({ clock, random, round, isOver: (error) => this.#isOver(error) });
    this.#acquisitions = rounds((scope) => this.#acquire(scope));
    this.#departures = rounds((scope) => this.#depart(scope));
    this.#ownerReads = new OwnerReads((partitions) => this.#read(partitions));
  }

  /** From now on owns what it should. Resolves when it has taken what it should own at this moment. */
  async start(): Promise<void> {
    this.#stopListening = this.#dependencies.view.onChange(({ topicIds }) => this.#wake(topicIds));
    this.#departures.wake();
    await this.#acquisitions.complete();
  }

  /** Takes and gives nothing from now on; what it owns it keeps until the session ends. */
  close(): void {
    this.#stopListening?.();
    this.#acquisitions.close();
    this.#departures.close();
  }

  owns(topicId: TopicId, partition: number): boolean {
    return this.#held.get(topicId, partition) !== undefined;
  }

  /** How many partitions' records name us as far as we know, be they in service or not. */
  get count(): number {
    let stranded = 0;
    for (const partitions of this.#stranded.values()) stranded += partitions.size;
    return this.#held.count + stranded;
  }

  /** All that `count` counts; one that is to be looked at again has no record here. */
  *partitions(): Iterable<Pick<HeldRecord, 'topicId' | 'partition' | 'phase'> & Partial<HeldRecord>> {
    for (const topicId of this.#held.topicIds()) yield* this.#held.ofTopic(topicId);
    for (const [topicId, partitions] of this.#stranded) {
      for (const partition of partitions) yield { topicId, partition, phase: 'opening' };
    }
  }

  /** How many of `partitions` are in which phase. */
  get phases(): Record<HeldRecord['phase'], number> {
    const phases = { opening: 0, open: 0, leaving: 0 };
    for (const { phase } of this.partitions()) phases[phase] += 1;
    return phases;
  }

  /** How far what is owned is from what is assigned. */
  census(): OwnershipCensus {
    return ownershipCensus(this.#dependencies.view, this.#me.incarnation);
  }

  /** Resolves when `count` may have changed, or `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /**
   * Who owns the partition, by a linearizable read that begins now or soon and that many callers share. One that turns out to be ours
   * and is not served yet is opened soon after, in case no watch tells of it. Undefined for one that nobody ever owned. Throws
   * MetadataError.
   */
  async currentOwner(topicId: TopicId, partition: number): Promise<PartitionImage | undefined> {
    const topic = this.#dependencies.view.topic(topicId);
    if (topic === undefined) return undefined;
    const record = await this.#ownerReads.read({ topic, partition });
    if (record === undefined) return undefined;
    if (this.#isUnknownOurs(topicId, partition, record.owner, record.leaderEpoch)) {
      this.#strand(topicId, partition);
      this.#acquisitions.wake(new Set([topicId]));
    }
    return record;
  }

  /**
   * Changes the record of an owned partition, stored when the promise resolves. Changes of one partition are applied one after
   * another; with a hand-over, each comes before it or not at all. Throws MetadataError `fenced` or `conflict`: then it is no longer
   * ours to change.
   */
  async updateRecord(topicId: TopicId, partition: number, change: ChangeRecord): Promise<void> {
    const [error] = await this.#held.update([{ topicId, partition, change }]);
    if (error !== undefined) throw error;
  }

  /**
   * As `updateRecord`, for many partitions in few transactions; at most one update per partition. Each succeeds or fails by itself:
   * one outcome per update, in their order, undefined once it is stored.
   */
  updateRecords(updates: readonly RecordUpdate[]): Promise<readonly (Error | undefined)[]> {
    return this.#held.update(updates);
  }

  #wake(scope: Scope): void {
    this.#acquisitions.wake(scope);
    this.#departures.wake(scope);
  }

  /** A fenced lane has told everybody whom it concerns. */
  #isOver(error: unknown): boolean {
    if (isFenced(error)) return true;
    const { logger } = this.#dependencies;
    const isConflict = error instanceof MetadataError && error.kind === 'conflict';
    if (isConflict) logger.info({ err: error }, 'partitions have other owners than was thought; looking again');
    else logger.warn({ err: error }, 'partitions could not change owners; trying again');
    return false;
  }

  // Taking

  async #acquire(scope: Scope): Promise<void> {
    this.#forgetTopics();
    const sinceMs = this.#dependencies.clock.monotonicMs();
    const acquired: Acquired = { partitions: [], sinceMs, takenOver: 0, received: 0, revision: 0 };
    try {
      for (const candidates of inGroups(this.#candidates(scope), partitionsPerTransaction)) {
        await this.#take(candidates, acquired);
      }
    } catch (error) {
      // What was taken before is ours all the same.
      if (!isFenced(error)) await this.#open(acquired);
      throw error;
    }
    if (this.#isExpecting) this.#dependencies.kind.expect?.();
    this.#isExpecting = false;
    await this.#open(acquired);
  }

  *#candidates(scope: Scope): Iterable<PartitionOf> {
    const { view } = this.#dependencies;
    const deleting = [...view.deletingTopics()];
    for (const topic of scope === undefined ? [...view.topics(), ...deleting] : this.#topicsIn(scope, deleting)) {
      const toBeOwned = !deleting.includes(topic);
      for (let partition = 0; partition < topic.partitionCount; partition += 1) {
        if (this.#isCandidate(topic.topicId, partition, toBeOwned)) yield { topic, partition };
      }
    }
  }

  *#topicsIn(scope: ReadonlySet<TopicId>, deleting: readonly OwnedTopic[]): Iterable<OwnedTopic> {
    for (const topicId of scope) {
      const topic = this.#dependencies.view.topic(topicId) ?? deleting.find((other) => other.topicId === topicId);
      if (topic !== undefined) yield topic;
    }
  }

  #isCandidate(topicId: TopicId, partition: number, toBeOwned: boolean): boolean {
    const { view } = this.#dependencies;
    if (this.owns(topicId, partition)) return false;
    if (this.#stranded.get(topicId)?.has(partition) === true) return true;
    const known = view.partition(topicId, partition);
    if (known !== undefined && this.#isUnknownOurs(topicId, partition, known.owner, known.leaderEpoch)) return true;
    if (!toBeOwned || view.assigned(topicId, partition) !== this.#me.incarnation) return false;
    if (known === undefined || known.owner === '' || view.brokerOf(known.owner) === undefined) return true;
    this.#isExpecting ||= known.owner !== this.#me.incarnation;
    return false;
  }

  /** Whether a record names us in an epoch that we never knew: another owner handed it to us. */
  #isUnknownOurs(topicId: TopicId, partition: number, owner: string, leaderEpoch: number): boolean {
    if (owner !== this.#me.incarnation || this.owns(topicId, partition)) return false;
    return leaderEpoch > this.#lastEpoch(topicId, partition);
  }

  #lastEpoch(topicId: TopicId, partition: number): number {
    return this.#epochs.get(topicId)?.get(partition) ?? -1;
  }

  /** Adds those that are ours now to `acquired`, also when it rejects. */
  async #take(candidates: readonly PartitionOf[], acquired: Acquired): Promise<void> {
    const { lane } = this.#dependencies;
    const { revision: readAt, partitions } = await this.#read(candidates);
    const free: StoredPartition[] = [];
    const orphaned: StoredPartition[] = [];
    for (const stored of partitions) {
      const { topic, partition, record } = stored;
      const isOurs = record?.owner === this.#me.incarnation;
      if (isOurs && !stored.topicLives) orphaned.push(stored);
      else if (isOurs && record.leaderEpoch > this.#lastEpoch(topic.topicId, partition)) {
        this.#hold(acquired, stored, { record, modRevision: stored.modRevision, knownAt: readAt });
        acquired.received += 1;
      } else if (stored.topicLives && (isOurs || this.#mayTake(stored))) free.push(stored);
      else this.#unstrand(topic.topicId, partition);
    }
    for (const group of inTransactions(free)) {
      const modRevision = await lane.commit(takeover(group, this.#me));
      for (const stored of group) {
        const record = nextRecord(stored.record, this.#me);
        this.#hold(acquired, stored, { record, modRevision, knownAt: modRevision });
        const previous = stored.record?.owner ?? '';
        if (previous !== '' && previous !== this.#me.incarnation) acquired.takenOver += 1;
      }
    }
    await this.#release(orphaned);
  }

  #mayTake({ topic, partition, ownerLives }: StoredPartition): boolean {
    return !ownerLives && this.#dependencies.view.assigned(topic.topicId, partition) === this.#me.incarnation;
  }

  #hold(
    acquired: Acquired,
    { topic, partition, record: previous }: StoredPartition,
    { record, modRevision, knownAt }: Pick<HeldRecord, 'record' | 'modRevision'> & { readonly knownAt: Revision },
  ): void {
    const { topicId, name: topicName } = topic;
    const epochs = this.#epochs.get(topicId) ?? new Map<number, number>();
    this.#epochs.set(topicId, epochs.set(partition, record.leaderEpoch));
    this.#held.add({ topicId, partition, record, modRevision, phase: 'opening' });
    this.#unstrand(topicId, partition);
    acquired.partitions.push({ topicId, topicName, partition, record, isNew: previous === undefined });
    acquired.revision = Math.max(acquired.revision, knownAt);
  }

  async #open({ partitions, sinceMs, takenOver, received, revision }: Acquired): Promise<void> {
    if (partitions.length === 0) return;
    const { kind, clock, observer } = this.#dependencies;
    try {
      await kind.open(partitions, revision);
    } catch (error) {
      observer?.notOpened(partitions.length);
      // Some of them may serve already. Nothing of theirs may be on its way when they are taken anew.
      await kind.giveUp(partitions.map(({ record: { leaderEpoch }, ...partition }) => ({ ...partition, leaderEpoch })));
      for (const partition of partitions) {
        this.#held.remove(partition);
        this.#strand(partition.topicId, partition.partition);
      }
      throw error;
    }
    for (const { topicId, partition } of partitions) this.#held.get(topicId, partition)!.phase = 'open';
    observer?.opened({ takenOver, received, all: partitions.length }, clock.monotonicMs() - sinceMs);
    this.#changed.notify();
    this.#departures.wake(new Set(partitions.map(({ topicId }) => topicId)));
  }

  /** Of topics that are being deleted, and that we were handed but do not serve. */
  async #release(orphaned: readonly StoredPartition[]): Promise<void> {
    for (const group of inTransactions(orphaned)) {
      await this.#dependencies.lane.commit(
        changeRecords(
          group.map(({ topic: { topicId }, partition, modRevision, record }): OwnerChange => {
            return { topicId, partition, modRevision, record: { ...record!, owner: '', brokerId: noOwner.brokerId } };
          }),
        ),
      );
      for (const { topic, partition } of group) this.#unstrand(topic.topicId, partition);
    }
  }

  async #read(partitions: readonly PartitionOf[]) {
    const { store, clock, callDeadlineMs, logger } = this.#dependencies;
    const result = await withDeadline(clock, callDeadlineMs, (signal) =>
      store.transact(readPartitions(partitions), signal),
    );
    const stored = storedPartitions(partitions, result, ({ topic, partition }, error) => {
      logger.error(
        { err: error, topic: topic.name, partition },
        'a partition stays closed: its record does not decode',
      );
    });
    return { revision: result.revision, partitions: stored };
  }

  // Giving up

  async #depart(scope: Scope): Promise<void> {
    while (!this.#departures.signal.aborted) {
      // Each time anew: while the last ones left, the next ones may have been given to somebody else.
      const leaving = this.#nextToLeave(scope);
      if (leaving.length === 0) return;
      await this.#giveUp(leaving);
    }
  }

  #nextToLeave(scope: Scope): Leaving[] {
    const leaving: Leaving[] = [];
    for (const topicId of scope ?? this.#held.topicIds()) {
      for (const held of this.#held.ofTopic(topicId)) {
        const heir = held.phase === 'opening' ? undefined : this.#heirOf(held);
        if (heir !== undefined) leaving.push({ held, heir });
        if (leaving.length === partitionsPerHandOver) return leaving;
      }
    }
    return leaving;
  }

  /** Undefined while it is to stay. */
  #heirOf({ topicId, partition, phase }: HeldRecord): Owner | undefined {
    const { view } = this.#dependencies;
    if (view.topic(topicId) === undefined) return noOwner;
    // One that did not get away in an earlier round stays by way of a new epoch.
    const stays = phase === 'leaving' ? this.#me : undefined;
    const incarnation = view.assigned(topicId, partition);
    if (incarnation === '' || incarnation === this.#me.incarnation) return stays;
    const broker = view.brokerOf(incarnation);
    return broker === undefined ? stays : { incarnation, brokerId: broker.brokerId };
  }

  /** None of them is held any more when this resolves, be it another's or ours to be taken anew. */
  async #giveUp(leaving: readonly Leaving[]): Promise<void> {
    const sinceMs = this.#dependencies.clock.monotonicMs();
    const all = leaving.map(({ held }) => held);
    for (const held of all) held.phase = 'leaving';
    const nextOffsets = await this.#dependencies.kind.giveUp(
      all.map(({ topicId, partition, record: { leaderEpoch } }) => ({ topicId, partition, leaderEpoch })),
    );
    await this.#held.unchanging(all);
    const byHeir = new Map<string, HandOver[]>();
    for (const [index, { held, heir }] of leaving.entries()) {
      const handOver = { held, heir, ...changeOf(held, heir, nextOffsets[index]) };
      const others = byHeir.get(heir.incarnation);
      if (others === undefined) byHeir.set(heir.incarnation, [handOver]);
      else others.push(handOver);
    }
    let refusal: Error | undefined;
    for (const handOvers of byHeir.values()) {
      for (const group of inTransactions(handOvers)) refusal = (await this.#commitHandOver(group, sinceMs)) ?? refusal;
    }
    // The view may show an heir for a while that has gone: not to be tried again at once.
    if (refusal !== undefined) throw refusal;
  }

  /** All of one heir. Resolves with why they were refused. */
  async #commitHandOver(group: readonly HandOver[], sinceMs: number): Promise<Error | undefined> {
    const { clock, observer } = this.#dependencies;
    const { heir } = group[0]!;
    let refusal: Error | undefined;
    try {
      await this.#dependencies.lane.commit(changeRecords(group, heir === noOwner ? undefined : heir));
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind === 'fenced') throw error;
      refusal = error;
    }
    if (heir !== noOwner && heir !== this.#me) {
      if (refusal === undefined) observer?.given(group.length, clock.monotonicMs() - sinceMs);
      else observer?.notGiven(group.length);
    }
    for (const { held } of group) {
      this.#held.remove(held);
      // The heir has gone, or the topic with its records. What is still ours is served again, in a newer epoch.
      if (refusal !== undefined) this.#strand(held.topicId, held.partition);
    }
    this.#changed.notify();
    this.#acquisitions.wake(new Set(group.map(({ topicId }) => topicId)));
    return refusal;
  }

  #strand(topicId: TopicId, partition: number): void {
    const partitions = this.#stranded.get(topicId) ?? new Set<number>();
    this.#stranded.set(topicId, partitions.add(partition));
  }

  #unstrand(topicId: TopicId, partition: number): void {
    const partitions = this.#stranded.get(topicId);
    if (partitions?.delete(partition) !== true) return;
    if (partitions.size === 0) this.#stranded.delete(topicId);
    this.#changed.notify();
  }

  /** Of topics that are gone for good nothing needs to be remembered; their records went with them. */
  #forgetTopics(): void {
    const { view } = this.#dependencies;
    const deleting = new Set([...view.deletingTopics()].map(({ topicId }) => topicId));
    const held = new Set(this.#held.topicIds());
    for (const topicId of new Set([...this.#epochs.keys(), ...this.#stranded.keys()])) {
      if (view.topic(topicId) !== undefined || deleting.has(topicId) || held.has(topicId)) continue;
      this.#epochs.delete(topicId);
      if (this.#stranded.delete(topicId)) this.#changed.notify();
    }
  }
}

const isFenced = (error: unknown) => error instanceof MetadataError && error.kind === 'fenced';

function changeOf(held: HeldRecord, heir: Owner, nextOffset: bigint | undefined): OwnerChange {
  const { topicId, partition, modRevision, record: before } = held;
  const record = { ...before, nextOffset: nextOffset ?? before.nextOffset };
  if (heir === noOwner) return { topicId, partition, modRevision, record: { ...record, owner: '', brokerId: -1 } };
  return { topicId, partition, modRevision, record: nextRecord(record, heir) };
}

function* inGroups<Item>(items: Iterable<Item>, size: number): Iterable<Item[]> {
  let group: Item[] = [];
  for (const item of items) {
    group.push(item);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
