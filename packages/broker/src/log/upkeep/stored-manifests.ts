/**
 * What manifests and shelves say, wherever they keep it: in the metadata store, in the footer of the flush object, in a shelf object.
 * Checksums are checked; no record is read.
 */
import {
  DecodeError,
  decodeFlushFooter,
  decodeFlushFooterOf,
  decodeShelf,
  decodeShelfOf,
  type metadata,
  type WantedPartitions,
} from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { Extent } from '../partition-log.ts';

export interface ReadingManifests {
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  /** How long one read may take. */
  readonly callDeadlineMs: number;
}

/** What a flush says of the wanted partitions, or of all. Throws StorageError, and MetadataError `corrupt` for one that says nothing. */
export async function describeFlush(
  { objectKey, body }: metadata.FlushManifest,
  reading: ReadingManifests,
  wanted?: WantedPartitions,
): Promise<metadata.FlushDescription> {
  switch (body?.$case) {
    case 'inline':
      return body.value;
    case 'footer': {
      const { position, length, crc32c } = body.value;
      const footer = await readSlice({ objectKey, position, length, crc32c }, reading);
      return asStored(objectKey, () =>
        wanted === undefined ? decodeFlushFooter(footer, crc32c) : decodeFlushFooterOf(footer, crc32c, wanted),
      );
    }
    case undefined:
      throw new MetadataError('corrupt', `the manifest of ${objectKey} says nothing`);
  }
}

/** The manifests on a shelf, oldest first, and what they say of the wanted partitions, or of all. Throws StorageError. */
export async function readShelf(
  slice: metadata.ObjectSlice,
  reading: ReadingManifests,
  wanted?: WantedPartitions,
): Promise<readonly metadata.FlushManifest[]> {
  const bytes = await readSlice(slice, reading);
  return asStored(slice.objectKey, () =>
    wanted === undefined ? decodeShelf(bytes, slice) : decodeShelfOf(bytes, slice, wanted),
  );
}

export const extentOfFlush = (objectKey: string, extent: metadata.FlushExtent): Extent => ({
  baseOffset: Number(extent.baseOffset),
  nextOffset: Number(extent.nextOffset),
  leaderEpoch: extent.leaderEpoch,
  objectKey,
  position: Number(extent.position),
  length: extent.length,
  maxTimestamp: Number(extent.maxTimestamp),
  maxTimestampBaseOffset: Number(extent.maxTimestampBaseOffset),
});

export function readSlice(
  { objectKey, position, length }: metadata.ObjectSlice,
  { objectStore, clock, callDeadlineMs }: ReadingManifests,
): Promise<Buffer> {
  const start = Number(position);
  const range = { start, end: start + length };
  return withDeadline(clock, callDeadlineMs, (signal) => objectStore.read(objectKey, range, signal));
}

/** Whether trying again later is of no use by itself: the object is not there, or not what was stored. */
export const isLost = (error: unknown): boolean =>
  error instanceof StorageError && (error.kind === 'not-found' || error.kind === 'corrupt');

/** Decodes bytes of an object; what does not decode is not what was stored. */
export function asStored<T>(objectKey: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new StorageError('corrupt', `object ${objectKey}: ${error.message}`, { cause: error });
  }
}
