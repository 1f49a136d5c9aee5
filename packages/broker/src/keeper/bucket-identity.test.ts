import { metadata, metadataKeys } from '@kafscale/protocol';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { FaultyObjectStore } from '../storage/faulty-object-store.ts';
import { agreedIdentity, IdentityMismatch, writeIdentity } from './bucket-identity.ts';
import { KeeperFixture } from './keeper-fixture.ts';

const agree = (fixture: KeeperFixture, metadataStore = fixture.metadataStore) =>
  fixture.settle(
    agreedIdentity({ ...fixture.access, metadataStore, names: fixture.names, random: fixture.random }).then(
      (identity) => identity,
      (error: unknown) => {
        if (error instanceof IdentityMismatch) return error.message;
        throw error;
      },
    ),
  );

/** Every key of both stores, so that a refusal can be shown to have written nothing. */
async function contents(fixture: KeeperFixture, metadataStore = fixture.metadataStore) {
  const { items } = await metadataStore.range({ key: '!', end: '~' });
  const objects: string[] = [];
  for await (const { key, sizeBytes } of fixture.objectStore.list('')) objects.push(`${key} ${sizeBytes}`);
  return { keys: items.map(({ key, modRevision }) => `${key}@${modRevision}`), objects };
}

const extents = [{ baseOffset: 0, values: ['a'] }];

describe('the identity of a bucket', () => {
  it('is made in both empty stores, and found by every later start', async () => {
    const fixture = new KeeperFixture();
    const first = await agree(fixture);
    expect(first).toEqual({ clusterId: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/) as unknown, generation: 0 });
    const before = await contents(fixture);
    expect(await agree(fixture)).toEqual(first);
    expect(await contents(fixture)).toEqual(before);
  });

  it.each([true, false])(
    'is one for brokers that start at once (conditional create: %s)',
    async (conditionalCreate) => {
      const fixture = new KeeperFixture({ conditionalCreate });
      const identities = await Promise.all([agree(fixture), agree(fixture), agree(fixture)]);
      expect(new Set(identities.map((identity) => JSON.stringify(identity))).size).toBe(1);
      expect((await contents(fixture)).objects).toHaveLength(1);
    },
  );

  it('is completed by the next start when the first one died between the two stores', async () => {
    const fixture = new KeeperFixture();
    const objectStore = new FaultyObjectStore(fixture.objectStore, {
      clock: fixture.clock,
      plan: ({ operation }) => (operation === 'create' ? 'fail-before' : 'ok'),
    });
    const dying = agreedIdentity({ ...fixture.access, objectStore, names: fixture.names, random: fixture.random });
    await expect(fixture.settle(dying)).rejects.toMatchObject({ kind: 'unavailable' });
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.cluster });
    const { clusterId } = metadata.ClusterRecord.decode(items[0]!.value);
    expect(await agree(fixture)).toEqual({ clusterId, generation: 0 });
  });

  it('F16 ii: refuses an empty metadata store beside a bucket with records, and says how to rebuild', async () => {
    const fixture = await KeeperFixture.create();
    const writer = await fixture.writer();
    await writer.flush({ sequence: 0, extents });
    const empty = new MemoryMetadataStore({ clock: fixture.clock });
    const before = await contents(fixture, empty);
    expect(await agree(fixture, empty)).toMatch(/The metadata store is empty.*kafscale rebuild/);
    expect(await contents(fixture, empty)).toEqual(before);
  });

  it('refuses an empty metadata store beside objects of which no identity tells', async () => {
    const fixture = new KeeperFixture();
    await fixture.objectStore.create('default/orders/0/what-is-this', [Buffer.from('x')]);
    expect(await agree(fixture)).toMatch(/holds objects \(default\/orders\/0\/what-is-this\)/);
    expect((await contents(fixture)).keys).toEqual([]);
  });

  it('F16 iii: refuses the bucket of another cluster, and leaves the other one at work', async () => {
    const fixture = await KeeperFixture.create();
    const other = new MemoryMetadataStore({ clock: fixture.clock });
    const record = { clusterId: 'another', createdMs: 0n, generation: 0n };
    const put = {
      type: 'put',
      key: metadataKeys.cluster,
      value: metadata.ClusterRecord.encode(record).finish(),
    } as const;
    await other.transact({ compare: [], success: [put] });
    const before = await contents(fixture, other);
    expect(await agree(fixture, other)).toMatch(
      new RegExp(`belongs to cluster ${fixture.identity.clusterId}, and the metadata store to cluster another`),
    );
    expect(await contents(fixture, other)).toEqual(before);
    expect(await agree(fixture)).toEqual(fixture.identity);
  });

  it('refuses once two clusters have called one place theirs, and names both', async () => {
    const fixture = await KeeperFixture.create();
    await writeIdentity({ clusterId: 'another', generation: 0n }, { ...fixture.access, names: fixture.names });
    expect(await agree(fixture)).toMatch(/Two clusters use default\/.*another.*KAFSCALE_S3_NAMESPACE/);
  });

  it('lets two clusters that come to one empty place at once not both go on', async () => {
    const fixture = new KeeperFixture();
    const other = new MemoryMetadataStore({ clock: fixture.clock });
    const results = await Promise.all([agree(fixture), agree(fixture, other)]);
    expect(results.filter((result) => typeof result !== 'string').length).toBeLessThan(2);
    const again = [await agree(fixture), await agree(fixture, other)];
    expect(again.filter((result) => typeof result !== 'string').length).toBeLessThan(2);
  });

  it('F17: refuses a metadata store that is behind its own checkpoint', async () => {
    const fixture = await KeeperFixture.create();
    const older = new MemoryMetadataStore({ clock: fixture.clock });
    const { items } = await fixture.metadataStore.range({ key: metadataKeys.cluster });
    await older.transact({
      compare: [],
      success: [{ type: 'put', key: metadataKeys.cluster, value: items[0]!.value }],
    });
    const writer = await fixture.writer();
    await fixture.checkpoint(writer.incarnation);
    expect(await agree(fixture, older)).toMatch(
      /went back: it is at revision \d+, and the bucket has a checkpoint of revision \d+/,
    );
    expect(await agree(fixture)).toEqual(fixture.identity);
  });

  it('refuses a metadata store of a generation before the last rebuild', async () => {
    const fixture = await KeeperFixture.create();
    const { clusterId } = fixture.identity;
    await writeIdentity({ clusterId, generation: 1n }, { ...fixture.access, names: fixture.names });
    expect(await agree(fixture)).toMatch(/thing of the past: it has generation 0.*rebuilt into generation 1/);
  });

  it('refuses a bucket of a format that it does not know', async () => {
    const fixture = await KeeperFixture.create();
    const key = fixture.names.identity(fixture.identity);
    await fixture.objectStore.delete([key]);
    const later = { ...fixture.identity, generation: 0n, createdMs: 0n, formatVersion: 2 };
    await fixture.objectStore.create(key, [metadata.BucketIdentity.encode(later).finish()]);
    expect(await agree(fixture)).toMatch(/format version 2 .*knows version 1/);
  });

  it('refuses an empty bucket beside a metadata store that knows records', async () => {
    const fixture = await KeeperFixture.create();
    const writer = await fixture.writer();
    const key = await writer.flush({ sequence: 0, extents });
    await fixture.objectStore.delete([key, fixture.names.identity(fixture.identity)]);
    expect(await agree(fixture)).toMatch(/knows records, and default\/ of the bucket is empty/);
  });

  it('adopts a bucket without identity whose records are of this cluster, and no other', async () => {
    const fixture = await KeeperFixture.create();
    const writer = await fixture.writer();
    await writer.flush({ sequence: 0, extents });
    await fixture.objectStore.delete([fixture.names.identity(fixture.identity)]);
    expect(await agree(fixture)).toEqual(fixture.identity);

    await fixture.objectStore.delete([fixture.names.identity(fixture.identity)]);
    const record = { clusterId: 'another', createdMs: 0n, generation: 0n };
    await fixture.put(metadataKeys.cluster, metadata.ClusterRecord.encode(record).finish());
    expect(await agree(fixture)).toMatch(new RegExp(`belong to cluster ${fixture.identity.clusterId}`));
  });
});
