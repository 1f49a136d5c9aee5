import { link, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cryptoRandom } from '@kafscale/runtime';
import { FolderClaim } from './folder-claim.ts';

describe('FolderClaim', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kafscale-claim-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const take = (path = folder) => FolderClaim.take(path, cryptoRandom);

  it('is held by one at a time and leaves nothing behind', async () => {
    for (let round = 0; round < 3; round += 1) {
      const claim = await take();
      await expect(take()).rejects.toMatchObject({
        kind: 'unavailable',
        message: expect.stringContaining(`in use by process ${process.pid}`) as string,
      });
      await claim.release();
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('is given to at most one of many who come at once', async () => {
    for (let round = 0; round < 20; round += 1) {
      const results = await Promise.allSettled(Array.from({ length: 5 }, () => take()));
      const held = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
      expect(held.length).toBeLessThanOrEqual(1);
      for (const claim of held) await claim.release();
    }
    await (await take()).release();
  });

  it('is not held up by the claim of a dead process, and removes it', async () => {
    const dead = createServer();
    const path = join(folder, 'claim-1-00.sock');
    await new Promise<void>((resolve) => {
      dead.listen(join(folder, 'other'), resolve);
    });
    // A socket file without a listener is what a killed process leaves.
    await link(join(folder, 'other'), path);
    await new Promise((resolve) => {
      dead.close(resolve);
    });
    expect(await readdir(folder)).toEqual(['claim-1-00.sock']);
    const claim = await take();
    expect(await readdir(folder)).not.toContain('claim-1-00.sock');
    await claim.release();
  });

  it('leaves other files alone', async () => {
    await writeFile(join(folder, 'metadata.mdb'), 'x');
    await writeFile(join(folder, 'claim-notes.txt'), 'x');
    await (await take()).release();
    expect((await readdir(folder)).sort()).toEqual(['claim-notes.txt', 'metadata.mdb']);
  });

  it('works in a folder whose path is longer than a socket may be called', async () => {
    const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100));
    await mkdir(deep, { recursive: true });
    const claim = await take(deep);
    await expect(take(deep)).rejects.toMatchObject({ kind: 'unavailable' });
    await claim.release();
    await (await take(deep)).release();
  });
});
