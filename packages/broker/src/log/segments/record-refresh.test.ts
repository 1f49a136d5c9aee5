import { ErrorCode, metadata, metadataKeys } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../../metadata/memory-metadata-store.ts';
import { makeBatch, makeLog, ReadingFixture } from '../read/log-fixture.ts';
import { storeFolded } from './fold-fixture.ts';
import { StoredRecordRefresh } from './record-refresh.ts';

async function setUp() {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const { store: objects, ...fixture } = new ReadingFixture();
  const log = makeLog({ leaderEpoch: 4 }, { nextOffset: 0 });
  const batches = [makeBatch(0, 10, 50), makeBatch(10, 10, 50)];
  const record = { ...(await storeFolded(objects, batches, { perSegment: 1 })), leaderEpoch: 4 };
  log.append({
    ...{ baseOffset: 0, nextOffset: 20, leaderEpoch: 4, objectKey: 'flush', position: 0, length: 222 },
    ...{ maxTimestamp: -1, maxTimestampBaseOffset: 0 },
  });
  const key = metadataKeys.partition(log.topicId, log.partition);
  const put = (changed: Partial<metadata.PartitionRecord>) =>
    store.transact({
      compare: [],
      success: [{ type: 'put', key, value: metadata.PartitionRecord.encode({ ...record, ...changed }).finish() }],
      failure: [],
    });
  const refresh = new StoredRecordRefresh({ store, clock, incarnation: 'me', callDeadlineMs: 1_000 });
  return { ...fixture, store, log, put, refresh };
}

describe('refreshing a log from its record', () => {
  it('folds it as the record says', async () => {
    const { log, put, refresh } = await setUp();
    await put({});
    await refresh.refresh(log);
    expect(log.extents.map(({ objectKey }) => objectKey)).toEqual(['a-0.kfs', 'a-10.kfs']);
  });

  const others: readonly [what: string, record: Partial<metadata.PartitionRecord>][] = [
    ['another owner', { owner: 'another' }],
    ['nobody', { owner: '' }],
    ['a later epoch of ours', { leaderEpoch: 5 }],
  ];

  it.each(others)('finds that the partition is no longer ours: %s', async (_what, changed) => {
    const { log, put, refresh } = await setUp();
    await put(changed);
    await expect(refresh.refresh(log)).rejects.toMatchObject({ code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
    expect(log.foldedOffset).toBe(0);
  });

  it('finds that the partition is gone', async () => {
    const { log, refresh } = await setUp();
    await expect(refresh.refresh(log)).rejects.toMatchObject({ code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
  });

  it('touches no log that was closed', async () => {
    const { log, put, refresh } = await setUp();
    await put({});
    log.close();
    await expect(refresh.refresh(log)).rejects.toMatchObject({ code: ErrorCode.NOT_LEADER_OR_FOLLOWER });
    expect(log.foldedOffset).toBe(0);
  });

  it('says that it cannot tell when the store does not answer', async () => {
    const { log, store, refresh } = await setUp();
    await store.close();
    await expect(refresh.refresh(log)).rejects.toMatchObject({ name: 'StorageError', kind: 'unavailable' });
  });

  it('says that a record which does not fit the log is damaged', async () => {
    const { log, put, refresh } = await setUp();
    await put({ foldedOffset: 15n });
    await expect(refresh.refresh(log)).rejects.toMatchObject({ name: 'StorageError', kind: 'corrupt' });
  });
});
