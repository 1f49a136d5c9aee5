/**
 * Stores what a round of folding moved: runs of a segment's size as a segment and its index, all others side by side in merged objects,
 * which are laid out as flush objects are. The bytes of the batches stay as they were.
 */
import { encodeFlushFooter, encodeSegmentObject, type metadata } from '@kafscale/protocol';
import { mapConcurrently, withDeadline, type Clock } from '@kafscale/runtime';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Extent, PartitionLog } from '../partition-log.ts';
import type { FoldPace } from './fold-pace.ts';
import type { Publication } from './publications.ts';

/** A run of one partition that is to become one segment, or one part of a merged object. */
export interface RunToStore {
  readonly log: PartitionLog;
  /** What it is made of: extents in order, without a gap, each with its bytes. */
  readonly sources: readonly { readonly extent: Extent; readonly bytes: Buffer }[];
}

export interface StoringRuns {
  readonly objectStore: ObjectStore;
  readonly publication: Publication;
  readonly clock: Clock;
  readonly pace: FoldPace;
  readonly clusterId: string;
  readonly incarnation: string;
  readonly segmentBytes: number;
  readonly uploadDeadlineMs: number;
}

const uploadsAtOnce = 2;
/** A merged object takes no further run from this size on. */
const mergedObjectBytes = 16 * 2 ** 20;

/** Where each run lies once the promise resolves, in their order. Throws StorageError, and the signal's reason. */
export async function storeRuns(
  runs: readonly RunToStore[],
  storing: StoringRuns,
  signal: AbortSignal,
): Promise<readonly metadata.Segment[]> {
  const places = new Map<RunToStore, metadata.Segment>();
  const alone = runs.filter((run) => sizeOf(run) >= storing.segmentBytes);
  const together = runs.filter((run) => sizeOf(run) < storing.segmentBytes);
  const works = [
    ...alone.map((run) => async () => void places.set(run, await storeSegment(run, storing))),
    ...groupsOf(together).map((group) => async () => {
      for (const [run, segment] of await storeMerged(group, storing)) places.set(run, segment);
    }),
  ];
  await mapConcurrently(works, uploadsAtOnce, async (work) => {
    signal.throwIfAborted();
    await work();
    await storing.pace.spend(0, signal);
  });
  return runs.map((run) => places.get(run)!);
}

const sizeOf = ({ sources }: RunToStore) => sources.reduce((sum, { bytes }) => sum + bytes.length, 0);

async function storeSegment(run: RunToStore, storing: StoringRuns): Promise<metadata.Segment> {
  const { publication, clock } = storing;
  const { topicName, partition } = run.log;
  const described = describeRun(run);
  const encoded = encodeSegmentObject({ batches: run.sources.map(({ bytes }) => bytes), createdMs: clock.wallMs() });
  if (BigInt(encoded.baseOffset) !== described.baseOffset || BigInt(encoded.nextOffset) !== described.nextOffset) {
    throw new Error(`a segment from ${encoded.baseOffset} to ${encoded.nextOffset} is not the run that was read`);
  }
  const names = publication.nameSegment(
    { topicName, partition, baseOffset: encoded.baseOffset },
    publication.nextSequence(),
  );
  await create(names.segment, encoded.object, storing);
  await create(names.index, encoded.index, storing);
  return { ...described, objectKey: names.segment, position: BigInt(encoded.position) };
}

async function storeMerged(
  runs: readonly RunToStore[],
  storing: StoringRuns,
): Promise<readonly (readonly [RunToStore, metadata.Segment])[]> {
  const { publication, clock, clusterId, incarnation } = storing;
  const sequence = publication.nextSequence();
  const objectKey = publication.nameFlat('merged', sequence);
  const topics = new Map<string, metadata.FlushTopic>();
  const segments: (readonly [RunToStore, metadata.Segment])[] = [];
  let position = 0n;
  for (const run of runs) {
    const { topicId, topicName, partition } = run.log;
    const described = describeRun(run);
    segments.push([run, { ...described, objectKey, position }]);
    const topic = topics.get(topicId) ?? { topicId: Buffer.from(topicId, 'base64url'), name: topicName, extents: [] };
    topics.set(topicId, topic);
    topic.extents.push({
      ...described,
      ...{ partition, position, length: Number(described.length), producerBatches: [] },
    });
    position += described.length;
  }
  const { footer, trailer } = encodeFlushFooter({
    clusterId,
    incarnation,
    sequence: BigInt(sequence),
    buildsOn: -1n,
    createdMs: BigInt(clock.wallMs()),
    topics: [...topics.values()],
  });
  const batches = runs.flatMap(({ sources }) => sources.map(({ bytes }) => bytes));
  await create(objectKey, [...batches, footer, trailer], storing);
  return segments;
}

/** Everything but where it lies. */
function describeRun(run: RunToStore): Omit<metadata.Segment, 'objectKey' | 'position'> {
  const first = run.sources[0]!.extent;
  const last = run.sources.at(-1)!.extent;
  let latest = first;
  for (const { extent } of run.sources) if (extent.maxTimestamp > latest.maxTimestamp) latest = extent;
  return {
    baseOffset: BigInt(first.baseOffset),
    nextOffset: BigInt(last.nextOffset),
    length: BigInt(sizeOf(run)),
    maxTimestamp: BigInt(latest.maxTimestamp),
    maxTimestampBaseOffset: BigInt(latest.maxTimestampBaseOffset),
    leaderEpoch: last.leaderEpoch,
  };
}

function groupsOf(runs: readonly RunToStore[]): RunToStore[][] {
  const groups: RunToStore[][] = [];
  let bytes = mergedObjectBytes;
  for (const run of runs) {
    if (bytes >= mergedObjectBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(run);
    bytes += sizeOf(run);
  }
  return groups;
}

function create(objectKey: string, body: readonly Buffer[], { objectStore, clock, uploadDeadlineMs }: StoringRuns) {
  return withDeadline(clock, uploadDeadlineMs, (signal) => objectStore.create(objectKey, body, signal));
}
