/**
 * The one folder outside the repository that keeps what is downloaded and built besides the repository: jars, wheels, compiled clients. Everything in it
 * is made under a temporary name and renamed when whole, so a killed run leaves nothing half done behind.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Raised when the way something in the folder is made changes for all of it at once. */
const layoutVersion = '0.1';

/** `KAFSCALE_CACHE`, or `kafscale/<version>` in the user's cache folder. */
export function cacheFolder(): string {
  const { KAFSCALE_CACHE: chosen, XDG_CACHE_HOME: userCache } = process.env;
  return chosen ?? join(userCache ?? join(homedir(), '.cache'), 'kafscale', layoutVersion);
}

/**
 * The folder that `make` filled for exactly this `recipe`, now or in an earlier run. Another recipe is another folder, so a changed
 * pin is never served from the old one.
 */
export async function preparedFolder(
  name: string,
  recipe: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256').update(recipe).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), `${name}-${digest}`);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${randomBytes(4).toString('hex')}`;
  await mkdir(unfinished, { recursive: true });
  try {
    await make(unfinished);
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // someone else finished the same folder first
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}
