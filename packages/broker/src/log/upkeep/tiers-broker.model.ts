/** A broker of the tiers' model: write path and storage tiers as production puts them together, with an ownership of few lines. */
import { metadata, metadataKeys } from '@kafscale/protocol';
import {
  KeyedMutex,
  silentLogger,
  SlabArena,
  SlabPool,
  withDeadline,
  type Clock,
  type Random,
} from '@kafscale/runtime';
import { FaultyMetadataStore } from '../../metadata/faulty-metadata-store.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { Session } from '../../metadata/session.ts';
import { createMetrics } from '../../metrics/metrics.ts';
import { FaultyObjectStore } from '../../storage/faulty-object-store.ts';
import { ObjectNames } from '../../storage/object-names.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { PartitionLog } from '../partition-log.ts';
import { PartitionLogs } from '../partition-logs.ts';
import { HotTail } from '../read/hot-tail.ts';
import { LogAppender } from '../write/log-appender.ts';
import type { AppendOutcome, BatchToAppend } from '../write/pending-batch.ts';
import type { DeadExtentsDependencies } from './dead-extents.ts';
import type { RecordChange } from './folding.ts';
import { KnownFlushes } from './known-flushes.ts';
import { recoverPartitions } from './recovery.ts';
import { StorageTiers } from './storage-tiers.ts';

export const tiersNames = new ObjectNames('kafscale');
export const modelSegmentBytes = 4_096;
const callDeadlineMs = 2_000;

export interface ModelTopic {
  readonly topicId: string;
  readonly name: string;
  /** Nobody is to take its partitions any more. */
  deleting: boolean;
}

export interface TiersBrokerDependencies {
  readonly incarnation: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly metadataStore: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly image: DeadExtentsDependencies['image'];
  readonly isController: () => boolean;
  /** Memory for what it knows beforehand of all flushes; undefined for none. */
  readonly knownBytes: number | undefined;
}

interface Held {
  record: metadata.PartitionRecord;
  modRevision: number;
}

const keyOf = (topicId: string, partition: number) => `${topicId}/${partition}`;

export class TiersBroker {
  readonly incarnation: string;
  readonly session: Session;
  readonly logs = new PartitionLogs();
  readonly store: FaultyMetadataStore;
  readonly objects: FaultyObjectStore;
  readonly tiers: StorageTiers;
  readonly known: KnownFlushes | undefined;
  crashed = false;
  readonly #dependencies: TiersBrokerDependencies;
  readonly #appender: LogAppender;
  readonly #held = new Map<string, Held>();
  /** One change of owner of a partition at a time. */
  readonly #mutex = new KeyedMutex<string>();

  static async start(dependencies: TiersBrokerDependencies): Promise<TiersBroker> {
    const { clock, metadataStore, incarnation } = dependencies;
    const store = new FaultyMetadataStore(metadataStore, { clock });
    const settings = { ttlMs: 10_000_000, callDeadlineMs, settleDeadlineMs: 20_000 };
    const session = await Session.open(incarnation, { store, clock, settings });
    return new TiersBroker(session, store, dependencies);
  }

  private constructor(session: Session, store: FaultyMetadataStore, dependencies: TiersBrokerDependencies) {
    const { incarnation, clock, random, objectStore, image, isController } = dependencies;
    this.incarnation = incarnation;
    this.session = session;
    this.store = store;
    this.#dependencies = dependencies;
    this.objects = new FaultyObjectStore(objectStore, { clock });
    const { metadataStore, knownBytes } = dependencies;
    const reading = { store: metadataStore, objectStore: this.objects, clock, callDeadlineMs };
    this.known = knownBytes === undefined ? undefined : new KnownFlushes({ ...reading, budgetBytes: knownBytes });
    const hotTail = new HotTail(2_000);
    let unique = 0;
    const nextUnique = () => `${incarnation}u${(unique += 1)}`;
    this.#appender = new LogAppender({
      ...{ clock, random, logs: this.logs, hotTail, incarnation, objectStore: this.objects, clusterId: 'c' },
      arena: new SlabArena(new SlabPool({ slabBytes: 4_096, maxIdleSlabs: 4 })),
      lane: session.lane('data'),
      isSessionAlive: () => session.alive,
      nameObject: (sequence) => tiersNames.flush({ incarnation, sequence, unique: nextUnique() }),
      failpoint: () => undefined,
      refusal: () => undefined,
      observer: { onCommitted: ({ manifest }) => this.tiers.committed(manifest), onFailed: () => undefined },
      settings: {
        ...{ windowMs: 20, maxBytes: 3_000, maxEntries: 20, maxUploads: 3 },
        ...{ uploadAttemptDeadlineMs: 1_000, uploadDeadlineMs: 3_000 },
      },
    });
    this.tiers = new StorageTiers({
      ...{ store, objectStore: this.objects, image, logs: this.logs, hotTail, clock, incarnation, isController },
      lane: session.lane('upkeep'),
      committedBatchesOf: (log) => this.#appender.committedBatchesOf(log),
      updateRecords: (changes) => this.updateRecords(changes),
      names: tiersNames,
      unique: nextUnique,
      logger: silentLogger,
      metrics: createMetrics(),
      clusterId: 'c',
      brokerId: 0,
      callDeadlineMs,
      settings: {
        foldAfterMs: 10_000,
        segmentBytes: modelSegmentBytes,
        shelving: {
          ...{
            maxManifests: 6,
            maxBytes: 4_000,
            maxAgeMs: 5_000,
            minManifests: 2,
            intervalMs: 1_000,
            mergedShelves: 3,
          },
        },
        shelvingForOthersIntervalMs: 3_000,
      },
    });
  }

  append(log: PartitionLog, batch: BatchToAppend): Promise<AppendOutcome> {
    return new Promise((resolve) => this.#appender.append(log, batch, resolve));
  }

  /** Takes the partition if its record names nobody, itself, or an incarnation that is gone. */
  async take(topic: ModelTopic, partition: number): Promise<void> {
    if (topic.deleting) return;
    await this.#mutex.run(keyOf(topic.topicId, partition), () => this.#take(topic, partition));
  }

  handOver(log: PartitionLog, heir: string): Promise<void> {
    return this.#mutex.run(keyOf(log.topicId, log.partition), () => this.#handOver(log, heir));
  }

  async #take({ topicId, name }: ModelTopic, partition: number): Promise<void> {
    const { metadataStore, clock } = this.#dependencies;
    const key = metadataKeys.partition(topicId, partition);
    const [stored] = (await metadataStore.range({ key })).items;
    const previous = stored && metadata.PartitionRecord.decode(stored.value);
    if (previous?.owner === this.incarnation && this.logs.get(topicId, partition) !== undefined) return;
    const owner = previous?.owner ?? '';
    const isHeir = owner === this.incarnation;
    const record = nextRecord(previous, this.incarnation);
    const gone = { target: 'createRevision', operator: '=', operand: 0 } as const;
    const revision = await this.session.lane('data').commit({
      compare: [
        { key, target: 'modRevision', operator: '=', operand: stored?.modRevision ?? 0 },
        { key: metadataKeys.tombstone(topicId), ...gone },
        ...(owner === '' || isHeir ? [] : [{ key: metadataKeys.session(owner), ...gone }]),
      ],
      operations: [{ type: 'put', key, value: metadata.PartitionRecord.encode(record).finish() }],
    });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const [result] = await recoverPartitions([{ topicId, partition, record }], revision, {
          ...{ store: metadataStore, objectStore: this.objects, clock, callDeadlineMs },
          known: this.known,
        });
        if (result!.fault !== undefined) throw new Error(`${topicId}-${partition} does not tile: ${result!.fault}`);
        this.#held.set(keyOf(topicId, partition), { record, modRevision: revision });
        const old = this.logs.get(topicId, partition);
        if (old !== undefined) this.logs.close(topicId, partition);
        const identity = { topicId, topicName: name, partition, leaderEpoch: record.leaderEpoch };
        this.#appender.open(new PartitionLog(identity, result!.recovered), result!.committedBatches);
        return;
      } catch (error) {
        // History may be compacted, or a read fail, for as long as one likes; the next owner starts over.
        const isPassing = error instanceof Error && /Error$/.test(error.name) && error.name !== 'Error';
        if (!isPassing || attempt === 3) throw error;
        await clock.sleep(500);
        if (error instanceof MetadataError && error.kind === 'compacted') return;
      }
    }
  }

  async #handOver(log: PartitionLog, heir: string): Promise<void> {
    const { topicId, partition } = log;
    const held = this.#held.get(keyOf(topicId, partition));
    if (held === undefined || log.closed) return;
    await this.#appender.close(log);
    const key = metadataKeys.partition(topicId, partition);
    const record = {
      ...held.record,
      owner: heir,
      leaderEpoch: held.record.leaderEpoch + 1,
      nextOffset: BigInt(log.highWatermark),
    };
    this.#held.delete(keyOf(topicId, partition));
    await this.session.lane('data').commit({
      compare: [
        { key, target: 'modRevision', operator: '=', operand: held.modRevision },
        { key: metadataKeys.session(heir), target: 'createRevision', operator: '>', operand: 0 },
      ],
      operations: [{ type: 'put', key, value: metadata.PartitionRecord.encode(record).finish() }],
    });
  }

  async updateRecords(changes: readonly RecordChange[]): Promise<readonly (Error | undefined)[]> {
    const outcomes: (Error | undefined)[] = [];
    for (const { topicId, partition, change } of changes) {
      try {
        const held = this.#held.get(keyOf(topicId, partition));
        if (held === undefined) throw new MetadataError('conflict', 'not owned');
        const record = change(held.record);
        const key = metadataKeys.partition(topicId, partition);
        const modRevision = await this.session.lane('upkeep').commit({
          compare: [{ key, target: 'modRevision', operator: '=', operand: held.modRevision }],
          operations: [{ type: 'put', key, value: metadata.PartitionRecord.encode(record).finish() }],
        });
        [held.record, held.modRevision] = [record, modRevision];
        outcomes.push(undefined);
      } catch (error) {
        outcomes.push(error as Error);
      }
    }
    return outcomes;
  }

  async deleteRecords(log: PartitionLog, offset: number): Promise<void> {
    const { topicId, partition } = log;
    const [error] = await this.updateRecords([
      { topicId, partition, change: (record) => ({ ...record, logStartOffset: BigInt(offset) }) },
    ]);
    if (error === undefined && !log.closed && offset > log.logStartOffset) log.advanceLogStart(offset);
  }

  /** Gives a partition up, behind its last flush. */
  release({ topicId }: ModelTopic, partition: number): Promise<void> {
    return this.#mutex.run(keyOf(topicId, partition), async () => {
      const log = this.logs.get(topicId, partition);
      if (log !== undefined) await this.#appender.close(log);
      this.#held.delete(keyOf(topicId, partition));
    });
  }

  /** From one moment to the next; what is on its way may still arrive. */
  async crash(): Promise<void> {
    this.crashed = true;
    const { metadataStore, clock } = this.#dependencies;
    void this.tiers.stop();
    this.session.end(new Error('crashed'));
    await withDeadline(clock, callDeadlineMs, () => metadataStore.revokeLease(this.session.leaseId));
  }
}

function nextRecord(previous: metadata.PartitionRecord | undefined, owner: string): metadata.PartitionRecord {
  if (previous !== undefined) return { ...previous, owner, leaderEpoch: previous.leaderEpoch + 1 };
  return {
    ...{ owner, brokerId: 0, leaderEpoch: 0, logStartOffset: 0n, foldedOffset: 0n, epochStarts: [], nextOffset: 0n },
    ...{ chunks: [], segments: [], producerSnapshot: undefined },
  };
}
