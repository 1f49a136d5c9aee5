import { IndexObjectBuilder, metadata, metadataKeys, summarizePartitions } from '@kafscale/protocol';
import { seededRandom } from '@kafscale/runtime';
import { FaultyMetadataStore } from '../../metadata/faulty-metadata-store.ts';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { agreedIdentity, IdentityMismatch } from '../bucket-identity.ts';
import {
  KeeperFixture,
  topicId,
  topicIdText,
  topicName,
  type FlushExtentPlan,
  type Writer,
} from '../keeper-fixture.ts';
import { readClusterLogs, tiled } from '../verify/cluster-logs.ts';
import { verifyCluster } from '../verify/verifier.ts';
import type { RebuildSummary } from './rebuild-plan.ts';
import { executeRebuild, prepareRebuild, RebuildRefused } from './rebuild.ts';

const minuteMs = 60_000;

/** The metadata store is gone; the clock goes on until the bucket counts as quiet. */
async function loseMetadata(fixture: KeeperFixture): Promise<void> {
  await fixture.clock.advanceAsync(minuteMs);
  fixture.metadataStore = new MemoryMetadataStore({ clock: fixture.clock });
}

const dependencies = (fixture: KeeperFixture) => ({ ...fixture.access, names: fixture.names, random: fixture.random });

async function rebuild(fixture: KeeperFixture): Promise<RebuildSummary> {
  const plan = await fixture.settle(prepareRebuild(dependencies(fixture)));
  await fixture.settle(executeRebuild(plan, dependencies(fixture)));
  return plan.summary;
}

/** Everything that has to be the same before and after, with keys that only the living need left out. */
async function dump(fixture: KeeperFixture) {
  const { items } = await fixture.metadataStore.range({ key: '!', end: '~' });
  const kept = /^(topics|tombstones|groups|group-offsets|group-deltas|shelves)\//;
  const values = items
    .filter(({ key }) => kept.test(key))
    .map(({ key, value }) => [key, Buffer.from(value).toString('hex')]);
  const logs = await readClusterLogs(fixture.access);
  const partitions = [...logs.logs.values()].map((log) => {
    const { record, producerBatches } = log;
    const outcome = tiled(log);
    const fault = outcome.fault;
    const recovered = outcome.fault === undefined ? outcome.recovered : undefined;
    const { logStartOffset, foldedOffset, segments, chunks, producerSnapshot } = record;
    const state = { logStartOffset, foldedOffset, segments, chunks, producerSnapshot, producerBatches };
    return { topic: log.topic, partition: log.partition, fault, recovered, ...state };
  });
  return { values, partitions };
}

const extent = (baseOffset: number, ...values: string[]): FlushExtentPlan => ({ baseOffset, values });

const emptyExtent = metadata.FlushExtent.decode(new Uint8Array(0));

async function putGroups(fixture: KeeperFixture): Promise<void> {
  const offsets = { groupId: 'g', topicId, offsets: [] };
  await fixture.put(metadataKeys.groupOffsets('g', topicIdText, 0), metadata.GroupOffsets.encode(offsets).finish());
  await fixture.put(metadataKeys.groupDelta(3, 1), Buffer.from('delta'));
}

async function world(): Promise<{ fixture: KeeperFixture; writer: Writer }> {
  const fixture = await KeeperFixture.create();
  const writer = await fixture.writer();
  await fixture.putTopic(topicName, topicId, 2);
  await fixture.putPartition({ owner: writer.incarnation, leaderEpoch: 3 });
  await fixture.putPartition({ owner: writer.incarnation, leaderEpoch: 3 }, 1);
  return { fixture, writer };
}

describe('rebuild', () => {
  it('replaces an older store of the same cluster where it is told to, and no other', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 'a', 'b')] });
    const before = fixture.metadataStore;
    await fixture.clock.advanceAsync(minuteMs);
    const { items: sessions } = await before.range({ key: 'sessions/', end: 'sessions0' });
    await before.transact({ compare: [], success: sessions.map(({ key }) => ({ type: 'delete', key }) as const) });
    await expect(fixture.settle(prepareRebuild(dependencies(fixture)))).rejects.toThrow('--replace');
    const replacing = { ...dependencies(fixture), replaces: true };
    const plan = await fixture.settle(prepareRebuild(replacing));
    await fixture.settle(executeRebuild(plan, replacing));
    const { clusterId, generation } = await fixture.settle(agreedIdentity(dependencies(fixture)));
    expect({ clusterId, generation }).toEqual({ clusterId: plan.clusterId, generation: plan.generation });

    await fixture.clock.advanceAsync(minuteMs);
    const record = { clusterId: 'another', generation: 1n, createdMs: 0n };
    const value = metadata.ClusterRecord.encode(record).finish();
    await fixture.metadataStore.transact({ compare: [], success: [{ type: 'put', key: metadataKeys.cluster, value }] });
    await expect(fixture.settle(prepareRebuild(replacing))).rejects.toThrow('Only the store of the same cluster');
  });

  it('goes on when a shelf is lost, and names it and the partitions it may be about', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [extent(0, 'a', 'b')] });
    const { incarnation } = writer;
    const lost = { objectKey: 'default/shelf/lost', position: 0n, length: 9, crc32c: 1 };
    const topics = [{ topicId, name: topicName, extents: [{ ...emptyExtent, partition: 1 }] }];
    const record = {
      shelf: lost,
      manifestCount: 1,
      writer: incarnation,
      partitions: summarizePartitions([{ topics }]),
    };
    const key = metadataKeys.shelf(incarnation, 7);
    await fixture.put(key, metadata.ShelfRecord.encode(record).finish());
    await fixture.checkpoints(incarnation);
    await loseMetadata(fixture);
    const summary = await rebuild(fixture);
    expect(summary.lost).toEqual([expect.stringMatching(/^default\/shelf\/lost cannot be read .*-1$/)]);
    expect(summary.faults).toEqual([]);
    // Its key is still there, so that whoever opens what it may be about knows.
    expect((await fixture.metadataStore.range({ key })).items).toHaveLength(1);
    const { logs } = await readClusterLogs(fixture.access, { onUnreadable: () => undefined });
    expect(tiled(logs.get(`${topicIdText}/0`)!)).toMatchObject({ recovered: { nextOffset: 2 } });
  });

  it('brings back topics, ids, settings, logs, producers and groups as the last checkpoint has them', async () => {
    const { fixture, writer } = await world();
    const producer = { id: 7n, epoch: 1, sequence: 5 };
    const extents = [
      { ...extent(0, 'a', 'b'), leaderEpoch: 3, producer },
      { ...extent(0, 'c'), leaderEpoch: 3, partition: 1 },
    ];
    await writer.flush({ sequence: 0, extents });
    await putGroups(fixture);
    const tombstone = metadata.TopicTombstone.encode({ name: 'gone', deletedMs: 5n }).finish();
    await fixture.put(metadataKeys.tombstone('xxxxxxxxxxxxxxxxxxxxxx'), tombstone);
    await fixture.checkpoint(writer.incarnation);
    const before = await dump(fixture);
    await loseMetadata(fixture);
    const summary = await rebuild(fixture);
    expect(await dump(fixture)).toEqual(before);
    expect(summary).toMatchObject({ topics: 1, partitions: 2, groups: 1, flushesAdded: 0, faults: [], warnings: [] });
    expect(summary.nextProducerId).toBeGreaterThan(7n);
  });

  it('carries the checkpoint on by the flushes that came after it, the unnamed end included', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
    await fixture.checkpoint(writer.incarnation);
    for (const sequence of [1, 2, 3]) {
      await writer.flush({ sequence, extents: [{ ...extent(sequence, 'x'), leaderEpoch: 3 }] });
    }
    const before = await dump(fixture);
    await loseMetadata(fixture);
    const summary = await rebuild(fixture);
    expect(await dump(fixture)).toEqual(before);
    expect(summary).toMatchObject({ flushesAdded: 3, flushesUnnamed: 1, flushesDropped: 0 });
  });

  it('F27 ii: drops what was rolled back, and keeps what took its offsets', async () => {
    const { fixture, writer } = await world();
    await fixture.checkpoint(writer.incarnation);
    await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
    await writer.flush({
      sequence: 2,
      buildsOn: 1,
      isCommitted: false,
      extents: [{ ...extent(1, 'lost', 'lost'), leaderEpoch: 3 }],
    });
    await writer.flush({ sequence: 3, buildsOn: 0, extents: [{ ...extent(1, 'kept'), leaderEpoch: 3 }] });
    const before = await dump(fixture);
    await loseMetadata(fixture);
    expect(await rebuild(fixture)).toMatchObject({ flushesAdded: 2, flushesDropped: 1, faults: [] });
    expect(await dump(fixture)).toEqual(before);
  });

  it('F27 iii: lets a higher epoch cut what a fenced owner left behind', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
    await fixture.checkpoint(writer.incarnation);
    await writer.flush({
      sequence: 1,
      isCommitted: false,
      extents: [{ ...extent(1, 'lost', 'lost'), leaderEpoch: 3 }],
    });
    await writer.die();
    const heir = await fixture.writer();
    await fixture.putPartition({ owner: heir.incarnation, leaderEpoch: 4 });
    await heir.flush({ sequence: 0, buildsOn: -1, extents: [{ ...extent(1, 'kept'), leaderEpoch: 4 }] });
    const before = await dump(fixture);
    await loseMetadata(fixture);
    expect(await rebuild(fixture)).toMatchObject({ faults: [] });
    expect(await dump(fixture)).toEqual(before);
  });

  it('does not take up what a fenced owner left when the checkpoint knows a higher epoch', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, isCommitted: false, extents: [{ ...extent(0, 'lost'), leaderEpoch: 3 }] });
    await fixture.putPartition({ leaderEpoch: 4 });
    await fixture.checkpoint(writer.incarnation);
    await loseMetadata(fixture);
    expect(await rebuild(fixture)).toMatchObject({ flushesAdded: 0, faults: [] });
  });

  it('brings back without a checkpoint what objects tell, and says whose settings are lost', async () => {
    const { fixture, writer } = await world();
    await writer.flush({
      sequence: 0,
      extents: [
        { ...extent(0, 'a', 'b'), leaderEpoch: 3 },
        { ...extent(0, 'c'), leaderEpoch: 3, partition: 1 },
      ],
    });
    const before = await dump(fixture);
    await loseMetadata(fixture);
    const summary = await rebuild(fixture);
    const after = await dump(fixture);
    expect(after.partitions).toEqual(before.partitions);
    expect(summary).toMatchObject({ topics: 1, partitions: 2, topicsWithoutSettings: [topicName] });
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.topic(topicName) });
    const topic = metadata.TopicRecord.decode(items[0]!.value);
    expect([topic.topicId.equals(topicId), topic.partitionCount]).toEqual([true, 2]);
  });

  it('takes folded logs from index objects when there is no checkpoint', async () => {
    const { fixture, writer } = await world();
    const { names, objectStore, identity } = fixture;
    const { incarnation } = writer;
    const merged = names.flat('merged', { incarnation, sequence: 0, unique: 'u' });
    const segment: metadata.Segment = {
      objectKey: merged,
      baseOffset: 0n,
      nextOffset: 10n,
      position: 0n,
      length: 100n,
      maxTimestamp: 1n,
      maxTimestampBaseOffset: 0n,
      leaderEpoch: 3,
    };
    for (const [sequence, foldedOffset] of [4n, 10n].entries()) {
      const record = {
        owner: incarnation,
        brokerId: 0,
        leaderEpoch: 3,
        logStartOffset: 0n,
        foldedOffset,
        epochStarts: [],
        nextOffset: foldedOffset,
        chunks: [],
        segments: [{ ...segment, nextOffset: foldedOffset }],
        producerSnapshot: undefined,
      };
      const key = names.flat('index', { incarnation, sequence: sequence + 1, unique: 'u' });
      const builder = new IndexObjectBuilder(key);
      const of = { topicId, topicName, partition: 0 };
      builder.addProducerSnapshot(of, { offset: 10n, batches: [] });
      builder.setRecord(of, record);
      await objectStore.create(
        key,
        builder.finish({ clusterId: identity.clusterId, incarnation, sequence, createdMs: 1 }),
      );
      await fixture.putPartition(record);
    }
    await writer.flush({ sequence: 8, buildsOn: -1, extents: [{ ...extent(10, 'a'), leaderEpoch: 3 }] });
    const before = await dump(fixture);
    await loseMetadata(fixture);
    expect(await rebuild(fixture)).toMatchObject({ faults: [] });
    expect((await dump(fixture)).partitions[0]).toEqual(before.partitions[0]);
  });

  it('does not bring back deleted topics, and gives a name to the topic that had it last', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
    await fixture.remove(metadataKeys.topic(topicName));
    const tombstone = metadata.TopicTombstone.encode({ name: topicName, deletedMs: 5n }).finish();
    await fixture.put(metadataKeys.tombstone(topicIdText), tombstone);
    await fixture.checkpoint(writer.incarnation);
    const [second, third] = [Buffer.alloc(16, 8), Buffer.alloc(16, 9)];
    await writer.flush({ sequence: 1, topicId: second, extents: [extent(0, 'b')] });
    await fixture.clock.advanceAsync(minuteMs);
    await writer.flush({ sequence: 2, topicId: third, extents: [extent(0, 'c')] });
    await loseMetadata(fixture);
    expect(await rebuild(fixture)).toMatchObject({ topics: 1, topicsReplaced: [topicName] });
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.topic(topicName) });
    expect(metadata.TopicRecord.decode(items[0]!.value).topicId.equals(third)).toBe(true);
    const buried = await fixture.metadataStore.range({ key: metadataKeys.tombstone(second.toString('base64url')) });
    expect(buried.items).toHaveLength(1);
  });

  it('knows those again that left nothing but upkeep since the checkpoint, and no strangers', async () => {
    const { fixture, writer } = await world();
    await fixture.checkpoint(writer.incarnation);
    const { names, objectStore, identity } = fixture;
    const leave = async (incarnation: string, clusterId: string) => {
      const key = names.flat('index', { incarnation, sequence: 0, unique: 'u' });
      const builder = new IndexObjectBuilder(key);
      builder.addProducerSnapshot({ topicId, topicName, partition: 0 }, { offset: 0n, batches: [] });
      await objectStore.create(key, builder.finish({ clusterId, incarnation, sequence: 0, createdMs: 0 }));
    };
    await leave('ours', identity.clusterId);
    await leave('theirs', 'another');
    await loseMetadata(fixture);
    await rebuild(fixture);
    const { items } = await fixture.metadataStore.range({ key: 'lanes/', end: 'lanes0' });
    const incarnations = new Set(items.map(({ key }) => key.split('/')[1]));
    expect([incarnations.has('ours'), incarnations.has('theirs')]).toEqual([true, false]);
  });

  it('refuses a store with sessions, with a cluster, or with anything else, and changes nothing', async () => {
    const { fixture, writer } = await world();
    const living = await prepareRebuild(dependencies(fixture)).catch((error: unknown) => error);
    expect(living).toBeInstanceOf(RebuildRefused);
    expect(String(living)).toContain('Brokers are at work');
    await writer.die();
    await expect(prepareRebuild(dependencies(fixture))).rejects.toThrow(/holds cluster/);
    await loseMetadata(fixture);
    await fixture.put('something', Buffer.from('else'));
    await expect(prepareRebuild(dependencies(fixture))).rejects.toThrow(/not empty/);
  });

  it('refuses while the bucket is being written to', async () => {
    const { fixture, writer } = await world();
    await loseMetadata(fixture);
    await writer.orphan('flush', 9);
    await expect(prepareRebuild(dependencies(fixture))).rejects.toThrow(/Stop every broker/);
  });

  it('refuses a bucket that does not say whose it is', async () => {
    const fixture = new KeeperFixture();
    await expect(prepareRebuild(dependencies(fixture))).rejects.toThrow(/does not say whose it is/);
  });

  it('is begun again after it was interrupted anywhere, and keeps brokers out until it is done', async () => {
    for (const failing of [0, 1, 2, 3]) {
      const { fixture, writer } = await world();
      await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
      await fixture.checkpoint(writer.incarnation);
      const before = await dump(fixture);
      await loseMetadata(fixture);
      const faulty = new FaultyMetadataStore(fixture.metadataStore, { clock: fixture.clock });
      const broken = { ...dependencies(fixture), metadataStore: faulty };
      const plan = await fixture.settle(prepareRebuild(broken));
      let transactions = 0;
      faulty.plan = ({ operation }) => {
        if (operation !== 'transact') return 'ok';
        transactions += 1;
        return transactions > failing ? 'fail-before' : 'ok';
      };
      await expect(fixture.settle(executeRebuild(plan, broken))).rejects.toThrow();
      const start = agreedIdentity({ ...fixture.access, names: fixture.names, random: fixture.random });
      await expect(fixture.settle(start)).rejects.toThrow(IdentityMismatch);
      await fixture.clock.advanceAsync(minuteMs);
      await rebuild(fixture);
      expect(await dump(fixture)).toEqual(before);
    }
  });

  it('begins leader epochs beyond those of owners that wrote nothing since the checkpoint', async () => {
    const { fixture, writer } = await world();
    await writer.flush({ sequence: 0, extents: [{ ...extent(0, 'a'), leaderEpoch: 3 }] });
    await fixture.checkpoint(writer.incarnation);
    for (const leaderEpoch of [4, 5, 6]) await fixture.putPartition({ owner: 'silent', leaderEpoch });
    await loseMetadata(fixture);
    await rebuild(fixture);
    const { logs } = await readClusterLogs(fixture.access);
    for (const { record } of logs.values()) expect(record.leaderEpoch).toBeGreaterThan(6);
  });

  it('leaves a store that brokers start on, and that the lost one cannot be mistaken for', async () => {
    const { fixture, writer } = await world();
    await fixture.checkpoint(writer.incarnation);
    const lost = fixture.metadataStore;
    await loseMetadata(fixture);
    await rebuild(fixture);
    const { names, random, identity } = fixture;
    expect(await fixture.settle(agreedIdentity({ ...fixture.access, names, random }))).toEqual({
      ...identity,
      generation: 1,
    });
    const back = agreedIdentity({ ...fixture.access, metadataStore: lost, names, random });
    await expect(fixture.settle(back)).rejects.toThrow(/thing of the past/);
  });

  it('keeps the acknowledged history of any cluster, through takeovers, failed flushes, checkpoints and garbage collection', async () => {
    for (let seed = 0; seed < 12; seed += 1) {
      const { fixture, acknowledged } = await randomHistory(seed);
      await loseMetadata(fixture);
      const summary = await rebuild(fixture);
      expect({ seed, faults: summary.faults }).toEqual({ seed, faults: [] });
      expect({ seed, found: await acknowledgedIn(fixture, acknowledged) }).toEqual({ seed, found: acknowledged });
      const { findings } = await fixture.settle(verifyCluster({ ...fixture.access, names: fixture.names }));
      expect({ seed, findings }).toEqual({ seed, findings: [] });
    }
  });
});

interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  readonly objectKey: string;
}

/** One broker at a time owns two partitions; flushes commit, fail, or are left behind by a crash. */
async function randomHistory(seed: number) {
  const random = seededRandom(seed);
  const fixture = await KeeperFixture.create();
  await fixture.putTopic(topicName, topicId, 2);
  const keeper = await fixture.writer();
  const acknowledged: Acknowledged[] = [];
  const ends = [0, 0];
  let owner = await fixture.writer();
  let [epoch, sequence, lastCommitted] = [0, 0, -1];
  const takeOver = async () => {
    for (const partition of [0, 1]) {
      const nextOffset = BigInt(ends[partition]!);
      await fixture.putPartition({ owner: owner.incarnation, leaderEpoch: epoch, nextOffset }, partition);
    }
  };
  const flush = async (isCommitted: boolean, buildsOn: number, starts: readonly number[]) => {
    const partitions = random.int(3) === 0 ? [0, 1] : [random.int(2)];
    const extents = partitions.map((partition): FlushExtentPlan => {
      return {
        partition,
        leaderEpoch: epoch,
        baseOffset: starts[partition]!,
        values: Array.from({ length: 1 + random.int(3) }, () => `${seed}`),
      };
    });
    const objectKey = await owner.flush({ sequence, buildsOn, isCommitted, extents });
    for (const { partition = 0, baseOffset, values } of extents) {
      if (!isCommitted) continue;
      acknowledged.push({ partition, offset: baseOffset, objectKey });
      ends[partition] = baseOffset + values.length;
    }
    if (isCommitted) lastCommitted = sequence;
    sequence += 1;
    return starts.map((start, partition) => {
      const extentOf = extents.find((one) => (one.partition ?? 0) === partition);
      return extentOf === undefined ? start : extentOf.baseOffset + extentOf.values.length;
    });
  };
  await takeOver();
  for (let step = 0; step < 25; step += 1) {
    const dice = random.int(10);
    if (dice < 5) {
      await flush(true, lastCommitted, [...ends]);
      await owner.raiseFloor('data', sequence);
    } else if (dice < 7) {
      // A flush that never arrives, and one or two that were closed behind it.
      let starts: readonly number[] = ends.map((end) => end + 2);
      let buildsOn = sequence;
      sequence += 1;
      for (let behind = 0; behind <= random.int(2); behind += 1) {
        const own = sequence;
        starts = await flush(false, buildsOn, starts);
        buildsOn = own;
      }
    } else if (dice < 8) {
      // The last flush is uploaded when the broker dies.
      await flush(false, lastCommitted, [...ends]);
      await owner.die();
      owner = await fixture.writer();
      [epoch, sequence, lastCommitted] = [epoch + 1, 0, -1];
      await takeOver();
      // The heir writes to both, as far as the story needs: a tail that nobody contradicts may come back.
      for (const partition of [0, 1]) {
        await owner
          .flush({
            sequence,
            buildsOn: lastCommitted,
            extents: [{ partition, leaderEpoch: epoch, baseOffset: ends[partition]!, values: ['heir'] }],
          })
          .then((objectKey) => acknowledged.push({ partition, offset: ends[partition]!, objectKey }));
        ends[partition]! += 1;
        lastCommitted = sequence;
        sequence += 1;
      }
    } else if (dice < 9) await fixture.checkpoint(keeper.incarnation);
    else await fixture.collect(keeper);
  }
  return { fixture, acknowledged };
}

async function acknowledgedIn(fixture: KeeperFixture, acknowledged: readonly Acknowledged[]): Promise<Acknowledged[]> {
  const { logs } = await readClusterLogs(fixture.access);
  return acknowledged.filter(({ partition, offset, objectKey }) => {
    const outcome = tiled(logs.get(`${topicIdText}/${partition}`)!);
    if (outcome.fault !== undefined) return false;
    return outcome.recovered.extents.some((one) => one.baseOffset === offset && one.objectKey === objectKey);
  });
}
