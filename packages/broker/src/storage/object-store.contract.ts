/**
 * What every object store must do. Run it on each implementation and on wrappers that are quiet; what a store says it cannot do
 * (`capabilities`) is not asked of it.
 */
import type { ObjectInfo, ObjectStore } from './object-store.ts';
import type { StorageError, StorageErrorKind } from './storage-error.ts';

export interface ObjectStoreUnderTest {
  /** Empty, and nobody else's. */
  readonly store: ObjectStore;
  close(): Promise<void>;
}

const bytes = (text: string) => Buffer.from(text, 'utf8');
const rejection = (kind: StorageErrorKind) => expect.objectContaining({ name: 'StorageError', kind }) as StorageError;

export function describeObjectStoreContract(name: string, open: () => Promise<ObjectStoreUnderTest>): void {
  describe(`${name} keeps the contract of ObjectStore`, () => {
    let underTest: ObjectStoreUnderTest;
    let store: ObjectStore;

    beforeEach(async () => {
      underTest = await open();
      store = underTest.store;
    });
    afterEach(() => underTest.close());

    const create = (key: string, text = key) => store.create(key, [bytes(text)]);
    const listed = async (prefix: string): Promise<ObjectInfo[]> => {
      const infos: ObjectInfo[] = [];
      for await (const info of store.list(prefix)) infos.push(info);
      return infos;
    };
    const listedKeys = async (prefix: string) => (await listed(prefix)).map(({ key }) => key);

    describe('create and read', () => {
      it('reads back the slices as one object', async () => {
        await store.create('n/a', [bytes('one '), bytes(''), bytes('two '), bytes('three')]);
        expect((await store.read('n/a')).toString()).toBe('one two three');
      });

      it('takes an empty object', async () => {
        await store.create('n/empty', []);
        expect(await store.read('n/empty')).toHaveLength(0);
        expect(await listed('n/')).toMatchObject([{ key: 'n/empty', sizeBytes: 0 }]);
      });

      it('takes thousands of slices and megabytes, unchanged', async () => {
        const slices = Array.from({ length: 3000 }, (_, index) => Buffer.alloc(1000 + (index % 7), index % 251));
        await store.create('n/large', slices);
        expect(Buffer.compare(await store.read('n/large'), Buffer.concat(slices))).toBe(0);
      });

      it('neither keeps nor changes the memory of the body', async () => {
        const body = bytes('before');
        await store.create('n/a', [body]);
        expect(body.toString()).toBe('before');
        body.fill('x');
        expect((await store.read('n/a')).toString()).toBe('before');
      });

      it('gives each reader memory of its own', async () => {
        await create('n/a', 'content');
        const first = await store.read('n/a');
        first.fill('x');
        expect((await store.read('n/a')).toString()).toBe('content');
      });

      it('reads `[start, end)` and cuts a range at the end of the object', async () => {
        await create('n/a', '0123456789');
        const read = async (start: number, end: number) => (await store.read('n/a', { start, end })).toString();
        expect(await read(0, 10)).toBe('0123456789');
        expect(await read(3, 7)).toBe('3456');
        expect(await read(9, 10)).toBe('9');
        expect(await read(8, 100)).toBe('89');
        expect(await read(4, 4)).toBe('');
        expect(await read(10, 20)).toBe('');
        expect(await read(50, 60)).toBe('');
      });

      it('refuses a range that is none', async () => {
        await create('n/a');
        for (const range of [
          { start: -1, end: 2 },
          { start: 3, end: 2 },
          { start: 0.5, end: 2 },
          { start: 0, end: Number.NaN },
        ]) {
          await expect(store.read('n/a', range)).rejects.toThrow(RangeError);
        }
      });

      it('throws `not-found` for an object that does not exist', async () => {
        await create('n/folder/a');
        for (const key of ['missing', 'n/missing', 'n/folder', 'n/folder/a/below']) {
          await expect(store.read(key)).rejects.toEqual(rejection('not-found'));
        }
      });

      it('reports an existing key as a `conflict` and leaves its object as it is, where it can tell', async () => {
        if (!store.capabilities.conditionalCreate) return;
        await create('n/a', 'first');
        await expect(create('n/a', 'second')).rejects.toEqual(rejection('conflict'));
        expect((await store.read('n/a')).toString()).toBe('first');
      });

      it('lets one of many concurrent creates of a key win, where it can tell', async () => {
        if (!store.capabilities.conditionalCreate) return;
        const texts = Array.from({ length: 10 }, (_, index) => `${index}`.repeat(2000));
        const results = await Promise.allSettled(texts.map((text) => create('n/a', text)));
        const winners = texts.filter((_, index) => results[index]!.status === 'fulfilled');
        expect(winners).toHaveLength(1);
        expect((await store.read('n/a')).toString()).toBe(winners[0]);
      });

      it('keeps many concurrent creates apart', async () => {
        const keys = Array.from({ length: 50 }, (_, index) => `n/${index % 5}/${index}`);
        await Promise.all(keys.map((key) => create(key)));
        const texts = await Promise.all(keys.map(async (key) => (await store.read(key)).toString()));
        expect(texts).toEqual(keys);
      });
    });

    describe('keys', () => {
      it.each([
        ['empty', ''],
        ['absolute', '/n/a'],
        ['an empty segment', 'n//a'],
        ['a trailing slash', 'n/a/'],
        ['a parent', 'n/../../a'],
        ['only a parent', '..'],
        ['itself', 'n/./a'],
        ['a NUL', 'n/a\0b'],
        ['half a surrogate pair', 'n/\ud800'],
        ['a very long segment', `n/${'a'.repeat(300)}`],
        ['very long', 'a/'.repeat(600) + 'a'],
      ])('refuses a key that is %s', async (_, key) => {
        await expect(create(key, 'x')).rejects.toThrow(RangeError);
        await expect(store.read(key)).rejects.toThrow(RangeError);
        await expect(store.delete([key])).rejects.toThrow(RangeError);
        expect(await listedKeys('')).toEqual([]);
      });

      it('takes dots, spaces and any letter inside a segment', async () => {
        const keys = ['n/..a', 'n/a..', 'n/...', 'n/a b', 'n/ä€\u{1f600}', 'n/a:b'];
        for (const key of keys) await create(key);
        for (const key of keys) expect((await store.read(key)).toString()).toBe(key);
        expect((await listedKeys('n/')).sort()).toEqual([...keys].sort());
      });
    });

    describe('list', () => {
      it('lists keys in the order of their UTF-8 bytes, also where folders and files mix', async () => {
        const keys = ['n/a', 'n/b/c', 'n/b-d', 'n/b.e', 'n/b0', 'n/b/', 'n/Z', 'n/é', 'n/\u{ffee}', 'n/\u{1f600}'].map(
          (key) => (key.endsWith('/') ? `${key}0` : key),
        );
        for (const key of [...keys].reverse()) await create(key);
        const sorted = [...keys].sort((left, right) => Buffer.compare(bytes(left), bytes(right)));
        expect(await listedKeys('n/')).toEqual(sorted);
        expect(await listedKeys('')).toEqual(sorted);
      });

      it('takes any prefix, with or without a whole segment', async () => {
        for (const key of ['n/a/1', 'n/a/2', 'n/ab/1', 'n/b', 'm/a']) await create(key);
        expect(await listedKeys('n/a')).toEqual(['n/a/1', 'n/a/2', 'n/ab/1']);
        expect(await listedKeys('n/a/')).toEqual(['n/a/1', 'n/a/2']);
        expect(await listedKeys('n/a/2')).toEqual(['n/a/2']);
        expect(await listedKeys('n/b')).toEqual(['n/b']);
        expect(await listedKeys('n/b/')).toEqual([]);
        expect(await listedKeys('missing/')).toEqual([]);
      });

      it('tells size and time of each of many objects', async () => {
        const keys = Array.from({ length: 120 }, (_, index) => `n/${index.toString().padStart(3, '0')}`);
        await Promise.all(keys.map((key, index) => create(key, 'x'.repeat(index))));
        const infos = await listed('n/');
        expect(infos.map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual(keys.map((key, index) => [key, index]));
        for (const { modifiedMs } of infos) expect(Number.isFinite(modifiedMs)).toBe(true);
      });

      it('goes on when objects disappear under it', async () => {
        const keys = Array.from({ length: 40 }, (_, index) => `n/${index.toString().padStart(3, '0')}`);
        for (const key of keys) await create(key);
        const seen: string[] = [];
        for await (const { key } of store.list('n/')) {
          seen.push(key);
          if (seen.length === 1) await store.delete(keys.slice(1));
        }
        expect(seen[0]).toBe(keys[0]);
        expect(await listedKeys('n/')).toEqual([keys[0]]);
      });
    });

    describe('delete', () => {
      it('removes objects for readers and lists', async () => {
        for (const key of ['n/a', 'n/b', 'n/c']) await create(key);
        expect(await store.read('n/a')).toBeDefined();
        await store.delete(['n/a', 'n/c']);
        await expect(store.read('n/a')).rejects.toEqual(rejection('not-found'));
        expect(await listedKeys('n/')).toEqual(['n/b']);
      });

      it('counts what is already gone as removed', async () => {
        await create('n/a');
        await store.delete(['n/a', 'n/a', 'missing/b', 'n/a/below']);
        await store.delete(['n/a']);
        await store.delete([]);
        expect(await listedKeys('')).toEqual([]);
      });
    });

    it('does not start when the signal has aborted', async () => {
      const aborted = AbortSignal.abort();
      await create('n/a');
      await expect(store.create('n/b', [bytes('b')], aborted)).rejects.toEqual(rejection('aborted'));
      await expect(store.read('n/a', undefined, aborted)).rejects.toEqual(rejection('aborted'));
      await expect(store.list('n/', aborted)[Symbol.asyncIterator]().next()).rejects.toEqual(rejection('aborted'));
      await expect(store.delete(['n/a'], aborted)).rejects.toEqual(rejection('aborted'));
      expect(await listedKeys('n/')).toEqual(['n/a']);
    });

    it('answers `unavailable` once it is closed', async () => {
      await create('n/a');
      await store.close();
      await expect(store.read('n/a')).rejects.toEqual(rejection('unavailable'));
      await expect(create('n/b')).rejects.toEqual(rejection('unavailable'));
    });
  });
}
