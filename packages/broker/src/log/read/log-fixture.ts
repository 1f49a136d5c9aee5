/** For tests: logs whose records lie in flush objects of a memory store, as the write path would have left them. */
import { crc32c } from '@kafscale/protocol';
import { silentLogger, Slab, SlabPool, systemClock, type Logger } from '@kafscale/runtime';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import {
  nothingFolded,
  PartitionLog,
  type Extent,
  type PartitionIdentity,
  type RecoveredPartition,
} from '../partition-log.ts';
import { BlockCache } from './block-cache.ts';
import { HotTail } from './hot-tail.ts';
import { LogReader } from './log-reader.ts';
import { LogSpans } from '../segments/log-spans.ts';
import type { RecordRefresh } from '../segments/record-refresh.ts';
import { SegmentIndexes } from '../segments/segment-indexes.ts';
import { SegmentLists } from '../segments/segment-lists.ts';
import { Readahead } from './readahead.ts';

const headerBytes = 61;

/** A batch of magic 2 with a right checksum, whose records are so many bytes that nobody decodes. */
export function makeBatch(baseOffset: number, recordCount: number, payloadBytes: number, maxTimestamp = -1): Buffer {
  const batch = Buffer.alloc(headerBytes + payloadBytes);
  batch.writeBigInt64BE(BigInt(baseOffset), 0);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt8(2, 16);
  batch.writeInt32BE(recordCount - 1, 23);
  batch.writeBigInt64BE(BigInt(maxTimestamp), 27);
  batch.writeBigInt64BE(BigInt(maxTimestamp), 35);
  batch.writeBigInt64BE(-1n, 43);
  batch.writeInt16BE(-1, 51);
  batch.writeInt32BE(-1, 53);
  batch.writeInt32BE(recordCount, 57);
  for (let index = 0; index < payloadBytes; index += 1) batch[headerBytes + index] = (baseOffset * 31 + index) & 0xff;
  batch.writeUInt32BE(crc32c(batch, 21), 17);
  return batch;
}

export function makeLog(
  identity: Partial<PartitionIdentity> = {},
  recovered: Partial<RecoveredPartition> = {},
): PartitionLog {
  const topicId = 'dG9waWMtaWQtMDAwMDAwMQ';
  return new PartitionLog(
    { topicId, topicName: 'orders', partition: 0, leaderEpoch: 0, ...identity },
    { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [], ...recovered },
  );
}

export interface ReadingSettings {
  readonly hotTailBytes?: number;
  readonly cacheBytes?: number;
  readonly blockBytes?: number;
  readonly readaheadBytes?: number;
  readonly readaheadSegments?: number;
  readonly listBytes?: number;
  readonly refresh?: RecordRefresh;
  readonly logger?: Logger;
  /** Stands between the cache and the memory store. */
  readonly wrap?: (store: ObjectStore) => ObjectStore;
}

/** The reading side of a broker over a memory store. */
export class ReadingFixture {
  readonly store = new MemoryObjectStore({ clock: systemClock });
  readonly hotTail: HotTail;
  readonly pool: SlabPool;
  readonly cache: BlockCache;
  readonly spans: LogSpans;
  readonly reader: LogReader;
  /** Slabs of the hot tail that somebody holds. */
  hotSlabs = 0;
  #objects = 0;

  constructor({
    hotTailBytes = 0,
    cacheBytes = 1 << 20,
    blockBytes = 1 << 10,
    readaheadBytes = 0,
    readaheadSegments = 1_000,
    listBytes = 1 << 20,
    refresh = { refresh: () => Promise.resolve() },
    logger = silentLogger,
    wrap = (store) => store,
  }: ReadingSettings = {}) {
    this.hotTail = new HotTail(hotTailBytes);
    this.pool = new SlabPool({ slabBytes: blockBytes, maxIdleSlabs: 4 });
    const store = wrap(this.store);
    this.cache = new BlockCache(store, this.pool, { maxBytes: cacheBytes, blockBytes });
    const readahead = new Readahead(this.cache, this.hotTail, { readaheadBytes, readaheadSegments });
    const lists = new SegmentLists(store, { maxBytes: listBytes });
    this.spans = new LogSpans({ lists, refresh, logger });
    const segmentIndexes = new SegmentIndexes(store, logger, { maxBytes: listBytes });
    const { hotTail, cache, spans } = this;
    this.reader = new LogReader({ hotTail, cache, readahead, spans, segmentIndexes, refresh, logger });
  }

  /** Commits one flush object with these batches of each log, `gapBytes` of others' bytes before each run. */
  async commit(
    runs: readonly { readonly log: PartitionLog; readonly batches: readonly Buffer[] }[],
    gapBytes = 0,
  ): Promise<void> {
    const objectKey = `flush-${this.#objects}`;
    this.#objects += 1;
    const parts: Buffer[] = [];
    let position = 0;
    const extents: { readonly log: PartitionLog; readonly extent: Extent }[] = [];
    for (const { log, batches } of runs) {
      parts.push(Buffer.alloc(gapBytes, 0xee));
      position += gapBytes;
      const extent = extentOf(log, batches, objectKey, position);
      parts.push(...batches);
      position += extent.length;
      extents.push({ log, extent });
    }
    await this.store.create(objectKey, parts);
    this.hotSlabs += 1;
    const body = Buffer.concat(parts);
    this.hotTail.add(objectKey, body, new Slab(body, () => (this.hotSlabs -= 1)));
    for (const { log, extent } of extents) log.append(extent);
  }
}

function extentOf(log: PartitionLog, batches: readonly Buffer[], objectKey: string, position: number): Extent {
  const baseOffset = log.highWatermark;
  let nextOffset = baseOffset;
  let length = 0;
  let maxTimestamp = -1;
  let maxTimestampBaseOffset = baseOffset;
  for (const batch of batches) {
    const timestamp = Number(batch.readBigInt64BE(35));
    if (timestamp > maxTimestamp) {
      maxTimestamp = timestamp;
      maxTimestampBaseOffset = nextOffset;
    }
    nextOffset += batch.readInt32BE(23) + 1;
    length += batch.length;
  }
  const { leaderEpoch } = log;
  return { baseOffset, nextOffset, leaderEpoch, objectKey, position, length, maxTimestamp, maxTimestampBaseOffset };
}
