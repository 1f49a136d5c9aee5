import { encodeShelf, metadata, metadataKeys } from '@kafscale/protocol';
import { liveState } from './cluster-state.ts';
import { KeeperFixture } from './keeper-fixture.ts';
import { referencesOf } from './references.ts';

describe('the references of a state', () => {
  it('are all found though the store drops its history while objects are read', async () => {
    const fixture = await KeeperFixture.create();
    const writer = await fixture.writer();
    const name = fixture.names.flat('shelf', { incarnation: writer.incarnation, sequence: 0, unique: 'u' });
    const { object, slice } = encodeShelf(name, [{ objectKey: 'on-the-shelf', body: undefined }]);
    await fixture.objectStore.create(name, object);
    const record = { shelf: slice, manifestCount: 1, writer: writer.incarnation };
    await fixture.put(metadataKeys.shelf(writer.incarnation, 0), metadata.ShelfRecord.encode(record).finish());
    const snapshot = { objectKey: 'snapshot', position: 0n, length: 1, crc32c: 0 };
    await fixture.putPartition({ producerSnapshot: snapshot });

    const { access } = fixture;
    const state = await liveState(access);
    await fixture.putTopic();
    const read = access.objectStore.read.bind(access.objectStore);
    access.objectStore.read = async (...call) => {
      const { revision } = await liveState(access);
      await fixture.metadataStore.compact(revision);
      return read(...call);
    };
    const found: string[] = [];
    for await (const { objectKey } of referencesOf(access, state)) found.push(objectKey);
    expect(found.sort()).toEqual([name, 'on-the-shelf', 'snapshot'].sort());
  });
});
