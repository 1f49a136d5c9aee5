/**
 * Exclusive use of a folder by one process, held by the kernel: it ends with the process, however that ends, and nothing stale
 * can keep the next one out. Node has no file locks, but a listening Unix socket is known by the kernel to be alive or dead.
 *
 * Each process that wants the folder first puts a listening socket of its own in, then asks every other socket there. One that
 * accepts belongs to a living process (a stopped one too) and the newcomer steps back; one that refuses is a dead process's and
 * is removed. Of two that come at once, the one who looks later sees the other, so that never both go on.
 */
import { open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Random } from '@kafscale/runtime';
import { MetadataError } from './metadata-error.ts';

const claimName = /^claim-(\d+)-[0-9a-f]+\.sock$/;
/** A socket's path has about a hundred bytes on every system; on Linux a longer one is reached through the open folder. */
const maxFolderPathBytes = 60;

export class FolderClaim {
  readonly #path: string;
  readonly #server: Server;
  readonly #folder: FileHandle;

  private constructor(path: string, server: Server, folder: FileHandle) {
    this.#path = path;
    this.#server = server;
    this.#folder = folder;
  }

  /** Claims an existing folder. Throws MetadataError `unavailable` that names the process which has it. */
  static async take(folder: string, random: Random): Promise<FolderClaim> {
    const handle = await open(folder, 'r');
    const base =
      Buffer.byteLength(folder) > maxFolderPathBytes && process.platform === 'linux'
        ? `/proc/self/fd/${handle.fd}`
        : folder;
    const ownName = `claim-${process.pid}-${random.bytes(8).toString('hex')}.sock`;
    let claim: FolderClaim | undefined;
    try {
      // Its name is one that others look at only once it accepts; until then it would seem dead.
      const server = await listen(join(base, `${ownName}.new`));
      claim = new FolderClaim(join(base, ownName), server, handle);
      await rename(join(base, `${ownName}.new`), join(base, ownName));
      for (const name of await readdir(folder)) {
        const pid = claimName.exec(name)?.[1];
        if (pid === undefined || name === ownName) continue;
        if (await isAlive(join(base, name))) throw inUse(folder, pid);
        await unlinkIfThere(join(base, name));
      }
      return claim;
    } catch (error) {
      await (claim === undefined ? handle.close() : claim.release());
      if (error instanceof MetadataError) throw error;
      throw new MetadataError(
        'unavailable',
        `cannot claim ${folder}: its file system must be local and take Unix sockets`,
        { cause: error },
      );
    }
  }

  /** Lets the next process in. */
  async release(): Promise<void> {
    await unlinkIfThere(this.#path);
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    await this.#folder.close();
  }
}

const inUse = (folder: string, pid: string) =>
  new MetadataError(
    'unavailable',
    `${folder} is in use by process ${pid}: stop that process, or choose another data folder for this one`,
  );

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen({ path, exclusive: true }, () => {
      server.unref();
      resolve(server);
    });
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      // Anything but a clear no counts as alive, for instance a full queue of connections.
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
