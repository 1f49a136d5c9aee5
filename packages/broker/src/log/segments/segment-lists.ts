/** The segments of chunks, read from index objects when somebody needs them, checked, and kept for all partitions together. */
import { DecodeError, decodeSegmentChunk } from '@kafscale/protocol';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { findByOffset, type Extent, type ExtentChunk, type LogSpan } from '../partition-log.ts';
import { extentOfSegment } from './folded-log.ts';
import { SharedLoads, type Sized } from './shared-loads.ts';

/** What a segment takes in memory besides its key, about. */
const extentBytes = 160;

class ChunkSpan implements LogSpan, Sized {
  readonly extents: readonly Extent[];
  readonly sizeBytes: number;

  constructor(extents: readonly Extent[]) {
    this.extents = extents;
    this.sizeBytes = extents.reduce((sum, { objectKey }) => sum + extentBytes + objectKey.length, 0);
  }

  findExtent(offset: number): number {
    return findByOffset(this.extents, offset);
  }
}

export class SegmentLists {
  readonly #store: ObjectStore;
  readonly #spans: SharedLoads<ChunkSpan>;

  constructor(store: ObjectStore, { maxBytes }: { readonly maxBytes: number }) {
    this.#store = store;
    this.#spans = new SharedLoads(maxBytes);
  }

  get sizeBytes(): number {
    return this.#spans.sizeBytes;
  }

  /** The chunk's segments when they are in memory. */
  get(chunk: ExtentChunk): LogSpan | undefined {
    return this.#spans.get(chunkName(chunk));
  }

  /**
   * The chunk's segments, contiguous from its start to its end; callers at the same time share one read. Throws StorageError: what
   * the store throws, `corrupt` for anything but the list that the chunk describes.
   */
  load(chunk: ExtentChunk, signal?: AbortSignal): Promise<LogSpan> {
    return this.#spans.load(chunkName(chunk), () => this.#read(chunk), signal);
  }

  discard(chunk: ExtentChunk): void {
    this.#spans.discard(chunkName(chunk));
  }

  async #read({ described }: ExtentChunk): Promise<ChunkSpan> {
    const { objectKey, position, length } = sliceOf(described);
    const start = Number(position);
    const bytes = await this.#store.read(objectKey, { start, end: start + length });
    try {
      return new ChunkSpan(decodeSegmentChunk(bytes, described).map(extentOfSegment));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new StorageError('corrupt', `object ${objectKey} at ${start}: ${error.message}`, { cause: error });
    }
  }
}

function sliceOf({ list }: ExtentChunk['described']) {
  if (list === undefined) throw new StorageError('corrupt', 'a chunk of segments names no object');
  return list;
}

/** The object in which the chunk's segments are listed. */
export const listObjectOf = ({ described }: ExtentChunk): string => described.list?.objectKey ?? '';

/** One text for each chunk, the same however often its record was read. */
export const chunkName = (chunk: ExtentChunk): string =>
  `${listObjectOf(chunk)}#${chunk.described.list?.position ?? 0}`;
