/** For tests: topics over a real lane and image on the memory store, with partitions that find an owner by themselves. */
import { metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import type { Operation } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { WatchedMetadataImage } from '../metadata/watched-metadata-image.ts';
import { registerBroker } from './broker-registration.ts';
import { Topics, type TopicLimits } from './topics.ts';

export interface TopicsFixtureOptions {
  readonly limits?: Partial<TopicLimits>;
  /** False leaves every partition without an owner. */
  readonly owners?: boolean;
  readonly beforeDelete?: (topic: TopicImage) => Promise<void>;
}

export const fixtureBrokerId = 1;

export async function topicsFixture({ limits, owners = true, beforeDelete }: TopicsFixtureOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const random = seededRandom(7);
  const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };
  const session = await Session.open('incarnation-1', { store, clock, settings });
  const lane = session.lane('data');
  await registerBroker(
    { store, lane, clock },
    {
      incarnation: session.incarnation,
      leaseId: session.leaseId,
      brokerId: fixtureBrokerId,
      endpoint: { host: 'localhost', port: 9092, rack: '' },
    },
  );
  const image = await WatchedMetadataImage.open({
    store,
    clusterId: 'test-cluster',
    clock,
    random,
    logger: silentLogger,
  });
  const deleted: string[] = [];
  const topics = new Topics({
    store,
    lane,
    image,
    clock,
    random,
    limits: { defaultPartitions: 1, maxPartitionsPerTopic: 100, maxPartitions: 1_000, ...limits },
    beforeDelete: async (topic) => {
      await beforeDelete?.(topic);
      deleted.push(topic.name);
    },
  });

  /** Gives every partition that has none an owner. */
  const own = async () => {
    const operations: Operation[] = [];
    for (const { topicId, partitionCount } of image.topics()) {
      for (let partition = 0; partition < partitionCount; partition += 1) {
        if (image.partition(topicId, partition) !== undefined) continue;
        const record: metadata.PartitionRecord = {
          owner: session.incarnation,
          brokerId: fixtureBrokerId,
          leaderEpoch: 0,
          logStartOffset: 0n,
          foldedOffset: 0n,
          epochStarts: [],
          nextOffset: 0n,
          chunks: [],
          segments: [],
          producerSnapshot: undefined,
        };
        const value = metadata.PartitionRecord.encode(record).finish();
        operations.push({ type: 'put', key: metadataKeys.partition(topicId, partition), value });
      }
    }
    for (let from = 0; from < operations.length; from += 100) {
      await store.transact({ compare: [], success: operations.slice(from, from + 100) });
    }
  };
  if (owners) image.onChange(() => void own());

  return {
    clock,
    store,
    session,
    lane,
    image,
    topics,
    /** Names whose deletion reached the hook, in order. */
    deleted,
    own,
    close: async () => {
      session.end(new Error('the test is over'));
      await image.close();
      await settled();
    },
  };
}

export type TopicsFixture = Awaited<ReturnType<typeof topicsFixture>>;
