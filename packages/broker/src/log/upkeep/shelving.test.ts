import { metadataPrefixes } from '@kafscale/protocol';
import { silentLogger } from '@kafscale/runtime';
import { ShelvingFixture, topicId } from './shelving-fixture.ts';
import { ShelvingForOthers } from './shelving-for-others.ts';
import { Shelving } from './shelving.ts';

const settings = {
  ...{ maxManifests: 10, maxBytes: 2 ** 20, maxAgeMs: 30_000, minManifests: 4, intervalMs: 5_000, mergedShelves: 3 },
};

async function setUp() {
  const fixture = new ShelvingFixture();
  const session = await fixture.open('w');
  const shelver = fixture.shelver('w', session.lane('upkeep'));
  const { store, clock } = fixture;
  const common = { shelver, store, clock, logger: silentLogger, incarnation: 'w', callDeadlineMs: 1_000 };
  const shelving = new Shelving({ ...common, settings });
  let offset = 0;
  /** Commits so many more flushes, of one record each. */
  const commit = async (count: number) => {
    for (let flush = 0; flush < count; flush += 1) {
      shelving.add(await fixture.put('w', [{ from: offset, to: offset + 1 }]));
      offset += 1;
    }
    await clock.advanceAsync(0);
  };
  const counts = async () => [
    (await fixture.keys(metadataPrefixes.manifests)).length,
    (await fixture.keys(metadataPrefixes.shelves)).length,
  ];
  return { fixture, shelving, common, commit, counts };
}

describe('Shelving', () => {
  it('shelves as soon as there are many, and leaves a few that are young', async () => {
    const { fixture, shelving, commit, counts } = await setUp();
    await commit(9);
    await fixture.clock.advanceAsync(20_000);
    expect(await counts()).toEqual([9, 0]);
    await commit(1);
    expect(await counts()).toEqual([0, 1]);
    expect([shelving.manifestCount, shelving.shelfCount]).toEqual([0, 1]);
    expect(await fixture.described()).toHaveLength(10);
    await shelving.stop();
  });

  it('shelves the old ones when they are worth it, and drops them when they are dead', async () => {
    const { fixture, shelving, commit, counts } = await setUp();
    await commit(4);
    await fixture.clock.advanceAsync(35_000);
    expect(await counts()).toEqual([0, 1]);
    await commit(3);
    await fixture.clock.advanceAsync(60_000);
    expect(await counts()).toEqual([3, 1]);
    fixture.folded.set(`${topicId}/0`, 6);
    await fixture.clock.advanceAsync(60_000);
    expect(await counts()).toEqual([1, 0]);
    await shelving.stop();
  });

  it('puts shelves together while something on them lives, and is not held up by it', async () => {
    const { fixture, shelving, commit, counts } = await setUp();
    shelving.add(await fixture.put('w', [{ partition: 5, from: 0, to: 1 }])); // its partition is never folded
    for (let round = 0; round < 20; round += 1) {
      await commit(10);
      fixture.folded.set(`${topicId}/0`, round * 10);
      await fixture.clock.advanceAsync(6_000);
      expect((await counts())[1]).toBeLessThanOrEqual(settings.mergedShelves);
    }
    const described = await fixture.described();
    expect(described).toContain('5:0-1');
    expect(described.length).toBeLessThan(4 * settings.maxManifests);
    await shelving.stop();
  });

  it('goes on after the object store was away, with nothing lost', async () => {
    const { fixture, shelving, commit, counts } = await setUp();
    fixture.objectStore.plan = () => 'fail-before';
    await commit(25);
    await fixture.clock.advanceAsync(20_000);
    expect(await counts()).toEqual([25, 0]);
    fixture.objectStore.plan = () => 'ok';
    await fixture.clock.advanceAsync(10_000);
    expect(await fixture.described()).toHaveLength(25);
    expect(await counts()).toEqual([0, 1]);
    await shelving.stop();
  });

  it('believes the store when a key is not as it was left', async () => {
    const { fixture, shelving, commit, counts } = await setUp();
    await commit(9);
    const [first] = await fixture.keys(metadataPrefixes.manifests);
    await fixture.inner.transact({ compare: [], success: [{ type: 'delete', key: first!.key }] });
    await commit(1);
    await fixture.clock.advanceAsync(60_000);
    expect(await counts()).toEqual([0, 1]);
    expect(await fixture.described()).toHaveLength(9);
    await shelving.stop();
  });
});

describe('ShelvingForOthers', () => {
  it('looks after the dead and leaves the living alone, while this broker is the controller', async () => {
    const { fixture, shelving, common, counts } = await setUp();
    const living = await fixture.open('living');
    for (let from = 0; from < 20; from += 1) {
      await fixture.put(from % 2 === 0 ? 'dead-1' : 'dead-2', [{ from, to: from + 1 }]);
      await fixture.put('living', [{ partition: 1, from, to: from + 1 }]);
    }
    const before = await fixture.described();
    let isController = false;
    const others = new ShelvingForOthers({
      ...{ ...common, isController: () => isController, adopt: (shelf) => shelving.adopt(shelf), intervalMs: 1_000 },
    });
    await fixture.clock.advanceAsync(5_000);
    expect(await counts()).toEqual([40, 0]);
    isController = true;
    await fixture.clock.advanceAsync(5_000);
    expect(await counts()).toEqual([20, 1]);
    expect(await fixture.described()).toEqual(before);
    expect(shelving.shelfCount).toBe(1);
    await living.revoke(new Error('dies'));
    await fixture.clock.advanceAsync(5_000);
    expect((await counts())[0]).toBe(0);
    expect(await fixture.described()).toEqual(before);
    await Promise.all([others.stop(), shelving.stop()]);
  });

  it('drops the shelves of the dead when nothing on them lives', async () => {
    const { fixture, shelving, common, counts } = await setUp();
    const dead = await fixture.open('d');
    const shelver = fixture.shelver('d', dead.lane('upkeep'));
    for (let from = 0; from < 3; from += 1) {
      await shelver.shelve([await fixture.put('d', [{ from, to: from + 1 }])], { writer: 'd', atLeast: 1 });
    }
    await dead.revoke(new Error('dies'));
    const others = new ShelvingForOthers({
      ...{ ...common, isController: () => true, adopt: (shelf) => shelving.adopt(shelf), intervalMs: 1_000 },
    });
    await fixture.clock.advanceAsync(2_000);
    expect(await counts()).toEqual([0, 3]);
    fixture.folded.set(`${topicId}/0`, 2);
    await fixture.clock.advanceAsync(2_000);
    expect([await counts(), await fixture.described()]).toEqual([[0, 1], ['0:2-3']]);
    await Promise.all([others.stop(), shelving.stop()]);
  });
});
