import { KafkaError, metadataKeys, metadataPrefixes, type ErrorName } from '@kafscale/protocol';
import { silentLogger } from '@kafscale/runtime';
import { settled } from '@kafscale/testkit';
import { prefixEnd } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { ownedBy, topicsFixture, type TopicsFixture, type TopicsFixtureOptions } from './topics-fixture.ts';
import { Topics } from './topics.ts';

const wait = { timeoutMs: 5_000 };
const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };

const outcome = (promise: Promise<unknown>): Promise<'done' | ErrorName> =>
  promise.then(
    () => 'done' as const,
    (error: unknown) => {
      if (error instanceof KafkaError) return error.codeName;
      throw error;
    },
  );

let fixture: TopicsFixture;
const setUp = async (options?: TopicsFixtureOptions) => (fixture = await topicsFixture(options));
afterEach(() => fixture.close());

const create = (name: string, numPartitions = 1) =>
  fixture.topics.create({ name, numPartitions, replicationFactor: -1, assignments: [], configs: [] }, wait);

const keys = async (prefix: string) =>
  (await fixture.store.range({ key: prefix, end: prefixEnd(prefix) })).items.map(({ key }) => key.slice(prefix.length));

/** Another broker of the cluster, which sees what this one's image shows. */
async function otherBroker(incarnation: string) {
  const { store, clock, image } = fixture;
  const session = await Session.open(incarnation, { store, clock, settings });
  const random = { bytes: (size: number) => Buffer.alloc(size, 3), fraction: () => 0.5 };
  const topics = new Topics({
    store,
    lane: session.lane('data'),
    image,
    clock,
    random: random as never,
    logger: silentLogger,
    callDeadlineMs: settings.callDeadlineMs,
    limits: { defaultPartitions: 1, maxPartitionsPerTopic: 100, maxPartitions: 1_000 },
  });
  return { session, topics };
}

const put = (owner: string, topicId: string, partition: number) =>
  fixture.store.transact({ compare: [], success: [ownedBy(owner, topicId, partition)] });

describe('deleting a topic', () => {
  it('waits for every owner to release, then frees the name and leaves a tombstone, all at once', async () => {
    const { topics, image, release } = await setUp({ releases: false });
    const { topicId } = await create('a', 3);
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    expect([image.topic('a'), image.topicById(topicId), [...image.topics()]]).toEqual([undefined, undefined, []]);
    expect([...image.deletingTopics()]).toMatchObject([{ name: 'a', topicId }]);
    expect(await keys(metadataPrefixes.topics)).toEqual(['a']);
    expect(await keys(metadataPrefixes.tombstones)).toEqual([]);

    await release();
    expect(await deleting).toBe('done');
    expect(await keys(metadataPrefixes.topics)).toEqual([]);
    expect(await keys(metadataPrefixes.partitions)).toEqual([]);
    expect(await keys(metadataPrefixes.tombstones)).toEqual([topicId]);
  });

  it('goes on when one owner of several has not released yet', async () => {
    const { topics } = await setUp({ releases: false });
    const { topicId } = await create('a', 3);
    await otherBroker('other');
    await put('other', topicId, 2);
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    await put('', topicId, 0);
    await put('', topicId, 1);
    await fixture.clock.advanceAsync(3_000);
    expect(await keys(metadataPrefixes.topics)).toEqual(['a']);
    await put('', topicId, 2);
    await fixture.clock.runUntilSettled(deleting);
    expect(await deleting).toBe('done');
  });

  it('waits for no owner that is dead', async () => {
    const { topics, store } = await setUp({ releases: false });
    const { topicId } = await create('a');
    const { session } = await otherBroker('other');
    await put('other', topicId, 0);
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await fixture.clock.advanceAsync(1_000);
    expect(await keys(metadataPrefixes.topics)).toEqual(['a']);
    session.end(new Error('killed'));
    await store.revokeLease(session.leaseId);
    await fixture.clock.runUntilSettled(deleting);
    expect(await deleting).toBe('done');
    expect(await keys(metadataPrefixes.tombstones)).toEqual([topicId]);
  });

  it('keeps the name taken until it is gone', async () => {
    const { topics, release } = await setUp({ releases: false });
    await create('a');
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    expect(await outcome(create('a'))).toBe('TOPIC_ALREADY_EXISTS');
    const { topics: elsewhere } = await otherBroker('other');
    const again = { name: 'a', numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] };
    expect(await outcome(elsewhere.create(again, wait))).toBe('TOPIC_ALREADY_EXISTS');
    await release();
    await deleting;
    expect(await outcome(create('a'))).toBe('done');
  });

  it('leaves nothing to be grown or configured', async () => {
    const { topics } = await setUp({ releases: false });
    await create('a');
    void outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    const unknown = 'UNKNOWN_TOPIC_OR_PARTITION';
    expect(await outcome(topics.grow({ name: 'a', count: 9, assignments: null }, wait))).toBe(unknown);
    expect(await outcome(topics.alterConfigs('a', () => new Map(), wait))).toBe(unknown);
  });

  it('is REQUEST_TIMED_OUT when that takes longer, and goes on; whoever deletes it again waits for the same', async () => {
    const { topics, clock, release } = await setUp({ releases: false });
    const { topicId } = await create('a');
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await clock.advanceAsync(5_000);
    expect(await deleting).toBe('REQUEST_TIMED_OUT');
    const again = topics.delete({ name: 'a', topicId }, { timeoutMs: 60_000 });
    await settled();
    await release();
    expect(await clock.runUntilSettled(again)).toBe(topicId);
  });

  it('completes in the background when nobody asks any more', async () => {
    const { topics, clock, release } = await setUp({ releases: false });
    await create('a');
    const gone = new AbortController();
    const deleting = outcome(topics.delete({ name: 'a' }, { ...wait, signal: gone.signal }));
    await settled();
    gone.abort();
    expect(await deleting).toBe('REQUEST_TIMED_OUT');
    await release();
    await clock.advanceAsync(5_000);
    expect(await keys(metadataPrefixes.topics)).toEqual([]);
  });

  it('is completed by another broker when the one that began it is gone', async () => {
    const { topics, session, image, release } = await setUp({ releases: false });
    const { topicId } = await create('a');
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    session.end(new Error('killed'));
    const { topics: controller } = await otherBroker('controller');
    const [marked] = [...image.deletingTopics()];
    await expect(controller.finishDeletion(marked!)).rejects.toMatchObject({ kind: 'conflict' });
    await release();
    await controller.finishDeletion(marked!);
    expect(await keys(metadataPrefixes.topics)).toEqual([]);
    expect(await keys(metadataPrefixes.tombstones)).toEqual([topicId]);
    await controller.finishDeletion(marked!);
    await fixture.clock.runUntilSettled(deleting);
    expect(['done', 'REQUEST_TIMED_OUT']).toContain(await deleting);
  });

  it('completed late frees no name that another topic has by then', async () => {
    const { topics, image } = await setUp();
    await create('a');
    let marked = [...image.deletingTopics()];
    image.onChange(() => (marked = marked.length > 0 ? marked : [...image.deletingTopics()]));
    await topics.delete({ name: 'a' }, wait);
    const { topicId } = await create('a');
    await topics.finishDeletion(marked[0]!);
    expect(image.topic('a')?.topicId).toBe(topicId);
    const { items } = await fixture.store.range({ key: metadataKeys.partition(topicId, 0) });
    expect(items).toHaveLength(1);
  });

  it('goes on through a store that is away for a while', async () => {
    const { topics, store, clock } = await setUp();
    await create('a');
    const range = store.range.bind(store);
    let failures = 3;
    store.range = (request, signal) => {
      const isDeletion = request.key.startsWith(metadataPrefixes.partitions) && failures > 0;
      if (!isDeletion) return range(request, signal);
      failures -= 1;
      return Promise.reject(new Error('connection refused'));
    };
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await clock.runUntilSettled(deleting);
    expect(await deleting).toBe('done');
  });

  it('stops asking when the broker closes', async () => {
    const { topics, clock } = await setUp({ releases: false });
    await create('a');
    const deleting = outcome(topics.delete({ name: 'a' }, wait));
    await settled();
    topics.close();
    await clock.advanceAsync(0);
    expect(await deleting).toBe('REQUEST_TIMED_OUT');
  });
});
