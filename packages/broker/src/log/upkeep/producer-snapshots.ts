/**
 * Producer snapshots as owners store them: what a partition knew of its producers when it was folded, because the manifests that said
 * so are gone (COMMIT.md F11). Those of many partitions lie side by side in one index object and are read together.
 */
import { decodeProducerSnapshot, type metadata } from '@kafscale/protocol';
import { mapConcurrently } from '@kafscale/runtime';
import type { CommittedBatch } from '../producer-state.ts';
import { asStored, isLost, readSlice, type ReadingManifests } from './stored-manifests.ts';

/** A snapshot, or why it cannot be had, ever. */
export type ReadSnapshot =
  { readonly snapshot: metadata.ProducerSnapshot | undefined; readonly fault?: undefined } | { readonly fault: string };

interface Wanted {
  readonly index: number;
  readonly slice: metadata.ObjectSlice;
}

/** Slices of one object that are read together. */
interface Run {
  readonly objectKey: string;
  readonly start: number;
  end: number;
  readonly wanted: Wanted[];
}

const maxGapBytes = 64 * 2 ** 10;
const maxRunBytes = 4 * 2 ** 20;
const readsAtOnce = 32;

/** One for each slice, in their order; none for a partition that has none. Throws StorageError when the store does not answer. */
export async function readProducerSnapshots(
  slices: readonly (metadata.ObjectSlice | undefined)[],
  reading: ReadingManifests,
): Promise<readonly ReadSnapshot[]> {
  const results: ReadSnapshot[] = slices.map(() => ({ snapshot: undefined }));
  await mapConcurrently(runsOf(slices), readsAtOnce, async ({ objectKey, start, end, wanted }) => {
    let bytes: Buffer;
    try {
      bytes = await readSlice({ objectKey, position: BigInt(start), length: end - start, crc32c: 0 }, reading);
    } catch (error) {
      if (!isLost(error)) throw error;
      for (const { index } of wanted) results[index] = { fault: faultOf(objectKey, error) };
      return;
    }
    for (const { index, slice } of wanted) {
      const from = Number(slice.position) - start;
      results[index] = decode(objectKey, bytes.subarray(from, from + slice.length), slice);
    }
  });
  return results;
}

/** As the rules of sequences want them: in the order of the log. */
export const committedBatchesOf = (batches: readonly metadata.ProducerBatch[]): CommittedBatch[] =>
  batches.map((batch) => ({
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    firstSequence: batch.firstSequence,
    lastSequence: batch.lastSequence,
    baseOffset: Number(batch.baseOffset),
    lastTimestamp: Number(batch.lastTimestamp),
  }));

/** What is to be stored of the producers of a log that ends at `offset`. */
export function snapshotOf(offset: number, batches: readonly CommittedBatch[]): metadata.ProducerSnapshot {
  return {
    offset: BigInt(offset),
    batches: batches.map(({ baseOffset, lastTimestamp, ...batch }) => ({
      ...batch,
      baseOffset: BigInt(baseOffset),
      lastTimestamp: BigInt(lastTimestamp),
    })),
  };
}

function decode(objectKey: string, bytes: Buffer, slice: metadata.ObjectSlice): ReadSnapshot {
  try {
    return { snapshot: asStored(objectKey, () => decodeProducerSnapshot(bytes, slice)) };
  } catch (error) {
    if (!isLost(error)) throw error;
    return { fault: faultOf(objectKey, error) };
  }
}

const faultOf = (objectKey: string, error: unknown) =>
  `the producer snapshot in ${objectKey} cannot be read: ${error instanceof Error ? error.message : String(error)}`;

function runsOf(slices: readonly (metadata.ObjectSlice | undefined)[]): Run[] {
  const byObject = new Map<string, Wanted[]>();
  for (const [index, slice] of slices.entries()) {
    if (slice === undefined) continue;
    const wanted = byObject.get(slice.objectKey) ?? [];
    byObject.set(slice.objectKey, wanted);
    wanted.push({ index, slice });
  }
  const runs: Run[] = [];
  for (const [objectKey, wanted] of byObject) {
    wanted.sort((left, right) => Number(left.slice.position - right.slice.position));
    let run: Run | undefined;
    for (const one of wanted) {
      const start = Number(one.slice.position);
      const end = start + one.slice.length;
      if (run === undefined || start > run.end + maxGapBytes || end - run.start > maxRunBytes) {
        run = { objectKey, start, end, wanted: [] };
        runs.push(run);
      }
      run.end = Math.max(run.end, end);
      run.wanted.push(one);
    }
  }
  return runs;
}
