/**
 * Where in a large segment an offset lies, by the index that is stored beside it. An index only spares reading: without one the
 * segment is walked from its start.
 */
import { DecodeError, SegmentIndex } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import { indexOfSegment } from '../../storage/object-names.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { Extent } from '../partition-log.ts';
import type { BatchBoundary } from '../read/read-positions.ts';
import { SharedLoads } from './shared-loads.ts';

/** A larger index is not an index of ours. */
const maxIndexBytes = 16 * 2 ** 20;

export class SegmentIndexes {
  readonly #store: ObjectStore;
  readonly #logger: Logger;
  readonly #indexes: SharedLoads<SegmentIndex>;

  constructor(store: ObjectStore, logger: Logger, { maxBytes }: { readonly maxBytes: number }) {
    this.#store = store;
    this.#logger = logger;
    this.#indexes = new SharedLoads(maxBytes);
  }

  get sizeBytes(): number {
    return this.#indexes.sizeBytes;
  }

  /**
   * A batch of the extent that begins at or before `offset`, close to it; undefined when the extent has no index, or none that can
   * be read. Throws StorageError `aborted`.
   */
  async placeBefore(extent: Extent, offset: number, signal?: AbortSignal): Promise<BatchBoundary | undefined> {
    const key = indexOfSegment(extent.objectKey);
    if (key === undefined) return undefined;
    try {
      const index = await this.#indexes.load(key, () => this.#read(key), signal);
      const entry = index.find(offset);
      if (entry === undefined || !isWithin(extent, entry)) return undefined;
      return { offset: entry.baseOffset, position: entry.position };
    } catch (error) {
      if (!(error instanceof StorageError) || error.kind === 'aborted') throw error;
      this.#logger.warn({ objectKey: key, err: error }, 'a segment is read without its index');
      return undefined;
    }
  }

  /** The index led to where no such batch is. */
  discard(extent: Extent): void {
    const key = indexOfSegment(extent.objectKey);
    if (key !== undefined) this.#indexes.discard(key);
  }

  async #read(key: string): Promise<SegmentIndex> {
    const bytes = await this.#store.read(key, { start: 0, end: maxIndexBytes });
    try {
      return new SegmentIndex(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new StorageError('corrupt', `object ${key}: ${error.message}`, { cause: error });
    }
  }
}

const isWithin = (
  extent: Extent,
  { baseOffset, position }: { readonly baseOffset: number; readonly position: number },
) => baseOffset >= extent.baseOffset && position >= extent.position && position < extent.position + extent.length;
