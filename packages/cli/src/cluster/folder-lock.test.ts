import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder } from './folder-lock.ts';

describe('the lock of a cluster folder', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kafscale-lock-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('refuses a folder that a living process uses, and says which', () => {
    writeFileSync(join(folder, 'cluster.pid'), `${process.ppid}\n`);
    expect(() => lockFolder(folder)).toThrow(`process ${process.ppid}`);
  });

  it('takes over from a process that is gone, and gives back', () => {
    writeFileSync(join(folder, 'cluster.pid'), '999999999\n');
    const unlock = lockFolder(folder);
    unlock();
    expect(() => lockFolder(folder)).not.toThrow();
  });

  it('minds no nonsense in the file', () => {
    writeFileSync(join(folder, 'cluster.pid'), 'nonsense');
    expect(() => lockFolder(folder)).not.toThrow();
  });
});
