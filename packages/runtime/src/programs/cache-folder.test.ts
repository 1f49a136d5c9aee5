import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { preparedFolder } from './cache-folder.ts';

describe('a prepared folder', () => {
  const before = process.env['KAFSCALE_CACHE'];
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'kafscale-cache-'));
    process.env['KAFSCALE_CACHE'] = cache;
  });
  afterEach(() => {
    if (before === undefined) delete process.env['KAFSCALE_CACHE'];
    else process.env['KAFSCALE_CACHE'] = before;
    rmSync(cache, { recursive: true });
  });

  it('is made once for a recipe, and anew for another', async () => {
    let made = 0;
    const make = async (folder: string): Promise<void> => {
      made += 1;
      writeFileSync(join(folder, 'made'), '');
    };
    const first = await preparedFolder('thing', 'recipe 1', make);
    expect(await preparedFolder('thing', 'recipe 1', make)).toBe(first);
    expect(made).toBe(1);
    expect(await preparedFolder('thing', 'recipe 2', make)).not.toBe(first);
    expect(existsSync(join(first, 'made'))).toBe(true);
  });

  it('is one folder also for two that make it together', async () => {
    const make = async (folder: string): Promise<void> => writeFileSync(join(folder, 'made'), '');
    const folders = await Promise.all([
      preparedFolder('thing', 'recipe', make),
      preparedFolder('thing', 'recipe', make),
    ]);
    expect(new Set(folders).size).toBe(1);
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('leaves nothing behind when making it fails', async () => {
    await expect(preparedFolder('thing', 'recipe', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(readdirSync(cache)).toEqual([]);
  });
});
