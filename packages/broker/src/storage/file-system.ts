/**
 * The file operations that durable storage in a folder rests on, few enough to be played by a file system that forgets. Paths are
 * absolute. Errors are those of Node: an Error with `code`, such as ENOENT, EEXIST, ENOSPC or EIO.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';

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

/**
 * With it a write returns when its bytes, and what is needed to find them, are on the disk: one call instead of a write and an
 * fsync. Only where that is known to reach the disk itself; macOS asks for more than the flag does.
 */
const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL } = fs.constants;
const writesAreSynced = process.platform === 'linux';
const createFlags = O_WRONLY | O_CREAT | O_EXCL | (writesAreSynced ? fs.constants.O_SYNC : 0);

const open = promisify(fs.open);
const fsync = promisify(fs.fsync);
const link = promisify(fs.link);
const unlink = promisify(fs.unlink);
const makeFolder = promisify(fs.mkdir);

/**
 * Plain descriptors: a file handle costs more than the call it is for. Each asynchronous call is a round trip to another thread, so
 * calls that touch no disk (looking a folder up that was just changed, closing what was synced) are made here and now.
 */
export const nodeFileSystem: FileSystem = {
  async createFile(path) {
    return new NodeWritableFile(await open(path, createFlags, 0o644));
  },

  async openFile(path) {
    const descriptor = await open(path, O_RDONLY);
    const info = fs.fstatSync(descriptor);
    if (info.isFile()) return new NodeReadableFile(descriptor, info.size);
    fs.closeSync(descriptor);
    throw Object.assign(new Error(`${path} is not a file`), { code: 'EISDIR' });
  },

  link,
  unlink,
  makeFolder: (path) => makeFolder(path, 0o755),

  async entries(path) {
    const found = await fs.promises.readdir(path, { withFileTypes: true });
    return found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  },

  async info(path) {
    const { size, mtimeMs } = await fs.promises.stat(path);
    return { sizeBytes: size, modifiedMs: mtimeMs };
  },

  async syncFolder(path) {
    const descriptor = fs.openSync(path, O_RDONLY);
    try {
      await fsync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  },
};

class NodeWritableFile implements WritableFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(slices: readonly Uint8Array[]): Promise<void> {
    let pending = slices.filter((slice) => slice.length > 0);
    while (pending.length > 0) {
      const group = pending.slice(0, maxSlicesPerWrite);
      pending = behind(pending, await writeSlices(this.#descriptor, group));
    }
  }

  async sync(): Promise<void> {
    if (!writesAreSynced) await fsync(this.#descriptor);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      fs.closeSync(this.#descriptor);
      resolve();
    });
  }
}

class NodeReadableFile implements ReadableFile {
  readonly sizeBytes: number;
  readonly #descriptor: number;

  constructor(descriptor: number, sizeBytes: number) {
    this.#descriptor = descriptor;
    this.sizeBytes = sizeBytes;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const length = await readInto(this.#descriptor, target, filled, position + filled);
      if (length === 0) break;
      filled += length;
    }
    return filled;
  }

  /** In another thread: closing the last descriptor of a removed file is what frees its blocks. */
  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.close(this.#descriptor, (error) => (error ? reject(error) : resolve()));
    });
  }
}

const writeSlices = (descriptor: number, slices: readonly Uint8Array[]): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.writev(descriptor, slices, (error, written) => (error ? reject(error) : resolve(written)));
  });

const readInto = (descriptor: number, target: Uint8Array, from: number, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.read(descriptor, target, from, target.length - from, position, (error, length) =>
      error ? reject(error) : resolve(length),
    );
  });

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
