/**
 * The write path in simulated time: brokers that crash, stall and are taken over, stores that answer late, not at all or twice,
 * producers that resend, readers that look at every moment. One seed is one schedule; `runSchedule` says what went wrong in it.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { seededRandom, silentLogger, SlabArena, SlabPool, type Random } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { Ownership } from '../cluster/ownership.ts';
import { PartitionLog } from '../log/partition-log.ts';
import { PartitionLogs } from '../log/partition-logs.ts';
import { HotTail } from '../log/read/hot-tail.ts';
import { recoverPartitions } from '../log/upkeep/recovery.ts';
import { noFailpoint } from '../log/write/failpoint.ts';
import { LogAppender } from '../log/write/log-appender.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { prefixEnd, type KeyValue, type MetadataStore } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { MemoryObjectStore } from '../storage/memory-object-store.ts';
import { decodeBatches, SimulatedProducer, type Connection } from './simulated-producer.ts';
import { Line, type WorldSettings } from './unreliable-stores.ts';

const partitionCount = 2;
const topicName = 'orders';
const topicId = Buffer.alloc(16, 7).toString('base64url');
const sessionSettings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 4_000 };
const flusherSettings = {
  windowMs: 50,
  maxBytes: 400,
  maxEntries: 20,
  maxUploads: 3,
  uploadAttemptDeadlineMs: 1_000,
  uploadDeadlineMs: 2_500,
};

/** One broker process, from its start to its crash. */
interface Process {
  readonly line: Line;
  readonly logs: PartitionLogs;
  readonly hotTail: HotTail;
  readonly appender: LogAppender;
  readonly ownership: Ownership;
  readonly session: Session;
  readonly changed: () => void;
}

class World {
  readonly violations: string[] = [];
  readonly #random: Random;
  readonly #clock = new FakeClock();
  readonly #settings: WorldSettings;
  readonly #objectStore = new MemoryObjectStore({ clock: this.#clock });
  readonly #metadataStore = new MemoryMetadataStore({ clock: this.#clock });
  readonly #processes: Process[] = [];
  readonly #producers: SimulatedProducer[] = [];
  /** Per partition and offset, the batch that was ever seen there. */
  readonly #seen = new Map<string, number>();
  /** Manifests that were folded away, as the shelves will hold them. */
  readonly #folded: KeyValue[] = [];
  #starts = 0;
  #ids = 0;
  #starting = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#settings = { clock: this.#clock, random: this.#random, faultRate: 0 };
    const nextId = () => (this.#ids += 1);
    for (let index = 0; index < 4; index += 1) {
      this.#producers.push(new SimulatedProducer(index, index % partitionCount, nextId, index < 3));
    }
  }

  async run(steps: number): Promise<void> {
    await this.#createTopic();
    void this.#start();
    await this.#clock.advanceAsync(200);
    this.#settings.faultRate = [0, 0.05, 0.15, 0.3][this.#random.int(4)] ?? 0;
    for (let step = 0; step < steps; step += 1) {
      this.#act();
      await this.#clock.advanceAsync([0, 1, 10, 60, 1_500][this.#random.int(5)] ?? 0);
      await this.#look();
    }
    await this.#heal();
    await this.#judge();
  }

  async #createTopic(): Promise<void> {
    const value = metadata.TopicRecord.encode({
      topicId: Buffer.from(topicId, 'base64url'),
      partitionCount,
      replicationFactor: 1,
      configs: new Map(),
      createdMs: 0n,
    }).finish();
    await this.#metadataStore.transact({
      compare: [],
      success: [{ type: 'put', key: metadataKeys.topic(topicName), value }],
    });
  }

  #act(): void {
    const dice = this.#random.int(100);
    const producer = this.#producers[this.#random.int(this.#producers.length)]!;
    if (dice < 55) producer.produce(1 + this.#random.int(3));
    else if (dice < 80) producer.reconnect(this.#connect(producer));
    else if (dice < 86) void this.#fold();
    else if (dice < 90) this.#processes.at(-1)?.line.pause(this.#random.int(25_000));
    else if (dice < 94) this.#processes.at(-1)?.line.crash();
    else if (dice < 98) void this.#start();
    else for (const process of this.#processes) process.changed();
  }

  /** Clients talk to whoever they believe leads: mostly the newest process, sometimes an older one. */
  #connect(producer: SimulatedProducer): Connection {
    const process = this.#processes.at(this.#random.int(6) === 0 ? -2 : -1);
    return (batch, answer) => {
      if (process === undefined || process.line.crashed || process.line.paused) return false;
      const log = process.logs.get(topicId, producer.partition);
      if (log === undefined) return false;
      process.appender.append(log, batch, (outcome) => {
        if (!process.line.crashed) answer(outcome);
      });
      return true;
    };
  }

  async #start(): Promise<void> {
    if (this.#starting > 0) return;
    this.#starting += 1;
    try {
      await this.#startProcess();
    } catch {
      // A start that met a fault; a later one follows.
    } finally {
      this.#starting -= 1;
    }
  }

  async #startProcess(): Promise<void> {
    const line = new Line(this.#settings);
    const objectStore = line.objectStore(this.#objectStore);
    const store = line.metadataStore(this.#metadataStore);
    const incarnation = `incarnation-${(this.#starts += 1)}`;
    const session = await Session.open(incarnation, { store, clock: this.#clock, settings: sessionSettings });
    const logs = new PartitionLogs();
    const hotTail = new HotTail(2_000);
    let names = 0;
    const appender = new LogAppender({
      clock: this.#clock,
      random: this.#random,
      objectStore,
      arena: new SlabArena(new SlabPool({ slabBytes: 4_096, maxIdleSlabs: 4 })),
      logs,
      lane: session.lane('data'),
      isSessionAlive: () => session.alive,
      hotTail,
      clusterId: 'cluster',
      incarnation,
      nameObject: (sequence) => `flush/${incarnation}/${sequence}-${(names += 1)}`,
      failpoint: noFailpoint,
      observer: { onCommitted: () => undefined, onFailed: () => undefined },
      settings: flusherSettings,
    });
    const { image, changed } = changes();
    const ownership = new Ownership({
      store,
      lane: session.lane('data'),
      topics: () => [{ name: topicName, topicId, partitionCount } as TopicImage],
      image,
      onTopicGone: () => undefined,
      clock: this.#clock,
      random: this.#random,
      logger: silentLogger,
      incarnation,
      brokerId: this.#starts,
      onAcquired: async (acquired, revision) => {
        const results = await recoverPartitions(acquired, revision, { store: this.#withFolded(store), objectStore });
        for (const [index, { partition, record }] of acquired.entries()) {
          const result = results[index]!;
          if (result.fault !== undefined) {
            this.violations.push(`partition ${partition} does not tile: ${result.fault}`);
            continue;
          }
          logs.close(topicId, partition);
          const identity = { topicId, topicName, partition, leaderEpoch: record.leaderEpoch };
          appender.open(new PartitionLog(identity, result.recovered), result.committedBatches);
        }
      },
    });
    this.#processes.push({ line, logs, hotTail, appender, ownership, session, changed });
    await ownership.start();
  }

  /** Moves every manifest to where recovery still finds it: what shelving does. */
  async #fold(): Promise<void> {
    const prefix = metadataPrefixes.manifests;
    const { items } = await this.#metadataStore.range({ key: prefix, end: prefixEnd(prefix), limit: 20 });
    for (const item of items) {
      const { succeeded } = await this.#metadataStore.transact({
        compare: [{ key: item.key, target: 'modRevision', operator: '=', operand: item.modRevision }],
        success: [{ type: 'delete', key: item.key }],
      });
      if (succeeded) this.#folded.push(item);
    }
  }

  #withFolded(store: MetadataStore): MetadataStore {
    return {
      ...store,
      range: async (request, signal) => {
        const result = await store.range({ key: request.key, ...(request.end && { end: request.end }) }, signal);
        return { ...result, more: false, items: [...this.#folded, ...result.items] };
      },
    };
  }

  /** Every reader that can read now does: all committed bytes of all logs, from memory or from the store. */
  async #look(): Promise<void> {
    for (const process of this.#processes) {
      if (process.line.crashed || process.line.paused) continue;
      for (const log of process.logs.all()) await this.#readLog(log, process.hotTail);
    }
  }

  async #readLog(log: PartitionLog, hotTail: HotTail | undefined): Promise<void> {
    let expected = log.extents[0]?.baseOffset ?? log.highWatermark;
    for (const extent of [...log.extents]) {
      const held = hotTail?.hold(extent.objectKey);
      let bytes: Buffer;
      try {
        bytes = held?.bytes ?? (await this.#objectStore.read(extent.objectKey));
      } catch {
        this.violations.push(`committed object ${extent.objectKey} is missing`);
        return;
      }
      const batches = decodeBatches(bytes.subarray(extent.position, extent.position + extent.length));
      held?.release();
      for (const [offset, recordCount, id] of batches) {
        if (offset !== expected) this.violations.push(`partition ${log.partition} skips from ${expected} to ${offset}`);
        expected = offset + recordCount;
        this.#sees(log.partition, offset, id);
      }
    }
  }

  #sees(partition: number, offset: number, id: number): void {
    const key = `${partition}/${offset}`;
    const before = this.#seen.get(key);
    if (before === undefined) this.#seen.set(key, id);
    else if (before !== id) this.violations.push(`offset ${key} held batch ${before} and then ${id}`);
  }

  async #heal(): Promise<void> {
    this.#settings.faultRate = 0;
    await this.#clock.advanceAsync(100_000);
    await this.#restart();
    for (let round = 0; round < 20; round += 1) {
      for (const producer of this.#producers) producer.reconnect(this.#connect(producer));
      await this.#clock.advanceAsync(500);
    }
    await this.#restart();
  }

  /** Every process crashes; a new one starts when their sessions are over. */
  async #restart(): Promise<void> {
    for (const process of this.#processes) process.line.crash();
    await this.#clock.advanceAsync(20_000);
    await this.#clock.runUntilSettled(this.#startProcess());
  }

  async #judge(): Promise<void> {
    const survivor = this.#processes.at(-1)!;
    const places = new Map<number, number[]>();
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const log = survivor.logs.get(topicId, partition);
      if (log === undefined) {
        this.violations.push(`partition ${partition} has no leader after everything healed`);
        continue;
      }
      await this.#readLog(log, undefined);
      for (const [key, id] of this.#seen) {
        const [ofPartition, offset] = key.split('/').map(Number);
        if (ofPartition !== partition) continue;
        if (offset! >= log.highWatermark) this.violations.push(`offset ${key} was visible and is gone`);
        places.set(id, [...(places.get(id) ?? []), offset!]);
      }
    }
    for (const producer of this.#producers) this.#judgeProducer(producer, places);
  }

  #judgeProducer(producer: SimulatedProducer, places: ReadonlyMap<number, readonly number[]>): void {
    this.violations.push(...producer.complaints);
    let previous = -1;
    for (const batch of producer.sent) {
      const offsets = places.get(batch.id) ?? [];
      if (producer.idempotent && batch.offset === undefined) {
        this.violations.push(`batch ${batch.id} was never acknowledged after everything healed`);
      }
      if (batch.offset !== undefined && !offsets.includes(batch.offset)) {
        this.violations.push(`batch ${batch.id} was acknowledged at ${batch.offset} and is at [${offsets.join()}]`);
      }
      if (offsets.length > 1) this.violations.push(`batch ${batch.id} is in the log ${offsets.length} times`);
      if (!producer.idempotent && batch.failed && batch.offset === undefined && offsets.length > 0) {
        this.violations.push(`batch ${batch.id} was reported as failed and is in the log`);
      }
      if (producer.idempotent && offsets[0] !== undefined) {
        if (offsets[0] < previous)
          this.violations.push(`batch ${batch.id} stands before an earlier one of its producer`);
        previous = offsets[0];
      }
    }
  }
}

/** A way to say that something may have changed. */
function changes() {
  const listeners = new Set<() => void>();
  const image = {
    onChange: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return { image, changed: () => listeners.forEach((listener) => listener()) };
}

/** What went wrong in the schedule that `seed` stands for; empty when every invariant held. */
export async function runSchedule(seed: number, steps = 40): Promise<readonly string[]> {
  const world = new World(seed);
  await world.run(steps);
  return world.violations;
}
