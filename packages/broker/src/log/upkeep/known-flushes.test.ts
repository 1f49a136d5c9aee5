import type { metadata } from '@kafscale/protocol';
import type { KeyValue } from '../../metadata/metadata-store.ts';
import { KnownFlushes, type KnownView } from './known-flushes.ts';
import { ShelvingFixture, topicId } from './shelving-fixture.ts';

async function setUp({ budgetBytes = 2 ** 20 } = {}) {
  const fixture = new ShelvingFixture();
  const { clock, inner, memoryObjects } = fixture;
  const known = new KnownFlushes({
    ...{ store: inner, objectStore: memoryObjects, clock, callDeadlineMs: 1_000, budgetBytes },
  });
  const session = await fixture.open('s');
  const shelver = fixture.shelver('s', session.lane('upkeep'));
  const reads: string[] = [];
  const read = memoryObjects.read.bind(memoryObjects);
  memoryObjects.read = (key, ...rest) => {
    reads.push(key);
    return read(key, ...rest);
  };
  /** What is known of partition 0 at the present revision, and which keys are not. */
  const look = async () => {
    const unknown: KeyValue[] = [];
    const { revision } = await inner.range({ key: 'x' });
    const extents = await known.at(
      revision,
      (kv) => unknown.push(kv),
      (view) => Promise.resolve(extentsOf(view)),
    );
    return { extents, unknown: unknown.map(({ key }) => key) };
  };
  const shelve = async (of: Awaited<ReturnType<typeof fixture.put>>[]) => {
    const { shelf } = await shelver.shelve(of, { writer: 's', atLeast: 1 });
    return shelf!.slice.objectKey;
  };
  return { fixture, clock, known, reads, look, shelve };
}

function extentsOf(view: KnownView) {
  const found: string[] = [];
  view.read(topicId, 0, -1, (flush, { baseOffset, nextOffset }: metadata.FlushExtent) => {
    found.push(`${flush.objectKey}:${baseOffset}-${nextOffset}`);
  });
  return found.sort();
}

describe('what is known of flushes', () => {
  it('is read once, whatever key leads to it', async () => {
    const { fixture, look, reads, shelve } = await setUp();
    const first = await fixture.put('a', [{ from: 0, to: 3 }], { footer: true });
    expect(await look()).toEqual({ extents: ['a-0:0-3'], unknown: [] });
    expect(reads.splice(0)).toEqual(['a-0']);
    const second = await fixture.put('a', [{ from: 3, to: 5 }]);
    expect((await look()).extents).toEqual(['a-0:0-3', 'a-1:3-5']);
    expect(reads.splice(0)).toEqual([]);
    const shelf = await shelve([first, second]);
    reads.splice(0);
    expect((await look()).extents).toEqual(['a-0:0-3', 'a-1:3-5']);
    expect((await look()).extents).toEqual(['a-0:0-3', 'a-1:3-5']);
    expect(reads).toEqual([shelf]);
  });

  it('counts only what the store has at the revision that is asked for', async () => {
    const { fixture, known, look } = await setUp();
    const { revision } = await fixture.inner.range({ key: 'x' });
    const { key } = await fixture.put('a', [{ from: 0, to: 3 }]);
    expect((await look()).extents).toEqual(['a-0:0-3']);
    const before = await known.at(
      revision,
      () => undefined,
      (view) => Promise.resolve(extentsOf(view)),
    );
    expect(before).toEqual([]);
    await fixture.inner.transact({ compare: [], success: [{ type: 'delete', key }] });
    expect((await look()).extents).toEqual([]);
  });

  it('keeps up with shelves, and with manifests once they have been there for a while', async () => {
    const { fixture, clock, known, look, reads, shelve } = await setUp();
    const shelf = await shelve([await fixture.put('a', [{ from: 0, to: 3 }])]);
    await fixture.put('b', [{ from: 3, to: 5 }], { footer: true });
    reads.splice(0);
    await known.keepUp({ everything: false });
    expect(reads.splice(0)).toEqual([shelf]);
    await clock.advanceAsync(60_000);
    await known.keepUp({ everything: false });
    expect(reads.splice(0)).toEqual(['b-0']);
    expect((await look()).extents).toEqual(['a-0:0-3', 'b-0:3-5']);
    expect(reads).toEqual([]);
  });

  it('reads everything when partitions are about to come, and nothing but what is new when they do', async () => {
    const { fixture, known, look, reads } = await setUp();
    await fixture.put('a', [{ from: 0, to: 3 }], { footer: true });
    await known.keepUp({ everything: true });
    expect(reads.splice(0)).toEqual(['a-0']);
    await fixture.put('a', [{ from: 3, to: 4 }], { footer: true });
    expect((await look()).extents).toEqual(['a-0:0-3', 'a-1:3-4']);
    expect(reads).toEqual(['a-1']);
  });

  it('tells what it has no memory for', async () => {
    const { fixture, look, known } = await setUp({ budgetBytes: 1 });
    const { key } = await fixture.put('a', [{ from: 0, to: 3 }]);
    expect(await look()).toEqual({ extents: ['a-0:0-3'], unknown: [] });
    const other = await fixture.put('b', [{ from: 3, to: 4 }]);
    expect(await look()).toEqual({ extents: ['a-0:0-3'], unknown: [other.key] });
    known.clear();
    expect(known.sizeBytes).toBe(0);
    expect((await look()).unknown).not.toContain(key);
  });

  it('tells what cannot be read, each time anew', async () => {
    const { fixture, look } = await setUp();
    const { key } = await fixture.put('a', [{ from: 0, to: 3 }], { footer: true });
    const object = await fixture.memoryObjects.read('a-0');
    await fixture.memoryObjects.delete(['a-0']);
    expect(await look()).toEqual({ extents: [], unknown: [key] });
    await fixture.memoryObjects.create('a-0', [object]);
    expect(await look()).toEqual({ extents: ['a-0:0-3'], unknown: [] });
  });

  it('removes nothing that somebody rests on', async () => {
    const { fixture, known } = await setUp();
    const { key } = await fixture.put('a', [{ from: 0, to: 3 }]);
    const { revision } = await fixture.inner.range({ key: 'x' });
    let keepingUp: Promise<void> | undefined;
    const extents = await known.at(
      revision,
      () => undefined,
      async (view) => {
        await fixture.inner.transact({ compare: [], success: [{ type: 'delete', key }] });
        keepingUp = known.keepUp({ everything: true });
        await fixture.clock.advanceAsync(100);
        return extentsOf(view);
      },
    );
    expect(extents).toEqual(['a-0:0-3']);
    const done = expect(keepingUp).resolves.toBeUndefined();
    await fixture.clock.advanceAsync(100);
    await done;
  });

  it('is not learnt a second time by whoever found it missing before', async () => {
    const { fixture, known, look, reads } = await setUp();
    await fixture.put('a', [{ from: 0, to: 3 }], { footer: true });
    const { revision } = await fixture.inner.range({ key: 'x' });
    let keepingUp: Promise<void> | undefined;
    await known.at(
      revision,
      () => undefined,
      async () => {
        await fixture.put('a', [{ from: 3, to: 4 }], { footer: true });
        keepingUp = known.keepUp({ everything: true });
        for (let tick = 0; tick < 50; tick += 1) await Promise.resolve();
        await look();
      },
    );
    reads.splice(0);
    const done = expect(keepingUp).resolves.toBeUndefined();
    await fixture.clock.advanceAsync(100);
    await done;
    expect(reads).toEqual([]);
    expect((await look()).extents).toEqual(['a-0:0-3', 'a-1:3-4']);
  });
});
