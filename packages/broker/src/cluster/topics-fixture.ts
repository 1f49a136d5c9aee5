/** For tests: topics over a real lane and image on the memory store, with partitions that find an owner by themselves. */
import { metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { Operation } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { WatchedMetadataImage } from '../metadata/watched-metadata-image.ts';
import { registerBroker } from './broker-registration.ts';
import { Topics, type TopicLimits } from './topics.ts';

export interface TopicsFixtureOptions {
  readonly limits?: Partial<TopicLimits>;
  /** False leaves every partition without an owner. */
  readonly owners?: boolean;
  /** False keeps the partitions of a topic that is being deleted with their owner. */
  readonly releases?: boolean;
}

export const fixtureBrokerId = 1;

export async function topicsFixture({ limits, owners = true, releases = true }: TopicsFixtureOptions = {}) {
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
  const topics = new Topics({
    store,
    lane,
    image,
    clock,
    random,
    logger: silentLogger,
    callDeadlineMs: settings.callDeadlineMs,
    limits: { defaultPartitions: 1, maxPartitionsPerTopic: 100, maxPartitions: 1_000, ...limits },
  });

  /** Gives every partition that has none an owner. */
  const own = async () => {
    const operations: Operation[] = [];
    for (const { topicId, partitionCount } of image.topics()) {
      for (let partition = 0; partition < partitionCount; partition += 1) {
        if (image.partition(topicId, partition) !== undefined) continue;
        operations.push(ownedBy(session.incarnation, topicId, partition));
      }
    }
    for (let from = 0; from < operations.length; from += 100) {
      await store.transact({ compare: [], success: operations.slice(from, from + 100) });
    }
  };
  /** Releases every partition of the topics that are being deleted. */
  const release = async () => {
    for (const { topicId, partitionCount } of image.deletingTopics()) {
      const partitions = Array.from({ length: partitionCount }, (_, partition) => partition);
      const owned = partitions.filter((partition) => (image.partition(topicId, partition)?.owner ?? '') !== '');
      if (owned.length === 0) continue;
      await store.transact({ compare: [], success: owned.map((partition) => ownedBy('', topicId, partition)) });
    }
  };
  if (owners) image.onChange(() => void own());
  if (releases) image.onChange(() => void release());

  return {
    clock,
    store,
    session,
    lane,
    image,
    topics,
    own,
    release,
    close: async () => {
      topics.close();
      session.end(new Error('the test is over'));
      await image.close();
      await settled();
    },
  };
}

/** Stores who owns a partition; an empty text for nobody. */
export function ownedBy(owner: string, topicId: string, partition: number) {
  const nothing = metadata.PartitionRecord.decode(new Uint8Array());
  const value = metadata.PartitionRecord.encode({ ...nothing, owner, brokerId: fixtureBrokerId }).finish();
  return { type: 'put' as const, key: metadataKeys.partition(topicId, partition), value };
}

export type TopicsFixture = Awaited<ReturnType<typeof topicsFixture>>;
