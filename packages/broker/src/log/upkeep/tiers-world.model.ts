/**
 * The storage tiers in simulated time: brokers that produce, fold, shelve, hand over, crash and delete on unreliable stores, garbage
 * collection without any grace, and after every transaction the question whether each log can be put together from what is stored
 * at that revision. One seed is one schedule.
 */
import { decodeSegmentChunk, metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { seededRandom, type Random } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { prefixEnd, type KeyValue, type MetadataStore } from '../../metadata/metadata-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { makeBatch } from '../read/log-fixture.ts';
import { extentOfSegment } from '../segments/folded-log.ts';
import type { Extent, PartitionLog } from '../partition-log.ts';
import { checked } from './fold-sources.ts';
import { recoverPartitions } from './recovery.ts';
import { readShelf } from './stored-manifests.ts';
import { TiersBroker, tiersNames, type ModelTopic } from './tiers-broker.model.ts';

const partitionCount = 3;
/** By the order of starts: nothing is known beforehand, or all that has room. */
const knownBytes = [2 ** 20, undefined, 4_000];
const callDeadlineMs = 2_000;

interface Producer {
  readonly id: bigint;
  nextSequence: number;
  /** The last batch that was acknowledged, and where. */
  last: { readonly sequence: number; readonly offset: number } | undefined;
  busy: boolean;
}

interface Books {
  readonly topic: ModelTopic;
  readonly partition: number;
  /** By base offset: what was acknowledged. */
  readonly acknowledged: Map<number, { readonly end: number; readonly crc: number }>;
  readonly producer: Producer;
}

export class TiersWorld {
  readonly violations: string[] = [];
  readonly counts = { flushes: 0, folds: 0, shelves: 0, merges: 0, drops: 0, handOvers: 0, crashes: 0, collected: 0 };
  readonly clock = new FakeClock();
  readonly inner = new MemoryMetadataStore({ clock: this.clock });
  readonly objects = new MemoryObjectStore({ clock: this.clock });
  readonly #random: Random;
  readonly #store: MetadataStore;
  readonly #brokers: TiersBroker[] = [];
  readonly #books = new Map<string, Books>();
  #topics: ModelTopic[] = [];
  /** What the images show: may be old. */
  #mirror = new Map<string, metadata.PartitionRecord>();
  #checks: Promise<void> = Promise.resolve();
  #started = 0;
  #topicsMade = 0;
  #faultRate = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#store = this.#followed(this.inner);
  }

  async run(steps: number): Promise<void> {
    this.#makeTopic('orders');
    await this.#start();
    this.#faultRate = [0, 0.02, 0.1][this.#random.int(3)]!;
    for (let step = 0; step < steps && this.violations.length === 0; step += 1) {
      void this.#act().catch((error: unknown) => this.#met(error));
      await this.clock.advanceAsync([0, 5, 40, 300, 2_000, 9_000][this.#random.int(6)]!);
      if (step % 10 === 0) await this.#refreshMirror();
      if (step % 3 === 0) this.#keepUp(step);
      if (step % 25 === 24) await this.#collectGarbage();
    }
    await this.#settle();
  }

  /** Everything quiet: what the metadata store then holds besides sessions and lanes. */
  async leftovers(): Promise<{ readonly manifests: number; readonly shelves: number; readonly largestRecord: number }> {
    const records = await this.#all(metadataPrefixes.partitions);
    return {
      manifests: (await this.#all(metadataPrefixes.manifests)).length,
      shelves: (await this.#all(metadataPrefixes.shelves)).length,
      largestRecord: Math.max(0, ...records.map(({ value }) => value.length)),
    };
  }

  get #living(): TiersBroker[] {
    return this.#brokers.filter(({ crashed }) => !crashed);
  }

  async #act(): Promise<void> {
    const dice = this.#random.int(100);
    if (dice < 62) await this.#produce();
    else if (dice < 74) await this.#takeSomething();
    else if (dice < 84) await this.#handOver();
    else if (dice < 88) await this.#deleteRecords();
    else if (dice < 91) await this.#crash();
    else if (dice < 95) await this.#start();
    else if (dice < 96) await this.#replaceTopic();
    else await this.#compact();
  }

  #makeTopic(name: string): void {
    this.#topicsMade += 1;
    const topic = { topicId: Buffer.alloc(16, this.#topicsMade).toString('base64url'), name, deleting: false };
    this.#topics.push(topic);
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const producer: Producer = {
        ...{ id: BigInt(this.#topicsMade * 10 + partition), nextSequence: 0, last: undefined, busy: false },
      };
      this.#books.set(`${topic.topicId}/${partition}`, { topic, partition, acknowledged: new Map(), producer });
    }
  }

  async #start(): Promise<void> {
    if (this.#living.length >= 3) return;
    const incarnation = `i${(this.#started += 1)}`;
    const random = this.#random;
    const broker = await TiersBroker.start({
      ...{ incarnation, clock: this.clock, random, metadataStore: this.#store, objectStore: this.objects },
      isController: () => this.#living[0]?.incarnation === incarnation,
      knownBytes: knownBytes[this.#started % knownBytes.length],
      image: {
        partition: (topicId, partition) => {
          const record = this.#mirror.get(metadataKeys.partition(topicId, partition));
          return record && { ...record, foldedOffset: Number(record.foldedOffset) };
        },
        topicById: (topicId) => this.#topics.find((topic) => topic.topicId === topicId) as never,
      },
    });
    this.#brokers.push(broker);
    broker.store.plan = ({ transaction }) => {
      if (random.float() >= this.#faultRate) return 'ok';
      if (transaction === undefined) return 'fail-before';
      const dice = random.int(4);
      if (dice === 0) return 'fail-before';
      if (dice === 1) return 'lost-reply';
      return { deliverAgainAfterMs: [random.int(1_000), random.int(60_000)] };
    };
    broker.objects.plan = ({ operation, keys }) => {
      if (random.float() >= this.#faultRate) return 'ok';
      if (operation === 'read') return random.int(2) === 0 ? 'fail-before' : { delayMs: random.int(1_500) };
      // A publisher that is held up for long, while the partition may move on.
      if (/\/index\//.test(keys[0]!) && random.int(2) === 0) return { delayMs: random.int(29_000) };
      return random.int(2) === 0 ? 'fail-before' : 'lost-reply';
    };
  }

  #anyLog(): { readonly broker: TiersBroker; readonly log: PartitionLog } | undefined {
    const all = this.#living.flatMap((broker) => [...broker.logs.all()].map((log) => ({ broker, log })));
    return all.length === 0 ? undefined : all[this.#random.int(all.length)];
  }

  async #produce(): Promise<void> {
    const chosen = this.#anyLog();
    if (chosen === undefined) return this.#takeSomething();
    const { broker, log } = chosen;
    const books = this.#books.get(`${log.topicId}/${log.partition}`)!;
    const { producer } = books;
    if (producer.busy) return;
    producer.busy = true;
    const isRepeat = producer.last !== undefined && this.#random.int(5) === 0;
    const sequence = isRepeat ? producer.last!.sequence : producer.nextSequence;
    const bytes = makeBatch(0, 1, isRepeat ? 10 : 20 + this.#random.int(900), 1_000 + this.#random.int(1_000));
    const crc = bytes.readUInt32BE(17);
    const outcome = await broker.append(log, {
      ...{ bytes, recordCount: 1, maxTimestamp: 1_000, producerId: producer.id, producerEpoch: 0 },
      ...{ firstSequence: sequence, lastSequence: sequence },
    });
    producer.busy = false;
    if (!outcome.committed) return;
    const { baseOffset } = outcome;
    if (isRepeat) {
      if (baseOffset !== producer.last!.offset) {
        this.violations.push(`a batch sent again is at ${baseOffset}, not at ${producer.last!.offset}`);
      }
      return;
    }
    producer.last = { sequence, offset: baseOffset };
    producer.nextSequence = sequence + 1;
    if (books.acknowledged.has(baseOffset))
      this.violations.push(`offset ${baseOffset} of ${log.partition} given out twice`);
    books.acknowledged.set(baseOffset, { end: baseOffset + 1, crc });
  }

  async #takeSomething(): Promise<void> {
    const topic = this.#topics[this.#random.int(this.#topics.length)]!;
    const partition = this.#random.int(partitionCount);
    const [stored] = await this.#all(metadataKeys.partition(topic.topicId, partition));
    const owner = stored === undefined ? '' : metadata.PartitionRecord.decode(stored.value).owner;
    const broker = this.#brokers.find(({ incarnation }) => incarnation === owner);
    const taker = broker?.crashed === false ? broker : this.#living[this.#random.int(Math.max(1, this.#living.length))];
    await taker?.take(topic, partition);
  }

  async #handOver(): Promise<void> {
    const chosen = this.#anyLog();
    const heir = this.#living.find((broker) => broker !== chosen?.broker);
    if (chosen === undefined || heir === undefined) return;
    const { topicId, partition } = chosen.log;
    await chosen.broker.handOver(chosen.log, heir.incarnation);
    this.counts.handOvers += 1;
    const topic = this.#topics.find((candidate) => candidate.topicId === topicId);
    if (topic !== undefined) await heir.take(topic, partition);
  }

  async #deleteRecords(): Promise<void> {
    const chosen = this.#anyLog();
    if (chosen === undefined) return;
    const { logStartOffset, highWatermark } = chosen.log;
    const offset = logStartOffset + this.#random.int(highWatermark - logStartOffset + 1);
    await chosen.broker.deleteRecords(chosen.log, offset);
  }

  async #crash(): Promise<void> {
    const broker = this.#living[this.#random.int(Math.max(1, this.#living.length))];
    if (broker === undefined) return;
    this.counts.crashes += 1;
    await broker.crash();
  }

  /** Deletes the topic and makes another of that name, as soon as nobody owns it any more. */
  async #replaceTopic(): Promise<void> {
    const [topic] = this.#topics;
    if (topic === undefined || topic.deleting) return;
    topic.deleting = true;
    for (let partition = 0; partition < partitionCount; partition += 1) {
      for (const broker of this.#living) await broker.release(topic, partition);
    }
    const records = await this.#all(metadataPrefixes.partitionsOf(topic.topicId));
    const owners = new Set(records.map(({ value }) => metadata.PartitionRecord.decode(value).owner));
    // A crashed owner's session is gone already; a living one has released above.
    if (owners.has('')) return;
    const { succeeded } = await this.#store.transact({
      compare: records.map(({ key, modRevision }) => ({
        ...{ key, target: 'modRevision', operator: '=', operand: modRevision },
      })),
      success: [
        ...records.map(({ key }) => ({ type: 'delete', key }) as const),
        {
          type: 'put',
          key: metadataKeys.tombstone(topic.topicId),
          value: metadata.TopicTombstone.encode({ name: topic.name, deletedMs: 1n }).finish(),
        },
      ],
    });
    if (!succeeded) {
      topic.deleting = false;
      return;
    }
    this.#topics = this.#topics.filter((other) => other !== topic);
    for (let partition = 0; partition < partitionCount; partition += 1) {
      this.#books.delete(`${topic.topicId}/${partition}`);
    }
    this.#makeTopic(topic.name);
  }

  /** One broker learns of flushes beforehand, all or only those that have settled. */
  #keepUp(step: number): void {
    const broker = this.#living[step % Math.max(1, this.#living.length)];
    broker?.known?.keepUp({ everything: step % 2 === 0 }).catch((error: unknown) => this.#met(error));
  }

  async #compact(): Promise<void> {
    const { revision } = await this.inner.range({ key: 'x' });
    await this.inner.compact(revision);
  }

  /** Nothing of it is expected to be wrong: sessions end, takers meet each other. */
  #met(error: unknown): void {
    const name = error instanceof Error ? error.name : '';
    const isPassing = name === 'MetadataError' || name === 'StorageError' || name === 'AbortError';
    if (!isPassing && !(error instanceof Error && /no answer|crashed/.test(error.message))) {
      this.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  async #all(prefix: string): Promise<readonly KeyValue[]> {
    return (await this.inner.range({ key: prefix, end: prefixEnd(prefix) })).items;
  }

  async #refreshMirror(): Promise<void> {
    const records = await this.#all(metadataPrefixes.partitions);
    this.#mirror = new Map(records.map(({ key, value }) => [key, metadata.PartitionRecord.decode(value)]));
  }

  /** The store, with every state that a transaction leaves behind checked. */
  #followed(store: MemoryMetadataStore): MetadataStore {
    return {
      range: (request, signal) => store.range(request, signal),
      transact: async (transaction, signal) => {
        const result = await store.transact(transaction, signal);
        if (!result.succeeded) return result;
        const keys = transaction.success.map(({ key }) => key);
        const types = new Set(transaction.success.map(({ type }) => type));
        const hasShelf = transaction.success.some(
          ({ type, key }) => type === 'put' && key.startsWith(metadataPrefixes.shelves),
        );
        if (hasShelf) this.counts[keys.some((key) => key.startsWith('manifests/')) ? 'shelves' : 'merges'] += 1;
        else if (types.size === 1 && types.has('delete')) this.counts.drops += keys.length;
        else if (keys.some((key) => key.startsWith(metadataPrefixes.manifests))) this.counts.flushes += 1;
        this.#checks = this.#checks.then(() => this.#check(result.revision));
        return result;
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

  /** Whether every log can be put together from what is stored now, and has everything that was acknowledged. */
  async #check(revision: number): Promise<void> {
    if (this.violations.length > 0) return;
    const books = [...this.#books.values()];
    // Taken before anything is read: what is acknowledged meanwhile may not be in it.
    const expected = new Map(
      books.map(({ topic: { topicId }, partition, acknowledged, producer }) => [
        `${topicId}/${partition}`,
        { end: Math.max(0, ...[...acknowledged.values()].map((batch) => batch.end)), last: producer.last },
      ]),
    );
    const records = new Map((await this.#all(metadataPrefixes.partitions)).map(({ key, value }) => [key, value]));
    const partitions = books.flatMap(({ topic: { topicId }, partition }) => {
      const value = records.get(metadataKeys.partition(topicId, partition));
      return value === undefined ? [] : [{ topicId, partition, record: metadata.PartitionRecord.decode(value) }];
    });
    const now = (await this.inner.range({ key: 'x' })).revision;
    const results = await recoverPartitions(partitions, now, {
      ...{ store: this.inner, objectStore: this.objects, clock: this.clock, callDeadlineMs },
    });
    for (const [index, { topicId, partition, record }] of partitions.entries()) {
      const result = results[index]!;
      const where = `revision ${revision}, ${topicId.slice(0, 4)}-${partition}`;
      if (result.fault !== undefined) {
        this.violations.push(`${where}: ${result.fault}`);
        continue;
      }
      const { end, last } = expected.get(`${topicId}/${partition}`)!;
      if (result.recovered.nextOffset < end) {
        this.violations.push(`${where}: ends at ${result.recovered.nextOffset}, ${end} is acknowledged`);
      }
      const isKnown = result.committedBatches.some(
        (batch) => batch.firstSequence === last?.sequence && batch.baseOffset === last.offset,
      );
      if (last !== undefined && !isKnown)
        this.violations.push(`${where}: the last batch ${last.sequence} is forgotten`);
      if (Number(record.foldedOffset) > 0) this.counts.folds = Math.max(this.counts.folds, Number(record.foldedOffset));
    }
  }

  /** Every acknowledged record, read from where the stored metadata says it is. */
  async #readEverything(): Promise<void> {
    for (const { topic, partition, acknowledged } of this.#books.values()) {
      const [stored] = await this.#all(metadataKeys.partition(topic.topicId, partition));
      if (stored === undefined) continue;
      const record = metadata.PartitionRecord.decode(stored.value);
      const { revision } = await this.inner.range({ key: 'x' });
      const [result] = await recoverPartitions([{ topicId: topic.topicId, partition, record }], revision, {
        ...{ store: this.inner, objectStore: this.objects, clock: this.clock, callDeadlineMs },
      });
      if (result!.fault !== undefined) throw new Error(result!.fault);
      const extents: Extent[] = [];
      for (const chunk of record.chunks) {
        const { objectKey, position, length } = chunk.list!;
        const start = Number(position);
        const bytes = await this.objects.read(objectKey, { start, end: start + length });
        extents.push(...decodeSegmentChunk(bytes, chunk).map(extentOfSegment));
      }
      extents.push(...record.segments.map(extentOfSegment), ...result!.recovered.extents);
      const found = new Map<number, number>();
      for (const extent of extents) {
        if (extent.nextOffset <= Number(record.logStartOffset)) continue;
        const { objectKey, position, length } = extent;
        const bytes = checked(extent, await this.objects.read(objectKey, { start: position, end: position + length }));
        if (!Buffer.isBuffer(bytes)) throw bytes;
        for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 8) + 12) {
          found.set(Number(bytes.readBigInt64BE(at)), bytes.readUInt32BE(at + 17));
        }
      }
      for (const [offset, { crc }] of acknowledged) {
        if (offset < Number(record.logStartOffset)) continue;
        if (found.get(offset) !== crc)
          this.violations.push(`offset ${offset} of ${partition} is not what was acknowledged`);
      }
    }
  }

  /** Deletes at once whatever nothing refers to, by the floors of the lanes alone (COMMIT.md K7). */
  async #collectGarbage(): Promise<void> {
    const floors = new Map<string, number>();
    const living = new Set((await this.#all(metadataPrefixes.sessions)).map(({ key }) => key.split('/')[1]!));
    for (const { key, value } of await this.#all(metadataPrefixes.lanes)) {
      floors.set(key, Number(metadata.LaneRecord.decode(value).floor));
    }
    const referenced = await this.#references();
    for await (const { key } of this.objects.list('kafscale/')) {
      const name = tiersNames.parse(key);
      if (name === undefined || !('incarnation' in name) || !('sequence' in name) || referenced.has(key)) continue;
      const lane = metadataKeys.lane(name.incarnation, name.kind === 'flush' ? 'data' : 'upkeep');
      if (living.has(name.incarnation) && name.sequence >= floors.get(lane)!) continue;
      this.counts.collected += 1;
      await this.objects.delete([key]);
    }
  }

  async #references(): Promise<ReadonlySet<string>> {
    const keys = new Set<string>();
    const reading = { objectStore: this.objects, clock: this.clock, callDeadlineMs };
    for (const { value } of await this.#all(metadataPrefixes.partitions)) {
      const record = metadata.PartitionRecord.decode(value);
      if (record.producerSnapshot !== undefined) keys.add(record.producerSnapshot.objectKey);
      const segments = [...record.segments];
      for (const chunk of record.chunks) {
        const { objectKey, position, length } = chunk.list!;
        keys.add(objectKey);
        const start = Number(position);
        segments.push(...decodeSegmentChunk(await this.objects.read(objectKey, { start, end: start + length }), chunk));
      }
      for (const { objectKey } of segments) keys.add(objectKey).add(objectKey.replace(/kfs$/, 'index'));
    }
    for (const { value } of await this.#all(metadataPrefixes.manifests)) {
      keys.add(metadata.FlushManifest.decode(value).objectKey);
    }
    for (const { value } of await this.#all(metadataPrefixes.shelves)) {
      const { shelf } = metadata.ShelfRecord.decode(value);
      keys.add(shelf!.objectKey);
      for (const { objectKey } of await readShelf(shelf!, reading)) keys.add(objectKey);
    }
    return keys;
  }

  /** No more faults; every partition gets an owner, everything folds, garbage goes, and all of it is read. */
  async #settle(): Promise<void> {
    this.#faultRate = 0;
    await this.clock.advanceAsync(120_000);
    if (this.#living.length === 0) await this.#start();
    for (let round = 0; round < 8 && this.violations.length === 0; round += 1) {
      for (const topic of this.#topics) {
        for (let partition = 0; partition < partitionCount; partition += 1) {
          const [stored] = await this.#all(metadataKeys.partition(topic.topicId, partition));
          const owner = stored && metadata.PartitionRecord.decode(stored.value).owner;
          const taker = this.#living.find(({ incarnation }) => incarnation === owner) ?? this.#living[0]!;
          void taker.take(topic, partition).catch((error: unknown) => this.#met(error));
        }
      }
      await this.clock.advanceAsync(30_000);
      await this.#refreshMirror();
    }
    await this.clock.advanceAsync(60_000);
    await this.#collectGarbage();
    await this.#checks;
    await this.#check(-1);
    if (this.violations.length === 0) await this.#readEverything();
  }
}
