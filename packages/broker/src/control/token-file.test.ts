import { silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TokenFile } from './token-file.ts';

const [first, second] = ['the-first-of-the-tokens', 'the-second-of-the-tokens'];

describe('the file with the token', () => {
  let folder: string;
  let path: string;
  const clock = new FakeClock();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kafscale-token-'));
    path = join(folder, 'token');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = async (text: string) => {
    await writeFile(path, text);
    return TokenFile.open({ path, clock, logger: silentLogger });
  };
  const later = () => clock.advanceAsync(2_000);

  it('lets in who carries the token, as a bearer and in no other way', async () => {
    const tokens = await open(`${first}\n`);
    expect(await tokens.allows(`Bearer ${first}`)).toBe(true);
    expect(await tokens.allows(`bearer ${first}`)).toBe(true);
    for (const wrong of ['', 'Bearer', 'Bearer ', first, `Basic ${first}`, `Bearer ${first}x`, `Bearer ${first} x`]) {
      expect([wrong, await tokens.allows(wrong)]).toEqual([wrong, false]);
    }
  });

  it('takes every line, and gives the first', async () => {
    const tokens = await open(`${second}\r\n\n${first}`);
    expect(await tokens.allows(`Bearer ${first}`)).toBe(true);
    expect(await tokens.allows(`Bearer ${second}`)).toBe(true);
    expect(await tokens.authorization()).toBe(`Bearer ${second}`);
  });

  it('knows what the file says a moment ago, and not what it said before', async () => {
    const tokens = await open(first);
    await writeFile(path, second);
    await later();
    expect(await tokens.allows(`Bearer ${first}`)).toBe(false);
    expect(await tokens.allows(`Bearer ${second}`)).toBe(true);
  });

  it('lets nobody in while the file is gone or empty, and everybody it should once it is back', async () => {
    const tokens = await open(first);
    await rm(path);
    await later();
    expect(await tokens.allows(`Bearer ${first}`)).toBe(false);
    expect(await tokens.authorization()).toBeUndefined();
    await writeFile(path, '\n');
    await later();
    expect(await tokens.allows('Bearer ')).toBe(false);
    await writeFile(path, first);
    await later();
    expect(await tokens.allows(`Bearer ${first}`)).toBe(true);
  });

  it.each([
    ['no token', '\n \n'],
    ['a short one', 'short'],
    ['one with a blank', 'a token with blanks in it'],
  ])('does not begin with %s', async (_, text) => {
    await expect(open(text)).rejects.toThrow(path);
  });
});
