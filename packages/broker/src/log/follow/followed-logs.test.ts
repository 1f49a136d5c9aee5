import { crc32c, encodeFlushFooter, encodeFlushManifest, metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, settled } from '@kafscale/testkit';
import { FaultyMetadataStore } from '../../metadata/faulty-metadata-store.ts';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import type { Operation } from '../../metadata/metadata-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { FollowedLogs } from './followed-logs.ts';

const topicId = Buffer.alloc(16, 7).toString('base64url');
const name = (partition = 0) => ({ topicId, topicName: 'orders', partition });

let logs: FollowedLogs;
afterEach(() => logs.close());

function setUp({ maxLogs = 10 } = {}) {
  const clock = new FakeClock();
  const memory = new MemoryMetadataStore({ clock });
  const store = new FaultyMetadataStore(memory, { clock });
  const objectStore = new MemoryObjectStore({ clock: systemClock });
  const random = seededRandom(1);
  logs = new FollowedLogs({ store, objectStore, clock, random, logger: silentLogger, callDeadlineMs: 1_000, maxLogs });
  let sequence = 0;

  const put = (operations: readonly Operation[]) => memory.transact({ compare: [], success: [...operations] });
  const record = (changes: Partial<metadata.PartitionRecord> = {}, partition = 0): Operation => ({
    type: 'put',
    key: metadataKeys.partition(topicId, partition),
    value: metadata.PartitionRecord.encode({
      ...{ owner: 'i', brokerId: 1, leaderEpoch: 0, logStartOffset: 0n, foldedOffset: 0n, nextOffset: 0n },
      ...{ epochStarts: [], chunks: [], segments: [], producerSnapshot: undefined },
      ...changes,
    }).finish(),
  });
  /** The manifest of a flush that holds these offsets; with `footer` it only points into the object. */
  const flush = async (from: number, to: number, { epoch = 0, footer = false } = {}): Promise<Operation> => {
    const objectKey = `flush-${sequence}`;
    const extent = {
      ...{ partition: 0, leaderEpoch: epoch, position: 0n, length: (to - from) * 10, producerBatches: [] },
      ...{ baseOffset: BigInt(from), nextOffset: BigInt(to) },
      ...{ maxTimestamp: BigInt(from), maxTimestampBaseOffset: BigInt(from) },
    };
    const topics = [{ topicId: Buffer.from(topicId, 'base64url'), name: 'orders', extents: [extent] }];
    const origin = { clusterId: 'c', incarnation: 'i', sequence: BigInt(sequence), buildsOn: -1n, createdMs: 0n };
    const description: metadata.FlushDescription = { ...origin, topics };
    const encoded = encodeFlushFooter(description);
    await objectStore.create(objectKey, [Buffer.alloc(3), encoded.footer, encoded.trailer]);
    const pointer = { position: 3n, length: encoded.footer.length, crc32c: crc32c(encoded.footer) };
    const value = footer
      ? metadata.FlushManifest.encode({ objectKey, body: { $case: 'footer', value: pointer } }).finish()
      : encodeFlushManifest(objectKey, description, encoded.footer, 3);
    sequence += 1;
    return { type: 'put', key: metadataKeys.manifest('i', sequence), value };
  };
  const segment = (from: number, to: number): metadata.Segment => ({
    ...{ objectKey: `segment-${from}`, baseOffset: BigInt(from), nextOffset: BigInt(to), position: 32n },
    ...{ length: 10n, maxTimestamp: -1n, maxTimestampBaseOffset: BigInt(from), leaderEpoch: 0 },
  });
  const find = async (partition = 0) => {
    const finding = logs.find(name(partition), 1_000);
    return finding;
  };
  return { clock, memory, store, put, record, flush, segment, find };
}

describe('followed logs', () => {
  it('begin with what the metadata says at one revision, and go on with what it shows next', async () => {
    const { put, record, flush, find } = setUp();
    await put([record(), await flush(0, 5)]);
    const log = (await find())!;
    expect([log.logStartOffset, log.highWatermark, log.leaderEpoch]).toEqual([0, 5, 0]);
    await put([await flush(5, 8)]);
    await put([await flush(8, 9, { footer: true })]);
    await eventually('it has what was committed', () => Promise.resolve(log.highWatermark === 9));
    expect(log.extents.map(({ objectKey }) => objectKey)).toEqual(['flush-0', 'flush-1', 'flush-2']);
    expect(await find()).toBe(log);
    expect(logs.count).toBe(1);
  });

  it('fold, move their start, and close with their record', async () => {
    const { put, record, flush, segment, find } = setUp();
    await put([record(), await flush(0, 5)]);
    const log = (await find())!;
    await put([record({ foldedOffset: 5n, segments: [segment(0, 5)] }), await flush(5, 6)]);
    await eventually('it is folded', () => Promise.resolve(log.foldedOffset === 5 && log.highWatermark === 6));
    expect(log.extents.map(({ objectKey }) => objectKey)).toEqual(['segment-0', 'flush-1']);
    await put([record({ foldedOffset: 5n, segments: [segment(0, 5)], logStartOffset: 3n })]);
    await eventually('its start moves', () => Promise.resolve(log.logStartOffset === 3));
    await put([{ type: 'delete', key: metadataKeys.partition(topicId, 0) }]);
    await eventually('it is closed', () => Promise.resolve(log.closed));
    expect(await find()).toBeUndefined();
  });

  it('are put together anew in another epoch', async () => {
    const { put, record, flush, find } = setUp();
    await put([record(), await flush(0, 5)]);
    const old = (await find())!;
    await put([record({ leaderEpoch: 1, owner: 'j' })]);
    await put([await flush(5, 6, { epoch: 1 })]);
    await eventually('the old one is closed', () => Promise.resolve(old.closed));
    const log = (await find())!;
    await eventually('it has the new extent', () => Promise.resolve(log.highWatermark === 6));
    expect([log.leaderEpoch, log.epochStarts]).toEqual([
      1,
      [
        { leaderEpoch: 0, startOffset: 0 },
        { leaderEpoch: 1, startOffset: 5 },
      ],
    ]);
  });

  it('miss nothing that a watch does not show, and keep their readers', async () => {
    const { clock, store, put, record, flush, find } = setUp();
    let isDeaf = false;
    store.watchPlan = () => ({ loses: () => isDeaf });
    await put([record(), await flush(0, 5)]);
    const log = (await find())!;
    isDeaf = true;
    await put([await flush(5, 8)]);
    await settled();
    expect(log.highWatermark).toBe(5);
    isDeaf = false;
    await put([await flush(8, 9)]); // does not follow what is known
    await settled();
    clock.advance(1_000);
    await eventually('it has everything', () => Promise.resolve(log.highWatermark === 9));
    expect(log.closed).toBe(false);

    isDeaf = true;
    await put([await flush(9, 10)]);
    await settled();
    clock.advance(60_000);
    await eventually('it was read again', () => Promise.resolve(log.highWatermark === 10));
  });

  it('outlive a watch that broke and history that is gone', async () => {
    const { clock, memory, store, put, record, flush, find } = setUp();
    store.watchPlan = () => ({ breakAfterBatches: 1 });
    await put([record(), await flush(0, 5)]);
    const log = (await find())!;
    await put([await flush(5, 6)]);
    await settled();
    const { revision } = await put([await flush(6, 7)]);
    await memory.compact(revision);
    clock.advance(5_000);
    await eventually('it has everything', () => Promise.resolve(log.highWatermark === 7));
    expect(log.closed).toBe(false);
  });

  it('stay where they are while the store does not answer, and refuse who asks for others', async () => {
    const { clock, store, put, record, flush, find } = setUp();
    await put([record(), record({}, 1), await flush(0, 5)]);
    const log = (await find())!;
    store.plan = () => 'hang';
    const asked = find(1);
    await settled();
    clock.advance(1_000);
    expect(await asked).toBeUndefined();
    expect([log.closed, log.highWatermark]).toEqual([false, 5]);
    expect(await find()).toBe(log);
    store.heal();
    clock.advance(10_000);
    await settled();
    expect(await find(1)).toMatchObject({ partition: 1, highWatermark: 0 });
  });

  it('are left alone for a while when they do not tile', async () => {
    const { clock, put, record, flush, find } = setUp();
    await put([record(), await flush(1, 5)]);
    expect(await find()).toBeUndefined();
    await put([await flush(0, 1)]);
    expect(await find()).toBeUndefined();
    clock.advance(5_000);
    expect(await find()).toMatchObject({ highWatermark: 5 });
  });

  it('are so many at most, and let go of when nobody reads them', async () => {
    const { clock, put, record, find } = setUp({ maxLogs: 1 });
    await put([record(), record({}, 1)]);
    const log = (await find())!;
    expect(await find(1)).toBeUndefined();
    expect([log.closed, logs.count]).toEqual([false, 1]);
    for (let minute = 0; minute < 7; minute += 1) {
      await settled();
      clock.advance(60_000);
      await settled();
    }
    expect([log.closed, logs.count]).toEqual([true, 0]);
    expect(await find(1)).toMatchObject({ partition: 1 });
  });

  it('are closed together, and opened no more', async () => {
    const { put, record, find } = setUp();
    await put([record(), record({}, 1)]);
    const log = (await find())!;
    const asked = find(1);
    await logs.close();
    expect([log.closed, await asked, await find()]).toEqual([true, undefined, undefined]);
  });
});
