/** For tests of the keeper: memory stores, incarnations that write as brokers do, and a clock that moves when told to. */
import {
  crc32c,
  encodeFlushFooter,
  encodeFlushManifest,
  encodeRecordBatch,
  metadata,
  metadataKeys,
} from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import type { Lane } from '../metadata/lane.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { MemoryObjectStore } from '../storage/memory-object-store.ts';
import { ObjectNames, type ObjectKind } from '../storage/object-names.ts';
import { agreedIdentity, type ClusterIdentity } from './bucket-identity.ts';
import { writeCheckpoint } from './checkpoint-writer.ts';
import { liveState } from './cluster-state.ts';
import { GarbageCollector, type GarbageDependencies, type GarbageReport } from './garbage-collector.ts';
import type { StoreAccess } from './store-access.ts';

export const graceMs = 3_600_000;
export const readerGraceMs = 300_000;
export const topicName = 'orders';
export const topicId = Buffer.alloc(16, 7);
export const topicIdText = topicId.toString('base64url');

const ttlMs = 600_000;

export interface FlushExtentPlan {
  readonly partition?: number;
  readonly leaderEpoch?: number;
  readonly baseOffset: number;
  readonly values: readonly string[];
  readonly timestamp?: number;
  readonly producer?: { readonly id: bigint; readonly epoch: number; readonly sequence: number };
}

export interface FlushPlan {
  readonly sequence: number;
  readonly buildsOn?: number;
  readonly extents: readonly FlushExtentPlan[];
  readonly topicId?: Buffer;
  readonly topicName?: string;
  /** False leaves the object without a manifest. */
  readonly isCommitted?: boolean;
}

/** One life of a broker, as far as stores see it. */
export class Writer {
  readonly #fixture: KeeperFixture;
  readonly session: Session;

  constructor(fixture: KeeperFixture, session: Session) {
    this.#fixture = fixture;
    this.session = session;
  }

  get incarnation(): string {
    return this.session.incarnation;
  }

  get upkeep(): Lane {
    return this.session.lane('upkeep');
  }

  /** Puts the object, and commits it unless told otherwise; answers its key. */
  async flush(plan: FlushPlan): Promise<string> {
    const { incarnation } = this;
    const { names, objectStore, identity } = this.#fixture;
    const key = names.flush({ incarnation, sequence: plan.sequence, unique: this.#fixture.unique() });
    const { body, description, footer, position } = flushObject(
      identity.clusterId,
      incarnation,
      plan,
      this.#fixture.clock.wallMs(),
    );
    await objectStore.create(key, [body]);
    if (plan.isCommitted === false) return key;
    await this.#fixture.settle(
      this.session.lane('data').commit({
        operations: [
          {
            type: 'put',
            key: metadataKeys.manifest(incarnation, plan.sequence),
            value: encodeFlushManifest(key, description, footer, position),
          },
        ],
      }),
    );
    return key;
  }

  /** An object of any kind that nothing refers to. */
  async orphan(kind: ObjectKind, sequence: number, bytes = 'orphan'): Promise<string> {
    const { names, objectStore } = this.#fixture;
    const key = names.flat(kind, { incarnation: this.incarnation, sequence, unique: this.#fixture.unique() });
    await objectStore.create(key, [Buffer.from(bytes)]);
    return key;
  }

  async raiseFloor(lane: 'data' | 'upkeep', sequence: number): Promise<void> {
    this.session.lane(lane).raiseFloor(sequence);
    await this.#fixture.settle(this.session.lane(lane).commit({ operations: [] }));
  }

  async die(): Promise<void> {
    await this.session.revoke(new Error('killed'));
  }
}

export class KeeperFixture {
  readonly clock = new FakeClock();
  readonly random = seededRandom(7);
  metadataStore = new MemoryMetadataStore({ clock: this.clock });
  readonly objectStore: MemoryObjectStore;
  readonly names = new ObjectNames('default');
  identity: ClusterIdentity = { clusterId: '', generation: 0 };
  #unique = 0;
  #incarnations = 0;

  constructor({ conditionalCreate = true } = {}) {
    this.objectStore = new MemoryObjectStore({ clock: this.clock, conditionalCreate });
  }

  static async create(): Promise<KeeperFixture> {
    const fixture = new KeeperFixture();
    fixture.identity = await agreedIdentity({ ...fixture.access, names: fixture.names, random: fixture.random });
    return fixture;
  }

  get access(): StoreAccess {
    const { metadataStore, objectStore, clock } = this;
    return { metadataStore, objectStore, clock, callDeadlineMs: 1_000 };
  }

  unique(): string {
    this.#unique += 1;
    return `unique-${this.#unique}`;
  }

  async writer(): Promise<Writer> {
    this.#incarnations += 1;
    const incarnation = `incarnation-${this.#incarnations}`;
    const settings = { ttlMs, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 };
    return new Writer(
      this,
      await Session.open(incarnation, { store: this.metadataStore, clock: this.clock, settings }),
    );
  }

  /** Runs timers until the promise has settled. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return this.clock.runUntilSettled(promise);
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.metadataStore.transact({ compare: [], success: [{ type: 'put', key, value }] });
  }

  async remove(key: string): Promise<void> {
    await this.metadataStore.transact({ compare: [], success: [{ type: 'delete', key }] });
  }

  async putTopic(name = topicName, id = topicId, partitionCount = 1): Promise<void> {
    const record = {
      topicId: id,
      partitionCount,
      replicationFactor: 1,
      configs: new Map([['retention.ms', '1000']]),
      createdMs: 0n,
      deleting: false,
    };
    await this.put(metadataKeys.topic(name), metadata.TopicRecord.encode(record).finish());
  }

  async putPartition(record: Partial<metadata.PartitionRecord>, partition = 0, id = topicIdText): Promise<void> {
    await this.put(
      metadataKeys.partition(id, partition),
      metadata.PartitionRecord.encode(partitionRecord(record)).finish(),
    );
  }

  async checkpoint(incarnation: string): Promise<void> {
    const { names, random, identity } = this;
    const state = await liveState(this.access);
    await writeCheckpoint(state, { ...this.access, names, random, identity, incarnation });
  }

  /** So many checkpoints that what was before the first of them is in none that is kept. */
  async checkpoints(incarnation: string): Promise<void> {
    for (let count = 0; count < 3; count += 1) {
      // Something that changes the revision, as life does.
      await this.put(
        'producer-ids',
        metadata.ProducerIdRecord.encode({ nextProducerId: BigInt(this.clock.wallMs() + count) }).finish(),
      );
      await this.checkpoint(incarnation);
    }
  }

  collector(writer: Writer, changes: Partial<GarbageDependencies> = {}): GarbageCollector {
    return new GarbageCollector({
      ...this.access,
      names: this.names,
      identity: this.identity,
      lane: writer.upkeep,
      incarnation: writer.incarnation,
      isController: () => true,
      logger: silentLogger,
      settings: { dryRun: false, graceMs, readerGraceMs, deletesPerSecond: 1_000 },
      ...changes,
    });
  }

  /** Everything a healthy cluster would do over some hours: checkpoints, and searches until nothing more is found. */
  async collect(writer: Writer, collector = this.collector(writer)): Promise<readonly GarbageReport[]> {
    const reports: GarbageReport[] = [];
    for (let search = 0; search < 3; search += 1) {
      await this.clock.advanceAsync(graceMs + 1);
      await this.checkpoints(writer.incarnation);
      const report = await this.settle(collector.run());
      if (report !== undefined) reports.push(report);
    }
    return reports;
  }

  async objectKeys(prefix = this.names.prefix): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.objectStore.list(prefix)) {
      if (this.names.parseCluster(key) === undefined) keys.push(key);
    }
    return keys;
  }
}

export const partitionRecord = (record: Partial<metadata.PartitionRecord>): metadata.PartitionRecord => ({
  owner: '',
  brokerId: 0,
  leaderEpoch: 0,
  logStartOffset: 0n,
  foldedOffset: 0n,
  epochStarts: [],
  nextOffset: 0n,
  chunks: [],
  segments: [],
  producerSnapshot: undefined,
  ...record,
});

/** A flush object as the write path makes them. */
export function flushObject(clusterId: string, incarnation: string, plan: FlushPlan, createdMs: number) {
  const bodies: Buffer[] = [];
  let position = 0;
  const extents = plan.extents.map((extent): metadata.FlushExtent => {
    const { partition = 0, leaderEpoch = 0, baseOffset, values, timestamp = createdMs, producer } = extent;
    const batch = encodeRecordBatch({
      records: values.map((value) => ({ key: 'k', value, timestamp })),
      baseOffset,
      partitionLeaderEpoch: leaderEpoch,
      ...(producer && { producerId: producer.id, producerEpoch: producer.epoch, baseSequence: producer.sequence }),
    });
    const nextOffset = BigInt(baseOffset + values.length);
    const described = {
      partition,
      leaderEpoch,
      baseOffset: BigInt(baseOffset),
      nextOffset,
      position: BigInt(position),
      length: batch.length,
      maxTimestamp: BigInt(timestamp),
      maxTimestampBaseOffset: BigInt(baseOffset),
      producerBatches:
        producer === undefined
          ? []
          : [
              {
                producerId: producer.id,
                producerEpoch: producer.epoch,
                firstSequence: producer.sequence,
                lastSequence: producer.sequence + values.length - 1,
                baseOffset: BigInt(baseOffset),
                lastTimestamp: BigInt(createdMs),
              },
            ],
    };
    bodies.push(batch);
    position += batch.length;
    return described;
  });
  const description: metadata.FlushDescription = {
    clusterId,
    incarnation,
    sequence: BigInt(plan.sequence),
    buildsOn: BigInt(plan.buildsOn ?? plan.sequence - 1),
    createdMs: BigInt(createdMs),
    topics: [{ topicId: plan.topicId ?? topicId, name: plan.topicName ?? topicName, extents }],
  };
  const { footer, trailer } = encodeFlushFooter(description);
  return { body: Buffer.concat([...bodies, footer, trailer]), description, footer, position };
}

/** A slice of the object that holds these bytes alone. */
export const sliceOf = (objectKey: string, bytes: Buffer): metadata.ObjectSlice => ({
  objectKey,
  position: 0n,
  length: bytes.length,
  crc32c: crc32c(bytes),
});
