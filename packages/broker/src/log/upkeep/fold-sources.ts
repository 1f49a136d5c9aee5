/**
 * The batches that a fold moves: each object is read once for all partitions, from memory where it is still there, and every batch is
 * checked before it goes anywhere: its checksum, its offsets, its epoch. What fails is not moved. What is read along with them, since it
 * lies between, is kept no longer than the read itself: a round is planned by what is wanted, and all of that lies in memory together.
 */
import { batchEnd, DecodeError, RecordBatchView } from '@kafscale/protocol';
import { mapConcurrently, withDeadline, type Clock } from '@kafscale/runtime';
import type { ByteRange, ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { Extent } from '../partition-log.ts';
import type { HotTail } from '../read/hot-tail.ts';
import type { FoldMemory } from './fold-memory.ts';
import type { FoldPace } from './fold-pace.ts';
import { isLost } from './stored-manifests.ts';

export interface FoldSourcesDependencies {
  readonly objectStore: ObjectStore;
  readonly hotTail: Pick<HotTail, 'hold'>;
  readonly clock: Clock;
  readonly pace: FoldPace;
  /** Where the bytes go. */
  readonly memory: FoldMemory;
  readonly callDeadlineMs: number;
}

/** The bytes of an extent, checked; or why they cannot be had, ever. */
export type LoadedExtent = Buffer | StorageError;

interface Reading {
  readonly objectKey: string;
  readonly start: number;
  end: number;
  /** Of its extents. */
  wantedBytes: number;
  readonly extents: Extent[];
}

const readsAtOnce = 8;
const maxGapBytes = 128 * 2 ** 10;
const maxReadBytes = 4 * 2 ** 20;
/** Of a read that much may be of others for it to be kept as it came. */
const keptGapShare = 1 / 8;
/** Other reads with gaps; each takes memory for all of them. */
const gappyReadsAtOnce = 2;

/** Throws StorageError when the store does not answer, and the signal's reason. */
export async function loadExtents(
  extents: readonly Extent[],
  dependencies: FoldSourcesDependencies,
  signal: AbortSignal,
): Promise<ReadonlyMap<Extent, LoadedExtent>> {
  const loaded = new Map<Extent, LoadedExtent>();
  const load = async (reading: Reading, keep: typeof readWhole): Promise<void> => {
    signal.throwIfAborted();
    for (const [extent, bytes] of await keep(reading, dependencies)) {
      loaded.set(extent, bytes);
      await dependencies.pace.spend(extent.length, signal);
    }
  };
  const readings = readingsOf(extents);
  const isGappy = ({ start, end, wantedBytes }: Reading) => end - start - wantedBytes > keptGapShare * wantedBytes;
  const dense = readings.filter((reading) => !isGappy(reading));
  await mapConcurrently(dense, readsAtOnce, (reading) => load(reading, readWhole));
  await mapConcurrently(readings.filter(isGappy), gappyReadsAtOnce, (reading) => load(reading, readParts));
  return loaded;
}

type Loaded = readonly (readonly [Extent, LoadedExtent])[];

/** The extents where they came to lie. */
async function readWhole(
  { objectKey, start, end, extents }: Reading,
  sources: FoldSourcesDependencies,
): Promise<Loaded> {
  const into = sources.memory.allocate(end - start);
  const bytes = await readRange(objectKey, { start, end }, into, sources);
  return extents.map(
    (extent) => [extent, bytes instanceof StorageError ? bytes : partOf(bytes, extent, start)] as const,
  );
}

/** The extents without what lies between them. */
async function readParts(
  { objectKey, start, end, extents }: Reading,
  sources: FoldSourcesDependencies,
): Promise<Loaded> {
  const { memory } = sources;
  const scratch = memory.borrow(end - start);
  try {
    const bytes = await readRange(objectKey, { start, end }, scratch.bytes, sources);
    return extents.map((extent) => {
      const part = bytes instanceof StorageError ? bytes : partOf(bytes, extent, start);
      if (part instanceof StorageError) return [extent, part] as const;
      const kept = memory.allocate(part.length);
      part.copy(kept);
      return [extent, kept] as const;
    });
  } finally {
    scratch.giveBack();
  }
}

const partOf = (bytes: Buffer, extent: Extent, start: number): LoadedExtent =>
  checked(extent, bytes.subarray(extent.position - start, extent.position - start + extent.length));

async function readRange(
  objectKey: string,
  { start, end }: ByteRange,
  into: Buffer,
  { objectStore, hotTail, clock, callDeadlineMs }: FoldSourcesDependencies,
): Promise<LoadedExtent> {
  const held = hotTail.hold(objectKey);
  if (held !== undefined) {
    // A copy, so that the memory of the newest objects is not kept from being used again for as long as a fold takes.
    const length = held.bytes.copy(into, 0, start, end);
    held.release();
    return into.subarray(0, length);
  }
  try {
    return await withDeadline(clock, callDeadlineMs, (signal) =>
      objectStore.read(objectKey, { start, end }, signal, into),
    );
  } catch (error) {
    if (isLost(error)) return error as StorageError;
    throw error;
  }
}

/** The whole bytes of the extent, or what is wrong with them. */
export function checked(extent: Extent, bytes: Buffer): LoadedExtent {
  const corrupt = (what: string) =>
    new StorageError('corrupt', `object ${extent.objectKey}, extent at offset ${extent.baseOffset}: ${what}`);
  if (bytes.length !== extent.length) return corrupt(`${bytes.length} bytes where ${extent.length} were stored`);
  let nextOffset = extent.baseOffset;
  let leaderEpoch = 0;
  try {
    for (let start = 0; start < bytes.length;) {
      const end = batchEnd(bytes, start);
      if (end === undefined) return corrupt('its last batch is cut');
      const batch = new RecordBatchView(bytes, start);
      if (batch.baseOffset !== nextOffset) return corrupt(`offset ${batch.baseOffset} where ${nextOffset} is next`);
      if (batch.nextOffset <= nextOffset) return corrupt(`a batch that ends at offset ${batch.nextOffset}`);
      if (batch.partitionLeaderEpoch < leaderEpoch) return corrupt(`leader epoch ${batch.partitionLeaderEpoch}`);
      if (batch.crc !== batch.computeCrc()) return corrupt(`the batch at offset ${nextOffset} fails its checksum`);
      ({ nextOffset, partitionLeaderEpoch: leaderEpoch } = batch);
      start = end;
    }
  } catch (error) {
    if (error instanceof DecodeError) return corrupt(error.message);
    throw error;
  }
  if (nextOffset !== extent.nextOffset) return corrupt(`it ends at offset ${nextOffset}, not at ${extent.nextOffset}`);
  if (leaderEpoch !== extent.leaderEpoch) return corrupt(`leader epoch ${leaderEpoch}, not ${extent.leaderEpoch}`);
  return bytes;
}

function readingsOf(extents: readonly Extent[]): Reading[] {
  const byObject = new Map<string, Extent[]>();
  for (const extent of extents) {
    const others = byObject.get(extent.objectKey);
    if (others === undefined) byObject.set(extent.objectKey, [extent]);
    else others.push(extent);
  }
  const readings: Reading[] = [];
  for (const [objectKey, inObject] of byObject) {
    inObject.sort((left, right) => left.position - right.position);
    let reading: Reading | undefined;
    for (const extent of inObject) {
      const end = extent.position + extent.length;
      const joins =
        reading !== undefined &&
        extent.position <= reading.end + maxGapBytes &&
        end - reading.start <= Math.max(maxReadBytes, reading.end - reading.start);
      if (!joins) {
        reading = { objectKey, start: extent.position, end: extent.position, wantedBytes: 0, extents: [] };
        readings.push(reading);
      }
      reading!.end = Math.max(reading!.end, end);
      reading!.wantedBytes += extent.length;
      reading!.extents.push(extent);
    }
  }
  return readings;
}
