import { FakeClock } from '@kafscale/testkit';
import { seededRandom } from '@kafscale/runtime';
import {
  FaultyMetadataStore,
  randomMetadataFaults,
  type MetadataCallFault,
  type MetadataFault,
} from './faulty-metadata-store.ts';
import { MemoryMetadataStore } from './memory-metadata-store.ts';
import { describeMetadataStoreContract } from './metadata-store.contract.ts';
import type { Transaction } from './metadata-store.ts';

describeMetadataStoreContract('FaultyMetadataStore without faults', () => {
  const clock = new FakeClock();
  const store = new FaultyMetadataStore(new MemoryMetadataStore({ clock }), { clock });
  return Promise.resolve({
    store,
    passTime: (durationMs) => clock.advanceAsync(durationMs),
    close: () => store.close(),
  });
});

describe('FaultyMetadataStore', () => {
  const value = Buffer.from('value');
  const putA: Transaction = { compare: [], success: [{ type: 'put', key: 'a', value }] };

  function start(...faults: MetadataFault[]) {
    const clock = new FakeClock();
    const inner = new MemoryMetadataStore({ clock });
    const store = new FaultyMetadataStore(inner, { clock, plan: ({ index }) => faults[index] ?? 'ok' });
    const versionOf = async (key: string) => (await inner.range({ key })).items[0]?.version;
    return { clock, inner, store, versionOf };
  }

  it('does not apply a call that fails before', async () => {
    const { store, versionOf } = start('fail-before');
    await expect(store.transact(putA)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await versionOf('a')).toBeUndefined();
    await store.transact(putA);
    expect(await versionOf('a')).toBe(1);
  });

  it('applies a call whose reply is lost', async () => {
    const { store, versionOf } = start('lost-reply');
    await expect(store.transact(putA)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await versionOf('a')).toBe(1);
  });

  it.each([
    ['hang', undefined],
    ['hang-after', 1],
  ] as const)('leaves a call unanswered until its caller gives up: %s', async (fault, version) => {
    const { store, versionOf } = start(fault);
    const controller = new AbortController();
    const answer = expect(store.transact(putA, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    controller.abort();
    await answer;
    expect(await versionOf('a')).toBe(version);
  });

  it('applies a delayed call although its caller gave up', async () => {
    const { clock, store, versionOf } = start({ delayMs: 500 });
    const controller = new AbortController();
    const answer = expect(store.transact(putA, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
    controller.abort();
    await answer;
    expect([await versionOf('a'), store.undelivered]).toEqual([undefined, 1]);
    await clock.advanceAsync(500);
    expect([await versionOf('a'), store.undelivered]).toEqual([1, 0]);
  });

  it('tells of a failure and applies the call later', async () => {
    const { clock, store, versionOf } = start({ failAfterMs: 0, deliverAfterMs: 100 });
    await expect(store.transact(putA)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await versionOf('a')).toBeUndefined();
    await clock.advanceAsync(100);
    expect(await versionOf('a')).toBe(1);
  });

  it('delivers a write again, which brings back a deleted key that it created if absent (E2)', async () => {
    const createIfAbsent: Transaction = {
      compare: [{ key: 'manifest', target: 'createRevision', operator: '=', operand: 0 }],
      success: [{ type: 'put', key: 'manifest', value }],
    };
    const { clock, store, versionOf } = start({ deliverAgainAfterMs: [10, 1000] });
    expect((await store.transact(createIfAbsent)).succeeded).toBe(true);
    await clock.advanceAsync(10);
    expect(await versionOf('manifest')).toBe(1);
    await store.transact({ compare: [], success: [{ type: 'delete', key: 'manifest' }] });
    await clock.advanceAsync(1000);
    expect(await versionOf('manifest')).toBe(1);
  });

  it('delivers a write again, which a compare of a counter refuses for ever', async () => {
    const { clock, store, versionOf } = start('ok', { deliverAgainAfterMs: [10, 1000] });
    await store.transact({ compare: [], success: [{ type: 'put', key: 'lane', value: Buffer.from('0') }] });
    const raise: Transaction = {
      compare: [{ key: 'lane', target: 'value', operator: '=', operand: Buffer.from('0') }],
      success: [
        { type: 'put', key: 'manifest', value },
        { type: 'put', key: 'lane', value: Buffer.from('1') },
      ],
    };
    expect((await store.transact(raise)).succeeded).toBe(true);
    await store.transact({ compare: [], success: [{ type: 'delete', key: 'manifest' }] });
    await clock.advanceAsync(1000);
    expect([await versionOf('manifest'), await versionOf('lane')]).toEqual([undefined, 2]);
  });

  it('never delivers a read again', async () => {
    const { clock, store } = start({ deliverAgainAfterMs: 10 });
    await store.range({ key: 'a' });
    expect(store.undelivered).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('breaks, delays and loses what a watch delivers', async () => {
    const { clock, store } = start();
    const { revision } = await store.transact(putA);
    for (let count = 0; count < 3; count += 1) await store.transact(putA);
    store.watchPlan = () => ({ breakAfterBatches: 2, delayMs: 5, loses: (batch) => batch.revision === revision + 1 });
    const seen: number[] = [];
    const watching = (async () => {
      for await (const batch of store.watch({ key: 'a' }, revision, new AbortController().signal))
        seen.push(batch.revision);
    })();
    await expect(clock.runUntilSettled(watching)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(seen).toEqual([revision, revision + 2]);
    expect(clock.monotonicMs()).toBe(10);
  });

  it('draws the same faults from the same seed, and each kind about as often as asked', () => {
    const drawn = (seed: number) => {
      const plan = randomMetadataFaults({
        random: seededRandom(seed),
        failBefore: 0.1,
        lostReply: 0.1,
        hang: 0.1,
        hangAfter: 0.1,
        late: 0.1,
        delay: 0.1,
        deliverAgain: 0.2,
      });
      return Array.from({ length: 5000 }, (_, index) => plan({ operation: 'transact', index }) as MetadataCallFault);
    };
    expect(drawn(1)).toEqual(drawn(1));
    const faults = drawn(2);
    const share = (holds: (fault: MetadataCallFault) => boolean) => faults.filter(holds).length / faults.length;
    expect(share((fault) => fault.reply === 'lost')).toBeCloseTo(0.1, 1);
    expect(share((fault) => fault.reply === 'hang')).toBeCloseTo(0.2, 1);
    expect(share((fault) => fault.failAfterMs === 0)).toBeCloseTo(0.1, 1);
    expect(share((fault) => fault.deliverAgainAfterMs !== undefined)).toBeCloseTo(0.2, 1);
    expect(share((fault) => Object.keys(fault).length === 0)).toBeCloseTo(0.4 * 0.8, 1);
  });
});
