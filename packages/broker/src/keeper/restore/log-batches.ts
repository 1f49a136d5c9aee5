/**
 * The batches of one log from an offset on, in order, wherever they lie. Each is checked on the way: a restore copies nothing that is
 * damaged. What was folded into other objects meanwhile is looked up again.
 */
import { batchOverheadBytes, recordBatchHeaderBytes, RecordBatchView } from '@kafscale/protocol';
import { extentOfSegment } from '../../log/segments/folded-log.ts';
import type { Extent } from '../../log/partition-log.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { segmentsOf } from '../cluster-state.ts';
import type { StoreAccess } from '../store-access.ts';
import { logKey, readClusterLogs, tiled, type ClusterLog } from '../verify/cluster-logs.ts';
import type { ObjectReader } from '../verify/object-reader.ts';

/** The source cannot be copied, and why. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault';
}

const maxLookups = 5;

/** Views that hold until the next one is asked for. Throws SourceFault, StorageError, MetadataError. */
export async function* batchesOf(
  log: ClusterLog,
  reader: ObjectReader,
  access: StoreAccess,
): AsyncGenerator<RecordBatchView, void, undefined> {
  let current = log;
  let nextOffset: number | undefined;
  for (let lookup = 0; ;) {
    try {
      for await (const batch of walk(current, nextOffset, reader, access)) {
        yield batch;
        ({ nextOffset } = batch);
        lookup = 0;
      }
      return;
    } catch (error) {
      const isGone = error instanceof StorageError && error.kind === 'not-found';
      lookup += 1;
      if (!isGone || lookup > maxLookups) throw error;
      const { topicId, partition } = log;
      const { logs } = await readClusterLogs(access, { topicId });
      const found = logs.get(logKey(topicId, partition));
      if (found === undefined) throw new SourceFault(`${log.topic}-${partition} was deleted while it was copied`);
      current = found;
    }
  }
}

async function* walk(
  log: ClusterLog,
  from: number | undefined,
  reader: ObjectReader,
  access: StoreAccess,
): AsyncGenerator<RecordBatchView, void, undefined> {
  const { topic, partition, record } = log;
  const outcome = tiled(log);
  if (outcome.fault !== undefined) throw new SourceFault(`${topic}-${partition} is not whole: ${outcome.fault}`);
  const logStart = Number(record.logStartOffset);
  let expected = from;
  for await (const run of runsOf(record, outcome.recovered.extents, access)) {
    if (run.nextOffset <= (expected ?? logStart)) continue;
    for await (const batch of batchesIn(run, reader)) {
      if (batch.nextOffset <= (expected ?? logStart)) continue;
      const isNext = expected === undefined ? batch.baseOffset <= logStart : batch.baseOffset === expected;
      if (!isNext) {
        throw new SourceFault(
          `${topic}-${partition} has a batch at offset ${batch.baseOffset} where ${expected ?? logStart} is next`,
        );
      }
      expected = batch.nextOffset;
      yield batch;
    }
  }
}

async function* runsOf(
  record: Parameters<typeof segmentsOf>[1],
  extents: readonly Extent[],
  access: StoreAccess,
): AsyncGenerator<Extent, void, undefined> {
  for await (const segment of segmentsOf(access, record)) yield extentOfSegment(segment);
  yield* extents;
}

async function* batchesIn(run: Extent, reader: ObjectReader): AsyncGenerator<RecordBatchView, void, undefined> {
  const { objectKey } = run;
  const end = run.position + run.length;
  for (let position = run.position; position < end;) {
    const header = await reader.read(objectKey, position, position + batchOverheadBytes);
    const size = header.length < batchOverheadBytes ? 0 : new RecordBatchView(header).sizeInBytes;
    const isBatch = size >= recordBatchHeaderBytes && position + size <= end;
    const bytes = isBatch ? await reader.read(objectKey, position, position + size) : header;
    const batch = new RecordBatchView(bytes);
    if (!isBatch || bytes.length < size || batch.magic !== 2 || batch.crc !== batch.computeCrc()) {
      throw new SourceFault(
        `object ${objectKey} is damaged at byte ${position}. Run kafscale verify to see what else is`,
      );
    }
    yield batch;
    position += size;
  }
}
