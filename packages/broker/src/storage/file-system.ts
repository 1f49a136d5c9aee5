/**
 * The file operations that durable storage in a folder rests on, few enough to be played by a file system that forgets. Paths are
 * absolute. Errors are those of Node: an Error with `code`, such as ENOENT, EEXIST, ENOSPC or EIO.
 */
import { constants, link, mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';

export interface WritableFile {
  /** Appends all slices, in order, without joining them. */
  write(slices: readonly Uint8Array[]): Promise<void>;
  /** What was written is on the disk when it resolves; the folder's entry for the file is not part of that. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface ReadableFile {
  readonly sizeBytes: number;
  /** Fills `target` from `position` on; resolves with the number of bytes, fewer only where the file ends. */
  read(target: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

export interface FileInfo {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

export interface FileSystem {
  /** A new empty file; EEXIST when the path is taken. */
  createFile(path: string): Promise<WritableFile>;
  openFile(path: string): Promise<ReadableFile>;
  /** Another name for the same file; EEXIST when it is taken, and then nothing changed. */
  link(existingPath: string, newPath: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** EEXIST when the path is taken. */
  makeFolder(path: string): Promise<void>;
  /** In no order. */
  entries(path: string): Promise<FolderEntry[]>;
  info(path: string): Promise<FileInfo>;
  /** Every change of the folder's own entries up to now is on the disk when it resolves. */
  syncFolder(path: string): Promise<void>;
}

/** Most systems take at most 1 024 slices in one call. */
const maxSlicesPerWrite = 1024;

export const nodeFileSystem: FileSystem = {
  async createFile(path) {
    return new NodeWritableFile(await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644));
  },

  async openFile(path) {
    const handle = await open(path, constants.O_RDONLY);
    try {
      const info = await handle.stat();
      if (!info.isFile()) throw Object.assign(new Error(`${path} is not a file`), { code: 'EISDIR' });
      return new NodeReadableFile(handle, info.size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  },

  link,
  unlink,
  makeFolder: (path) => mkdir(path, 0o755),

  async entries(path) {
    const found = await readdir(path, { withFileTypes: true });
    return found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  },

  async info(path) {
    const { size, mtimeMs } = await stat(path);
    return { sizeBytes: size, modifiedMs: mtimeMs };
  },

  async syncFolder(path) {
    const handle = await open(path, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

class NodeWritableFile implements WritableFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(slices: readonly Uint8Array[]): Promise<void> {
    let pending = slices.filter((slice) => slice.length > 0);
    while (pending.length > 0) {
      const group = pending.slice(0, maxSlicesPerWrite);
      const { bytesWritten } = await this.#handle.writev(group);
      pending = behind(pending, bytesWritten);
    }
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

class NodeReadableFile implements ReadableFile {
  readonly sizeBytes: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const { bytesRead } = await this.#handle.read(target, filled, target.length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** What is left of `slices` behind the first `written` bytes. */
function behind(slices: readonly Uint8Array[], written: number): Uint8Array[] {
  let index = 0;
  let left = written;
  while (index < slices.length && left >= slices[index]!.length) {
    left -= slices[index]!.length;
    index += 1;
  }
  const rest = slices.slice(index);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}
