/** For tests of folding: logs whose batches lie in flush objects of a memory store, and records that tests can change behind its back. */
import type { metadata } from '@kafscale/protocol';
import { silentLogger, type Logger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { FaultyObjectStore } from '../../storage/faulty-object-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { ObjectNames } from '../../storage/object-names.ts';
import type { PartitionLog } from '../partition-log.ts';
import { PartitionLogs } from '../partition-logs.ts';
import type { CommittedBatch } from '../producer-state.ts';
import { HotTail } from '../read/hot-tail.ts';
import { makeBatch, makeLog } from '../read/log-fixture.ts';
import { checked } from './fold-sources.ts';
import { Folding, type RecordChange } from './folding.ts';
import { Publications } from './publications.ts';
import { extentOfSegment } from '../segments/folded-log.ts';

export const foldAfterMs = 10_000;
export const segmentBytes = 4_096;

export class FoldingFixture {
  readonly clock = new FakeClock();
  readonly memory = new MemoryObjectStore({ clock: this.clock });
  readonly objectStore = new FaultyObjectStore(this.memory, { clock: this.clock });
  readonly logs = new PartitionLogs();
  readonly records = new Map<PartitionLog, metadata.PartitionRecord>();
  readonly producers = new Map<PartitionLog, readonly CommittedBatch[]>();
  readonly names = new ObjectNames('kafscale');
  readonly floors: number[] = [];
  readonly rounds: { readonly bytes: number; readonly partitions: number }[] = [];
  failures = 0;
  /** Runs before records are changed. */
  beforeUpdate: () => Promise<void> | void = () => undefined;
  readonly folding: Folding;
  #flushes = 0;

  constructor(logger: Logger = silentLogger, roundBytes?: number) {
    const { clock, objectStore, logs, names } = this;
    let unique = 0;
    this.folding = new Folding({
      ...{ clock, objectStore, logs, names, logger, clusterId: 'c', incarnation: 'i', brokerId: 1 },
      committedBatchesOf: (log) => this.producers.get(log) ?? [],
      updateRecords: (changes) => this.#update(changes),
      hotTail: new HotTail(0),
      publications: new Publications({
        names,
        lane: { raiseFloor: (floor) => this.floors.push(floor) },
        incarnation: 'i',
        unique: () => `u${(unique += 1)}`,
      }),
      observer: {
        onRound: (round) => this.rounds.push(round),
        onFailed: () => (this.failures += 1),
      },
      settings: { foldAfterMs, segmentBytes },
      callDeadlineMs: 1_000,
      uploadDeadlineMs: 1_000,
      roundBytes,
    });
  }

  open(partition = 0, topicName = 'orders'): PartitionLog {
    const log = makeLog({ partition, topicName, leaderEpoch: 2 });
    this.logs.open(log);
    this.records.set(log, {
      ...{ owner: 'i', brokerId: 1, leaderEpoch: 2, logStartOffset: 0n, foldedOffset: 0n, epochStarts: [] },
      ...{ nextOffset: 0n, chunks: [], segments: [], producerSnapshot: undefined },
    });
    return log;
  }

  /** One flush with one batch of so many bytes for each log. */
  async flush(logs: readonly PartitionLog[], bytes = 200): Promise<string> {
    const sequence = this.#flushes;
    this.#flushes += 1;
    const objectKey = this.names.flush({ incarnation: 'i', sequence, unique: 'f' });
    const batches = logs.map((log) => {
      const batch = makeBatch(log.highWatermark, 2, bytes - 61, 1_000 + log.highWatermark);
      batch.writeInt32BE(log.leaderEpoch, 12);
      return batch;
    });
    await this.memory.create(objectKey, batches);
    let position = 0;
    for (const [index, log] of logs.entries()) {
      const { length } = batches[index]!;
      const baseOffset = log.highWatermark;
      log.append({
        ...{ baseOffset, nextOffset: baseOffset + 2, leaderEpoch: log.leaderEpoch, objectKey, position, length },
        ...{ maxTimestamp: 1_000 + baseOffset, maxTimestampBaseOffset: baseOffset },
      });
      position += length;
    }
    return objectKey;
  }

  /** Long enough for everything that is there to be due, and folded. */
  async pass(ms = 7 * foldAfterMs): Promise<void> {
    await this.clock.advanceAsync(ms);
  }

  /** The log's batches from its start on, read from where the record and the log say they are. */
  async read(log: PartitionLog): Promise<Buffer> {
    const { segments, foldedOffset } = this.records.get(log)!;
    const unfolded = log.extents.filter(({ baseOffset }) => baseOffset >= Number(foldedOffset));
    const parts: Buffer[] = [];
    for (const extent of [...segments.map(extentOfSegment), ...unfolded]) {
      const { objectKey, position, length } = extent;
      const bytes = checked(extent, await this.memory.read(objectKey, { start: position, end: position + length }));
      if (!Buffer.isBuffer(bytes)) throw bytes;
      parts.push(bytes);
    }
    return Buffer.concat(parts);
  }

  async keys(): Promise<readonly string[]> {
    const keys: string[] = [];
    for await (const { key } of this.memory.list('')) keys.push(key);
    return keys;
  }

  async #update(changes: readonly RecordChange[]): Promise<readonly (Error | undefined)[]> {
    await this.beforeUpdate();
    return changes.map(({ topicId, partition, change }) => {
      const log = [...this.records.keys()].findLast((one) => one.topicId === topicId && one.partition === partition);
      try {
        if (log === undefined) throw new MetadataError('conflict', 'not owned');
        this.records.set(log, change(this.records.get(log)!));
        return undefined;
      } catch (error) {
        return error as Error;
      }
    });
  }
}
