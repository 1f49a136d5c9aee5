import type { AssignmentUpdate } from '@kafscale/protocol';
import type { ClusterImage, ImageChange } from '../metadata/metadata-image.ts';
import { AssignmentFeed, type AssignmentWatcher } from './assignment-feed.ts';

/** Two brokers, `a` with id 0 and `b` with id 1, and one topic, whose state the test writes. */
function setUp(partitionCount = 2) {
  const listeners = new Set<(change: ImageChange) => void>();
  const state = {
    partitionCount: partitionCount as number | undefined,
    brokers: new Map([
      ['a', 0],
      ['b', 1],
    ]),
    owners: Array.from({ length: partitionCount }, () => ({ owner: 'a', leaderEpoch: 0 })),
    wanted: Array.from({ length: partitionCount }, () => 'a'),
  };
  const topic = () => (state.partitionCount === undefined ? undefined : { topicId: 't', name: 'orders', ...state });
  const image = {
    topics: () => [topic()].filter((found) => found !== undefined),
    topicById: () => topic(),
    partition: (_: string, partition: number) => state.owners[partition],
    assignment: () => ({ owners: state.wanted }),
    brokerOf: (incarnation: string) => {
      const brokerId = state.brokers.get(incarnation);
      return brokerId === undefined ? undefined : { brokerId };
    },
    onChange: (listener: (change: ImageChange) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as unknown as ClusterImage;
  const changed = (topicIds?: ReadonlySet<string>) => {
    for (const listener of [...listeners]) listener({ topicIds });
  };
  return { feed: new AssignmentFeed(image), state, changed, listeners };
}

const taken = (watcher: AssignmentWatcher): string[] => {
  const updates: string[] = [];
  for (let update = watcher.next(); update !== undefined; update = watcher.next()) updates.push(shown(update));
  return updates;
};
const shown = ({ partition, status, brokerId, epoch }: AssignmentUpdate) =>
  `${partition.topic}/${partition.partition} ${status} ${brokerId} ${epoch}`;
const ignore = () => undefined;

describe('the feed of assignments', () => {
  it('tells everything as it stands, then each move in its steps', () => {
    const { feed, state, changed } = setUp();
    const watcher = feed.watch(undefined, ignore);
    expect(taken(watcher)).toEqual(['orders/0 owned 0 0', 'orders/1 owned 0 0']);
    state.wanted[1] = 'b';
    changed(new Set(['t']));
    changed(new Set(['t']));
    state.owners[1] = { owner: 'b', leaderEpoch: 1 };
    changed(new Set(['t']));
    expect(taken(watcher)).toEqual(['orders/1 wanted 1 0', 'orders/1 owned 1 1']);
  });

  it('tells a wish that was withdrawn', () => {
    const { feed, state, changed } = setUp(1);
    const watcher = feed.watch(undefined, ignore);
    taken(watcher);
    state.wanted[0] = 'b';
    changed();
    state.wanted[0] = 'a';
    changed();
    expect(taken(watcher)).toEqual(['orders/0 wanted 1 0', 'orders/0 owned 0 0']);
  });

  it('tells that nobody owns what a dead broker had', () => {
    const { feed, state, changed } = setUp(1);
    const watcher = feed.watch(undefined, ignore);
    taken(watcher);
    state.brokers.delete('a');
    changed();
    state.wanted[0] = 'b';
    changed(new Set(['t']));
    expect(taken(watcher)).toEqual(['orders/0 unowned -1 0', 'orders/0 wanted 1 0']);
  });

  it('tells who watches one broker what that has, gets and loses, and nothing else', () => {
    const { feed, state, changed } = setUp();
    const watcher = feed.watch(1, ignore);
    expect(taken(watcher)).toEqual([]);
    state.wanted[1] = 'b';
    changed();
    state.owners[0] = { owner: 'a', leaderEpoch: 3 };
    state.owners[1] = { owner: 'b', leaderEpoch: 1 };
    changed();
    state.wanted[1] = 'a';
    changed();
    state.owners[1] = { owner: 'a', leaderEpoch: 2 };
    changed();
    state.owners[1] = { owner: 'a', leaderEpoch: 3 };
    changed();
    expect(taken(watcher)).toEqual([
      'orders/1 wanted 1 0',
      'orders/1 owned 1 1',
      'orders/1 wanted 0 1',
      'orders/1 owned 0 2',
    ]);
  });

  it('tells of partitions that come and of topics that go', () => {
    const { feed, state, changed } = setUp(1);
    const watcher = feed.watch(undefined, ignore);
    taken(watcher);
    state.partitionCount = 2;
    changed(new Set(['t']));
    state.partitionCount = undefined;
    changed(new Set(['t']));
    expect(taken(watcher)).toEqual(['orders/1 unowned -1 -1', 'orders/0 unowned -1 0']);
  });

  it('leaves behind who does not keep up, and nobody else', () => {
    const { feed, state, changed } = setUp(1_000);
    const [slow, quick] = [feed.watch(undefined, ignore), feed.watch(undefined, ignore)];
    taken(quick);
    for (let epoch = 1; epoch <= 21; epoch += 1) {
      state.owners = state.owners.map(() => ({ owner: 'a', leaderEpoch: epoch }));
      changed();
      expect(taken(quick)).toHaveLength(1_000);
    }
    expect([slow.isBehind, quick.isBehind]).toEqual([true, false]);
  });

  it('costs nothing while nobody watches', () => {
    const { feed, state, changed, listeners } = setUp(1);
    const [one, other] = [feed.watch(undefined, ignore), feed.watch(0, ignore)];
    one.close();
    expect(listeners.size).toBe(1);
    other.close();
    expect(listeners.size).toBe(0);
    state.owners[0] = { owner: 'b', leaderEpoch: 1 };
    changed();
    expect(taken(feed.watch(1, ignore))).toEqual(['orders/0 wanted 0 1']);
  });
});
