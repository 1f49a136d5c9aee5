import fc from 'fast-check';
import { planAssignments, type EligibleBroker, type Plan, type TopicToAssign } from './assignment.ts';

const brokers = (count: number, racks = 1): EligibleBroker[] =>
  Array.from({ length: count }, (_, index) => ({ incarnation: `broker-${index}`, rack: `rack-${index % racks}` }));

const fresh = (sizes: readonly number[]): TopicToAssign[] =>
  sizes.map((size, index) => ({
    topicId: `topic-${index}`,
    partitions: Array.from({ length: size }, () => ({ assigned: '', owner: '' })),
  }));

/** As it is once everybody owns what the plan gives them. */
const applied = (topics: readonly TopicToAssign[], plan: Plan): TopicToAssign[] =>
  topics.map(({ topicId, partitions }) => ({
    topicId,
    partitions: partitions.map(({ assigned }, partition) => {
      const owner = plan.get(topicId)?.[partition] ?? assigned;
      return { assigned: owner, owner };
    }),
  }));

const noLimit = { maxMoves: Infinity };
const settledOn = (topics: readonly TopicToAssign[], on: readonly EligibleBroker[]) =>
  applied(topics, planAssignments(topics, on, noLimit));

function totals(topics: readonly TopicToAssign[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { partitions } of topics) {
    for (const { assigned } of partitions) counts.set(assigned, (counts.get(assigned) ?? 0) + 1);
  }
  return counts;
}

const spreadOf = (topics: readonly TopicToAssign[], on: readonly EligibleBroker[]) => {
  const counts = on.map(({ incarnation }) => totals(topics).get(incarnation) ?? 0);
  return Math.max(...counts) - Math.min(...counts);
};

/** Partitions that `before` had on a broker of `on` and that are elsewhere now. */
const moved = (before: readonly TopicToAssign[], after: readonly TopicToAssign[], on: readonly EligibleBroker[]) =>
  before
    .flatMap(({ partitions }, topic) =>
      partitions.map(({ assigned }, partition) => [assigned, after[topic]!.partitions[partition]!.assigned] as const),
    )
    .filter(([was, is]) => was !== is && on.some(({ incarnation }) => incarnation === was)).length;

const sizes = fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 20 });
const brokerCount = fc.integer({ min: 1, max: 8 });

describe('a plan of assignments', () => {
  it('gives every partition an owner, every broker as much as any other, and every topic to all of them', () => {
    fc.assert(
      fc.property(sizes, brokerCount, (partitions, count) => {
        const after = settledOn(fresh(partitions), brokers(count));
        expect(totals(after).get('')).toBeUndefined();
        expect(spreadOf(after, brokers(count))).toBeLessThanOrEqual(1);
        for (const topic of after) expect(spreadOf([topic], brokers(count))).toBeLessThanOrEqual(2);
      }),
    );
  });

  it('changes nothing where nothing has changed', () => {
    fc.assert(
      fc.property(sizes, brokerCount, brokerCount, (partitions, before, after) => {
        const settled = settledOn(settledOn(fresh(partitions), brokers(before)), brokers(after));
        expect(planAssignments(settled, brokers(after), noLimit)).toEqual(new Map());
      }),
    );
  });

  it('gives a newcomer its share and moves hardly more', () => {
    fc.assert(
      fc.property(sizes, brokerCount, (partitions, count) => {
        const before = settledOn(fresh(partitions), brokers(count));
        const after = settledOn(before, brokers(count + 1));
        const total = partitions.reduce((sum, size) => sum + size, 0);
        expect(spreadOf(after, brokers(count + 1))).toBeLessThanOrEqual(1);
        expect(moved(before, after, brokers(count))).toBeLessThanOrEqual(Math.ceil(total / (count + 1)) + count + 1);
      }),
    );
  });

  it('leaves nothing with a broker that is gone, and moves hardly anything else', () => {
    fc.assert(
      fc.property(sizes, brokerCount, (partitions, count) => {
        const before = settledOn(fresh(partitions), brokers(count + 1));
        const staying = brokers(count);
        const after = settledOn(before, staying);
        expect(totals(after).get(`broker-${count}`)).toBeUndefined();
        expect(spreadOf(after, staying)).toBeLessThanOrEqual(1);
        expect(moved(before, after, staying)).toBeLessThanOrEqual(2 * (count + 1));
      }),
    );
  });

  it('keeps whoever owns a partition that nobody is assigned to', () => {
    const topics = [{ topicId: 't', partitions: [{ assigned: 'gone', owner: 'broker-1' }] }];
    expect(planAssignments(topics, brokers(3), noLimit)).toEqual(new Map([['t', ['broker-1']]]));
  });

  it('leaves a partition on its way to where it was sent', () => {
    const topics = [{ topicId: 't', partitions: [{ assigned: 'broker-2', owner: 'broker-1' }] }];
    expect(planAssignments(topics, brokers(3), noLimit)).toEqual(new Map());
  });

  it('moves no more than it may, and gives away what has no owner all the same', () => {
    const before = settledOn(fresh([30, 30]), brokers(2));
    const plan = planAssignments(
      [...before, ...fresh([5]).map((topic) => ({ ...topic, topicId: 'new' }))],
      brokers(3),
      {
        maxMoves: 4,
      },
    );
    const after = applied([...before, { topicId: 'new', partitions: [] }], plan);
    expect(moved(before, after, brokers(2))).toBe(4);
    expect(plan.get('new')).toHaveLength(5);
    expect(planAssignments(before, brokers(3), { maxMoves: 0 })).toEqual(new Map());
  });

  it('reaches the same balance in small steps', () => {
    let topics = settledOn(fresh([17, 9, 3, 40]), brokers(3));
    for (let step = 0; step < 100; step += 1) {
      topics = applied(topics, planAssignments(topics, brokers(5), { maxMoves: 2 }));
    }
    expect(spreadOf(topics, brokers(5))).toBeLessThanOrEqual(1);
    expect(planAssignments(topics, brokers(5), noLimit)).toEqual(new Map());
  });

  it('puts the partitions of a small topic into different racks', () => {
    const after = settledOn(fresh(Array.from({ length: 12 }, () => 3)), brokers(6, 3));
    const rackOf = new Map(brokers(6, 3).map(({ incarnation, rack }) => [incarnation, rack]));
    for (const { partitions } of after) {
      expect(new Set(partitions.map(({ assigned }) => rackOf.get(assigned))).size).toBe(3);
    }
    expect(spreadOf(after, brokers(6, 3))).toBeLessThanOrEqual(1);
  });

  it('spreads a new topic over all brokers, also while one of them is still empty', () => {
    const before = settledOn(fresh([100]), brokers(2));
    const plan = planAssignments([...before, { ...fresh([9])[0]!, topicId: 'new' }], brokers(3), { maxMoves: 0 });
    const owners = plan.get('new')!;
    for (const { incarnation } of brokers(3)) expect(owners.filter((owner) => owner === incarnation)).toHaveLength(3);
  });

  it('is made of 10 000 partitions without delay', () => {
    const before = settledOn(fresh(Array.from({ length: 1_000 }, () => 10)), brokers(9));
    const after = settledOn(before, brokers(10));
    expect(spreadOf(after, brokers(10))).toBeLessThanOrEqual(1);
  });

  it('changes nothing while nobody could own anything', () => {
    expect(planAssignments(settledOn(fresh([4]), brokers(2)), [], noLimit)).toEqual(new Map());
  });

  describe('with a cordoned broker', () => {
    const cordoned = (on: readonly EligibleBroker[], index: number, drained?: EligibleBroker['drained']) =>
      on.map((broker, at) => (at === index ? { ...broker, cordoned: true, ...(drained && { drained }) } : broker));
    const ownedBy = (topics: readonly TopicToAssign[], incarnation: string) =>
      topics.flatMap(({ topicId, partitions }) =>
        partitions.flatMap(({ assigned }, partition) => (assigned === incarnation ? [`${topicId}/${partition}`] : [])),
      );

    it('leaves it what it has and gives it nothing more, and evens out the others', () => {
      fc.assert(
        fc.property(sizes, sizes, fc.integer({ min: 2, max: 6 }), (partitions, more, count) => {
          const before = settledOn(fresh(partitions), brokers(count));
          const had = ownedBy(before, 'broker-0');
          const all = [...before, ...fresh(more).map((topic, index) => ({ ...topic, topicId: `more-${index}` }))];
          const on = cordoned(brokers(count), 0);
          const after = settledOn(all, on);
          expect(ownedBy(after, 'broker-0')).toEqual(had);
          expect(spreadOf(after, on.slice(1))).toBeLessThanOrEqual(1);
          expect(planAssignments(after, on, noLimit).size).toBe(0);
        }),
      );
    });

    it('takes what was drained from it, at once and for good, and nothing else', () => {
      const before = settledOn(fresh([12, 12]), brokers(3));
      const had = ownedBy(before, 'broker-0');
      const [name, number] = had[0]!.split('/') as [string, string];
      const on = cordoned(brokers(3), 0, new Map([[name, new Set([Number(number)])]]));
      const after = applied(before, planAssignments(before, on, { maxMoves: 0 }));
      expect(ownedBy(after, 'broker-0')).toEqual(had.slice(1));
      expect(planAssignments(after, on, noLimit).size).toBe(0);
    });

    it('gives to it all the same where there is no other', () => {
      const drained = new Map([['topic-0', new Set([0])]]);
      const on = cordoned(brokers(1), 0, drained);
      const after = settledOn(fresh([3]), on);
      expect(totals(after).get('broker-0')).toBe(3);
      expect(planAssignments(after, on, noLimit).size).toBe(0);
    });
  });
});
