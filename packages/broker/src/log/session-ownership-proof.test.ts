import { ErrorCode, KafkaError, metadataKeys } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { RangeResult } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { nothingFolded, PartitionLog } from './partition-log.ts';
import { SessionOwnershipProof } from './session-ownership-proof.ts';

async function setUp() {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 };
  const session = await Session.open('incarnation-1', { store, clock, settings });
  const range = store.range.bind(store);
  /** Reads that are under way: each sees the store when it is made and is answered when the test says so. */
  const reads: { readonly answer: () => Promise<void>; readonly fail: (error: Error) => void }[] = [];
  store.range = (request, signal) => {
    const seen = range(request);
    return new Promise<RangeResult>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
      reads.push({ answer: async () => resolve(await seen), fail: reject });
    });
  };
  const proof = new SessionOwnershipProof({ store, session, clock, callDeadlineMs: 1_000 });
  const log = new PartitionLog(
    { topicId: 'topic-1', topicName: 'orders', partition: 0, leaderEpoch: 0 },
    { logStartOffset: 0, nextOffset: 0, folded: nothingFolded, extents: [], epochStarts: [] },
  );
  const ask = () => {
    const asked: { answer?: number } = {};
    void proof.confirm(log).then(
      () => (asked.answer = ErrorCode.NONE),
      (error: unknown) => (asked.answer = error instanceof KafkaError ? error.code : ErrorCode.UNKNOWN_SERVER_ERROR),
    );
    return asked;
  };
  return { clock, store, session, reads, log, ask };
}

describe('SessionOwnershipProof', () => {
  it('confirms a log while the session is in the store', async () => {
    const { ask, reads } = await setUp();
    const asked = ask();
    await reads[0]!.answer();
    await settled();
    expect(asked.answer).toBe(ErrorCode.NONE);
  });

  it('does not use a read that began before it was asked', async () => {
    const { ask, reads, store, session } = await setUp();
    const early = ask();
    await store.revokeLease(session.leaseId);
    const late = ask();
    expect(reads).toHaveLength(1);
    await reads[0]!.answer();
    await settled();
    expect([early.answer, late.answer]).toEqual([ErrorCode.NONE, undefined]);
    await reads[1]!.answer();
    await settled();
    expect(late.answer).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  });

  it('lets all who ask during one read share the next', async () => {
    const { ask, reads } = await setUp();
    const asked = [ask(), ask(), ask(), ask()];
    await reads[0]!.answer();
    await settled();
    expect(reads).toHaveLength(2);
    await reads[1]!.answer();
    await settled();
    expect(asked.map(({ answer }) => answer)).toEqual([0, 0, 0, 0]);
    ask();
    expect(reads).toHaveLength(3);
  });

  it('reads anew for those who wait behind a failed read', async () => {
    const { ask, reads } = await setUp();
    const asked = [ask(), ask()];
    reads[0]!.fail(new Error('connection reset'));
    await settled();
    await reads[1]!.answer();
    await settled();
    expect(asked.map(({ answer }) => answer)).toEqual([ErrorCode.OFFSET_NOT_AVAILABLE, ErrorCode.NONE]);
  });

  it('says that it does not know when the store does not answer in time', async () => {
    const { ask, clock } = await setUp();
    const asked = ask();
    await clock.advanceAsync(1_000);
    expect(asked.answer).toBe(ErrorCode.OFFSET_NOT_AVAILABLE);
  });

  it('does not confirm for a session that has ended here, or for a closed log', async () => {
    const { ask, reads, session, log } = await setUp();
    log.close();
    const closed = ask();
    await reads[0]!.answer();
    await settled();
    expect(closed.answer).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    session.end(new Error('over'));
    const ended = ask();
    await reads[1]!.answer();
    await settled();
    expect(ended.answer).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  });

  it('does not take another session under the same name for ours', async () => {
    const { ask, reads, store, session } = await setUp();
    await store.revokeLease(session.leaseId);
    const key = metadataKeys.session('incarnation-1');
    await store.transact({ compare: [], success: [{ type: 'put', key, value: Buffer.alloc(1) }] });
    const asked = ask();
    await reads[0]!.answer();
    await settled();
    expect(asked.answer).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  });
});
