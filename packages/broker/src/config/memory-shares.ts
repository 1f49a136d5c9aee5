/**
 * How a broker's memory is divided: what the settings leave open follows from one total. Why these shares:
 * docs/adr/0016-one-owner-of-memory.md.
 */
import type { BrokerConfig } from '@kafscale/protocol';

export type MemorySettings = Pick<
  BrokerConfig,
  'memoryBytes' | 'hotTailBytes' | 'cacheBytes' | 'segmentListBytes' | 'maxInFlightBytes' | 'flushBytes'
>;

export interface MemoryShares {
  /** What the process is to stay within. */
  readonly processBytes: number;
  /** For everything that is not records: code, JavaScript's heap, sockets' buffers, what an allocator cannot use. */
  readonly otherBytes: number;
  /** For requests, flushes, the hot tail, folding and answers together: each takes what the others leave. */
  readonly recordBytes: number;
  /** The slabs that all of these lie in. */
  readonly slabBytes: number;
  /** Of requests that are not answered. */
  readonly maxInFlightBytes: number;
  /** Of memory that connections read into. */
  readonly readingBytes: number;
  readonly hotTailBytes: number;
  /** Of the hot tail, whatever requests need. */
  readonly hotTailKeptBytes: number;
  /** One round of folding. */
  readonly foldBytes: number;
  /** Of answers that clients have not taken: beyond it they are not given more, and who does not read is disconnected. */
  readonly answerBytes: number;
  /** What may be known of flushes before their partitions come: taken from requests and folding while it is. */
  readonly knownFlushBytes: number;
  readonly cacheBytes: number;
  readonly segmentListBytes: number;
}

const MB = 1e6;
const MiB = 2 ** 20;
const defaultProcessBytes = 512 * MB;
/** Of a container's limit: the kernel counts what its sockets hold as well. */
const shareOfLimit = 0.9;
const minOtherBytes = 140 * MB;
const shareOfOthers = 1 / 5;
/** However small the rest is, a broker that serves at all has so much for records. */
const minRecordBytes = 48 * MiB;
const minSlabBytes = 4 * MiB;
const maxSlabBytes = 16 * MiB;
/** What a full flush has beside its batches: its footer, nearly always. */
const footerBytes = MiB / 4;
const maxFoldBytes = 64 * MiB;
const minFoldBytes = 8 * MiB;

/** `limitBytes` is what the system lets the process have, undefined where that is all there is. */
export function memoryShares(settings: MemorySettings, limitBytes?: number): MemoryShares {
  const processBytes =
    settings.memoryBytes ?? (limitBytes === undefined ? defaultProcessBytes : limitBytes * shareOfLimit);
  const otherBytes = Math.max(minOtherBytes, processBytes * shareOfOthers);
  const divided = Math.max(0, processBytes - otherBytes);
  const cacheBytes = settings.cacheBytes ?? wholeMiB(divided / 15);
  const segmentListBytes = settings.segmentListBytes ?? wholeMiB(divided / 22);
  const recordBytes = Math.max(minRecordBytes, divided - cacheBytes - segmentListBytes);
  const hotTailBytes = Math.min(settings.hotTailBytes ?? wholeMiB(recordBytes / 5), recordBytes / 2);
  return {
    processBytes,
    otherBytes,
    recordBytes,
    slabBytes: Math.min(maxSlabBytes, Math.max(minSlabBytes, settings.flushBytes + footerBytes)),
    maxInFlightBytes: settings.maxInFlightBytes ?? wholeMiB(recordBytes * 0.85),
    readingBytes: recordBytes / 4,
    hotTailBytes,
    hotTailKeptBytes: Math.min(hotTailBytes, recordBytes / 32),
    foldBytes: Math.max(minFoldBytes, Math.min(maxFoldBytes, wholeMiB(recordBytes / 5))),
    answerBytes: recordBytes / 5,
    knownFlushBytes: recordBytes / 5,
    cacheBytes,
    segmentListBytes,
  };
}

const wholeMiB = (bytes: number) => Math.max(1, Math.floor(bytes / MiB)) * MiB;
