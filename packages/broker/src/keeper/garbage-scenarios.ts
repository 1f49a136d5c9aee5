/**
 * What garbage collection must never do and what it must do, each as a story with stores of its own. The tests run them on the code as
 * it is, and on copies with a bug planted. Every story says what is wrong, or nothing.
 */
import { encodeFlushManifest, IndexObjectBuilder, metadata, metadataKeys } from '@kafscale/protocol';
import { IdentityMismatch, writeIdentity } from './bucket-identity.ts';
import { listCheckpoints } from './checkpoint-reader.ts';
import { writeCheckpoint } from './checkpoint-writer.ts';
import { StorageError } from '../storage/storage-error.ts';
import { liveState } from './cluster-state.ts';
import {
  flushObject,
  graceMs,
  KeeperFixture,
  partitionRecord,
  readerGraceMs,
  sliceOf,
  topicId,
  topicIdText,
  topicName,
  type Writer,
} from './keeper-fixture.ts';

export interface Scenario {
  readonly name: string;
  /** Resolves with what went wrong. */
  run(): Promise<string | undefined>;
}

const extents = [{ baseOffset: 0, values: ['a', 'b'] }];

async function world(): Promise<{ fixture: KeeperFixture; controller: Writer; writer: Writer }> {
  const fixture = await KeeperFixture.create();
  return { fixture, controller: await fixture.writer(), writer: await fixture.writer() };
}

async function kept(fixture: KeeperFixture, keys: readonly string[], why: string): Promise<string | undefined> {
  const left = new Set(await fixture.objectKeys());
  const lost = keys.filter((key) => !left.has(key));
  return lost.length === 0 ? undefined : `deleted ${lost.join(', ')}: ${why}`;
}

async function gone(fixture: KeeperFixture, keys: readonly string[], why: string): Promise<string | undefined> {
  const left = new Set(await fixture.objectKeys());
  const remaining = keys.filter((key) => left.has(key));
  return remaining.length === 0 ? undefined : `left ${remaining.join(', ')}: ${why}`;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'deletes what nobody refers to any more, of the dead and of the living below their floor',
    async run() {
      const { fixture, controller, writer } = await world();
      const dead = await fixture.writer();
      const ofTheDead = [await dead.orphan('flush', 3), await dead.orphan('merged', 4), await dead.orphan('index', 5)];
      await dead.die();
      const ofTheLiving = [await writer.orphan('flush', 0), await writer.orphan('shelf', 0)];
      await writer.raiseFloor('data', 1);
      await writer.raiseFloor('upkeep', 1);
      await fixture.collect(controller);
      return gone(fixture, [...ofTheDead, ...ofTheLiving], 'nobody refers to it');
    },
  },
  {
    name: 'keeps what manifests refer to, of the dead and of the living',
    async run() {
      const { fixture, controller, writer } = await world();
      const dead = await fixture.writer();
      const keys = [await writer.flush({ sequence: 0, extents }), await dead.flush({ sequence: 0, extents })];
      await writer.raiseFloor('data', 1);
      await dead.die();
      await fixture.collect(controller);
      return kept(fixture, keys, 'a manifest refers to it');
    },
  },
  {
    name: 'keeps a shelf and what lies on it',
    async run() {
      const { fixture, controller, writer } = await world();
      const flush = await writer.flush({ sequence: 0, extents, isCommitted: false });
      const { description, footer, position } = flushObject('c', writer.incarnation, { sequence: 0, extents }, 0);
      const manifest = metadata.FlushManifest.decode(encodeFlushManifest(flush, description, footer, position));
      const bytes = Buffer.from(metadata.Shelf.encode({ manifests: [manifest] }).finish());
      const shelf = await writer.orphan('shelf', 0, '');
      await fixture.objectStore.delete([shelf]);
      await fixture.objectStore.create(shelf, [bytes]);
      const record = { shelf: sliceOf(shelf, bytes), manifestCount: 1, writer: writer.incarnation };
      await fixture.put(metadataKeys.shelf(writer.incarnation, 0), metadata.ShelfRecord.encode(record).finish());
      await writer.die();
      await fixture.collect(controller);
      return kept(fixture, [flush, shelf], 'a shelf refers to it');
    },
  },
  {
    name: 'keeps segments, their indexes, the lists that name them, and producer snapshots',
    async run() {
      const { fixture, controller, writer } = await world();
      const { names, objectStore } = fixture;
      const place = (baseOffset: number) => ({ topicName, partition: 0, baseOffset });
      const origin = { incarnation: writer.incarnation, sequence: 0, unique: 'u' };
      const inChunk = names.segment(place(0), origin);
      const inRecord = names.segment(place(10), origin);
      const merged = names.flat('merged', origin);
      const index = names.flat('index', origin);
      const segment = (objectKey: string, baseOffset: number): metadata.Segment => ({
        objectKey,
        baseOffset: BigInt(baseOffset),
        nextOffset: BigInt(baseOffset + 10),
        position: 32n,
        length: 100n,
        maxTimestamp: 1n,
        maxTimestampBaseOffset: BigInt(baseOffset),
        leaderEpoch: 0,
      });
      const builder = new IndexObjectBuilder(index);
      const of = { topicId, topicName, partition: 0 };
      const chunk = builder.addSegments(of, [segment(inChunk.segment, 0)]);
      const producerSnapshot = builder.addProducerSnapshot(of, { offset: 30n, batches: [] });
      await objectStore.create(index, builder.finish({ clusterId: 'c', incarnation: 'i', sequence: 0, createdMs: 0 }));
      const keys = [inChunk.segment, inChunk.index, inRecord.segment, inRecord.index, merged];
      for (const key of keys) await objectStore.create(key, [Buffer.from('bytes')]);
      await fixture.putPartition({
        chunks: [chunk],
        segments: [segment(inRecord.segment, 10), segment(merged, 20)],
        producerSnapshot,
        foldedOffset: 30n,
      });
      await writer.die();
      await fixture.collect(controller);
      return kept(fixture, [...keys, index], 'a partition record refers to it');
    },
  },
  {
    name: 'F16 i: keeps what a living compactor wrote and publishes long after the grace',
    async run() {
      const { fixture, controller, writer } = await world();
      await writer.raiseFloor('upkeep', 4);
      const slow = await writer.orphan('merged', 4);
      await fixture.collect(controller);
      return kept(fixture, [slow], 'its maker lives, and its publication is open');
    },
  },
  {
    name: 'keeps a flush that is on its way, whatever the floor of the other lane says',
    async run() {
      const { fixture, controller, writer } = await world();
      await writer.raiseFloor('upkeep', 100);
      const flush = await writer.orphan('flush', 7);
      const shelf = await writer.orphan('shelf', 200);
      await writer.raiseFloor('data', 7);
      await fixture.collect(controller);
      return kept(fixture, [flush, shelf], 'each lane speaks for its own objects');
    },
  },
  {
    name: 'never touches objects of makers that this store does not know, nor foreign names',
    async run() {
      const { fixture, controller } = await world();
      const { names, objectStore } = fixture;
      const keys = [
        names.flat('flush', { incarnation: 'stranger', sequence: 0, unique: 'u' }),
        names.flat('merged', { incarnation: 'stranger', sequence: 0, unique: 'u' }),
        `${names.prefix}readme.txt`,
        `${names.prefix}flush/zz/what-is-this.wal`,
        `${names.prefix}orders/0/segment-1.kfs`,
      ];
      for (const key of keys) await objectStore.create(key, [Buffer.from('precious')]);
      const reports = await fixture.collect(controller);
      if (reports.at(-1)?.objects.unknown !== keys.length) return 'did not count the unknown objects';
      return kept(fixture, keys, 'it is not ours');
    },
  },
  {
    name: 'neither touches nor counts what lies beside the namespace, such as snapshots of etcd',
    async run() {
      const { fixture, controller } = await world();
      const { objectStore } = fixture;
      const snapshot = 'etcd-snapshots/shop.kafscale/20260203T040506Z-0a1b2c3d';
      const keys = [`${snapshot}/00000.part`, `${snapshot}/snapshot.json`];
      for (const key of keys) await objectStore.create(key, [Buffer.from('precious')]);
      const reports = await fixture.collect(controller);
      if (reports.at(-1)?.objects.unknown !== 0) return 'counted objects that are none of its business';
      const left = await fixture.objectKeys('etcd-snapshots/');
      return left.length === keys.length ? undefined : `deleted all but ${left.join(', ')}: it is not ours`;
    },
  },
  {
    name: 'keeps what is younger than the grace, by the clock of the object store',
    async run() {
      const { fixture, controller, writer } = await world();
      await writer.die();
      await fixture.checkpoints(controller.incarnation);
      const collector = fixture.collector(controller);
      await fixture.clock.advanceAsync(graceMs);
      await fixture.checkpoints(controller.incarnation);
      const key = await writer.orphan('flush', 0);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(readerGraceMs + 1);
        await fixture.checkpoints(controller.incarnation);
        await fixture.settle(collector.run());
      }
      // The broker's own clock leaps: that must not make anything older.
      fixture.clock.jumpWall(10 * graceMs);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(readerGraceMs + 1);
        await fixture.settle(collector.run());
      }
      return kept(fixture, [key], 'it is young');
    },
  },
  {
    name: 'deletes at the second look alone, after the readers had their time',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('flush', 0);
      await writer.die();
      await fixture.clock.advanceAsync(graceMs + 1);
      await fixture.checkpoints(controller.incarnation);
      const collector = fixture.collector(controller);
      await fixture.settle(collector.run());
      await fixture.clock.advanceAsync(readerGraceMs / 2);
      await fixture.settle(collector.run());
      const early = await kept(fixture, [key], 'readers may still have it');
      if (early !== undefined) return early;
      await fixture.clock.advanceAsync(readerGraceMs);
      await fixture.settle(collector.run());
      return gone(fixture, [key], 'its time is over');
    },
  },
  {
    name: 'keeps what is referred to again when it looks a second time',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.flush({ sequence: 0, extents, isCommitted: false });
      await writer.die();
      await fixture.clock.advanceAsync(graceMs + 1);
      await fixture.checkpoints(controller.incarnation);
      const collector = fixture.collector(controller);
      await fixture.settle(collector.run());
      const { description, footer, position } = flushObject('c', writer.incarnation, { sequence: 0, extents }, 0);
      await fixture.put(
        metadataKeys.manifest(writer.incarnation, 0),
        encodeFlushManifest(key, description, footer, position),
      );
      await fixture.clock.advanceAsync(graceMs);
      await fixture.settle(collector.run());
      return kept(fixture, [key], 'a manifest refers to it by now');
    },
  },
  {
    name: 'keeps what only a checkpoint refers to, and deletes it once no checkpoint does',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.flush({ sequence: 0, extents });
      await writer.die();
      await fixture.clock.advanceAsync(graceMs + 1_000);
      await fixture.checkpoints(controller.incarnation);
      await fixture.remove(metadataKeys.manifest(writer.incarnation, 0));
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(readerGraceMs + 1);
        await fixture.settle(collector.run());
      }
      const early = await kept(fixture, [key], 'a rebuild from the checkpoint would need it');
      if (early !== undefined) return early;
      await fixture.collect(controller, collector);
      return gone(fixture, [key], 'no checkpoint refers to it any more');
    },
  },
  {
    name: 'keeps what was published and folded away since the oldest checkpoint',
    async run() {
      const { fixture, controller, writer } = await world();
      await fixture.checkpoint(controller.incarnation);
      const key = await writer.flush({ sequence: 0, extents });
      await fixture.remove(metadataKeys.manifest(writer.incarnation, 0));
      await writer.raiseFloor('data', 1);
      await fixture.clock.advanceAsync(graceMs + 1);
      await fixture.put('producer-ids', Buffer.alloc(0));
      await fixture.checkpoint(controller.incarnation);
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(readerGraceMs + 1);
        await fixture.settle(collector.run());
      }
      return kept(fixture, [key], 'a rebuild from the oldest checkpoint would need it');
    },
  },
  {
    name: 'deletes nothing before there is a checkpoint',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('flush', 0);
      await writer.die();
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(graceMs + 1);
        const report = await fixture.settle(collector.run());
        if (report !== undefined) return 'searched without a checkpoint';
      }
      return kept(fixture, [key], 'there is no checkpoint');
    },
  },
  {
    name: 'F13: does not take the absence of a topic or of a record for its deletion',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.flush({ sequence: 0, extents });
      await writer.die();
      await fixture.collect(controller);
      return kept(fixture, [key], 'no topic and no record is there, and no tombstone either');
    },
  },
  {
    name: 'finds a late object of a dead incarnation at a later search',
    async run() {
      const { fixture, controller, writer } = await world();
      await writer.die();
      await fixture.collect(controller);
      const late = await writer.orphan('flush', 9);
      const reports = await fixture.collect(controller);
      if (reports.some(({ objects }) => objects.unknown > 0)) return 'the lane of its maker was removed too early';
      return gone(fixture, [late], 'it came late, and nobody refers to it');
    },
  },
  {
    name: 'F17: deletes nothing beside a store that went back',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('flush', 0);
      await writer.die();
      const collector = fixture.collector(controller);
      await fixture.collect(controller, collector).catch(() => undefined);
      const late = await writer.orphan('flush', 1);
      await fixture.clock.advanceAsync(graceMs + 1);
      await fixture.checkpoints(controller.incarnation);
      await fixture.settle(collector.run());
      await fixture.clock.advanceAsync(graceMs + 1);
      // A checkpoint of the time after: the store that answers now never was there.
      const { names, random, identity } = fixture;
      const state = { ...(await liveState(fixture.access)), revision: 1_000_000 };
      await writeCheckpoint(state, { ...fixture.access, names, random, identity, incarnation: controller.incarnation });
      const refused = await fixture.settle(collector.run()).then(
        () => false,
        (error: unknown) => error instanceof IdentityMismatch,
      );
      if (!refused) return 'searched beside a store that went back';
      return (
        (await kept(fixture, [late], 'the store went back')) ?? (await gone(fixture, [key], 'it was garbage before'))
      );
    },
  },
  {
    name: 'F16 iii: deletes nothing where two clusters use one prefix',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('flush', 0);
      await writer.die();
      await writeIdentity({ clusterId: 'another', generation: 0n }, { ...fixture.access, names: fixture.names });
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(graceMs + 1);
        await fixture.checkpoints(controller.incarnation);
        await fixture.settle(collector.run()).catch(() => undefined);
      }
      return kept(fixture, [key], 'two clusters are here');
    },
  },
  {
    name: 'keeps every flush that a lost shelf may list',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('flush', 0);
      const shelf = await writer.orphan('shelf', 0, 'damaged');
      const record = { shelf: { ...sliceOf(shelf, Buffer.from('another')) }, manifestCount: 1, writer: '' };
      await fixture.put(metadataKeys.shelf(writer.incarnation, 0), metadata.ShelfRecord.encode(record).finish());
      await writer.die();
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(graceMs + 1);
        await fixture.checkpoints(controller.incarnation);
        await fixture.settle(collector.run()).catch(() => undefined);
      }
      return kept(fixture, [key], 'what the shelf refers to is not known');
    },
  },
  {
    name: 'keeps the flushes that the key of a lost shelf names, and goes on with everything else',
    async run() {
      const { fixture, controller, writer } = await world();
      const onShelf = [await writer.orphan('flush', 1), await writer.orphan('flush', 2)];
      const others = [
        await writer.orphan('flush', 0),
        await writer.orphan('flush', 3),
        await writer.orphan('index', 1),
      ];
      const { incarnation } = writer;
      const record = {
        ...{ shelf: sliceOf('default/shelf/lost', Buffer.from('lost')), manifestCount: 1, writer: '' },
        flushes: { ranges: [{ incarnation, firstSequence: 1n, lastSequence: 2n }] },
      };
      await fixture.put(metadataKeys.shelf(incarnation, 9), metadata.ShelfRecord.encode(record).finish());
      await writer.die();
      await fixture.collect(controller);
      const wronglyGone = await kept(fixture, onShelf, 'the shelf may refer to it');
      return wronglyGone ?? gone(fixture, others, 'the shelf cannot refer to it');
    },
  },
  {
    name: 'deletes nothing while a shelf does not answer',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.orphan('index', 0);
      const shelf = await writer.orphan('shelf', 0, 'shelf');
      const record = { shelf: sliceOf(shelf, Buffer.from('shelf')), manifestCount: 1, writer: '' };
      await fixture.put(metadataKeys.shelf(writer.incarnation, 0), metadata.ShelfRecord.encode(record).finish());
      await writer.die();
      const { objectStore } = fixture;
      const read = objectStore.read.bind(objectStore);
      objectStore.read = (name, ...rest) =>
        name === shelf ? Promise.reject(new StorageError('unavailable', 'no answer')) : read(name, ...rest);
      const collector = fixture.collector(controller);
      for (let search = 0; search < 3; search += 1) {
        await fixture.clock.advanceAsync(graceMs + 1);
        await fixture.checkpoints(controller.incarnation);
        await fixture.settle(collector.run()).catch(() => undefined);
      }
      return kept(fixture, [key], 'the shelf may be read later');
    },
  },
  {
    name: 'deletes nothing once another broker is the controller, or the session is over',
    async run() {
      const { fixture, controller, writer } = await world();
      const keys = [await writer.orphan('flush', 0)];
      await writer.die();
      let isController = true;
      const collector = fixture.collector(controller, { isController: () => isController });
      await fixture.clock.advanceAsync(graceMs + 1);
      await fixture.checkpoints(controller.incarnation);
      await fixture.settle(collector.run());
      await fixture.clock.advanceAsync(readerGraceMs);
      isController = false;
      await fixture.settle(collector.run());
      const other = await kept(fixture, keys, 'another broker is the controller');
      if (other !== undefined) return other;
      isController = true;
      await controller.die();
      await fixture.settle(collector.run()).catch(() => undefined);
      return kept(fixture, keys, 'the session is over');
    },
  },
  {
    name: 'keeps a tombstone while an object of its topic may be left, and drops it after',
    async run() {
      const { fixture, controller, writer } = await world();
      const key = await writer.flush({ sequence: 0, extents });
      const diedMs = BigInt(fixture.clock.wallMs());
      await fixture.put(
        metadataKeys.tombstone(topicIdText),
        metadata.TopicTombstone.encode({ name: topicName, deletedMs: diedMs }).finish(),
      );
      await fixture.clock.advanceAsync(30 * graceMs);
      await fixture.collect(controller);
      const tombstone = async () =>
        (await fixture.metadataStore.range({ key: metadataKeys.tombstone(topicIdText) })).items;
      if ((await tombstone()).length === 0) return `dropped the tombstone while ${key} is there`;
      await fixture.remove(metadataKeys.manifest(writer.incarnation, 0));
      await writer.die();
      await fixture.collect(controller);
      await fixture.collect(controller);
      if ((await tombstone()).length > 0) return 'kept the tombstone of a topic of which nothing is left';
      return undefined;
    },
  },
  {
    name: 'removes the lanes of an incarnation a day after nothing of it is left, and not before',
    async run() {
      const { fixture, controller, writer } = await world();
      const trace = await writer.flush({ sequence: 0, extents });
      await writer.die();
      const lanes = async () =>
        (
          await fixture.metadataStore.range({
            key: `lanes/${writer.incarnation}/`,
            end: `lanes/${writer.incarnation}0`,
          })
        ).items;
      const collector = fixture.collector(controller);
      for (let day = 0; day < 2; day += 1) {
        await fixture.clock.advanceAsync(24 * graceMs);
        await fixture.collect(controller, collector);
      }
      if ((await lanes()).length === 0) return `removed the lanes while ${trace} is there`;
      await fixture.remove(metadataKeys.manifest(writer.incarnation, 0));
      await fixture.collect(controller, collector);
      await fixture.collect(controller, collector);
      if ((await lanes()).length === 0) return 'removed the lanes at once';
      await fixture.clock.advanceAsync(24 * graceMs);
      await fixture.collect(controller, collector);
      if ((await lanes()).length > 0) return 'kept the lanes of an incarnation of which nothing is left';
      return undefined;
    },
  },
  {
    name: 'removes checkpoints of an idle cluster too, which are all of one revision',
    async run() {
      const { fixture, controller } = await world();
      for (let count = 0; count < 5; count += 1) {
        await fixture.clock.advanceAsync(1_000);
        await fixture.checkpoint(controller.incarnation);
      }
      const before = await listCheckpoints(fixture.access, fixture.names);
      await fixture.settle(fixture.collector(controller).run());
      const after = await listCheckpoints(fixture.access, fixture.names);
      const newest = before.slice(-3).map(({ headKey }) => headKey);
      return JSON.stringify(after.map(({ headKey }) => headKey)) === JSON.stringify(newest) ? undefined : 'kept others';
    },
  },
  {
    name: 'keeps the newest checkpoints alone',
    async run() {
      const { fixture, controller } = await world();
      await fixture.putPartition(partitionRecord({}));
      await fixture.collect(controller);
      await fixture.collect(controller);
      const { length } = await listCheckpoints(fixture.access, fixture.names);
      return length === 3 ? undefined : `kept ${length} checkpoints`;
    },
  },
];
