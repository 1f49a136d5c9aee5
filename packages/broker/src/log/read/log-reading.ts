/** Everything of an incarnation that reads logs, built together. */
import type { BrokerConfig } from '@kafscale/protocol';
import { SlabPool, type Clock, type Logger } from '@kafscale/runtime';
import type { MemoryShares } from '../../config/memory-shares.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { CappedObjectStore } from '../../storage/capped-object-store.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { LogSpans } from '../segments/log-spans.ts';
import { StoredRecordRefresh, type RecordRefresh } from '../segments/record-refresh.ts';
import { SegmentIndexes } from '../segments/segment-indexes.ts';
import { SegmentLists } from '../segments/segment-lists.ts';
import { TimeIndex } from '../time-index.ts';
import { BlockCache } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';
import { LogReader } from './log-reader.ts';
import { Readahead } from './readahead.ts';

export interface LogReadingDependencies {
  readonly config: BrokerConfig;
  readonly shares: Pick<MemoryShares, 'cacheBytes' | 'segmentListBytes'>;
  readonly hotTail: HotTail;
  readonly objectStore: ObjectStore;
  readonly metadataStore: MetadataStore;
  readonly incarnation: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly callDeadlineMs: number;
  /** Of logs that this broker only follows; of those that it owns unless told. */
  readonly refresh?: RecordRefresh | undefined;
}

export interface LogReading {
  readonly cache: BlockCache;
  readonly spans: LogSpans;
  readonly reader: LogReader;
  readonly timeIndex: TimeIndex;
}

const maxIdleSlabs = 8;
/** Reads that wait for a place; a reader that finds none tries again later. */
const maxWaitingReads = 10_000;

/** What lies below the hot tail is read with at most half of the store's places, so that catching up never holds up a flush. */
export function openLogReading({
  config,
  shares,
  hotTail,
  objectStore,
  metadataStore: store,
  incarnation,
  clock,
  logger: parent,
  callDeadlineMs,
  refresh = new StoredRecordRefresh({ store, clock, incarnation, callDeadlineMs }),
}: LogReadingDependencies): LogReading {
  const logger = parent.child({ component: 'log-reader' });
  const coldStore = new CappedObjectStore(objectStore, {
    maxInFlight: Math.ceil(config.s3Concurrency / 2),
    maxWaiting: maxWaitingReads,
  });
  const cache = new BlockCache(coldStore, new SlabPool({ slabBytes: config.cacheBlockBytes, maxIdleSlabs }), {
    maxBytes: shares.cacheBytes,
    maxLoadingBytes: Math.max(shares.cacheBytes / 2, config.cacheBlockBytes),
    blockBytes: config.cacheBlockBytes,
  });
  const maxBytes = shares.segmentListBytes / 2;
  const spans = new LogSpans({ lists: new SegmentLists(coldStore, { maxBytes }), refresh, logger });
  const segmentIndexes = new SegmentIndexes(coldStore, logger, { maxBytes });
  const readahead = new Readahead(cache, hotTail, config);
  const reader = new LogReader({ hotTail, cache, readahead, spans, segmentIndexes, refresh, logger });
  return { cache, spans, reader, timeIndex: new TimeIndex(reader, spans) };
}
