import { seededRandom } from '@kafscale/runtime';
import fc from 'fast-check';
import type { FileSystem } from './file-system.ts';
import { FolderObjectStore } from './folder-object-store.ts';
import { ForgetfulFileSystem, type Survival } from './forgetful-file-system.ts';
import { describeObjectStoreContract } from './object-store.contract.ts';

const folder = '/data/objects';

describeObjectStoreContract('FolderObjectStore on ForgetfulFileSystem', async () => {
  const store = await FolderObjectStore.open({
    folder,
    fileSystem: new ForgetfulFileSystem({ random: seededRandom(1) }),
  });
  return { store, close: () => store.close() };
});

describe('ForgetfulFileSystem', () => {
  const start = (seed = 1) => new ForgetfulFileSystem({ random: seededRandom(seed) });
  const names = async (fileSystem: FileSystem, path: string) =>
    (await fileSystem.entries(path)).map(({ name }) => name);

  async function write(fileSystem: FileSystem, path: string, text: string, { synced }: { synced: boolean }) {
    const file = await fileSystem.createFile(path);
    await file.write([Buffer.from(text)]);
    if (synced) await file.sync();
    await file.close();
  }

  it('forgets a file whose folder was not synced, however well its bytes were', async () => {
    const fileSystem = start();
    await write(fileSystem, '/a', 'content', { synced: true });
    fileSystem.restart('nothing');
    expect(await names(fileSystem, '/')).toEqual([]);
  });

  it('forgets the bytes that were not synced, although the name is there', async () => {
    const fileSystem = start();
    await write(fileSystem, '/a', 'content', { synced: false });
    await fileSystem.syncFolder('/');
    fileSystem.restart('nothing');
    expect(await fileSystem.info('/a')).toMatchObject({ sizeBytes: 0 });
  });

  it('keeps what was synced as file and as folder, also under a second name', async () => {
    const fileSystem = start();
    await write(fileSystem, '/a', 'content', { synced: true });
    await fileSystem.link('/a', '/b');
    await fileSystem.syncFolder('/');
    fileSystem.restart('nothing');
    const target = Buffer.alloc(7);
    await (await fileSystem.openFile('/b')).read(target, 0);
    expect(target.toString()).toBe('content');
  });

  it('forgets a removal and a folder that were not synced', async () => {
    const fileSystem = start();
    await write(fileSystem, '/a', 'content', { synced: true });
    await fileSystem.syncFolder('/');
    await fileSystem.unlink('/a');
    await fileSystem.makeFolder('/b');
    fileSystem.restart('nothing');
    expect(await names(fileSystem, '/')).toEqual(['a']);
  });

  it('keeps some of the unsynced by chance, and may leave holes', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed += 1) {
      const fileSystem = start(seed);
      await write(fileSystem, '/a', 'content', { synced: false });
      fileSystem.restart('some');
      if ((await names(fileSystem, '/')).length === 0) outcomes.add('no file');
      else {
        const file = await fileSystem.openFile('/a');
        const bytes = Buffer.alloc(file.sizeBytes);
        await file.read(bytes, 0);
        outcomes.add(bytes.toString().replaceAll('\0', '.'));
      }
    }
    for (const outcome of ['no file', '', 'con', 'content', '.......']) expect(outcomes).toContain(outcome);
  });

  it('fails every call between a planned crash and the restart, and handles of before for ever', async () => {
    const fileSystem = start();
    const file = await fileSystem.createFile('/a');
    fileSystem.plan = ({ operation }) => (operation === 'write' ? 'crash' : undefined);
    await expect(file.write([Buffer.from('x')])).rejects.toMatchObject({ code: 'EIO' });
    await expect(fileSystem.entries('/')).rejects.toMatchObject({ code: 'EIO' });
    fileSystem.restart('nothing');
    fileSystem.plan = () => undefined;
    await expect(fileSystem.entries('/')).resolves.toEqual([]);
    await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
  });
});

/** What one worker did with its own keys, as far as it learnt. */
interface Known {
  readonly bodies: Map<string, string>;
  readonly created: Set<string>;
  readonly deleting: Set<string>;
  readonly deleted: Set<string>;
}

interface Schedule {
  readonly seed: number;
  /** The file-system call at which the power goes, counted from the start. */
  readonly crashAt: number;
  readonly survival: Survival;
  /** Whether calls also fail before that, one in twenty. */
  readonly faults: boolean;
}

const schedules = fc.record<Schedule>({
  seed: fc.nat(),
  crashAt: fc.nat({ max: 160 }),
  survival: fc.constantFrom<Survival>('nothing', 'some'),
  faults: fc.boolean(),
});

/** Runs workers until the power goes, starts again and says what is wrong with what is found; undefined when nothing is. */
async function survives(
  { seed, crashAt, survival, faults }: Schedule,
  wrap: (fileSystem: FileSystem) => FileSystem = (same) => same,
): Promise<string | undefined> {
  const random = seededRandom(seed);
  const forgetful = new ForgetfulFileSystem({
    random,
    plan({ index }) {
      if (index === crashAt) return 'crash';
      return faults && random.int(20) === 0 ? (['EIO', 'ENOSPC'][random.int(2)] ?? 'EIO') : undefined;
    },
  });
  const known: Known = { bodies: new Map(), created: new Set(), deleting: new Set(), deleted: new Set() };
  const [opened] = await Promise.allSettled([FolderObjectStore.open({ folder, fileSystem: wrap(forgetful) })]);
  if (opened.status === 'fulfilled') {
    const workers = Array.from({ length: 4 }, (_, worker) => runWorker(opened.value, worker, known));
    await Promise.allSettled(workers); // none outlives the power
  }
  forgetful.plan = () => undefined;
  forgetful.restart(survival);
  return await faultsFound(await FolderObjectStore.open({ folder, fileSystem: forgetful }), forgetful, known);

  async function runWorker(store: FolderObjectStore, worker: number, { bodies, created, deleting, deleted }: Known) {
    for (let round = 0; round < 6; round += 1) {
      const key = `n/${random.int(3)}/${worker}-${round}`;
      const slices = Array.from({ length: random.int(4) }, (_, slice) => `${key}:${slice};`.repeat(1 + random.int(5)));
      bodies.set(key, slices.join(''));
      const body = slices.map((slice) => Buffer.from(slice));
      if (!(await succeeds(store.create(key, body)))) continue;
      created.add(key);
      if (random.int(3) > 0) continue;
      deleting.add(key);
      const deletes = () => succeeds(store.delete([key]));
      if ((await deletes()) || (await deletes())) deleted.add(key);
    }
  }
}

const succeeds = (call: Promise<void>) =>
  call.then(
    () => true,
    () => false,
  );

async function faultsFound(
  store: FolderObjectStore,
  fileSystem: FileSystem,
  { bodies, created, deleting, deleted }: Known,
): Promise<string | undefined> {
  const visible = new Map<string, string>();
  for await (const { key } of store.list('')) visible.set(key, (await store.read(key)).toString());
  for (const [key, text] of visible) {
    if (text !== bodies.get(key)) return `${key} is visible with other bytes than it was given`;
  }
  for (const key of created) {
    if (!deleting.has(key) && !visible.has(key)) return `${key} was created and is gone`;
  }
  for (const key of deleted) if (visible.has(key)) return `${key} was deleted and is back`;
  if ((await fileSystem.entries(`${folder}/.staging`)).length > 0) return 'staging was not cleaned';
  for (const key of visible.keys()) await store.delete([key]);
  await store.close();
  return undefined;
}

describe('FolderObjectStore when the power goes', () => {
  it('has every object whose create resolved, none in part, none whose delete resolved', async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        expect(await survives(schedule)).toBeUndefined();
      }),
      { numRuns: 1500 },
    );
  }, 60_000);

  it.each<[string, (fileSystem: FileSystem) => FileSystem]>([
    [
      'files are not synced',
      (inner) => ({
        ...bound(inner),
        createFile: async (path) => ({ ...(await inner.createFile(path)), sync: () => Promise.resolve() }),
      }),
    ],
    ['folders are not synced', (inner) => ({ ...bound(inner), syncFolder: () => Promise.resolve() })],
    [
      'the folder above a new folder is not synced',
      (inner) => ({
        ...bound(inner),
        syncFolder: (path) => (path.endsWith('/n') ? Promise.resolve() : inner.syncFolder(path)),
      }),
    ],
    [
      'the store itself is not anchored in its parent',
      (inner) => ({
        ...bound(inner),
        syncFolder: (path) => (path === '/data' ? Promise.resolve() : inner.syncFolder(path)),
      }),
    ],
  ])(
    'would be caught when %s',
    async (_, plant) => {
      const result = await fc.check(
        fc.asyncProperty(schedules, async (schedule) => {
          expect(await survives(schedule, plant)).toBeUndefined();
        }),
        { numRuns: 1500 },
      );
      expect(result.failed).toBe(true);
    },
    60_000,
  );
});

const bound = (inner: FileSystem): FileSystem => ({
  createFile: (path) => inner.createFile(path),
  openFile: (path) => inner.openFile(path),
  link: (from, to) => inner.link(from, to),
  unlink: (path) => inner.unlink(path),
  makeFolder: (path) => inner.makeFolder(path),
  entries: (path) => inner.entries(path),
  info: (path) => inner.info(path),
  syncFolder: (path) => inner.syncFolder(path),
});
