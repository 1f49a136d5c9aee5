import { metadataKeys } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from './memory-metadata-store.ts';
import { MetadataError } from './metadata-error.ts';
import type { MetadataStore, Transaction, TransactionResult } from './metadata-store.ts';
import { Session } from './session.ts';

const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };
const put = (key: string, value: string) => ({ type: 'put', key, value: Buffer.from(value) }) as const;

/** What the network does to the next transactions: in order, then nothing. */
type Fault = 'none' | 'lost before' | 'lost reply' | 'full' | 'full but applied' | 'replaced';

function faulty(store: MemoryMetadataStore, faults: Fault[]) {
  const sent: Transaction[] = [];
  const transact = async (transaction: Transaction): Promise<TransactionResult> => {
    sent.push(transaction);
    const fault = faults.shift() ?? 'none';
    if (fault === 'full') throw new MetadataError('no-space', 'database space exceeded');
    if (fault === 'replaced') throw new MetadataError('replaced', 'another cluster answers');
    if (fault === 'lost before') throw new MetadataError('unavailable', 'connection reset');
    const result = await store.transact(transaction);
    if (fault === 'full but applied') throw new MetadataError('no-space', 'database space exceeded');
    if (fault === 'lost reply') throw new MetadataError('unavailable', 'no reply');
    return result;
  };
  const wrapped: MetadataStore = Object.create(store, { transact: { value: transact } }) as MetadataStore;
  for (const name of ['range', 'grantLease', 'keepAlive', 'revokeLease'] as const) {
    Object.defineProperty(wrapped, name, { get: () => store[name].bind(store) });
  }
  return { wrapped, sent };
}

async function setUp() {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const faults: Fault[] = [];
  const { wrapped, sent } = faulty(store, faults);
  const session = await Session.open('incarnation-1', { store: wrapped, clock, settings });
  sent.length = 0;
  const lane = session.lane('data');
  const read = async (key: string) => (await store.range({ key })).items[0]?.value.toString();
  return { clock, store, faults, sent, session, lane, read };
}

const kindOf = (outcome: Promise<unknown>) =>
  outcome.then(
    () => 'applied',
    (error: unknown) => (error instanceof MetadataError ? error.kind : error),
  );

describe('a lane', () => {
  it('applies commits in order, each once', async () => {
    const { lane, read } = await setUp();
    const revisions = await Promise.all([
      lane.commit({ operations: [put('a', '1')] }),
      lane.commit({ operations: [put('a', '2')] }),
      lane.commit({ operations: [put('a', '3')] }),
    ]);
    expect(revisions).toEqual([...revisions].sort((left, right) => left - right));
    expect(await read('a')).toBe('3');
  });

  it('answers with the first revision when the reply was lost', async () => {
    const { lane, faults, clock, store } = await setUp();
    faults.push('lost reply');
    const outcome = lane.commit({ operations: [put('a', '1')] });
    await clock.advanceAsync(100);
    const { items } = await store.range({ key: 'a' });
    expect(await outcome).toBe(items[0]!.modRevision);
    expect(items[0]!.version).toBe(1);
  });

  it('refuses a late copy of a commit for ever, also after its key was deleted again (F1)', async () => {
    const { lane, sent, store, read } = await setUp();
    await lane.commit({ operations: [put('manifest', '1')] });
    await lane.commit({ operations: [{ type: 'delete', key: 'manifest' }] });
    const late = await store.transact(sent[0]!);
    expect(late.succeeded).toBe(false);
    expect(await read('manifest')).toBeUndefined();
  });

  it('reports a failed compare as a conflict and goes on', async () => {
    const { lane, read } = await setUp();
    const compare = [{ key: 'a', target: 'modRevision', operator: '=', operand: 99 }] as const;
    expect(await kindOf(lane.commit({ compare, operations: [put('a', '1')] }))).toBe('conflict');
    expect(await kindOf(lane.commit({ operations: [put('b', '1')] }))).toBe('applied');
    expect(await read('a')).toBeUndefined();
  });

  it('kills an unanswered copy before it reports a conflict', async () => {
    const { lane, faults, clock, sent, store, read } = await setUp();
    await store.transact({ compare: [], success: [put('a', 'theirs')] });
    faults.push('lost before');
    const compare = [{ key: 'a', target: 'createRevision', operator: '=', operand: 0 }] as const;
    const outcome = kindOf(lane.commit({ compare, operations: [put('a', 'ours')] }));
    await clock.advanceAsync(200);
    expect(await outcome).toBe('conflict');
    await store.transact({ compare: [], success: [{ type: 'delete', key: 'a' }] });
    expect((await store.transact(sent[0]!)).succeeded).toBe(false);
    expect(await read('a')).toBeUndefined();
  });

  it('is fenced when its session key is gone, and changes nothing any more', async () => {
    const { lane, store, session, read } = await setUp();
    await store.revokeLease(session.leaseId);
    expect(await kindOf(lane.commit({ operations: [put('a', '1')] }))).toBe('fenced');
    expect(await kindOf(lane.commit({ operations: [put('b', '1')] }))).toBe('fenced');
    expect(session.alive).toBe(false);
    expect(await read('a')).toBeUndefined();
  });

  it('refuses what a full store did not take, and goes on when there is space again', async () => {
    const { lane, faults, session, read, sent, store } = await setUp();
    faults.push('full');
    expect(await kindOf(lane.commit({ operations: [put('a', '1')] }))).toBe('no-space');
    expect(session.alive).toBe(true);
    expect(await kindOf(lane.commit({ operations: [put('b', '1')] }))).toBe('applied');
    expect((await store.transact(sent[0]!)).succeeded).toBe(false);
    expect([await read('a'), await read('b')]).toEqual([undefined, '1']);
  });

  it('sees that a full store took a transaction all the same', async () => {
    const { lane, faults, store } = await setUp();
    faults.push('full but applied');
    const revision = await lane.commit({ operations: [put('a', '1')] });
    expect((await store.range({ key: 'a' })).items[0]!.modRevision).toBe(revision);
  });

  it('never sends one counter for two transactions', async () => {
    const { lane, faults, sent } = await setUp();
    faults.push('full', 'full');
    for (const key of ['a', 'b', 'c']) await kindOf(lane.commit({ operations: [put(key, '1')] }));
    const values = sent.map(({ success }) => success.at(-1)).map((operation) => JSON.stringify(operation));
    expect(new Set(values).size).toBe(3);
  });

  it('ends its session for good when another store answers', async () => {
    const { lane, faults, session } = await setUp();
    faults.push('replaced');
    expect(await kindOf(lane.commit({ operations: [put('a', '1')] }))).toBe('fenced');
    expect(session.endReason).toMatchObject({ kind: 'replaced' });
  });

  it('stops when the store went back to an older state', async () => {
    const { lane, store, session } = await setUp();
    await lane.commit({ operations: [put('a', '1')] });
    const key = metadataKeys.lane('incarnation-1', 'data');
    await store.transact({ compare: [], success: [put(key, 'older')] });
    expect(await kindOf(lane.commit({ operations: [put('a', '2')] }))).toBe('fenced');
    expect(session.endReason).toMatchObject({
      kind: 'replaced',
      message: expect.stringContaining('went back') as string,
    });
  });

  it('finds a commit applied whose late copy was taken after a later one was refused', async () => {
    const { lane, faults, clock, store, sent, read } = await setUp();
    faults.push('lost before');
    const compare = [{ key: 'switch', target: 'createRevision', operator: '>', operand: 0 }] as const;
    const outcome = kindOf(lane.commit({ compare, operations: [put('a', '1')] }));
    await clock.advanceAsync(0);
    const transact = store.transact.bind(store);
    // The copy that is on its way arrives between the refusal of its successor and what is sent to make the refusal final.
    store.transact = async (transaction) => {
      const result = await transact(transaction);
      store.transact = transact;
      await store.transact({ compare: [], success: [put('switch', 'on')] });
      await store.transact(sent[0]!);
      return result;
    };
    await clock.advanceAsync(1_000);
    expect(await outcome).toBe('applied');
    expect(await read('a')).toBe('1');
    await lane.commit({ operations: [put('b', '1')] });
    expect(await read('b')).toBe('1');
  });

  it('refuses a commit for good, also when a copy of it is delivered again once its compares would hold', async () => {
    const { lane, store, sent, read } = await setUp();
    const compare = [{ key: 'switch', target: 'createRevision', operator: '>', operand: 0 }] as const;
    expect(await kindOf(lane.commit({ compare, operations: [put('a', '1')] }))).toBe('conflict');
    await store.transact({ compare: [], success: [put('switch', 'on')] });
    expect((await store.transact(sent[0]!)).succeeded).toBe(false);
    expect(await read('a')).toBeUndefined();
  });

  it('does not take a late copy of a refused commit for the next one', async () => {
    const { lane, faults, clock, store, sent, read } = await setUp();
    faults.push('lost before');
    const refused = kindOf(lane.commit({ operations: [put('a', '1')] }));
    await clock.advanceAsync(0);
    const transact = store.transact.bind(store);
    store.transact = () => {
      store.transact = transact;
      return Promise.reject(new MetadataError('invalid', 'too large'));
    };
    await clock.advanceAsync(1_000);
    expect(await refused).toBe('invalid');
    expect((await store.transact(sent[0]!)).succeeded).toBe(false);
    await lane.commit({ operations: [put('b', '1')] });
    expect(await read('a')).toBeUndefined();
    expect(await read('b')).toBe('1');
  });

  it('settles what stays open by ending its own session: applied', async () => {
    const { lane, faults, clock, store, session } = await setUp();
    faults.push('lost reply', ...Array.from({ length: 200 }, (): Fault => 'lost before'));
    const outcome = lane.commit({ operations: [put('a', '1')] });
    await clock.advanceAsync(10_000);
    const { items } = await store.range({ key: 'a' });
    expect(await outcome).toBe(items[0]!.modRevision);
    expect((await store.range({ key: metadataKeys.session('incarnation-1') })).items).toEqual([]);
    expect(session.alive).toBe(false);
  });

  it('settles what stays open by ending its own session: not applied, and never will be', async () => {
    const { lane, faults, clock, store, sent } = await setUp();
    faults.push(...Array.from({ length: 200 }, (): Fault => 'lost before'));
    const outcome = kindOf(lane.commit({ operations: [put('a', '1')] }));
    await clock.advanceAsync(10_000);
    expect(await outcome).toBe('fenced');
    expect((await store.transact(sent[0]!)).succeeded).toBe(false);
  });
});

describe('a session', () => {
  it('counts its time from when the keepalive was sent', async () => {
    const { clock, session } = await setUp();
    await clock.advanceAsync(60_000);
    expect(session.alive).toBe(true);
  });

  it('counts as over once its time has passed, before any timer noticed', async () => {
    const { clock, session, store } = await setUp();
    store.keepAlive = () => Promise.reject(new MetadataError('unavailable', 'no answer'));
    clock.advance(10_001);
    expect(session.alive).toBe(false);
  });

  it('does not come back once its time has passed, also when the store still knows it', async () => {
    const { clock, session, store } = await setUp();
    const keepAlive = store.keepAlive.bind(store);
    store.keepAlive = async (lease) => {
      await keepAlive(lease);
      throw new MetadataError('unavailable', 'no reply');
    };
    await clock.advanceAsync(10_001);
    expect(session.alive).toBe(false);
    store.keepAlive = keepAlive;
    await clock.advanceAsync(5_000);
    expect(session.alive).toBe(false);
    expect(session.endReason).toEqual(expect.objectContaining({ kind: 'fenced' }));
    expect((await store.range({ key: metadataKeys.session('incarnation-1') })).items).toEqual([]);
  });

  it('tells its listeners once when the lease has ended', async () => {
    const { clock, session, store } = await setUp();
    const reasons: Error[] = [];
    session.onEnd((reason) => reasons.push(reason));
    await store.revokeLease(session.leaseId);
    await clock.advanceAsync(10_000);
    expect(reasons).toEqual([expect.objectContaining({ kind: 'fenced' })]);
  });
});
