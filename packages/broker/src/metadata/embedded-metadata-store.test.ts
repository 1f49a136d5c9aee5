import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { open as openDatabase } from 'lmdb';
import { FakeClock, settled } from '@kafscale/testkit';
import { EmbeddedMetadataStore, type EmbeddedMetadataStoreOptions } from './embedded-metadata-store.ts';
import { MetadataFile } from './metadata-file.ts';
import { describeMetadataStoreContract } from './metadata-store.contract.ts';
import type { Operation } from './metadata-store.ts';

const makeFolder = () => mkdtemp(join(tmpdir(), 'kafscale-metadata-'));
const text = (value: Uint8Array | undefined) => value && Buffer.from(value).toString();

describeMetadataStoreContract('EmbeddedMetadataStore', async () => {
  const clock = new FakeClock();
  const folder = await makeFolder();
  const store = await EmbeddedMetadataStore.open({ folder, clock, random: cryptoRandom });
  return {
    store,
    async passTime(durationMs) {
      await clock.advanceAsync(durationMs);
      await store.transact({ compare: [], success: [] }); // answered when the ends of leases are on the disk
    },
    async close() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

describe('EmbeddedMetadataStore', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await makeFolder();
  });
  afterEach(() => rm(folder, { recursive: true }));

  const open = (options: Partial<EmbeddedMetadataStoreOptions> = {}) =>
    EmbeddedMetadataStore.open({ folder, clock: systemClock, random: cryptoRandom, ...options });
  const put = (key: string, value: string | Uint8Array = 'value', leaseId?: string): Operation => ({
    type: 'put',
    key,
    value: Buffer.from(value),
    ...(leaseId === undefined ? {} : { leaseId }),
  });
  const apply = async (store: EmbeddedMetadataStore, ...success: Operation[]) =>
    (await store.transact({ compare: [], success })).revision;
  const read = async (store: EmbeddedMetadataStore, key: string) => (await store.range({ key })).items[0];

  it('has keys, revisions and versions as they were after a close and a reopen', async () => {
    const longKey = `long/${'k'.repeat(5000)}`;
    const first = await open({ folder: join(folder, 'made', 'on', 'the', 'way') });
    await apply(first, put('a', 'one'), put('gone'), put(longKey, 'long'), put('é/\u{1f600}', ''));
    await apply(first, { type: 'delete', key: 'gone' });
    const revision = await apply(first, put('a', 'two'));
    const before = await first.range({ key: '\u0001', end: '\u{10ffff}' });
    await first.close();

    const second = await open({ folder: join(folder, 'made', 'on', 'the', 'way') });
    const after = await second.range({ key: '\u0001', end: '\u{10ffff}' });
    expect(after.revision).toBe(revision);
    expect(after.items.map((kv) => ({ ...kv, value: text(kv.value) }))).toEqual(
      before.items.map((kv) => ({ ...kv, value: text(kv.value) })),
    );
    expect(await apply(second, put('a', 'three'))).toBe(revision + 1);
    expect(await read(second, 'a')).toMatchObject({ version: 3 });
    await second.close();
  });

  it('has no history from before it was opened', async () => {
    const first = await open();
    const revision = await apply(first, put('a', 'one'));
    await apply(first, put('a', 'two'));
    await first.close();
    const second = await open();
    await expect(second.range({ key: 'a', revision })).rejects.toMatchObject({ kind: 'compacted' });
    const watch = second.watch({ key: 'a' }, revision, new AbortController().signal);
    await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'compacted' });
    await second.close();
  });

  it('ends the leases of earlier processes at one revision when it is opened, and gives no lease the same id', async () => {
    const first = await open();
    const leases = [await first.grantLease(60_000), await first.grantLease(60_000)];
    await apply(first, put('session/1', 'x', leases[0]), put('session/2', 'x', leases[1]), put('lane'));
    const revision = await apply(first, put('session/3', 'x', leases[1]));
    await first.close();

    const second = await open();
    const { items, revision: now } = await second.range({ key: 'session/', end: 'session0' });
    expect([items, now]).toEqual([[], revision + 1]);
    expect(await read(second, 'lane')).toBeDefined();
    await expect(second.keepAlive(leases[0]!)).rejects.toMatchObject({ kind: 'lease-not-found' });
    expect(leases).not.toContain(await second.grantLease(60_000));
    await second.close();
    const third = await open();
    expect((await third.range({ key: 'lane' })).revision).toBe(revision + 1);
    await third.close();
  });

  it('grows as far as needed and uses its space again', async () => {
    const store = await open();
    const fill = (folderKey: string, count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          apply(store, put(`${folderKey}/${index}`, Buffer.alloc(500_000, index))),
        ),
      );
    await fill('first', 30);
    const { size } = await stat(join(folder, 'metadata.mdb'));
    expect(size).toBeGreaterThan(15_000_000);
    await apply(store, { type: 'delete', key: 'first/', end: 'first0' });
    await apply(store, put('a')); // a page is free two commits after it was given up
    await fill('again', 15);
    expect((await stat(join(folder, 'metadata.mdb'))).size).toBeLessThan(size * 1.2);
    await store.close();
    const reopened = await open();
    expect((await read(reopened, 'again/14'))?.value).toEqual(new Uint8Array(500_000).fill(14));
    await reopened.close();
  }, 60_000);

  it('refuses a file of a format that it does not know, and lets go of the folder', async () => {
    await (await open()).close();
    const path = join(folder, 'metadata.mdb');
    const database = openDatabase<Buffer, Buffer>({ path, encoding: 'binary', keyEncoding: 'binary' });
    await database.put(Buffer.from([0]), Buffer.alloc(17, 9));
    await database.close();
    for (let attempt = 0; attempt < 2; attempt += 1) await expect(open()).rejects.toMatchObject({ kind: 'corrupt' });
  });

  describe('when the disk fails', () => {
    /** A file whose writes wait for the test. */
    function failing() {
      const control = { fail: false, written: 0, release: () => undefined as void, held: Promise.resolve() };
      const hold = () => {
        control.held = new Promise((resolve) => {
          control.release = () => resolve();
        });
      };
      const openFile = async (path: string) => {
        const file = await MetadataFile.open(path);
        return {
          readStoreRecord: () => file.readStoreRecord(),
          readKeys: () => file.readKeys(),
          close: () => file.close(),
          async write(...args: Parameters<MetadataFile['write']>) {
            await control.held;
            if (control.fail) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
            await file.write(...args);
            control.written += 1;
          },
        };
      };
      return { control, hold, openFile };
    }

    it('neither answers, reads nor watches what is not on the disk yet', async () => {
      const { control, hold, openFile } = failing();
      const store = await open({ openFile });
      const revision = await apply(store, put('a', 'old'));
      hold();
      let answered = false;
      const writing = apply(store, put('a', 'new')).then((answer) => {
        answered = true;
        return answer;
      });
      const noChange = store.transact({ compare: [], success: [{ type: 'range', key: 'a' }] });
      const watch = store.watch({ key: 'a' }, revision + 1, new AbortController().signal)[Symbol.asyncIterator]();
      let watched = false;
      const watching = watch.next().then(() => (watched = true));
      for (let turn = 0; turn < 20; turn += 1) await settled();
      expect([answered, watched, text((await read(store, 'a'))?.value)]).toEqual([false, false, 'old']);
      expect((await store.range({ key: 'a' })).revision).toBe(revision);
      control.release();
      expect(await writing).toBe(revision + 1);
      expect(text((await noChange).ranges[0]!.items[0]!.value)).toBe('new');
      expect((await store.range({ key: 'a' })).revision).toBe(revision + 1);
      await watching;
      await store.close();
    });

    it('writes what came during one flush with the next one', async () => {
      const { control, hold, openFile } = failing();
      const store = await open({ openFile });
      hold();
      const first = apply(store, put('a'));
      for (let turn = 0; turn < 5; turn += 1) await settled();
      const others = Array.from({ length: 50 }, (_, index) => apply(store, put(`b/${index}`)));
      control.written = 0;
      control.release();
      const revisions = await Promise.all([first, ...others]);
      expect(new Set(revisions).size).toBe(51);
      expect(control.written).toBe(2);
      await store.close();
    });

    it('answers with an unknown outcome, refuses more, and writes it all when the disk is back', async () => {
      const clock = new FakeClock();
      const { control, openFile } = failing();
      const store = await open({ openFile, clock });
      await apply(store, put('a', 'old'), put('b', 'old'));
      control.fail = true;
      await expect(apply(store, put('a', 'new'))).rejects.toMatchObject({ kind: 'unavailable' });
      await expect(apply(store, put('b', 'new'))).rejects.toMatchObject({ kind: 'unavailable' });
      expect(text((await read(store, 'a'))?.value)).toBe('old');
      control.fail = false;
      await clock.advanceAsync(1000);
      while (text((await read(store, 'a'))?.value) === 'old') await settled();
      expect(text((await read(store, 'b'))?.value)).toBe('old'); // was refused, not queued
      await apply(store, put('b', 'newer'));
      await store.close();
      const reopened = await open();
      expect(text((await read(reopened, 'a'))?.value)).toBe('new');
      expect(text((await read(reopened, 'b'))?.value)).toBe('newer');
      await reopened.close();
    });

    it('closes although the disk still fails', async () => {
      const { control, openFile } = failing();
      const store = await open({ openFile, clock: new FakeClock() });
      control.fail = true;
      await expect(apply(store, put('a'))).rejects.toMatchObject({ kind: 'unavailable' });
      await store.close();
      control.fail = false;
      await (await open()).close();
    });

    it('flushes what is on its way before it closes', async () => {
      const store = await open();
      const writing = Array.from({ length: 20 }, (_, index) => apply(store, put(`a/${index}`)));
      await store.close();
      await Promise.all(writing);
      const reopened = await open();
      expect((await reopened.range({ key: 'a/', end: 'a0' })).items).toHaveLength(20);
      await reopened.close();
    });

    it('answers `aborted` to a caller who gives up while the disk is slow', async () => {
      const { control, hold, openFile } = failing();
      const store = await open({ openFile });
      hold();
      const controller = new AbortController();
      const request = { compare: [], success: [put('a')] };
      const writing = expect(store.transact(request, controller.signal)).rejects.toMatchObject({ kind: 'aborted' });
      await settled();
      controller.abort();
      await writing;
      control.release();
      await store.close();
    });
  });

  describe('across processes', () => {
    const script = fileURLToPath(new URL('./embedded-metadata-store.writer-fixture.ts', import.meta.url));
    const running = new Set<ChildProcess>();
    afterEach(() => {
      for (const child of running) child.kill('SIGKILL');
    });

    function startChild() {
      const child = spawn(process.execPath, ['--conditions=@kafscale/source', '--import', 'tsx', script, folder], {
        cwd: dirname(script),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      running.add(child);
      child.once('exit', () => running.delete(child));
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
    }

    const kill = async (child: ChildProcess) => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    };

    it('refuses a second process, also a stopped one, and takes over from a dead one at once', async () => {
      const { child, lines } = startChild();
      expect((await lines.next()).value).toBe('ready');
      const refused = {
        kind: 'unavailable',
        message: expect.stringContaining(`in use by process ${child.pid!}`) as string,
      };
      await expect(open()).rejects.toMatchObject(refused);
      child.kill('SIGSTOP');
      await expect(open()).rejects.toMatchObject(refused);
      await kill(child);
      const store = await open();
      await expect(open()).rejects.toMatchObject({ kind: 'unavailable' });
      await store.close();
      await (await open()).close();
    }, 60_000);

    it('has every acknowledged write, each transaction whole and no old lease, after each of ten kills', async () => {
      const acknowledged = new Map<string, number>();
      let lastRevision = 0;
      for (let round = 0; round < 10; round += 1) {
        const { child, lines } = startChild();
        expect((await lines.next()).value).toBe('ready');
        const killAfterLines = 1 + cryptoRandom.int(150);
        let dead: Promise<void> | undefined;
        for (let count = 1, line = await lines.next(); !line.done; count += 1, line = await lines.next()) {
          const [writer, number, revision] = line.value.split(' ');
          acknowledged.set(writer!, Number(number));
          lastRevision = Math.max(lastRevision, Number(revision));
          if (count === killAfterLines) dead = kill(child);
        }
        await dead;

        const store = await open();
        expect((await store.range({ key: 'session' })).items).toEqual([]);
        expect((await store.range({ key: 'session' })).revision).toBeGreaterThan(lastRevision);
        for (let writer = 0; writer < 4; writer += 1) {
          const left = Number(text((await read(store, `left/${writer}`))?.value) ?? 0);
          const right = Number(text((await read(store, `right/${writer}`))?.value) ?? 0);
          const { items } = await store.range({ key: `all/${writer}/`, end: `all/${writer}0` });
          expect(left).toBeGreaterThanOrEqual(acknowledged.get(`${writer}`) ?? 0);
          expect([right, items.length]).toEqual([left, left]);
        }
        await store.close();
      }
      expect(acknowledged.size).toBe(4);
    }, 120_000);
  });
});
