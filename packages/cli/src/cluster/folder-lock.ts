/** Keeps two local clusters from using one folder: a file with the process id of the one that does. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError } from '../output.ts';

/** Answers how to give it back. Throws CommandError when another process that is alive has it. */
export function lockFolder(folder: string): () => void {
  const file = join(folder, 'cluster.pid');
  const holder = processIn(file);
  if (holder !== undefined && holder !== process.pid && isAlive(holder)) {
    throw new CommandError(
      `A cluster runs in ${folder} already (process ${holder}). Stop that one, or choose another folder with --data-dir.`,
    );
  }
  writeFileSync(file, `${process.pid}\n`);
  return () => rmSync(file, { force: true });
}

function processIn(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined; // there is none, which is how it should be
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
