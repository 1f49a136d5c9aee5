import {
  encodeRecordBatch,
  encodeSegmentObject,
  encodeShelf,
  IndexObjectBuilder,
  metadata,
  metadataKeys,
} from '@kafscale/protocol';
import {
  flushObject,
  KeeperFixture,
  topicId,
  topicIdText,
  topicName,
  type FlushPlan,
  type Writer,
} from '../keeper-fixture.ts';
import { verifyCluster, type VerifyReport } from './verifier.ts';

interface World {
  readonly fixture: KeeperFixture;
  readonly writer: Writer;
  readonly keys: Readonly<Record<'segment' | 'index' | 'listed' | 'lists' | 'shelf' | 'shelved' | 'flush', string>>;
}

/** One partition with records in every tier: a chunk, a segment in its record, a shelf, a manifest. */
async function everyTier(): Promise<World> {
  const fixture = await KeeperFixture.create();
  const writer = await fixture.writer();
  const { names, objectStore, identity, clock } = fixture;
  const { incarnation } = writer;
  await fixture.putTopic();
  const segment = async (baseOffset: number, sequence: number) => {
    const name = names.segment({ topicName, partition: 0, baseOffset }, { incarnation, sequence, unique: 'u' });
    const batches = [0, 5].map((delta) =>
      encodeRecordBatch({
        records: ['a', 'b', 'c', 'd', 'e'].map((value) => ({ value, timestamp: 7 })),
        baseOffset: baseOffset + delta,
        partitionLeaderEpoch: 0,
      }),
    );
    const encoded = encodeSegmentObject({ batches, createdMs: 1, indexInterval: 5 });
    await objectStore.create(name.segment, encoded.object);
    await objectStore.create(name.index, encoded.index);
    const stored: metadata.Segment = {
      objectKey: name.segment,
      baseOffset: BigInt(baseOffset),
      nextOffset: BigInt(encoded.nextOffset),
      position: BigInt(encoded.position),
      length: BigInt(encoded.length),
      maxTimestamp: 7n,
      maxTimestampBaseOffset: BigInt(baseOffset),
      leaderEpoch: 0,
    };
    return { ...name, stored };
  };
  const listed = await segment(0, 0);
  const kept = await segment(10, 1);
  const lists = names.flat('index', { incarnation, sequence: 2, unique: 'u' });
  const builder = new IndexObjectBuilder(lists);
  const of = { topicId, topicName, partition: 0 };
  const chunk = builder.addSegments(of, [listed.stored]);
  const producerSnapshot = builder.addProducerSnapshot(of, { offset: 20n, batches: [] });
  await objectStore.create(
    lists,
    builder.finish({ clusterId: identity.clusterId, incarnation, sequence: 2, createdMs: 1 }),
  );
  await fixture.putPartition({
    owner: incarnation,
    foldedOffset: 20n,
    nextOffset: 20n,
    chunks: [chunk],
    segments: [kept.stored],
    producerSnapshot,
  });
  const shelvedPlan: FlushPlan = { sequence: 0, extents: [{ baseOffset: 20, values: ['f', 'g'] }], isCommitted: false };
  const shelved = await writer.flush(shelvedPlan);
  const { description } = flushObject(identity.clusterId, incarnation, shelvedPlan, clock.wallMs());
  const shelf = names.flat('shelf', { incarnation, sequence: 3, unique: 'u' });
  const { object, slice } = encodeShelf(shelf, [{ objectKey: shelved, body: { $case: 'inline', value: description } }]);
  await objectStore.create(shelf, object);
  await fixture.put(
    metadataKeys.shelf(incarnation, 3),
    metadata.ShelfRecord.encode({ shelf: slice, manifestCount: 1, writer: incarnation }).finish(),
  );
  const flush = await writer.flush({ sequence: 1, extents: [{ baseOffset: 22, values: ['h', 'i', 'j'] }] });
  await writer.raiseFloor('data', 2);
  await writer.raiseFloor('upkeep', 4);
  await fixture.checkpoint(incarnation);
  const keys = { segment: kept.segment, index: kept.index, listed: listed.segment, lists, shelf, shelved, flush };
  return { fixture, writer, keys };
}

const verify = ({ fixture }: World): Promise<VerifyReport> =>
  fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }));

async function flip({ fixture: { objectStore } }: World, key: string, at: number): Promise<void> {
  const bytes = await objectStore.read(key);
  const position = at < 0 ? bytes.length + at : at;
  bytes[position]! ^= 0x10;
  await objectStore.delete([key]);
  await objectStore.create(key, [bytes]);
}

describe('verify', () => {
  it('finds nothing in a cluster with records in every tier, and accounts for every object', async () => {
    const report = await verify(await everyTier());
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ topics: 1, partitions: 1, segments: 2, extents: 2, batches: 6, records: 25 });
    expect(report.objects).toEqual({ referenced: 8, cluster: 3, open: 0, garbage: 0, unknown: 0 });
  });

  it.each([
    ['segment', 'its header', 9],
    ['segment', 'a batch', 100],
    ['segment', 'its footer', -10],
    ['listed', 'a batch of a segment that only a list names', 100],
    ['index', 'an entry', 20],
    ['lists', 'a list of segments', 3],
    ['shelf', 'a manifest on it', 8],
    ['shelved', 'a batch', 70],
    ['flush', 'the header of a batch', 60],
    ['flush', 'a record', 66],
    ['flush', 'its footer', -20],
    ['flush', 'its trailer', -1],
  ] as const)('names the %s when one byte of %s flipped', async (object, _what, at) => {
    const world = await everyTier();
    await flip(world, world.keys[object], at);
    const { findings } = await verify(world);
    expect(findings.map((finding) => finding.object)).toContain(world.keys[object]);
    expect(findings.every(({ kind }) => kind === 'damaged' || kind === 'broken-log')).toBe(true);
  });

  it.each(['segment', 'index', 'listed', 'lists', 'shelf', 'shelved', 'flush'] as const)(
    'names the %s when it is missing',
    async (object) => {
      const world = await everyTier();
      await world.fixture.objectStore.delete([world.keys[object]]);
      const { findings } = await verify(world);
      const missing = findings.filter(({ kind }) => kind === 'missing-object').map((finding) => finding.object);
      expect(missing).toContain(world.keys[object]);
    },
  );

  it('finds a flipped byte at every position of a flush object', async () => {
    const world = await everyTier();
    const { length } = await world.fixture.objectStore.read(world.keys.flush);
    for (let at = 0; at < length; at += 1) {
      await flip(world, world.keys.flush, at);
      const { findings } = await verify(world);
      expect({ at, objects: findings.map(({ object }) => object).includes(world.keys.flush) }).toEqual({
        at,
        objects: true,
      });
      await flip(world, world.keys.flush, at);
    }
  });

  it('names a gap, an overlap and an end that is too early', async () => {
    const gap = await everyTier();
    await gap.fixture.remove(metadataKeys.manifest(gap.writer.incarnation, 1));
    await gap.writer.flush({ sequence: 5, extents: [{ baseOffset: 30, values: ['x'] }] });
    expect((await verify(gap)).findings).toContainEqual({
      kind: 'broken-log',
      topic: topicName,
      partition: 0,
      detail: expect.stringContaining('starts at offset 30 where 22 is next') as unknown,
    });

    const overlap = await everyTier();
    await overlap.writer.flush({ sequence: 5, extents: [{ baseOffset: 24, values: ['x'] }] });
    expect((await verify(overlap)).findings).toContainEqual(expect.objectContaining({ kind: 'broken-log' }));

    const early = await everyTier();
    await early.fixture.remove(metadataKeys.manifest(early.writer.incarnation, 1));
    const { items } = await early.fixture.metadataStore.range({ key: metadataKeys.partition(topicIdText, 0) });
    const record = metadata.PartitionRecord.decode(items[0]!.value);
    await early.fixture.putPartition({ ...record, nextOffset: 25n });
    expect((await verify(early)).findings).toContainEqual(
      expect.objectContaining({ kind: 'broken-log', detail: expect.stringContaining('ends at 22') as unknown }),
    );
  });

  it('tells an orphan of our own from an object of nobody, and from one that is on its way', async () => {
    const world = await everyTier();
    const garbage = await world.writer.orphan('merged', 3);
    await world.writer.orphan('flush', 9);
    const foreign = world.fixture.names.flat('merged', { incarnation: 'stranger', sequence: 0, unique: 'u' });
    await world.fixture.objectStore.create(foreign, [Buffer.from('?')]);
    const report = await verify(world);
    expect(report.objects).toMatchObject({ garbage: 1, open: 1, unknown: 1 });
    expect(report.garbageExamples).toEqual([garbage]);
    expect(report.findings).toEqual([expect.objectContaining({ kind: 'unknown-object', object: foreign })]);
  });

  it('finds a record without topic or tombstone, and none below a tombstone', async () => {
    const world = await everyTier();
    await world.fixture.remove(metadataKeys.topic(topicName));
    expect((await verify(world)).findings).toEqual([expect.objectContaining({ kind: 'broken-metadata' })]);
    const tombstone = { name: topicName, deletedMs: 0n };
    await world.fixture.put(metadataKeys.tombstone(topicIdText), metadata.TopicTombstone.encode(tombstone).finish());
    expect((await verify(world)).findings).toEqual([]);
  });

  it('reads no faster than it was told', async () => {
    const { fixture } = await everyTier();
    const startMs = fixture.clock.monotonicMs();
    const options = { bytesPerSecond: 100 };
    const { bytesRead } = await fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }, options));
    expect(fixture.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual((bytesRead / 100) * 1_000);
  });
});
