import { FakeClock, settled } from '@kafscale/testkit';
import type { ImageChange, PartitionImage } from '../metadata/metadata-image.ts';
import { PartitionFinder, type Whereabouts } from './partition-finder.ts';

const topicId = 'topic';
const mine = (leaderEpoch: number): PartitionImage => ({ owner: 'me', brokerId: 1, leaderEpoch });
const theirs = (leaderEpoch: number): PartitionImage => ({ owner: 'they', brokerId: 2, leaderEpoch });

function finding() {
  const clock = new FakeClock();
  const listeners = new Set<(change: ImageChange) => void>();
  const reads: { partition: number; answer: (owner: PartitionImage | undefined) => void; fail: () => void }[] = [];
  let shown: PartitionImage | undefined;
  const finder = new PartitionFinder({
    clock,
    incarnation: 'me',
    waitMs: 500,
    image: {
      partition: () => shown,
      onChange: (listener: (change: ImageChange) => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    currentOwner: (_topicId, partition) =>
      new Promise((answer, reject) => reads.push({ partition, answer, fail: () => reject(new Error('unavailable')) })),
  });
  return {
    clock,
    finder,
    reads,
    listeners,
    show(state: PartitionImage) {
      shown = state;
      for (const listener of [...listeners]) listener({ topicIds: undefined });
    },
    async outcome(found: Promise<Whereabouts>): Promise<Whereabouts | 'open'> {
      await settled();
      return Promise.race([found, Promise.resolve('open' as const)]);
    },
  };
}

describe('PartitionFinder', () => {
  it('sends nobody away on the word of the image', async () => {
    const { finder, reads, show, outcome } = finding();
    show(theirs(3));
    const found = finder.find(topicId, 0);
    show(theirs(4));
    expect(await outcome(found)).toBe('open');
    reads[0]!.answer(theirs(7));
    expect(await found).toEqual(theirs(7));
  });

  it('reads once for all who look for a partition', async () => {
    const { finder, reads } = finding();
    const found = [finder.find(topicId, 0), finder.find(topicId, 0), finder.find(topicId, 1)];
    expect(reads.map(({ partition }) => partition)).toEqual([0, 1]);
    for (const read of reads) read.answer(theirs(1));
    expect(await Promise.all(found)).toEqual([theirs(1), theirs(1), theirs(1)]);
  });

  it('waits for a partition that is ours to be opened, and goes on in that very turn, in order', async () => {
    const { finder, reads } = finding();
    const order: unknown[] = [];
    finder.seek(topicId, 0, (whereabouts) => order.push('first', whereabouts));
    finder.seek(topicId, 0, (whereabouts) => order.push('second', whereabouts));
    reads[0]!.answer(mine(2));
    await settled();
    expect(order).toEqual([]);
    finder.opened(topicId, 0);
    order.push('whoever comes later');
    expect(order).toEqual(['first', 'here', 'second', 'here', 'whoever comes later']);
  });

  it('needs no read once the partition is open', async () => {
    const { finder, clock, listeners } = finding();
    const found = finder.find(topicId, 0);
    finder.opened(topicId, 0);
    expect(await found).toBe('here');
    expect([clock.pendingTimers, listeners.size]).toEqual([0, 0]);
  });

  it('hears from the image who the heir is, while the record still named us', async () => {
    const { finder, reads, show, outcome } = finding();
    show(mine(2));
    const found = finder.find(topicId, 0);
    reads[0]!.answer(mine(2));
    expect(await outcome(found)).toBe('open');
    show(theirs(3));
    expect(await found).toEqual(theirs(3));
  });

  it('does not take an older image for news', async () => {
    const { finder, reads, show, outcome } = finding();
    const found = finder.find(topicId, 0);
    reads[0]!.answer(mine(5));
    await settled();
    show(theirs(4));
    expect(await outcome(found)).toBe('open');
  });

  it('waits no longer than it may, and then tells what it knows', async () => {
    const { finder, reads, clock, outcome } = finding();
    const long = finder.find(topicId, 0);
    const short = finder.find(topicId, 0, 100);
    reads[0]!.answer(mine(2));
    await clock.advanceAsync(100);
    expect(await outcome(short)).toEqual(mine(2));
    await clock.advanceAsync(399);
    expect(await outcome(long)).toBe('open');
    await clock.advanceAsync(1);
    expect(await long).toEqual(mine(2));
    expect(clock.pendingTimers).toBe(0);
  });

  it('tells what the image shows while the metadata store does not answer', async () => {
    const { finder, reads, clock, show } = finding();
    show(theirs(3));
    const failing = finder.find(topicId, 0);
    const silent = finder.find(topicId, 1);
    reads[0]!.fail();
    await clock.advanceAsync(500);
    expect(await Promise.all([failing, silent])).toEqual([theirs(3), theirs(3)]);
  });

  it('keeps nobody waiting once it is closed', async () => {
    const { finder, reads, clock } = finding();
    const found = finder.find(topicId, 0);
    reads[0]!.answer(mine(2));
    await settled();
    finder.close();
    expect(await found).toEqual(mine(2));
    expect(await finder.find(topicId, 0)).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });
});
