import { metadata, metadataPrefixes } from '@kafscale/protocol';
import { settled } from '@kafscale/testkit';
import { otherTopicId, ShelvingFixture, topicId } from './shelving-fixture.ts';
import type { StoredManifest } from './shelver.ts';

async function setUp() {
  const fixture = new ShelvingFixture();
  const session = await fixture.open('w');
  return { fixture, session, shelver: fixture.shelver('w', session.lane('upkeep')) };
}

const all = { writer: 'w', atLeast: 1 };

describe('Shelver', () => {
  it('puts many manifests on one shelf, in one transaction, and nothing is described twice or not at all', async () => {
    const { fixture, shelver } = await setUp();
    const stored: StoredManifest[] = [];
    for (let from = 0; from < 100; from += 1) stored.push(await fixture.put('w', [{ from, to: from + 1 }]));
    const before = await fixture.described();
    const { revision } = await fixture.inner.range({ key: 'x' });
    const { shelf, left } = await shelver.shelve(stored, all);
    expect([left, shelf!.modRevision]).toEqual([[], revision + 1]);
    expect(await fixture.keys(metadataPrefixes.manifests)).toEqual([]);
    expect(await fixture.described()).toEqual(before);
    const [record] = await fixture.keys(metadataPrefixes.shelves);
    expect(metadata.ShelfRecord.decode(record!.value)).toMatchObject({
      shelf: shelf!.slice,
      manifestCount: 100,
      writer: 'w',
    });
  });

  it('leaves dead extents out, and drops manifests that have no other', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [
      await fixture.put('w', [{ from: 0, to: 5 }]),
      await fixture.put('w', [
        { from: 5, to: 8 },
        { partition: 1, from: 0, to: 3 },
      ]),
      await fixture.put('w', [{ from: 8, to: 9 }]),
    ];
    fixture.folded.set(`${topicId}/0`, 8);
    const { droppedCount, shelf } = await shelver.shelve(stored, all);
    expect([droppedCount, shelf!.manifestCount]).toEqual([1, 2]);
    expect(await fixture.described()).toEqual(['0:8-9', '1:0-3']);
  });

  it('keeps the extents of a topic that is merely not known, and drops those under a tombstone', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ topicId: otherTopicId, from: 0, to: 5 }])];
    const { shelf } = await shelver.shelve(stored, all);
    expect(await fixture.described()).toEqual(['other 0:0-5']);
    expect(await shelver.isDead(shelf!)).toBe(false);
    await fixture.putTombstone(otherTopicId);
    expect(await shelver.isDead(shelf!)).toBe(true);
    expect(await shelver.merge([shelf!])).toBeUndefined();
    expect(await fixture.described()).toEqual([]);
  });

  it('leaves too few as they are, without those that are dead', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ from: 0, to: 5 }]), await fixture.put('w', [{ from: 5, to: 6 }])];
    fixture.folded.set(`${topicId}/0`, 5);
    const result = await shelver.shelve(stored, { writer: 'w', atLeast: 2 });
    expect(result).toEqual({ shelf: undefined, left: [stored[1]], droppedCount: 1 });
    expect((await fixture.keys(metadataPrefixes.manifests)).map(({ key }) => key)).toEqual([stored[1]!.key]);
  });

  it('drops by deletions alone, which a full store allows', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ from: 0, to: 5 }])];
    fixture.folded.set(`${topicId}/0`, 5);
    const operations: string[] = [];
    fixture.store.plan = ({ transaction }) => {
      operations.push(...(transaction?.success ?? []).map(({ type }) => type));
      return 'ok';
    };
    await shelver.shelve(stored, all);
    expect(operations).toEqual(['delete']);
  });

  it('reads a description from the object when the manifest only points to it, and from memory where it is', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [
      await fixture.put('w', [{ from: 0, to: 5 }], { footer: true }),
      await fixture.put('w', [{ from: 5, to: 6 }], { footer: true }),
    ];
    const footer = await fixture.memoryObjects.read('w-1', { start: 0, end: 10_000 });
    const { length } = footer;
    const reads: string[] = [];
    fixture.objectStore.plan = ({ operation, keys }) => {
      if (operation === 'read') reads.push(...keys);
      return 'ok';
    };
    await shelver.shelve([stored[0]!, { ...stored[1]!, footer: footer.subarray(0, length - 12) }], all);
    expect(reads).toEqual(['w-0']);
    await fixture.memoryObjects.delete(['w-0', 'w-1']);
    expect(await fixture.described()).toEqual(['0:0-5', '0:5-6']);
  });

  it('is not held up by a flush object that cannot be read', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [
      await fixture.put('w', [{ from: 0, to: 5 }], { footer: true }),
      await fixture.put('w', [{ from: 5, to: 6 }]),
    ];
    const lost = await fixture.memoryObjects.read('w-0');
    await fixture.memoryObjects.delete(['w-0']);
    const { shelf } = await shelver.shelve(stored, all);
    expect(shelf!.contents.unreadable).toBe(1);
    fixture.folded.set(`${topicId}/0`, 6);
    expect(await shelver.isDead(shelf!)).toBe(false);
    await fixture.memoryObjects.create('w-0', [lost]);
    expect(await fixture.described()).toEqual(['0:0-5', '0:5-6']);
    expect(await shelver.isDead(shelf!)).toBe(false);
    await fixture.clock.advanceAsync(600_000);
    expect(await shelver.isDead(shelf!)).toBe(true);
  });

  it('changes nothing when one of the manifests has gone meanwhile', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ from: 0, to: 5 }]), await fixture.put('w', [{ from: 5, to: 6 }])];
    const other = fixture.shelver('c', (await fixture.open('c')).lane('upkeep'));
    await other.shelve([stored[1]!], { writer: '', atLeast: 1 });
    const before = await fixture.described();
    await expect(shelver.shelve(stored, all)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await fixture.described()).toEqual(before);
    expect(before).toEqual(['0:0-5', '0:5-6']);
  });

  it('puts shelves together, without what has died on them', async () => {
    const { fixture, shelver } = await setUp();
    const shelves = [];
    for (let from = 0; from < 4; from += 1) {
      const stored = [await fixture.put('w', [{ from, to: from + 1 }])];
      shelves.push((await shelver.shelve(stored, all)).shelf!);
    }
    fixture.folded.set(`${topicId}/0`, 2);
    const merged = await shelver.merge(shelves);
    expect(merged!.manifestCount).toBe(2);
    expect(await fixture.described()).toEqual(['0:2-3', '0:3-4']);
    expect(await fixture.keys(metadataPrefixes.shelves)).toHaveLength(1);
  });

  it('brings nothing back when its transaction is delivered once more, long after', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ from: 0, to: 5 }]), await fixture.put('w', [{ from: 5, to: 6 }])];
    fixture.store.plan = ({ transaction }) =>
      transaction === undefined ? 'ok' : { deliverAgainAfterMs: [10, 60_000] };
    const { shelf } = await shelver.shelve(stored, all);
    fixture.store.plan = () => 'ok';
    fixture.folded.set(`${topicId}/0`, 6);
    await shelver.drop([shelf!]);
    await fixture.clock.advanceAsync(120_000);
    expect(await fixture.described()).toEqual([]);
  });

  it('learns what became of a transaction whose reply was lost', async () => {
    const { fixture, shelver } = await setUp();
    const stored = [await fixture.put('w', [{ from: 0, to: 5 }])];
    let transactions = 0;
    fixture.store.plan = ({ transaction }) => {
      if (transaction !== undefined) transactions += 1;
      return transactions === 1 ? 'lost-reply' : 'ok';
    };
    const shelving = shelver.shelve(stored, all);
    await settled();
    await fixture.clock.advanceAsync(200);
    const { shelf } = await shelving;
    const [record] = await fixture.keys(metadataPrefixes.shelves);
    expect([shelf!.key, shelf!.modRevision]).toEqual([record!.key, record!.modRevision]);
  });
});
