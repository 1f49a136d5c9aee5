import { ownershipCensus } from './ownership-census.ts';
import type { OwnershipView } from './ownership-view.ts';

/** `owner>assigned` of each partition; brokers are capital letters while they live. */
function viewOf(topics: Readonly<Record<string, readonly string[]>>): OwnershipView {
  const cell = (topicId: string, partition: number) => topics[topicId]?.[partition]?.split('>') ?? [];
  return {
    topics: () =>
      Object.entries(topics).map(([topicId, { length }]) => ({ topicId, name: topicId, partitionCount: length })),
    topic: () => undefined,
    deletingTopics: () => [],
    partition: (topicId, partition) => {
      const [owner = ''] = cell(topicId, partition);
      return { owner } as ReturnType<OwnershipView['partition']>;
    },
    assigned: (topicId, partition) => cell(topicId, partition)[1] ?? '',
    brokerOf: (incarnation) => (/^[A-Z]$/.test(incarnation) ? { brokerId: 1 } : undefined),
    onChange: () => () => undefined,
  };
}

describe('the census of ownership', () => {
  it('finds nothing where everybody has what is theirs', () => {
    expect(ownershipCensus(viewOf({ t: ['A>A', 'B>B'] }), 'A')).toEqual({ wanted: 0, unowned: 0, misplaced: 0 });
  });

  it('tells what waits to be taken from what waits to be handed over', () => {
    const view = viewOf({ t: ['>A', 'dead>A', 'B>A', 'A>B'], u: ['>', 'dead>B', 'A>dead'] });
    expect(ownershipCensus(view, 'A')).toEqual({ wanted: 3, unowned: 4, misplaced: 2 });
    expect(ownershipCensus(view, 'B')).toEqual({ wanted: 2, unowned: 4, misplaced: 2 });
  });
});
