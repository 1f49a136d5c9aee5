/**
 * The write path in simulated time: brokers that crash, stall, drain and are taken over, stores that answer late, not at all or
 * twice, producers that resend, readers that look at every moment. One seed is one schedule.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { seededRandom, silentLogger, type Random } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import type { PartitionLog } from '../log/partition-log.ts';
import { DeadExtents } from '../log/upkeep/dead-extents.ts';
import { Publications } from '../log/upkeep/publications.ts';
import { Shelver } from '../log/upkeep/shelver.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import type { LaneCommit } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { prefixEnd, type MetadataStore } from '../metadata/metadata-store.ts';
import { MemoryObjectStore } from '../storage/memory-object-store.ts';
import { ObjectNames } from '../storage/object-names.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { EventCounts } from './event-counts.model.ts';
import { Ledger } from './ledger.model.ts';
import { latestDeliveryMs, Line, longestPauseMs, type Weather } from './line.model.ts';
import { SimulatedProcess, sessionSettings, switchKey } from './process.model.ts';
import { SimulatedProducer, type Connection, type Request } from './producer.model.ts';
import type { Violation } from './violation.model.ts';

const partitionCount = 2;
const producerCount = 4;
const idempotentProducers = 3;
const maxRunning = 3;
/** Close to where sequences wrap. */
const lateFirstSequence = 2 ** 31 - 12;
const topicName = 'orders';
const topicId = Buffer.alloc(16, 7).toString('base64url');
const topics = [{ name: topicName, topicId, partitionCount } as TopicImage];
const stepsMs = [0, 0, 1, 5, 20, 80, 400];
const longStepMs = 1_500;
const fullLookEvery = 10;
const healingRounds = 80;

export interface ScheduleResult {
  readonly violations: readonly Violation[];
  readonly events: EventCounts;
}

/** By the order of starts: nothing is known beforehand, or all that has room. */
const knownBytes = [undefined, 2 ** 20, 3_000];

/** Plays the schedule that `seed` stands for; it ends early at the first violation. */
export async function runSchedule(seed: number, steps = 50): Promise<ScheduleResult> {
  const world = new World(seed);
  await world.run(steps);
  return world;
}

class World implements ScheduleResult {
  readonly violations: Violation[] = [];
  readonly events = new EventCounts();
  readonly #random: Random;
  readonly #clock = new FakeClock();
  readonly #weather: Weather;
  readonly #ledger: Ledger;
  readonly #objectStore: ObjectStore;
  readonly #metadataStore: MetadataStore;
  readonly #producers: SimulatedProducer[] = [];
  readonly #processes = new Map<string, SimulatedProcess>();
  /** Up to where a log was compared with the ledger. */
  readonly #checked = new WeakMap<PartitionLog, number>();
  readonly #manifestKeys = new Set<string>();
  readonly #shelver: Shelver;
  #attempts = 0;
  #starts = 0;
  #shelves = 0;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#random = random;
    this.#weather = {
      clock: this.#clock,
      random,
      events: this.events,
      faultRate: 0,
      objectOutageUntilMs: 0,
      onAbsence: () => this.#lookForHeir(),
      onLateDelivery: (transaction) => {
        this.events.count('late delivery of a transaction');
        if (this.#ledger.wasFolded(transaction, this.#manifestKeys)) this.events.count('late delivery after a fold');
      },
    };
    this.#ledger = new Ledger({
      report: (kind, detail) => this.violations.push({ kind, detail: `${this.#clock.monotonicMs()} ms: ${detail}` }),
      events: this.events,
      isIdempotent: (producer) => producer < idempotentProducers,
      countsOnSession: (incarnation) => {
        const process = this.#processes.get(incarnation);
        return process !== undefined && !process.line.crashed && process.session.alive;
      },
    });
    this.#objectStore = this.#ledger.followObjects(new MemoryObjectStore({ clock: this.#clock }));
    this.#metadataStore = this.#ledger.followMetadata(new MemoryMetadataStore({ clock: this.#clock }));
    this.#shelver = this.#makeShelver();
    for (let id = 0; id < producerCount; id += 1) {
      this.#producers.push(
        new SimulatedProducer({
          id,
          partition: id % partitionCount,
          idempotent: id < idempotentProducers,
          firstSequence: id === 1 ? lateFirstSequence : 0,
          nextAttempt: () => (this.#attempts += 1),
        }),
      );
    }
  }

  async run(steps: number): Promise<void> {
    await this.#createTopic();
    this.#start();
    await this.#clock.advanceAsync(100);
    this.#weather.faultRate = [0, 0.03, 0.1, 0.25][this.#random.int(4)]!;
    for (let step = 0; step < steps && this.violations.length === 0; step += 1) {
      this.#act();
      const stepMs = this.#random.int(12) === 0 ? longStepMs : stepsMs[this.#random.int(stepsMs.length)]!;
      await this.#clock.advanceAsync(stepMs);
      await this.#look(step % fullLookEvery === 0);
    }
    if (this.violations.length === 0) await this.#heal();
    if (this.violations.length === 0) await this.#judge();
  }

  async #createTopic(): Promise<void> {
    const value = metadata.TopicRecord.encode({
      topicId: Buffer.from(topicId, 'base64url'),
      partitionCount,
      replicationFactor: 1,
      configs: new Map(),
      createdMs: 0n,
      deleting: false,
    }).finish();
    await this.#metadataStore.transact({
      compare: [],
      success: [{ type: 'put', key: metadataKeys.topic(topicName), value }],
    });
  }

  #makeShelver(): Shelver {
    const [clock, store, objectStore] = [this.#clock, this.#metadataStore, this.#objectStore];
    const incarnation = 'controller';
    const lane = {
      commit: async ({ compare = [], operations }: LaneCommit) => {
        const { succeeded, revision } = await store.transact({ compare, success: operations });
        if (!succeeded) throw new MetadataError('conflict', 'a manifest is gone');
        return revision;
      },
      raiseFloor: () => undefined,
    };
    const image = { partition: () => undefined, topicById: () => topics[0] };
    const { callDeadlineMs } = sessionSettings;
    const unique = () => String((this.#shelves += 1));
    return new Shelver({
      ...{ store, objectStore, clock, lane, incarnation, callDeadlineMs },
      uploadDeadlineMs: callDeadlineMs,
      publications: new Publications({ names: new ObjectNames('model'), lane, incarnation, unique }),
      dead: new DeadExtents({ image, store, clock, callDeadlineMs }),
      logger: silentLogger,
    });
  }

  #act(): void {
    const random = this.#random;
    const producer = this.#producers[random.int(this.#producers.length)]!;
    const process = this.#anyProcess();
    if (random.int(4) === 0) process?.changed();
    const dice = random.int(100);
    if (dice < 45) this.#produceSome(producer);
    else if (dice < 62) producer.reconnect(this.#connect(producer));
    else if (dice < 66) void this.#fold();
    else if (dice < 69) this.#pause(process);
    else if (dice < 72) this.#crash(process);
    else if (dice < 77) this.#start();
    else if (dice < 80) process?.line.cutOff(random.int(sessionSettings.ttlMs));
    else if (dice < 86) this.#objectOutage();
    else if (dice < 88) this.#handOver(process);
    else if (dice < 89) void process?.drain();
    else if (dice < 93) void process?.writeRegister();
    else if (dice < 97) this.#switch();
    else if (dice < 98) void this.#compact();
    else this.#deleteRecords(process);
  }

  /** No object is taken for a while, and producers go on meanwhile. */
  #objectOutage(): void {
    const durationMs = 600 + this.#random.int(1_500);
    this.#weather.objectOutageUntilMs = this.#clock.monotonicMs() + durationMs;
    for (const producer of this.#producers) {
      producer.reconnect(this.#connectOwner(producer));
      for (let count = 0; count < 4; count += 1) {
        this.#clock.schedule(this.#random.int(800), () => producer.produce(1));
      }
    }
  }

  #produceSome(producer: SimulatedProducer): void {
    for (let count = 1 + this.#random.int(3); count > 0; count -= 1) producer.produce(1 + this.#random.int(3));
  }

  get #running(): SimulatedProcess[] {
    return [...this.#processes.values()].filter(({ line }) => !line.crashed);
  }

  /** Mostly one that owns something. */
  #anyProcess(): SimulatedProcess | undefined {
    if (this.#random.int(3) > 0) return this.#ownerOf(this.#random.int(partitionCount));
    const running = this.#running;
    return running.length === 0 ? undefined : running[this.#random.int(running.length)];
  }

  #ownerOf(partition: number): SimulatedProcess | undefined {
    const owner = this.#processes.get(this.#ledger.owner(partition) ?? '');
    return owner?.line.crashed === true ? undefined : owner;
  }

  #start(): void {
    if (this.#running.length >= maxRunning) return;
    this.#starts += 1;
    const incarnation = `incarnation-${this.#starts}`;
    const line = new Line(this.#weather);
    // A start that meets a fault is given up; another follows.
    void this.#startProcess(incarnation, line).catch(() => line.crash());
  }

  async #startProcess(incarnation: string, line: Line): Promise<void> {
    const process = await SimulatedProcess.start({
      line,
      incarnation,
      brokerId: this.#starts % 2,
      topics,
      objectStore: this.#objectStore,
      metadataStore: this.#metadataStore,
      random: this.#random,
      ledger: this.#ledger,
      events: this.events,
      report: (kind, detail) => this.violations.push({ kind, detail }),
      mayCrash: () => this.#weather.faultRate > 0,
      knownBytes: knownBytes[this.#starts % knownBytes.length],
    });
    this.#processes.set(incarnation, process);
    await process.own();
  }

  #crash(process: SimulatedProcess | undefined): void {
    if (process === undefined) return;
    this.#clock.schedule(this.#random.int(30), () => {
      if (process.line.crashed) return;
      process.line.crash();
      this.events.count('crash');
    });
  }

  /** Often somebody learns that a session ended, soon after it did. */
  #lookForHeir(): void {
    if (this.#weather.faultRate === 0 || this.#random.int(3) === 0) return;
    if (this.#random.int(2) === 0) this.#start();
    this.#clock.schedule(sessionSettings.ttlMs + this.#random.int(200), () => {
      for (const process of this.#running) process.changed();
    });
  }

  #pause(process: SimulatedProcess | undefined): void {
    if (process === undefined || process.line.pausedForMs > 0) return;
    const durationMs = this.#random.int(longestPauseMs);
    process.line.pause(durationMs);
    this.events.count('pause');
    const owned = [...process.logs.all()];
    this.#clock.schedule(durationMs, () => {
      const taken = owned.some(({ partition }) => this.#ledger.owner(partition) !== process.incarnation);
      if (!process.line.crashed && taken) this.events.count('zombie resumed after its partitions were taken');
    });
  }

  #handOver(process: SimulatedProcess | undefined): void {
    const heir = this.#running.find((other) => other !== process);
    if (process === undefined || heir === undefined || !process.line.running) return;
    const partition = this.#random.int(partitionCount);
    void process.handOver(partition, { incarnation: heir.incarnation, brokerId: 0 }).then(() => heir.changed());
    // What changes the record on its own while the partition goes.
    for (let count = 0; count < 3; count += 1) {
      this.#clock.schedule(this.#random.int(30), () => this.#deleteRecords(process, partition));
    }
  }

  #deleteRecords(process: SimulatedProcess | undefined, partition = this.#random.int(partitionCount)): void {
    if (process?.line.running !== true) return;
    const offset = this.#random.int(this.#ledger.nextOffset(partition) + 1);
    void process.deleteRecords(partition, offset);
  }

  #switch(): void {
    const off = this.#random.int(2) === 0;
    void this.#metadataStore.transact({
      compare: [],
      success: [off ? { type: 'delete', key: switchKey } : { type: 'put', key: switchKey, value: Buffer.alloc(1) }],
    });
  }

  async #compact(): Promise<void> {
    const { revision } = await this.#metadataStore.range({ key: switchKey });
    await this.#metadataStore.compact(revision);
    this.events.count('history compacted');
  }

  /** Puts some manifests on a shelf, as the controller does with those of the dead. */
  async #fold(): Promise<void> {
    const prefix = metadataPrefixes.manifests;
    const { items } = await this.#metadataStore.range({ key: prefix, end: prefixEnd(prefix), limit: 10 });
    const result = await this.#shelver.shelve(items, { writer: '', atLeast: 1 }).catch(() => undefined);
    if (result?.shelf !== undefined) this.events.count('fold');
  }

  /** Clients talk to whoever they believe leads: mostly the owner, sometimes one that is no longer or not yet. */
  #connect(producer: SimulatedProducer): Connection {
    const { partition } = producer.settings;
    const process = this.#random.int(4) > 0 ? this.#ownerOf(partition) : this.#anyProcess();
    return new Wire(process, partition, this.#weather);
  }

  /** Every reader that can read now does; `whole` logs, or what is new in them. */
  async #look(whole: boolean): Promise<void> {
    for (const process of this.#processes.values()) {
      if (!process.line.running) continue;
      for (const log of process.logs.all()) {
        await this.#readLog(log, process, whole ? 0 : (this.#checked.get(log) ?? 0));
        if (process.session.alive) this.#ledger.served(process.incarnation, log.partition, log.highWatermark);
      }
    }
  }

  async #readLog(log: PartitionLog, process: SimulatedProcess, fromOffset: number): Promise<void> {
    for (const extent of log.extents.slice(log.findExtent(fromOffset))) {
      const held = process.hotTail.hold(extent.objectKey);
      const read = (bytes: Buffer) => bytes.subarray(extent.position, extent.position + extent.length);
      if (held !== undefined) {
        this.#ledger.shown(log.partition, extent.baseOffset, read(held.bytes));
        held.release();
      } else {
        try {
          this.#ledger.shown(log.partition, extent.baseOffset, read(await this.#objectStore.read(extent.objectKey)));
        } catch {
          this.violations.push({ kind: 'object missing', detail: extent.objectKey });
        }
      }
    }
    this.#checked.set(log, log.highWatermark);
  }

  async #heal(): Promise<void> {
    this.#weather.faultRate = 0;
    this.#weather.objectOutageUntilMs = 0;
    await this.#clock.advanceAsync(latestDeliveryMs + sessionSettings.ttlMs);
    for (let round = 0; round < healingRounds && this.violations.length === 0; round += 1) {
      if (this.#producers.every(({ settings, unacknowledged }) => !settings.idempotent || unacknowledged === 0)) break;
      if (round % 8 === 0) for (const process of this.#running) process.changed();
      if (round % 8 === 4) this.#replaceSpentProcesses();
      for (const producer of this.#producers) {
        if (producer.unacknowledged > 0) producer.reconnect(this.#connectOwner(producer));
      }
      await this.#clock.advanceAsync(200);
      await this.#look(true);
    }
  }

  /** Processes without a session are replaced, as a broker does by itself. */
  #replaceSpentProcesses(): void {
    for (const process of this.#running) if (!process.session.alive) process.line.crash();
    if (this.#running.length === 0) this.#start();
  }

  #connectOwner(producer: SimulatedProducer): Connection {
    const { partition } = producer.settings;
    return new Wire(this.#ownerOf(partition), partition, this.#weather);
  }

  /** Every process crashes; what a new one then finds is the log. */
  async #judge(): Promise<void> {
    for (const { settings, unacknowledged } of this.#producers) {
      if (settings.idempotent && unacknowledged > 0) {
        this.violations.push({ kind: 'stuck', detail: `producer ${settings.id} waits for ${unacknowledged} batches` });
      }
    }
    for (const process of this.#running) process.line.crash();
    await this.#clock.advanceAsync(2 * sessionSettings.ttlMs);
    this.#starts += 1;
    const incarnation = `incarnation-${this.#starts}`;
    await this.#clock.runUntilSettled(this.#startProcess(incarnation, new Line(this.#weather)));
    const survivor = this.#processes.get(incarnation)!;
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const log = survivor.logs.get(topicId, partition);
      if (log === undefined) this.violations.push({ kind: 'stuck', detail: `partition ${partition} has no leader` });
      else await this.#readLog(log, survivor, 0);
    }
  }
}

/** A TCP connection: requests wait in it for a broker that is paused, and arrive in the order they were sent. */
class Wire implements Connection {
  readonly #process: SimulatedProcess | undefined;
  readonly #partition: number;
  readonly #weather: Weather;
  #waiting: Request[] = [];
  #closed = false;

  constructor(process: SimulatedProcess | undefined, partition: number, weather: Weather) {
    this.#process = process;
    this.#partition = partition;
    this.#weather = weather;
  }

  send(request: Request): void {
    this.#waiting.push(request);
    const { clock, random } = this.#weather;
    if (this.#waiting.length > 1) return;
    if (random.int(2) === 0) this.#deliver();
    else clock.schedule(random.int(25), () => this.#deliver());
  }

  /** Some of what waits, then the rest later: a broker reads as the bytes come. */
  #deliver(): void {
    const process = this.#process;
    const { clock, random } = this.#weather;
    while (this.#waiting.length > 0) {
      if (this.#closed || process === undefined || process.line.crashed) return;
      if (process.line.pausedForMs > 0) {
        clock.schedule(process.line.pausedForMs + random.int(3), () => this.#deliver());
        return;
      }
      const request = this.#waiting.shift()!;
      // What a client sends to a broker that does not lead is refused; the broker may lead by the time the next one arrives, so a
      // client that is refused starts again from its oldest batch.
      if (!process.handle(this.#partition, request, (outcome) => this.#answer(request, outcome))) this.#closed = true;
      if (this.#waiting.length > 0 && random.int(3) === 0) {
        clock.schedule(random.int(40), () => this.#deliver());
        return;
      }
    }
  }

  #answer(request: Request, outcome: Parameters<Request['answer']>[0]): void {
    const { clock, random } = this.#weather;
    if (random.int(2) === 0) request.answer(outcome);
    else clock.schedule(random.int(25), () => request.answer(outcome));
  }
}
