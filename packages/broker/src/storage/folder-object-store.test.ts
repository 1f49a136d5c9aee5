import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeFileSystem, type FileSystem } from './file-system.ts';
import { FolderObjectStore } from './folder-object-store.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';

const makeFolder = () => mkdtemp(join(tmpdir(), 'kafscale-objects-'));

for (const maxOpenFiles of [1, 128]) {
  describeObjectStoreContract(`FolderObjectStore (${maxOpenFiles} open files)`, async () => {
    const folder = await makeFolder();
    const store = await FolderObjectStore.open({ folder: join(folder, 'not', 'there'), maxOpenFiles });
    return {
      store,
      async close() {
        await store.close();
        await rm(folder, { recursive: true });
      },
    };
  });
}

describe('FolderObjectStore', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await makeFolder();
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** The real file system, counting and failing calls by name. */
  function watched(fail: (operation: string, path: string) => string | undefined = () => undefined) {
    const calls: string[] = [];
    const open = { now: 0, most: 0 };
    const check = (operation: string, path: string) => {
      calls.push(operation);
      const code = fail(operation, path);
      if (code !== undefined) throw Object.assign(new Error(code), { code });
    };
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      async createFile(path) {
        check('createFile', path);
        const file = await nodeFileSystem.createFile(path);
        return {
          write: async (slices) => {
            check('write', path);
            await file.write(slices);
          },
          sync: async () => {
            check('sync', path);
            await file.sync();
          },
          close: () => file.close(),
        };
      },
      async openFile(path) {
        check('openFile', path);
        const file = await nodeFileSystem.openFile(path);
        open.now += 1;
        open.most = Math.max(open.most, open.now);
        return {
          sizeBytes: file.sizeBytes,
          read: (target, position) => file.read(target, position),
          close: () => {
            open.now -= 1;
            return file.close();
          },
        };
      },
      async link(from, to) {
        check('link', to);
        await nodeFileSystem.link(from, to);
      },
      async syncFolder(path) {
        check('syncFolder', path);
        await nodeFileSystem.syncFolder(path);
      },
    };
    return { fileSystem, calls, open };
  }

  it('serves after a reopen what it held before', async () => {
    const first = await FolderObjectStore.open({ folder });
    await first.create('n/a', [Buffer.from('kept')]);
    await first.close();
    const second = await FolderObjectStore.open({ folder });
    expect((await second.read('n/a')).toString()).toBe('kept');
    await expect(second.create('n/a', [Buffer.from('other')])).rejects.toMatchObject({ kind: 'conflict' });
    await second.close();
  });

  it('removes at open what a dying process left in staging, and never lists it', async () => {
    await (await FolderObjectStore.open({ folder })).close();
    await writeFile(join(folder, '.staging', '17'), 'half an obj');
    const store = await FolderObjectStore.open({ folder });
    expect(await readdir(join(folder, '.staging'))).toEqual([]);
    await writeFile(join(folder, '.staging', '18'), 'half an obj');
    const keys: string[] = [];
    for (const prefix of ['', '.', '.staging', '.staging/'])
      for await (const { key } of store.list(prefix)) keys.push(key);
    expect(keys).toEqual([]);
    await expect(store.read('.staging/18')).rejects.toThrow(RangeError);
    await store.close();
  });

  it.each(['ENOSPC', 'EIO', 'EDQUOT', 'EMFILE'])(
    'answers %s as `unavailable` and shows nothing of the failed create',
    async (code) => {
      for (const failing of ['createFile', 'write', 'sync', 'link', 'syncFolder']) {
        let armed = false;
        const { fileSystem } = watched((operation) => (armed && operation === failing ? code : undefined));
        const store = await FolderObjectStore.open({ folder, fileSystem });
        armed = true;
        await expect(store.create('n/a', [Buffer.from('x')])).rejects.toMatchObject({ kind: 'unavailable' });
        armed = false;
        expect(await readdir(join(folder, '.staging'))).toEqual([]);
        await expect(store.read('n/a')).rejects.toMatchObject({ kind: 'not-found' });
        await store.create('n/a', [Buffer.from('x')]);
        await store.delete(['n/a']);
        await store.close();
      }
    },
  );

  it('makes folders again that somebody removed', async () => {
    const store = await FolderObjectStore.open({ folder });
    await store.create('n/a', [Buffer.from('x')]);
    await rm(join(folder, 'n'), { recursive: true });
    await expect(store.create('n/b', [Buffer.from('x')])).rejects.toMatchObject({ kind: 'unavailable' });
    await store.create('n/c', [Buffer.from('x')]);
    expect((await store.read('n/c')).toString()).toBe('x');
    await store.close();
  });

  it('syncs the bytes before the name and the folder after it', async () => {
    const { fileSystem, calls } = watched();
    const store = await FolderObjectStore.open({ folder, fileSystem });
    await store.create('n/a', [Buffer.from('x')]);
    calls.length = 0;
    await store.create('n/b', [Buffer.from('x')]);
    expect(calls).toEqual(['createFile', 'write', 'sync', 'link', 'syncFolder']);
    await store.close();
  });

  it('keeps no more files open than it may, and reads a file again without opening it again', async () => {
    const { fileSystem, calls, open } = watched();
    const store = await FolderObjectStore.open({ folder, fileSystem, maxOpenFiles: 3 });
    for (let index = 0; index < 6; index += 1) await store.create(`n/${index}`, [Buffer.from(`${index}`)]);
    for (let index = 0; index < 6; index += 1) expect((await store.read(`n/${index}`)).toString()).toBe(`${index}`);
    expect(open.most).toBeLessThanOrEqual(4);
    expect(open.now).toBe(3);
    calls.length = 0;
    await Promise.all([store.read('n/5'), store.read('n/5', { start: 0, end: 1 }), store.read('n/4')]);
    expect(calls).toEqual([]);
    await store.delete(['n/5']);
    await expect(store.read('n/5')).rejects.toMatchObject({ kind: 'not-found' });
    await store.close();
    expect(open.now).toBe(0);
  });

  it('closes every file also when reads, deletes and evictions overlap', async () => {
    const { fileSystem, open } = watched();
    const store = await FolderObjectStore.open({ folder, fileSystem, maxOpenFiles: 2 });
    const keys = Array.from({ length: 10 }, (_, index) => `n/${index}`);
    for (const key of keys) await store.create(key, [Buffer.alloc(1000)]);
    const reads = Array.from({ length: 100 }, (_, index) => store.read(keys[(index * 7) % 10]!).catch(() => undefined));
    await store.delete(keys.slice(5));
    await Promise.all(reads);
    await store.close();
    expect(open.now).toBe(0);
  });

  it('reads into the memory it is given where that is large enough, and into its own otherwise', async () => {
    const store = await FolderObjectStore.open({ folder });
    await store.create('n/a', [Buffer.from('0123456789')]);
    const into = Buffer.alloc(4, '-');
    const four = await store.read('n/a', { start: 3, end: 7 }, undefined, into);
    expect([four.buffer, into.toString()]).toEqual([into.buffer, '3456']);
    const all = await store.read('n/a', undefined, undefined, into);
    expect([all.toString(), into.toString()]).toEqual(['0123456789', '3456']);
    const end = await store.read('n/a', { start: 8, end: 12 }, undefined, into);
    expect([end.toString(), into.toString()]).toEqual(['89', '8956']);
    await store.close();
  });
});
