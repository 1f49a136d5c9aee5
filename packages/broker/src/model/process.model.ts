/** One broker process, from its start to its crash: the write path put together as production does, on unreliable stores. */
import { ErrorCode, KafkaError, metadataPrefixes } from '@kafscale/protocol';
import { silentLogger, SlabArena, SlabPool, type Random, type Slab, type SlabPiece } from '@kafscale/runtime';
import type { AcquiredPartition, HeldPartition } from '../cluster/owned-kind.ts';
import { Ownership } from '../cluster/ownership.ts';
import { PartitionLog, type Extent, type PartitionIdentity, type RecoveredPartition } from '../log/partition-log.ts';
import { PartitionLogs } from '../log/partition-logs.ts';
import { HotTail, type HeldBytes } from '../log/read/hot-tail.ts';
import { StoredLogStarts } from '../log/stored-log-starts.ts';
import { KnownFlushes } from '../log/upkeep/known-flushes.ts';
import { recoverPartitions } from '../log/upkeep/recovery.ts';
import { LogAppender } from '../log/write/log-appender.ts';
import type { AppendOutcome, SettledListener } from '../log/write/pending-batch.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { ImageChange, TopicImage } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { EventCounts } from './event-counts.model.ts';
import { registerPrefix, type Ledger } from './ledger.model.ts';
import type { Line } from './line.model.ts';
import type { Request } from './producer.model.ts';
import type { Report } from './violation.model.ts';

export const sessionSettings = { ttlMs: 3_000, callDeadlineMs: 500, settleDeadlineMs: 1_000 };
/** The world switches it to and fro; registers are only to be written while it is there. */
export const switchKey = 'switch';

const slabBytes = 2_048;
const crashAtFailpointIn = 150;

export interface ProcessDependencies {
  readonly line: Line;
  readonly incarnation: string;
  /** Processes may share one, as two started from one configuration would. */
  readonly brokerId: number;
  readonly topics: readonly TopicImage[];
  readonly objectStore: ObjectStore;
  readonly metadataStore: MetadataStore;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly events: EventCounts;
  readonly report: Report;
  /** Whether processes may crash by themselves. */
  readonly mayCrash: () => boolean;
  /** Memory for what it knows beforehand of all flushes; undefined for none. */
  readonly knownBytes: number | undefined;
}

/** A batch that was taken and has no outcome yet. */
interface Taken {
  readonly producer: number;
  /** How many flushes had been closed when it was taken: it is in the open one while there are no more. */
  readonly closedBefore: number;
}

export class SimulatedProcess {
  readonly line: Line;
  readonly incarnation: string;
  readonly session: Session;
  readonly logs = new PartitionLogs();
  readonly hotTail: HotTail;
  readonly ownership: Ownership;
  readonly #dependencies: ProcessDependencies;
  readonly #appender: LogAppender;
  readonly #known: KnownFlushes | undefined;
  readonly #logStarts: StoredLogStarts;
  readonly #imageListeners = new Set<(change: ImageChange) => void>();
  /** Partitions that others should have, as this process sees it; the rest it should have itself. */
  readonly #heirs = new Map<number, { readonly incarnation: string; readonly brokerId: number }>();
  /** Attempts without outcome, by batch. */
  readonly #takenBatches = new Map<string, number>();
  /** Answered as failed since the last rollback. */
  #failed: Taken[] = [];
  #closedFlushes = 0;
  #uploaded = -1;
  #names = 0;
  #registerValue = 0;
  #rolledBack = false;

  static async start(dependencies: ProcessDependencies): Promise<SimulatedProcess> {
    const { line, incarnation } = dependencies;
    const store = line.metadataStore(dependencies.metadataStore);
    const session = await Session.open(incarnation, { store, clock: line.clock, settings: sessionSettings });
    return new SimulatedProcess(session, store, dependencies);
  }

  private constructor(session: Session, store: MetadataStore, dependencies: ProcessDependencies) {
    const { line, incarnation, random, brokerId, topics } = dependencies;
    this.line = line;
    this.incarnation = incarnation;
    this.session = session;
    this.#dependencies = dependencies;
    this.hotTail = new GuardedTail([0, 600, 4_000][random.int(3)]!, (work) => this.#guard(work));
    const objectStore = this.#noteUploads(line.objectStore(dependencies.objectStore));
    this.#appender = new LogAppender({
      clock: line.clock,
      random,
      objectStore,
      arena: new GuardedArena((work) => this.#guard(work)),
      logs: this.logs,
      lane: session.lane('data'),
      isSessionAlive: () => session.alive,
      hotTail: this.hotTail,
      clusterId: 'cluster',
      incarnation,
      nameObject: (sequence) => this.#nameObject(sequence),
      failpoint: () => {
        if (random.int(crashAtFailpointIn) !== 0 || !dependencies.mayCrash()) return;
        dependencies.events.count('crash at a failpoint');
        line.crash();
      },
      observer: { onCommitted: () => undefined, onFailed: (flushCount) => this.#noteRollback(flushCount) },
      settings: {
        windowMs: [0, 20, 60][random.int(3)]!,
        maxBytes: 400,
        maxEntries: 12,
        maxUploads: 1 + random.int(3),
        uploadAttemptDeadlineMs: 300,
        uploadDeadlineMs: 800,
      },
    });
    const { knownBytes } = dependencies;
    this.#known =
      knownBytes === undefined
        ? undefined
        : new KnownFlushes({
            ...{ store: this.#noteShelves(store), objectStore, clock: line.clock, budgetBytes: knownBytes },
            callDeadlineMs: sessionSettings.callDeadlineMs,
          });
    this.ownership = new Ownership({
      store,
      lane: session.lane('data'),
      upkeepLane: session.lane('upkeep'),
      kind: {
        open: (acquired, revision) => this.#open(acquired, revision, store, objectStore),
        giveUp: (partitions) => this.#giveUp(partitions),
      },
      view: {
        topics: () => topics,
        topic: (topicId) => topics.find((topic) => topic.topicId === topicId),
        deletingTopics: () => [],
        partition: () => undefined,
        assigned: (_, partition) => this.#heirs.get(partition)?.incarnation ?? incarnation,
        brokerOf: (other) => [...this.#heirs.values()].find((heir) => heir.incarnation === other),
        onChange: (listener) => {
          this.#imageListeners.add(listener);
          return () => this.#imageListeners.delete(listener);
        },
      },
      clock: line.clock,
      random,
      logger: silentLogger,
      incarnation,
      brokerId,
      callDeadlineMs: sessionSettings.callDeadlineMs,
    });
    this.#logStarts = new StoredLogStarts((...change) => this.ownership.updateRecord(...change));
  }

  /** Takes what nobody owns, now and whenever it is told that something may have changed. */
  async own(): Promise<void> {
    await this.ownership.start();
  }

  changed(): void {
    this.#known?.keepUp({ everything: this.#dependencies.random.int(2) === 0 }).catch(() => undefined);
    for (const listener of this.#imageListeners) listener({ topicIds: undefined });
  }

  /** A request arrives. False when this broker does not lead the partition. */
  handle(partition: number, { label, batch }: Request, answer: (outcome: AppendOutcome) => void): boolean {
    const { ledger, events } = this.#dependencies;
    const log = this.logs.get(this.#dependencies.topics[0]!.topicId, partition);
    if (log === undefined) return false;
    const identity = `${label.producer}/${label.index}`;
    const isPending = batch.producerId >= 0n && this.#takenBatches.has(identity);
    const attempt: { taken?: Taken; answered: boolean } = { answered: false };
    const listener: SettledListener = (outcome) => {
      if (this.line.crashed) return;
      ledger.answered(partition, label, outcome);
      attempt.answered = true;
      if (attempt.taken !== undefined) this.#settled(identity, attempt.taken, outcome);
      answer(outcome);
    };
    if (this.#rolledBack) events.count('request delivered after a rollback');
    this.#guard(() => this.#appender.append(log, batch, listener));
    if (!this.session.alive) events.count('refused while the session was over');
    else if (isPending) events.count('resent while pending');
    else if (attempt.answered && ledger.isCommitted(label)) events.count('duplicate answered from committed');
    if (!attempt.answered) {
      attempt.taken = { producer: label.producer, closedBefore: this.#closedFlushes };
      this.#takenBatches.set(identity, (this.#takenBatches.get(identity) ?? 0) + 1);
    }
    return true;
  }

  /** Moves the log start of a partition it owns. */
  async deleteRecords(partition: number, offset: number): Promise<void> {
    const { ledger, events, report } = this.#dependencies;
    const log = this.logs.get(this.#dependencies.topics[0]!.topicId, partition);
    if (log === undefined || offset > log.highWatermark) return;
    try {
      await this.#logStarts.advanceLogStart(log, offset);
    } catch {
      return;
    }
    events.count('log start moved');
    if (ledger.logStart(partition) < offset) report('went back', `log start of ${partition} is not stored`);
  }

  /** Writes its register through the lane, on a condition that may fail. */
  async writeRegister(): Promise<void> {
    const { ledger, events } = this.#dependencies;
    const value = (this.#registerValue += 1);
    try {
      await this.session.lane('data').commit({
        compare: [{ key: switchKey, target: 'createRevision', operator: '>', operand: 0 }],
        operations: [{ type: 'put', key: `${registerPrefix}${this.incarnation}`, value: Buffer.from(String(value)) }],
      });
      if (!this.line.crashed) ledger.registerAnswered(this.incarnation, value, true);
    } catch (error) {
      if (this.line.crashed) return;
      if (error instanceof MetadataError && error.kind === 'conflict') events.count('lane conflict');
      ledger.registerAnswered(this.incarnation, value, false);
    }
  }

  /** Gives a partition to `heir` by its own lane, behind the last flush that holds it (COMMIT.md K2); later it may come back. */
  async handOver(partition: number, heir: { readonly incarnation: string; readonly brokerId: number }): Promise<void> {
    const { topicId } = this.#dependencies.topics[0]!;
    const log = this.logs.get(topicId, partition);
    if (log === undefined) return;
    this.#heirs.set(partition, heir);
    this.changed();
    while (!log.closed && !this.line.crashed) await this.line.clock.sleep(20);
    // A DeleteRecords that found the log before.
    await this.line.clock.sleep(this.#dependencies.random.int(200));
    await this.#logStarts.advanceLogStart(log, log.highWatermark).catch(() => undefined);
    this.#heirs.delete(partition);
  }

  /** Stops as a process that was asked to. */
  async drain(): Promise<void> {
    this.#dependencies.events.count('drain');
    this.line.draining = true;
    this.ownership.close();
    await this.#appender.settled();
    await this.session.revoke(new Error('the broker was stopped')).catch(() => undefined);
    this.#appender.abandon(new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER));
    for (const log of [...this.logs.all()]) this.logs.close(log.topicId, log.partition);
    this.hotTail.clear();
    this.line.crash();
  }

  async #open(
    acquired: readonly AcquiredPartition[],
    revision: Revision,
    store: MetadataStore,
    objectStore: ObjectStore,
  ): Promise<void> {
    const { ledger, report } = this.#dependencies;
    const results = await recoverPartitions(acquired, revision, {
      store: this.#noteShelves(store),
      objectStore,
      clock: this.line.clock,
      callDeadlineMs: sessionSettings.callDeadlineMs,
      known: this.#known,
    });
    for (const [index, { topicId, topicName, partition, record }] of acquired.entries()) {
      const result = results[index]!;
      if (result.fault !== undefined) {
        report('does not tile', `partition ${partition}: ${result.fault}`);
        continue;
      }
      const { recovered, committedBatches } = result;
      ledger.recovered(partition, record, recovered.logStartOffset, recovered.nextOffset);
      this.logs.close(topicId, partition);
      const identity = { topicId, topicName, partition, leaderEpoch: record.leaderEpoch };
      const log = new GuardedLog(identity, recovered, (work) => this.#guard(work));
      this.#appender.open(log, committedBatches);
    }
  }

  #noteShelves(store: MetadataStore): MetadataStore {
    return {
      ...store,
      range: async (request, signal) => {
        const result = await store.range(request, signal);
        if (request.key === metadataPrefixes.shelves && result.items.length > 0) {
          this.#dependencies.events.count('recovery of folded manifests');
        }
        return result;
      },
    };
  }

  async #giveUp(partitions: readonly HeldPartition[]): Promise<(bigint | undefined)[]> {
    const logs = partitions.map(({ topicId, partition }) => this.logs.get(topicId, partition));
    await Promise.all(logs.map((log) => (log === undefined ? Promise.resolve() : this.#appender.close(log))));
    return logs.map((log) => (log === undefined ? undefined : BigInt(log.highWatermark)));
  }

  #nameObject(sequence: number): string {
    if (sequence < this.#closedFlushes) this.#dependencies.events.count('upload tried again under another name');
    this.#closedFlushes = Math.max(this.#closedFlushes, sequence + 1);
    return `flush/${this.incarnation}/${sequence}-${(this.#names += 1)}`;
  }

  #noteUploads(store: ObjectStore): ObjectStore {
    return {
      ...store,
      create: async (key, body, signal) => {
        await store.create(key, body, signal);
        const sequence = Number(key.split('/')[2]!.split('-')[0]);
        if (sequence < this.#uploaded) this.#dependencies.events.count('upload finished before an earlier one');
        this.#uploaded = Math.max(this.#uploaded, sequence);
      },
    };
  }

  #settled(identity: string, taken: Taken, outcome: AppendOutcome): void {
    const others = this.#takenBatches.get(identity)! - 1;
    if (others === 0) this.#takenBatches.delete(identity);
    else {
      this.#takenBatches.set(identity, others);
      if (outcome.committed) this.#dependencies.events.count('duplicate answered from pending');
    }
    if (!outcome.committed) this.#failed.push(taken);
  }

  /** Comes after the answers of one rollback. */
  #noteRollback(flushCount: number): void {
    const { events } = this.#dependencies;
    this.#rolledBack = true;
    events.count('rollback');
    const failed = this.#failed;
    this.#failed = [];
    const inOpen = failed.filter(({ closedBefore }) => closedBefore === this.#closedFlushes);
    if (flushCount < 2 || inOpen.length === 0) return;
    events.count('rollback in closed flushes and the open one');
    const inThreePlaces = inOpen.some(({ producer }) => {
      return new Set(failed.filter((other) => other.producer === producer).map((other) => other.closedBefore)).size > 2;
    });
    if (inThreePlaces) events.count('rollback of one producer in three places');
  }

  /** A broken invariant ends a process; the write path promises that none ever breaks. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#dependencies.report('crashed by itself', String(error));
      this.line.crash();
    }
  }
}

/** Memory whose misuse is reported. */
class GuardedArena extends SlabArena {
  readonly #guard: (work: () => void) => void;

  constructor(guard: (work: () => void) => void) {
    super(new SlabPool({ slabBytes, maxIdleSlabs: 4 }));
    this.#guard = guard;
  }

  override allocate(length: number): SlabPiece {
    let piece: SlabPiece | undefined;
    this.#guard(() => (piece = super.allocate(length)));
    return piece ?? new SlabArena(new SlabPool({ slabBytes, maxIdleSlabs: 1 })).allocate(length);
  }
}

/** A tail whose misuse of memory is reported. */
class GuardedTail extends HotTail {
  readonly #guard: (work: () => void) => void;

  constructor(maxBytes: number, guard: (work: () => void) => void) {
    super(maxBytes);
    this.#guard = guard;
  }

  override add(objectKey: string, bytes: Buffer, slab: Slab): void {
    this.#guard(() => super.add(objectKey, bytes, slab));
  }

  override hold(objectKey: string): HeldBytes | undefined {
    let held: HeldBytes | undefined;
    this.#guard(() => (held = super.hold(objectKey)));
    return held;
  }
}

/** A log whose writer's mistakes are reported. */
class GuardedLog extends PartitionLog {
  readonly #guard: (work: () => void) => void;

  constructor(identity: PartitionIdentity, recovered: RecoveredPartition, guard: (work: () => void) => void) {
    super(identity, recovered);
    this.#guard = guard;
  }

  override append(extent: Extent): void {
    this.#guard(() => super.append(extent));
  }
}
