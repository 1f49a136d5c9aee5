/** For tests of shelving: manifests as the committer leaves them, in a memory store, and what the whole of the metadata still says. */
import { crc32c, encodeFlushFooter, metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { silentLogger, type Logger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { FaultyMetadataStore } from '../../metadata/faulty-metadata-store.ts';
import type { FlooredLane } from '../../metadata/lane.ts';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { prefixEnd, type KeyValue } from '../../metadata/metadata-store.ts';
import { Session } from '../../metadata/session.ts';
import { FaultyObjectStore } from '../../storage/faulty-object-store.ts';
import { MemoryObjectStore } from '../../storage/memory-object-store.ts';
import { ObjectNames } from '../../storage/object-names.ts';
import { DeadExtents } from './dead-extents.ts';
import { Publications } from './publications.ts';
import { Shelver, type StoredManifest } from './shelver.ts';
import { describeFlush, readShelf } from './stored-manifests.ts';

export const topicId = Buffer.alloc(16, 7).toString('base64url');
export const otherTopicId = Buffer.alloc(16, 8).toString('base64url');
const callDeadlineMs = 1_000;

export interface ExtentOf {
  readonly topicId?: string;
  readonly partition?: number;
  readonly from: number;
  readonly to: number;
}

export class ShelvingFixture {
  readonly clock = new FakeClock();
  readonly inner = new MemoryMetadataStore({ clock: this.clock });
  readonly store = new FaultyMetadataStore(this.inner, { clock: this.clock });
  readonly memoryObjects = new MemoryObjectStore({ clock: this.clock });
  readonly objectStore = new FaultyObjectStore(this.memoryObjects, { clock: this.clock });
  /** Folded offset by `topic id/partition`, as the image shows it. */
  readonly folded = new Map<string, number>();
  readonly shownTopics = new Set([topicId]);
  readonly #sequences = new Map<string, number>();

  /** A session as a broker has it; its lanes write to the faulty store. */
  open(incarnation: string): Promise<Session> {
    const settings = { ttlMs: 1_000_000, callDeadlineMs, settleDeadlineMs: 5_000 };
    return Session.open(incarnation, { store: this.store, clock: this.clock, settings });
  }

  shelver(incarnation: string, lane: FlooredLane, logger: Logger = silentLogger): Shelver {
    const { clock, store, objectStore } = this;
    let unique = 0;
    return new Shelver({
      ...{ clock, store, objectStore, lane, incarnation, callDeadlineMs, logger },
      uploadDeadlineMs: callDeadlineMs,
      publications: new Publications({
        names: new ObjectNames('kafscale'),
        lane,
        incarnation,
        unique: () => `u${(unique += 1)}`,
      }),
      dead: new DeadExtents({ image: this.image(), store, clock, callDeadlineMs }),
    });
  }

  image() {
    return {
      partition: (topic: string, partition: number) => ({
        ...{ owner: '', brokerId: 0, leaderEpoch: 0 },
        foldedOffset: this.folded.get(`${topic}/${partition}`) ?? 0,
      }),
      topicById: (topic: string) => (this.shownTopics.has(topic) ? ({ topicId: topic } as never) : undefined),
    };
  }

  /** Puts a manifest past the lane; with `footer` it points into its object. */
  async put(incarnation: string, extents: readonly ExtentOf[], { footer = false } = {}): Promise<StoredManifest> {
    const sequence = this.#sequences.get(incarnation) ?? 0;
    this.#sequences.set(incarnation, sequence + 1);
    const objectKey = `${incarnation}-${sequence}`;
    const description: metadata.FlushDescription = {
      ...{ clusterId: 'c', incarnation, sequence: BigInt(sequence), buildsOn: BigInt(sequence - 1), createdMs: 0n },
      topics: extents.map(({ topicId: id = topicId, partition = 0, from, to }) => ({
        topicId: Buffer.from(id, 'base64url'),
        name: 'orders',
        extents: [
          {
            ...{ partition, leaderEpoch: 0, baseOffset: BigInt(from), nextOffset: BigInt(to), position: 0n, length: 1 },
            ...{ maxTimestamp: -1n, maxTimestampBaseOffset: BigInt(from), producerBatches: [] },
          },
        ],
      })),
    };
    const encoded = encodeFlushFooter(description);
    await this.memoryObjects.create(objectKey, [encoded.footer, encoded.trailer]);
    const body: metadata.FlushManifest['body'] = footer
      ? {
          $case: 'footer',
          value: { position: 0n, length: encoded.footer.length, crc32c: crc32c(encoded.footer) },
        }
      : { $case: 'inline', value: description };
    const value = metadata.FlushManifest.encode({ objectKey, body }).finish();
    const key = metadataKeys.manifest(incarnation, sequence);
    const { revision } = await this.inner.transact({ compare: [], success: [{ type: 'put', key, value }] });
    return { key, modRevision: revision, value };
  }

  async keys(prefix: string): Promise<readonly KeyValue[]> {
    return (await this.inner.range({ key: prefix, end: prefixEnd(prefix) })).items;
  }

  /** Every extent that manifests and shelves describe, as `topic first letter partition:from-to`, sorted; each as often as it is. */
  async described(): Promise<readonly string[]> {
    const reading = { objectStore: this.memoryObjects, clock: this.clock, callDeadlineMs };
    const manifests = (await this.keys(metadataPrefixes.manifests)).map(({ value }) =>
      metadata.FlushManifest.decode(value),
    );
    for (const { value } of await this.keys(metadataPrefixes.shelves)) {
      manifests.push(...(await readShelf(metadata.ShelfRecord.decode(value).shelf!, reading)));
    }
    const extents: string[] = [];
    for (const manifest of manifests) {
      const { topics } = await describeFlush(manifest, reading);
      for (const topic of topics) {
        for (const { partition, baseOffset, nextOffset } of topic.extents) {
          const name = topic.topicId.toString('base64url') === topicId ? '' : 'other ';
          extents.push(`${name}${partition}:${baseOffset}-${nextOffset}`);
        }
      }
    }
    return extents.sort();
  }

  async putTombstone(id: string): Promise<void> {
    const value = metadata.TopicTombstone.encode({ name: 'x', deletedMs: 1n }).finish();
    await this.inner.transact({ compare: [], success: [{ type: 'put', key: metadataKeys.tombstone(id), value }] });
  }
}
