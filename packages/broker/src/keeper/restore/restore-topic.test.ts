import {
  encodeFlushFooter,
  encodeFlushManifest,
  encodeRecordBatch,
  metadata,
  metadataKeys,
  readRecords,
} from '@kafscale/protocol';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { executeRebuild, prepareRebuild } from '../rebuild/rebuild.ts';
import { KeeperFixture, topicName, type FlushExtentPlan, type Writer } from '../keeper-fixture.ts';
import { readClusterLogs, tiled } from '../verify/cluster-logs.ts';
import { ObjectReader } from '../verify/object-reader.ts';
import { verifyCluster } from '../verify/verifier.ts';
import { batchesOf } from './log-batches.ts';
import { RestoreRefused, restoreTopic, type RestoreRequest } from './restore-topic.ts';

const extent = (baseOffset: number, timestamp: number, ...values: string[]): FlushExtentPlan => ({
  baseOffset,
  timestamp,
  values,
});

async function world(): Promise<{ fixture: KeeperFixture; writer: Writer }> {
  const fixture = await KeeperFixture.create();
  const writer = await fixture.writer();
  await fixture.putTopic();
  await fixture.putPartition({ owner: writer.incarnation });
  return { fixture, writer };
}

const restore = (fixture: KeeperFixture, request: Partial<RestoreRequest> = {}, segmentBytes = 1 << 20) =>
  fixture.settle(
    restoreTopic(
      { topic: topicName, targetTopic: 'restored', toMs: 100, ...request },
      { ...fixture.access, names: fixture.names, random: fixture.random, segmentBytes },
    ),
  );

/** Offset, value and timestamp of every record of a topic's partition. */
async function recordsIn(fixture: KeeperFixture, topic: string, partition = 0) {
  const { items } = await fixture.metadataStore.range({ key: metadataKeys.topic(topic) });
  const topicId = metadata.TopicRecord.decode(items[0]!.value).topicId.toString('base64url');
  const { logs } = await readClusterLogs(fixture.access, { topicId });
  const log = logs.get(`${topicId}/${partition}`)!;
  expect(tiled(log).fault).toBeUndefined();
  const found: string[] = [];
  for await (const batch of batchesOf(log, new ObjectReader(fixture.access), fixture.access)) {
    for (const { offset, value, timestamp } of readRecords(batch, 1 << 20)) {
      found.push(`${offset} ${String(value)} ${timestamp}`);
    }
  }
  return found;
}

const contents = async (fixture: KeeperFixture) => {
  const { items } = await fixture.metadataStore.range({ key: '!', end: '~' });
  return items
    .filter(({ key }) => !/^(lanes|sessions)\//.test(key))
    .map(({ key, modRevision }) => `${key}@${modRevision}`);
};

describe('restoreTopic', () => {
  it('makes a topic with the records up to the time, their offsets, settings and partitions', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a', 'b'), extent(2, 60, 'c')] });
    await writer.flush({ sequence: 1, extents: [extent(3, 100, 'd')] });
    await writer.flush({ sequence: 2, extents: [extent(4, 101, 'e')] });
    const before = await contents(fixture);
    expect(await restore(fixture)).toMatchObject({ partitions: 1, records: 4 });
    expect(await recordsIn(fixture, 'restored')).toEqual(['0 a 50', '1 b 50', '2 c 60', '3 d 100']);
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.topic('restored') });
    expect(metadata.TopicRecord.decode(items[0]!.value).configs.get('retention.ms')).toBe('1000');
    const after = await contents(fixture);
    expect(after.filter((key) => before.includes(key))).toEqual(before);
    expect(after.filter((key) => key.startsWith('tombstones/'))).toEqual([]);
    const { findings } = await fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }));
    expect(findings).toEqual([]);
  });

  it('cuts inside of a batch, at the first record that is later', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a')] });
    const timestamps = [90, 95, 120, 80];
    const batch = encodeRecordBatch({
      records: timestamps.map((timestamp) => ({ value: `${timestamp}`, timestamp })),
      baseOffset: 1,
      partitionLeaderEpoch: 0,
      codec: 'gzip',
    });
    const key = fixture.names.flush({ incarnation: writer.incarnation, sequence: 1, unique: 'u' });
    const source = metadata.FlushManifest.decode(
      (await fixture.metadataStore.range({ key: metadataKeys.manifest(writer.incarnation, 0) })).items[0]!.value,
    );
    if (source.body?.$case !== 'inline') throw new Error('the manifest is not inline');
    const [topic] = source.body.value.topics;
    const described = {
      partition: 0,
      leaderEpoch: 0,
      baseOffset: 1n,
      nextOffset: 5n,
      position: 0n,
      length: batch.length,
      maxTimestamp: 120n,
      maxTimestampBaseOffset: 1n,
      producerBatches: [],
    };
    const description = { ...source.body.value, sequence: 1n, topics: [{ ...topic!, extents: [described] }] };
    const { footer, trailer } = encodeFlushFooter(description);
    await fixture.objectStore.create(key, [batch, footer, trailer]);
    await fixture.put(
      metadataKeys.manifest(writer.incarnation, 1),
      encodeFlushManifest(key, description, footer, batch.length),
    );

    expect(await restore(fixture)).toMatchObject({ records: 3 });
    expect(await recordsIn(fixture, 'restored')).toEqual(['0 a 50', '1 90 90', '2 95 95']);
    const { findings } = await fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }));
    expect(findings).toEqual([]);
  });

  it('makes an empty partition where every record is later, and where there never was one', async () => {
    const { fixture, writer } = await world();
    await fixture.putTopic(topicName, undefined, 2);
    await writer.flush({ sequence: 0, extents: [extent(0, 500, 'late')] });
    expect(await restore(fixture)).toMatchObject({ partitions: 2, records: 0 });
    expect(await recordsIn(fixture, 'restored')).toEqual([]);
    expect(await recordsIn(fixture, 'restored', 1)).toEqual([]);
  });

  it('begins where the log begins, and lists many segments in index objects', async () => {
    const { fixture, writer } = await world();
    for (let sequence = 0; sequence < 70; sequence += 1) {
      await writer.flush({ sequence, extents: [extent(sequence * 2, 50, `${sequence}`, 'x')] });
    }
    await fixture.putPartition({ owner: writer.incarnation, logStartOffset: 5n });
    await restore(fixture, {}, 1);
    const found = await recordsIn(fixture, 'restored');
    expect([found.length, found[0], found.at(-1)]).toEqual([136, '4 2 50', '139 x 50']);
    const { items } = await fixture.metadataStore.range({ key: 'partitions/', end: 'partitions0' });
    const records = items.map(({ value }) => metadata.PartitionRecord.decode(value));
    const restored = records.find(({ segments }) => segments.length > 0)!;
    expect([restored.logStartOffset, restored.chunks.length, restored.segments.length]).toEqual([5n, 1, 50]);
    const { findings } = await fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }));
    expect(findings).toEqual([]);
  });

  it('stays whole when the source is deleted and its objects are collected', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a')] });
    await restore(fixture);
    await fixture.remove(metadataKeys.manifest(writer.incarnation, 0));
    await fixture.remove(metadataKeys.topic(topicName));
    await writer.die();
    const controller = await fixture.writer();
    await fixture.collect(controller);
    await fixture.collect(controller);
    expect(await recordsIn(fixture, 'restored')).toEqual(['0 a 50']);
  });

  it('is there after a rebuild from the bucket', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a')] });
    await restore(fixture);
    await fixture.clock.advanceAsync(60_000);
    fixture.metadataStore = new MemoryMetadataStore({ clock: fixture.clock });
    const rebuilding = { ...fixture.access, names: fixture.names, random: fixture.random };
    await fixture.settle(executeRebuild(await fixture.settle(prepareRebuild(rebuilding)), rebuilding));
    expect(await recordsIn(fixture, 'restored')).toEqual(['0 a 50']);
    const { findings } = await fixture.settle(verifyCluster(rebuilding));
    expect(findings).toEqual([]);
  });

  it('refuses a target that exists, a source that does not, and a name that is none, and changes nothing', async () => {
    const { fixture } = await world();
    const before = await contents(fixture);
    await expect(restore(fixture, { targetTopic: topicName })).rejects.toThrow(RestoreRefused);
    await expect(restore(fixture, { topic: 'nobody' })).rejects.toThrow(/no topic nobody/);
    await expect(restore(fixture, { topic: 'no/body' })).rejects.toThrow(RestoreRefused);
    await expect(restore(fixture, { targetTopic: 'not a name' })).rejects.toThrow(/no name for a topic/);
    expect(await contents(fixture)).toEqual(before);
  });

  it('leaves alone a topic of that name that somebody created meanwhile', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a')] });
    const mine = Buffer.alloc(16, 9);
    const created = restore(fixture, { onProgress: () => void fixture.putTopic('restored', mine) });
    await expect(created).rejects.toThrow(/was created meanwhile/);
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.topic('restored') });
    expect(metadata.TopicRecord.decode(items[0]!.value).topicId.equals(mine)).toBe(true);
  });

  it('copies nothing damaged, and what it left is collected', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 50, 'a')] });
    const bad = await writer.flush({ sequence: 1, extents: [extent(1, 50, 'b')] });
    const bytes = await fixture.objectStore.read(bad);
    bytes[66]! ^= 1;
    await fixture.objectStore.delete([bad]);
    await fixture.objectStore.create(bad, [bytes]);
    await expect(restore(fixture, {}, 1)).rejects.toThrow(/damaged/);
    const left = await fixture.objectKeys('default/restored/');
    expect(left.length).toBeGreaterThan(0);
    const controller = await fixture.writer();
    await fixture.collect(controller);
    expect(await fixture.objectKeys('default/restored/')).toEqual([]);
  });
});
