import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { seededRandom, SlabArena, SlabPool } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { Session } from '../../metadata/session.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import { nothingFolded, PartitionLog } from '../partition-log.ts';
import { PartitionLogs } from '../partition-logs.ts';
import { HotTail } from '../read/hot-tail.ts';
import { recoverPartitions } from '../upkeep/recovery.ts';
import { noFailpoint } from './failpoint.ts';
import { LogAppender } from './log-appender.ts';
import type { AppendOutcome, BatchToAppend } from './pending-batch.ts';

const topicId = Buffer.alloc(16, 7).toString('base64url');

function batch(values: Partial<BatchToAppend> & { readonly fill?: number } = {}): BatchToAppend {
  return {
    bytes: Buffer.alloc(80, values.fill ?? 1),
    recordCount: 1,
    maxTimestamp: 1_000,
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
    lastSequence: -1,
    ...values,
  };
}

const sequenced = (firstSequence: number, recordCount = 1): BatchToAppend =>
  batch({
    producerId: 5n,
    producerEpoch: 0,
    firstSequence,
    lastSequence: firstSequence + recordCount - 1,
    recordCount,
  });

async function setUp(refusal?: () => KafkaError | undefined) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const objectStore = new MemoryObjectStore({ clock });
  const session = await Session.open('incarnation-1', {
    store,
    clock,
    settings: { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 },
  });
  const logs = new PartitionLogs();
  const hotTail = new HotTail(1_000_000);
  let names = 0;
  const appender = new LogAppender({
    clock,
    random: seededRandom(1),
    objectStore,
    arena: new SlabArena(new SlabPool({ slabBytes: 65_536, maxIdleSlabs: 2 })),
    logs,
    lane: session.lane('data'),
    isSessionAlive: () => session.alive,
    ...(refusal !== undefined && { refusal }),
    hotTail,
    clusterId: 'cluster-1',
    incarnation: session.incarnation,
    nameObject: (sequence) => `flush/${sequence}-${(names += 1)}`,
    failpoint: noFailpoint,
    observer: { onCommitted: () => undefined, onFailed: () => undefined },
    settings: {
      windowMs: 100,
      maxBytes: 10_000,
      maxEntries: 100,
      maxUploads: 4,
      uploadAttemptDeadlineMs: 1_000,
      uploadDeadlineMs: 3_000,
    },
  });
  const log = new PartitionLog(
    { topicId, topicName: 'orders', partition: 0, leaderEpoch: 3 },
    { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [] },
  );
  appender.open(log, []);
  const append = (what: BatchToAppend) => new Promise<AppendOutcome>((resolve) => appender.append(log, what, resolve));
  return { clock, store, objectStore, session, hotTail, appender, log, append };
}

describe('LogAppender', () => {
  it('answers a batch after its commit, with the offset it has in the log', async () => {
    const { append, log, hotTail, objectStore } = await setUp();
    expect(await append(batch({ recordCount: 3 }))).toEqual({ committed: true, baseOffset: 0 });
    expect(await append(batch({ fill: 2 }))).toEqual({ committed: true, baseOffset: 3 });
    expect(log.highWatermark).toBe(4);
    const extent = log.extents[1]!;
    const stored = await objectStore.read(extent.objectKey, {
      start: extent.position,
      end: extent.position + extent.length,
    });
    expect(stored.readBigInt64BE(0)).toBe(3n);
    expect(stored.readInt32BE(12)).toBe(3);
    expect(stored.subarray(16)).toEqual(Buffer.alloc(64, 2));
    const held = hotTail.hold(extent.objectKey)!;
    expect(held.bytes.subarray(0, extent.length)).toEqual(stored);
    held.release();
  });

  it('takes no new batch while there is a reason against it, but knows those it has', async () => {
    let reason: KafkaError | undefined;
    const { append, log } = await setUp(() => reason);
    const producer = { producerId: 7n, producerEpoch: 0 };
    const first = batch({ ...producer, firstSequence: 0, lastSequence: 0 });
    expect(await append(first)).toEqual({ committed: true, baseOffset: 0 });

    reason = new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS);
    const second = batch({ ...producer, firstSequence: 1, lastSequence: 1 });
    expect(await append(batch())).toEqual({ committed: false, error: reason });
    expect(await append(second)).toEqual({ committed: false, error: reason });
    expect(await append(first)).toEqual({ committed: true, baseOffset: 0 });
    expect(log.highWatermark).toBe(1);

    reason = undefined;
    expect(await append(second)).toEqual({ committed: true, baseOffset: 1 });
  });

  it('takes nothing of a new producer before its first batch, when that was refused', async () => {
    let reason: KafkaError | undefined = new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS);
    const { append, log } = await setUp(() => reason);
    expect(await append(sequenced(0, 2))).toEqual({ committed: false, error: reason });
    reason = undefined;
    const behind = await append(sequenced(2));
    expect(behind.committed ? undefined : behind.error.code).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);
    expect(await append(sequenced(0, 2))).toEqual({ committed: true, baseOffset: 0 });
    expect(await append(sequenced(2))).toEqual({ committed: true, baseOffset: 2 });
    expect(log.highWatermark).toBe(3);
  });

  it('puts batches of one turn into one flush', async () => {
    const { append, log } = await setUp();
    await Promise.all([append(batch()), append(batch()), append(batch())]);
    expect(log.extents).toHaveLength(1);
    expect(log.highWatermark).toBe(3);
  });

  it('answers a duplicate of a committed batch with the original offset and writes nothing', async () => {
    const { append, log } = await setUp();
    await append(batch());
    expect(await append(sequenced(0))).toEqual({ committed: true, baseOffset: 1 });
    expect(await append(sequenced(0))).toEqual({ committed: true, baseOffset: 1 });
    expect(log.highWatermark).toBe(2);
  });

  it('lets a duplicate of a pending batch wait for that batch', async () => {
    const { append, log } = await setUp();
    const first = append(sequenced(0));
    const second = append(sequenced(0));
    expect(await second).toEqual({ committed: true, baseOffset: 0 });
    expect(await first).toEqual({ committed: true, baseOffset: 0 });
    expect(log.highWatermark).toBe(1);
  });

  it('refuses a gap in the sequence', async () => {
    const { append } = await setUp();
    await append(sequenced(0));
    const outcome = await append(sequenced(5));
    expect(!outcome.committed && outcome.error.code).toBe(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);
  });

  it('fails everything accepted after a failed flush, and gives its offsets and sequences out again', async () => {
    const { append, objectStore, clock, log } = await setUp();
    await append(sequenced(0));
    const create = objectStore.create.bind(objectStore);
    objectStore.create = () => Promise.reject(new StorageError('unavailable', 'no answer'));
    const failed = [append(sequenced(1))];
    await clock.advanceAsync(1);
    failed.push(append(sequenced(2)));
    await clock.advanceAsync(200);
    failed.push(append(sequenced(3)));
    await clock.advanceAsync(10_000);
    for (const outcome of await Promise.all(failed)) {
      expect(!outcome.committed && outcome.error.code).toBe(ErrorCode.NOT_ENOUGH_REPLICAS);
    }
    objectStore.create = create;
    expect(await append(sequenced(1))).toEqual({ committed: true, baseOffset: 1 });
    expect(log.highWatermark).toBe(2);
  });

  it('leaves everything a new owner needs in the metadata store', async () => {
    const { append, store, objectStore, clock, log } = await setUp();
    await append(sequenced(0, 2));
    await append(batch({ maxTimestamp: 5_000 }));
    const { revision } = await store.range({ key: 'x' });
    const record = {
      owner: '',
      brokerId: 0,
      leaderEpoch: 4,
      logStartOffset: 0n,
      foldedOffset: 0n,
      epochStarts: [],
      nextOffset: 0n,
      chunks: [],
      segments: [],
      producerSnapshot: undefined,
    };
    const [result] = await recoverPartitions([{ topicId, partition: 0, record }], revision, {
      store,
      objectStore,
      clock,
      callDeadlineMs: 1_000,
    });
    expect(result).toEqual({
      recovered: {
        logStartOffset: 0,
        nextOffset: 3,
        folded: nothingFolded,
        extents: log.extents,
        epochStarts: [{ leaderEpoch: 3, startOffset: 0 }],
      },
      committedBatches: [expect.objectContaining({ producerId: 5n, firstSequence: 0, lastSequence: 1, baseOffset: 0 })],
    });
  });

  it('has settled when nothing is under way, and takes nothing for a partition that was given up', async () => {
    const { append, appender, log } = await setUp();
    const outcomes = [append(batch()), append(batch())];
    await appender.close(log);
    expect(await Promise.all(outcomes)).toEqual([
      { committed: true, baseOffset: 0 },
      { committed: true, baseOffset: 1 },
    ]);
    const refused = await append(batch());
    expect(!refused.committed && refused.error.code).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    expect(log.closed).toBe(true);
  });

  it('lets everybody who gives a partition up wait for its last flush', async () => {
    const { append, appender, log } = await setUp();
    const outcome = append(batch());
    void appender.close(log);
    let settled = false;
    void outcome.then(() => (settled = true));
    await appender.close(log);
    expect(settled).toBe(true);
  });
});
