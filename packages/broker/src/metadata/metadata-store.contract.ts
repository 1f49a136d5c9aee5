/**
 * What every metadata store must do: etcd's behaviour as far as we rest on it. Run it on each implementation and on wrappers that
 * are quiet. Revisions are compared with each other only, since a real server does not start at a number of ours.
 */
import type { MetadataError, MetadataErrorKind } from './metadata-error.ts';
import { prefixEnd, type MetadataStore, type Operation, type Revision, type WatchBatch } from './metadata-store.ts';

export interface MetadataStoreUnderTest {
  /** Empty, and nobody else's. */
  readonly store: MetadataStore;
  /** Lets so much time pass for the store's leases. */
  passTime(durationMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface MetadataStoreContractOptions {
  /** A time to live that the store takes as it is. */
  readonly leaseTtlMs?: number;
}

const bytes = (text: string) => Buffer.from(text, 'utf8');
const text = (value: Uint8Array | undefined) =>
  value === undefined ? '(absent)' : Buffer.from(value).toString('utf8');
const put = (key: string, value = 'value', leaseId?: string): Operation => ({
  type: 'put',
  key,
  value: bytes(value),
  ...(leaseId === undefined ? {} : { leaseId }),
});
const remove = (key: string, end?: string): Operation => ({
  type: 'delete',
  key,
  ...(end === undefined ? {} : { end }),
});
const rejection = (kind: MetadataErrorKind) =>
  expect.objectContaining({ name: 'MetadataError', kind }) as MetadataError;

export function describeMetadataStoreContract(
  name: string,
  open: () => Promise<MetadataStoreUnderTest>,
  { leaseTtlMs = 2000 }: MetadataStoreContractOptions = {},
): void {
  describe(`${name} keeps the contract of MetadataStore`, () => {
    let underTest: MetadataStoreUnderTest;
    let store: MetadataStore;

    beforeEach(async () => {
      underTest = await open();
      store = underTest.store;
    });
    afterEach(() => underTest.close());

    const apply = async (...success: Operation[]): Promise<Revision> =>
      (await store.transact({ compare: [], success })).revision;
    const read = async (key: string) => (await store.range({ key })).items[0];
    const readPrefix = async (prefix: string, revision?: Revision) => {
      const request = { key: prefix, end: prefixEnd(prefix), ...(revision === undefined ? {} : { revision }) };
      return (await store.range(request)).items.map((kv) => `${kv.key}=${text(kv.value)}`);
    };
    /** Watches until `count` batches came. */
    const watchBatches = async (prefix: string, fromRevision: Revision, count: number): Promise<WatchBatch[]> => {
      const controller = new AbortController();
      const batches: WatchBatch[] = [];
      for await (const batch of store.watch({ key: prefix, end: prefixEnd(prefix) }, fromRevision, controller.signal)) {
        batches.push(batch);
        if (batches.length === count) controller.abort();
      }
      return batches;
    };
    const shown = ({ revision, events }: WatchBatch) => ({
      revision,
      events: events.map((event) =>
        event.type === 'put' ? `put ${event.kv.key}=${text(event.kv.value)}` : `delete ${event.key}`,
      ),
    });

    describe('revisions', () => {
      it('raises the revision by one for a transaction that changes something and shares it among all its puts', async () => {
        const before = (await store.range({ key: 'a' })).revision;
        const revision = await apply(put('a'), put('b'));
        expect(revision).toBe(before + 1);
        const [a, b] = [await read('a'), await read('b')];
        expect(a).toMatchObject({ createRevision: revision, modRevision: revision, version: 1 });
        expect(b).toMatchObject({ createRevision: revision, modRevision: revision, version: 1 });
      });

      it('keeps the revision where nothing changed', async () => {
        const revision = await apply(put('a'));
        expect(await apply(remove('missing'))).toBe(revision);
        expect(await apply({ type: 'range', key: 'a' })).toBe(revision);
        expect((await store.range({ key: 'a' })).revision).toBe(revision);
      });

      it('counts a put of the same value as a change', async () => {
        const first = await apply(put('a', 'same'));
        const second = await apply(put('a', 'same'));
        expect(second).toBe(first + 1);
        expect(await read('a')).toMatchObject({ createRevision: first, modRevision: second, version: 2 });
      });

      it('starts version and create revision again after a delete', async () => {
        await apply(put('a'));
        await apply(put('a'));
        await apply(remove('a'));
        expect(await read('a')).toBeUndefined();
        const revision = await apply(put('a'));
        expect(await read('a')).toMatchObject({ createRevision: revision, modRevision: revision, version: 1 });
      });
    });

    describe('values', () => {
      it('keeps values as they were given, whatever becomes of the memory they came in', async () => {
        const value = bytes('before');
        await store.transact({ compare: [], success: [{ type: 'put', key: 'a', value }] });
        value.fill('x');
        expect(text((await read('a'))?.value)).toBe('before');
      });

      it('keeps an answer valid while the store goes on', async () => {
        await apply(put('a', 'first'));
        const answer = await read('a');
        await apply(put('a', 'other'));
        await apply(remove('a'));
        for (let index = 0; index < 50; index += 1) await apply(put(`b${index}`, 'noise'));
        expect(text(answer?.value)).toBe('first');
      });

      it('takes empty values, and every byte', async () => {
        const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);
        await store.transact({
          compare: [],
          success: [put('empty', ''), { type: 'put', key: 'bytes', value: everyByte }],
        });
        expect((await read('empty'))?.value).toHaveLength(0);
        expect(Buffer.compare((await read('bytes'))!.value, everyByte)).toBe(0);
      });
    });

    describe('ranges', () => {
      it('answers keys in the order of their UTF-8 bytes', async () => {
        const keys = ['k/a', 'k/a/b', 'k/a-b', 'k/A', 'k/é', 'k/z', 'k/\u{ffee}', 'k/\u{1f600}', 'k/0'];
        for (const key of keys) await apply(put(key));
        const { items } = await store.range({ key: 'k/', end: prefixEnd('k/') });
        const sorted = [...keys].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
        expect(items.map(({ key }) => key)).toEqual(sorted);
      });

      it('includes the start and excludes the end', async () => {
        await apply(put('b'), put('c'), put('d'));
        const { items } = await store.range({ key: 'b', end: 'd' });
        expect(items.map(({ key }) => key)).toEqual(['b', 'c']);
        expect((await store.range({ key: 'd', end: 'b' })).items).toEqual([]);
      });

      it('answers at most `limit` keys and says whether there were more', async () => {
        await apply(put('p/1'), put('p/2'), put('p/3'));
        const range = { key: 'p/', end: prefixEnd('p/') };
        const two = await store.range({ ...range, limit: 2 });
        expect([two.items.map(({ key }) => key), two.more]).toEqual([['p/1', 'p/2'], true]);
        const three = await store.range({ ...range, limit: 3 });
        expect([three.items.length, three.more]).toEqual([3, false]);
      });

      it('reads the past at a revision, and says the present one', async () => {
        const first = await apply(put('p/1', 'old'), put('p/2', 'stays'));
        const second = await apply(put('p/1', 'new'), put('p/3', 'later'));
        const third = await apply(remove('p/2'));
        expect(await readPrefix('p/', first)).toEqual(['p/1=old', 'p/2=stays']);
        expect(await readPrefix('p/', second)).toEqual(['p/1=new', 'p/2=stays', 'p/3=later']);
        expect(await readPrefix('p/', third)).toEqual(['p/1=new', 'p/3=later']);
        expect((await store.range({ key: 'p/1', revision: first })).revision).toBe(third);
      });

      it('leaves values out when only keys are asked for', async () => {
        const range = { key: 'p/', end: prefixEnd('p/') };
        await apply(put('p/1', 'one'));
        const full = await store.range(range);
        const { items } = await store.range({ ...range, keysOnly: true });
        expect(items.map(({ value }) => value.length)).toEqual([0]);
        expect(items.map(({ key, modRevision }) => [key, modRevision])).toEqual([['p/1', full.revision]]);
        expect((await store.range({ ...range, revision: full.revision, keysOnly: true })).items).toHaveLength(1);
      });

      it('pages through a large range at one revision while keys change', async () => {
        const keys = Array.from({ length: 300 }, (_, index) => `p/${index.toString().padStart(4, '0')}`);
        for (let start = 0; start < keys.length; start += 100) {
          await apply(...keys.slice(start, start + 100).map((key) => put(key)));
        }
        const seen: string[] = [];
        const end = prefixEnd('p/');
        let page = await store.range({ key: 'p/', end, limit: 70 });
        const { revision } = page;
        for (;;) {
          seen.push(...page.items.map(({ key }) => key));
          if (!page.more) break;
          await apply(put(`p/${seen.length}-between`), remove(keys.at(-1)!));
          page = await store.range({ key: `${seen.at(-1)!}\0`, end, limit: 70, revision });
        }
        expect(seen).toEqual(keys);
      });

      it('refuses a revision of the future, an empty key and a limit below one', async () => {
        const { revision } = await store.range({ key: 'a' });
        await expect(store.range({ key: 'a', revision: revision + 1 })).rejects.toEqual(rejection('invalid'));
        await expect(store.range({ key: '' })).rejects.toEqual(rejection('invalid'));
        await expect(store.range({ key: 'a', limit: 0 })).rejects.toEqual(rejection('invalid'));
      });
    });

    describe('transactions', () => {
      it('runs `success` when every compare holds, else `failure`', async () => {
        const revision = await apply(put('a', 'one'));
        const both = await store.transact({
          compare: [
            { key: 'a', target: 'createRevision', operator: '=', operand: revision },
            { key: 'a', target: 'modRevision', operator: '>', operand: revision - 1 },
            { key: 'a', target: 'modRevision', operator: '<', operand: revision + 1 },
            { key: 'a', target: 'version', operator: '!=', operand: 2 },
            { key: 'a', target: 'value', operator: '=', operand: bytes('one') },
            { key: 'a', target: 'value', operator: '!=', operand: bytes('two') },
            { key: 'missing', target: 'createRevision', operator: '=', operand: 0 },
            { key: 'missing', target: 'version', operator: '=', operand: 0 },
          ],
          success: [put('a', 'two')],
        });
        expect(both.succeeded).toBe(true);
        const neither = await store.transact({
          compare: [
            { key: 'a', target: 'version', operator: '=', operand: 2 },
            { key: 'a', target: 'value', operator: '=', operand: bytes('one') },
          ],
          success: [put('a', 'three')],
          failure: [put('b', 'failed'), { type: 'range', key: 'a' }],
        });
        expect(neither.succeeded).toBe(false);
        expect(neither.revision).toBe(both.revision + 1);
        expect(neither.ranges.map(({ items }) => items.map((kv) => text(kv.value)))).toEqual([['two']]);
        expect(text((await read('b'))?.value)).toBe('failed');
      });

      it('changes nothing when a compare fails and there is no `failure`', async () => {
        const revision = await apply(put('a', 'one'));
        const result = await store.transact({
          compare: [{ key: 'a', target: 'version', operator: '>', operand: 1 }],
          success: [put('a', 'two'), put('b')],
        });
        expect(result).toEqual({ succeeded: false, revision, ranges: [] });
        expect(await read('b')).toBeUndefined();
      });

      it('fails every value compare on a key that does not exist', async () => {
        for (const operator of ['=', '!='] as const) {
          const result = await store.transact({
            compare: [{ key: 'missing', target: 'value', operator, operand: bytes('') }],
            success: [],
          });
          expect(result.succeeded).toBe(false);
        }
      });

      it('shows a range the operations before it', async () => {
        await apply(put('p/1', 'old'));
        const { ranges } = await store.transact({
          compare: [],
          success: [
            { type: 'range', key: 'p/', end: prefixEnd('p/') },
            put('p/2', 'new'),
            remove('p/1'),
            { type: 'range', key: 'p/', end: prefixEnd('p/') },
          ],
        });
        expect(ranges.map(({ items }) => items.map(({ key }) => key))).toEqual([['p/1'], ['p/2']]);
      });

      it('lets one of many concurrent compare-and-swaps through', async () => {
        const revision = await apply(put('counter', '0'));
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            store.transact({
              compare: [{ key: 'counter', target: 'modRevision', operator: '=', operand: revision }],
              success: [put('counter', `${index}`)],
            }),
          ),
        );
        expect(results.filter(({ succeeded }) => succeeded)).toHaveLength(1);
        expect(await read('counter')).toMatchObject({ version: 2 });
      });

      it('deletes a range at one revision and counts it as one operation', async () => {
        for (let batch = 0; batch < 3; batch += 1) {
          await apply(...Array.from({ length: 100 }, (_, index) => put(`d/${batch * 100 + index}`)));
        }
        const before = await apply(put('other'));
        expect(await apply(remove('d/', prefixEnd('d/')))).toBe(before + 1);
        expect(await readPrefix('d/')).toEqual([]);
        expect(await read('other')).toBeDefined();
      });

      it('refuses a key put twice, or put and deleted, in one list (E6)', async () => {
        const revision = await apply(put('p/1'));
        const refused: Operation[][] = [
          [put('p/2', 'x'), put('p/2', 'y')],
          [remove('p/', prefixEnd('p/')), put('p/2')],
          [put('p/1'), remove('p/1')],
        ];
        for (const operations of refused) {
          await expect(store.transact({ compare: [], success: operations })).rejects.toEqual(rejection('invalid'));
        }
        expect((await store.range({ key: 'p/1' })).revision).toBe(revision);
        await apply(remove('p/', prefixEnd('p/')), put('q/1'));
        expect([await read('p/1'), (await read('q/1'))?.version]).toEqual([undefined, 1]);
      });

      it('refuses a contradiction also in the list that would not run', async () => {
        const request = { compare: [], success: [put('a')], failure: [put('b'), put('b')] };
        await expect(store.transact(request)).rejects.toEqual(rejection('invalid'));
        expect(await read('a')).toBeUndefined();
      });

      it('takes 128 operations in each list and refuses 129 in any', async () => {
        const puts = (count: number) => Array.from({ length: count }, (_, index) => put(`p/${index}`));
        const compares = (count: number) =>
          Array.from({ length: count }, (_, index) => ({
            key: `c/${index}`,
            target: 'version' as const,
            operator: '=' as const,
            operand: 0,
          }));
        const full = { compare: compares(128), success: puts(128), failure: puts(128) };
        expect((await store.transact(full)).succeeded).toBe(true);
        const tooMany = [
          { compare: compares(129), success: [] },
          { compare: [], success: puts(129) },
          { compare: [], success: [], failure: puts(129) },
        ];
        for (const request of tooMany) await expect(store.transact(request)).rejects.toEqual(rejection('invalid'));
      });

      it('takes a request of 1.4 MiB and refuses one of 1.6 MB, for ever', async () => {
        const sized = (length: number): Operation => ({ type: 'put', key: 'a', value: Buffer.alloc(length, 7) });
        await expect(apply(sized(1.4 * 1024 * 1024))).resolves.toBeGreaterThan(0);
        await expect(apply(sized(1_600_000))).rejects.toEqual(rejection('invalid'));
        const halves = [put('b', 'x'.repeat(800_000)), put('c', 'x'.repeat(800_000))];
        await expect(apply(...halves)).rejects.toEqual(rejection('invalid'));
        expect(await read('a')).toMatchObject({ version: 1 });
      });

      it('does not start when the signal has aborted', async () => {
        const aborted = AbortSignal.abort();
        await expect(store.transact({ compare: [], success: [put('a')] }, aborted)).rejects.toEqual(
          rejection('aborted'),
        );
        await expect(store.range({ key: 'a' }, aborted)).rejects.toEqual(rejection('aborted'));
        expect(await read('a')).toBeUndefined();
      });
    });

    describe('leases', () => {
      it('deletes all keys of a lease at one revision when it runs out', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        const revision = await apply(put('l/1', 'x', lease), put('l/2', 'y', lease), put('other'));
        expect((await read('l/1'))?.leaseId).toBe(lease);
        await underTest.passTime(leaseTtlMs * 2);
        const [batch] = await watchBatches('l/', revision + 1, 1);
        expect(batch!.revision).toBe(revision + 1);
        expect(shown(batch!).events.sort()).toEqual(['delete l/1', 'delete l/2']);
        expect(await readPrefix('l/')).toEqual([]);
        expect(await read('other')).toBeDefined();
      });

      it('keeps a lease alive from keepalive to keepalive', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        await apply(put('l', 'x', lease));
        for (let round = 0; round < 4; round += 1) {
          await underTest.passTime(leaseTtlMs / 2);
          expect(await store.keepAlive(lease)).toEqual({ ttlMs: leaseTtlMs });
        }
        expect(await read('l')).toBeDefined();
        await underTest.passTime(leaseTtlMs * 2);
        await expect(store.keepAlive(lease)).rejects.toEqual(rejection('lease-not-found'));
        expect(await read('l')).toBeUndefined();
      });

      it('ends a lease when it is revoked, in order with transactions', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        const created = await apply(put('session', 'x', lease));
        const guarded = () =>
          store.transact({
            compare: [{ key: 'session', target: 'createRevision', operator: '=', operand: created }],
            success: [put('guarded')],
          });
        expect((await guarded()).succeeded).toBe(true);
        await store.revokeLease(lease);
        expect((await guarded()).succeeded).toBe(false);
        expect(await read('guarded')).toMatchObject({ version: 1 });
        await expect(store.revokeLease(lease)).resolves.toBeUndefined();
        await expect(store.keepAlive(lease)).rejects.toEqual(rejection('lease-not-found'));
      });

      it('refuses a put with a lease that has ended and applies nothing of its transaction', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        await store.revokeLease(lease);
        const request = { compare: [], success: [put('a'), put('b', 'x', lease)] };
        await expect(store.transact(request)).rejects.toEqual(rejection('lease-not-found'));
        expect(await read('a')).toBeUndefined();
      });

      it('detaches a key from its lease by a put without it (E3)', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        const created = await apply(put('session', 'x', lease), put('bound', 'x', lease));
        await apply(put('session', 'y'));
        await store.revokeLease(lease);
        const session = await read('session');
        expect(session).toMatchObject({ createRevision: created, version: 2 });
        expect(session?.leaseId).toBeUndefined();
        expect(await read('bound')).toBeUndefined();
      });

      it('moves a key to another lease with a put', async () => {
        const [first, second] = [await store.grantLease(leaseTtlMs), await store.grantLease(leaseTtlMs)];
        expect(first).not.toBe(second);
        await apply(put('a', 'x', first));
        await apply(put('a', 'y', second));
        await store.revokeLease(first);
        expect((await read('a'))?.leaseId).toBe(second);
        await store.revokeLease(second);
        expect(await read('a')).toBeUndefined();
      });

      it('does not bind a key that was deleted and put again', async () => {
        const lease = await store.grantLease(leaseTtlMs);
        await apply(put('a', 'x', lease));
        await apply(remove('a'));
        await apply(put('a'));
        await store.revokeLease(lease);
        expect(await read('a')).toBeDefined();
      });

      it('refuses a time to live below a millisecond', async () => {
        await expect(store.grantLease(0)).rejects.toEqual(rejection('invalid'));
      });
    });

    describe('watches', () => {
      it('delivers each revision once, in order, with the events of the range alone', async () => {
        const first = await apply(put('w/1', 'a'), put('other'), put('w/2', 'b'));
        await apply(put('other'));
        const third = await apply(put('w/1', 'c'), remove('w/2'));
        expect((await watchBatches('w/', first, 2)).map(shown)).toEqual([
          { revision: first, events: ['put w/1=a', 'put w/2=b'] },
          { revision: third, events: ['put w/1=c', 'delete w/2'] },
        ]);
      });

      it('delivers what happens after it started', async () => {
        const start = await apply(put('w/0', 'x'));
        const watching = watchBatches('w/', start + 1, 3);
        const revisions: Revision[] = [];
        for (let index = 1; index <= 3; index += 1) revisions.push(await apply(put(`w/${index}`, 'x')));
        expect((await watching).map(({ revision }) => revision)).toEqual(revisions);
      });

      it('resumes behind the last batch without a loss or a duplicate, while writes go on', async () => {
        const start = (await store.range({ key: 'w' })).revision + 1;
        const total = 60;
        const writing = (async () => {
          for (let index = 0; index < total; index += 1) await apply(put(`w/${index % 7}`, `${index}`));
        })();
        const seen: string[] = [];
        let next = start;
        while (seen.length < total) {
          const batches = await watchBatches('w/', next, Math.min(4, total - seen.length));
          for (const { revision, events } of batches) {
            expect(revision).toBeGreaterThanOrEqual(next);
            next = revision + 1;
            for (const event of events) seen.push(event.type === 'put' ? text(event.kv.value) : 'delete');
          }
        }
        await writing;
        expect(seen).toEqual(Array.from({ length: total }, (_, index) => `${index}`));
      });

      it('ends when its signal aborts, also while it waits', async () => {
        const start = await apply(put('w', 'x'));
        const controller = new AbortController();
        const iterator = store.watch({ key: 'w' }, start + 1, controller.signal)[Symbol.asyncIterator]();
        const waiting = iterator.next();
        controller.abort();
        expect((await waiting).done).toBe(true);
      });

      it('breaks with `unavailable` when the store is closed', async () => {
        const start = await apply(put('w', 'x'));
        const iterator = store.watch({ key: 'w' }, start + 1, new AbortController().signal)[Symbol.asyncIterator]();
        const waiting = expect(iterator.next()).rejects.toEqual(rejection('unavailable'));
        await store.close();
        await waiting;
      });
    });

    describe('compaction', () => {
      it('throws `compacted` for reads and watches from below, and reads on from the revision itself (E7)', async () => {
        const first = await apply(put('p/1', 'old'), put('p/2', 'x'));
        const second = await apply(put('p/1', 'new'));
        const third = await apply(remove('p/2'));
        await store.compact(second);
        await expect(store.range({ key: 'p/1', revision: first })).rejects.toEqual(rejection('compacted'));
        await expect(watchBatches('p/', first, 1)).rejects.toEqual(rejection('compacted'));
        expect(await readPrefix('p/', second)).toEqual(['p/1=new', 'p/2=x']);
        expect((await watchBatches('p/', third, 1)).map(shown)).toEqual([{ revision: third, events: ['delete p/2'] }]);
      });

      it('keeps what is present, and takes the same compaction twice', async () => {
        await apply(put('a', 'x'), put('gone'));
        const deleted = await apply(remove('gone'));
        await store.compact(deleted);
        await store.compact(deleted);
        expect(await read('a')).toMatchObject({ version: 1 });
        expect(await read('gone')).toBeUndefined();
        await apply(put('gone', 'again'));
        expect(await read('gone')).toMatchObject({ version: 1 });
      });

      it('refuses to compact the future', async () => {
        const { revision } = await store.range({ key: 'a' });
        await expect(store.compact(revision + 1)).rejects.toEqual(rejection('invalid'));
      });
    });

    describe('usage', () => {
      it('grows by what is put, and says a quota only where there is one', async () => {
        const before = await store.usage();
        for (let round = 0; round < 4; round += 1) await apply(put(`u/${round}`, 'x'.repeat(1_000_000)));
        await underTest.passTime(500); // a real store counts when it has written
        const after = await store.usage();
        expect(after.inUseBytes).toBeGreaterThanOrEqual(before.inUseBytes + 3_900_000);
        expect(after.sizeBytes).toBeGreaterThanOrEqual(after.inUseBytes);
        expect(after.quotaBytes ?? Number.POSITIVE_INFINITY).toBeGreaterThan(after.sizeBytes);
      });

      it('falls in use when history is dropped', async () => {
        for (let round = 0; round < 4; round += 1) await apply(put('u', 'x'.repeat(1_000_000)));
        const revision = await apply(put('u', 'small'));
        await underTest.passTime(500);
        const before = await store.usage();
        await store.compact(revision);
        let dropped = 0;
        for (let round = 0; round < 40 && dropped < 2_900_000; round += 1) {
          await apply(put('u', 'small')); // a real store gives pages back when it writes
          await underTest.passTime(250);
          dropped = before.inUseBytes - (await store.usage()).inUseBytes;
        }
        expect(dropped).toBeGreaterThan(2_900_000);
      });
    });

    it('answers `unavailable` once it is closed', async () => {
      await store.close();
      await expect(store.range({ key: 'a' })).rejects.toEqual(rejection('unavailable'));
      await expect(apply(put('a'))).rejects.toEqual(rejection('unavailable'));
    });
  });
}
