import { silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { Batch } from './batch.ts';
import { StubTopics } from './stub-topics-fixture.ts';
import { TopicCatalogue } from './topic-catalogue.ts';

describe('a batch', () => {
  it('makes one call of what comes together, and another of what comes meanwhile', async () => {
    const clock = new FakeClock();
    const calls: string[][] = [];
    let release = () => {};
    const batch = new Batch<number, number>({
      ...{ clock, gatherMs: 10, largest: 3 },
      send: async (items) => {
        calls.push([...items.keys()]);
        await new Promise<void>((resolve) => (release = resolve));
        return new Map([...items].map(([key, value]) => [key, value * 2]));
      },
    });
    const asked = ['a', 'b', 'a', 'c', 'd'].map((key, index) => batch.ask(key, index));
    expect(calls).toEqual([]);
    await clock.advanceAsync(10);
    expect(calls).toEqual([['a', 'b', 'c']]);
    const late = batch.ask('a', 100);
    release();
    await settled();
    expect(calls).toEqual([
      ['a', 'b', 'c'],
      ['d', 'a'],
    ]);
    release();
    // Of the two for `a` the newer one counted.
    expect(await Promise.all([...asked, late])).toEqual([4, 2, 4, 6, 8, 200]);
  });

  it('fails all whose call failed, and none of the next', async () => {
    const clock = new FakeClock();
    let isDown = true;
    const batch = new Batch<number, number>({
      clock,
      send: async (items) => {
        if (isDown) throw new Error('down');
        return items;
      },
    });
    const failed = Promise.allSettled([batch.ask('a', 1), batch.ask('b', 2)]);
    await clock.advanceAsync(10);
    expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    isDown = false;
    const next = batch.ask('a', 3);
    await clock.advanceAsync(10);
    expect(await next).toBe(3);
  });
});

describe('the catalogue of a cluster with 1 000 topics', () => {
  const names = Array.from({ length: 1_000 }, (_, index) => `t-${index}`);
  const settings = new Set(['retention.ms']);
  let clock: FakeClock;
  let kafka: StubTopics;
  let changed: string[];
  let watched: ReadonlyMap<string, ReadonlySet<string>>;
  let idle: number;
  let catalogue: TopicCatalogue;

  async function start(figures: { readonly perSecond?: number } = {}): Promise<void> {
    clock = new FakeClock();
    kafka = new StubTopics();
    for (const name of names) kafka.add(name, { configs: { 'retention.ms': '5' } });
    changed = [];
    idle = 0;
    watched = new Map(names.map((name) => [name, settings]));
    catalogue = new TopicCatalogue({
      ...{ admin: kafka, clock, logger: silentLogger, watched: () => watched, figures },
      onChange: (name) => changed.push(name),
      onIdle: () => (idle += 1),
    });
    const seen = Promise.all(names.map((name) => catalogue.topic(name, settings)));
    await clock.advanceAsync(10);
    await seen;
    kafka.calls.length = 0;
  }
  beforeEach(() => start());
  afterEach(() => catalogue.close());

  it('answers from what it saw, and looks at all of them with two requests each period', async () => {
    expect(await catalogue.topic('t-5', settings)).toMatchObject({ leaders: [0] });
    expect(kafka.calls).toEqual([]);
    await clock.advanceAsync(30_000);
    expect(kafka.calls.map(({ call, names: about }) => [call, about.length])).toEqual([
      ['topics', 1_000],
      ['configs', 1_000],
      ['offsetsOf', 150],
    ]);
  });

  it('reports those that others changed, and no others', async () => {
    catalogue.close();
    await start({ perSecond: 0 });
    kafka.topicsByName.get('t-3')!.configs['retention.ms'] = '6';
    kafka.topicsByName.get('t-4')!.partitions = 9;
    kafka.topicsByName.get('t-5')!.configs['segment.ms'] = 'not asked for';
    kafka.topicsByName.delete('t-6');
    await clock.advanceAsync(30_000);
    expect(changed).toEqual(['t-3', 't-4', 't-6']);
    expect(await catalogue.topic('t-6', settings)).toBeUndefined();
  });

  it('samples offsets in turn, so that no more than five statuses a second are written', async () => {
    await clock.advanceAsync(30_000);
    expect(changed).toHaveLength(150);
    await clock.advanceAsync(6 * 30_000);
    expect(new Set(changed).size).toBe(1_000);
    changed = [];
    // Nothing moves, so nothing is told again.
    await clock.advanceAsync(10 * 30_000);
    expect(changed).toEqual([]);
    for (const name of names) kafka.endOffsets.set(name, 9);
    await clock.advanceAsync(30_000);
    expect(changed).toHaveLength(150);
  });

  it('does not believe a look from before its own write', async () => {
    let lookAgain = () => {};
    const slow = new Promise<void>((resolve) => (lookAgain = resolve));
    const { topics } = kafka;
    kafka.topics = async (...args) => {
      const before = await topics.apply(kafka, args);
      await slow;
      return before;
    };
    const stale = catalogue.topic('t-1', new Set(['another.setting']));
    await clock.advanceAsync(10);
    const growing = catalogue.grow('t-1', 7);
    await clock.advanceAsync(10);
    await growing;
    kafka.topics = topics;
    lookAgain();
    expect((await stale)?.leaders).toHaveLength(1);
    const fresh = catalogue.topic('t-1', settings);
    await clock.advanceAsync(10);
    expect((await fresh)?.leaders).toHaveLength(7);
  });

  it('asks every five seconds while nobody answers, and tells of the end and of the return', async () => {
    await clock.advanceAsync(29_000);
    kafka.isDown = true;
    await clock.advanceAsync(1_000);
    expect(changed).toHaveLength(1_000);
    await expect(catalogue.topic('t-1', settings)).rejects.toThrow('cannot be reached');
    kafka.calls.length = 0;
    await clock.advanceAsync(20_000);
    expect(kafka.calls).toHaveLength(4);
    expect(changed).toHaveLength(1_000);
    kafka.isDown = false;
    changed = [];
    await clock.advanceAsync(5_000);
    expect(new Set(changed).size).toBe(1_000);
  });

  it('says when nobody needs it', async () => {
    watched = new Map();
    await clock.advanceAsync(30_000);
    expect([idle, kafka.calls.length]).toEqual([1, 0]);
  });
});
