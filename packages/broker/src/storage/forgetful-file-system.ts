/**
 * A file system in memory that keeps only what it was told to sync. At a crash file contents that were not synced and folder
 * entries whose folder was not synced are lost, all of them or a random part, as real file systems do; so a store that survives
 * here survives a power cut. Calls take a random number of turns, which mixes concurrent operations.
 */
import { dirname, basename } from 'node:path';
import type { Random } from '@kafscale/runtime';
import type { FileInfo, FileSystem, FolderEntry, ReadableFile, WritableFile } from './file-system.ts';

export interface FileSystemCall {
  readonly operation:
    | 'createFile'
    | 'openFile'
    | 'write'
    | 'sync'
    | 'read'
    | 'link'
    | 'unlink'
    | 'makeFolder'
    | 'entries'
    | 'info'
    | 'syncFolder';
  readonly path: string;
  /** 0 for the first call of all, one more with each. */
  readonly index: number;
}

export interface ForgetfulFileSystemOptions {
  readonly random: Random;
  /** Asked before each call: an error code, such as ENOSPC, fails it without effect; `crash` turns the power off at it. */
  readonly plan?: (call: FileSystemCall) => string | undefined;
}

/** What of the unsynced survives a crash: nothing, or each part by chance. */
export type Survival = 'nothing' | 'some';

interface FileNode {
  readonly kind: 'file';
  bytes: Buffer;
  /** How many of `bytes` are on the disk. */
  syncedBytes: number;
}

interface FolderNode {
  readonly kind: 'folder';
  readonly entries: Map<string, Node>;
  /** The entries on the disk, and the changes since, in order. */
  synced: Map<string, Node>;
  unsynced: { readonly name: string; readonly node: Node | undefined }[];
}

type Node = FileNode | FolderNode;

const newFolder = (): FolderNode => ({ kind: 'folder', entries: new Map(), synced: new Map(), unsynced: [] });

export class ForgetfulFileSystem implements FileSystem {
  /** May be replaced at any time. */
  plan: (call: FileSystemCall) => string | undefined;
  readonly #random: Random;
  #root = newFolder();
  /** Calls and handles of an earlier power-on fail. */
  #powerOn = 0;
  #off = false;
  #calls = 0;

  constructor({ random, plan = () => undefined }: ForgetfulFileSystemOptions) {
    this.#random = random;
    this.plan = plan;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** True from a planned crash on until `restart`. */
  get off(): boolean {
    return this.#off;
  }

  /** Loses what was not synced, as far as it does not survive by chance, and works again; calls under way fail. */
  restart(survival: Survival): void {
    this.#root = this.#afterCrash(this.#root, survival, new Map()) as FolderNode;
    this.#powerOn += 1;
    this.#off = false;
  }

  createFile(path: string): Promise<WritableFile> {
    return this.#call('createFile', path, () => {
      const file: FileNode = { kind: 'file', bytes: Buffer.alloc(0), syncedBytes: 0 };
      this.#addEntry(path, file);
      return this.#writable(path, file);
    });
  }

  openFile(path: string): Promise<ReadableFile> {
    return this.#call('openFile', path, () => {
      const node = this.#find(path);
      if (node.kind !== 'file') throw failure('EISDIR', path);
      return this.#readable(path, node);
    });
  }

  link(existingPath: string, newPath: string): Promise<void> {
    return this.#call('link', newPath, () => {
      const node = this.#find(existingPath);
      if (node.kind !== 'file') throw failure('EPERM', existingPath);
      this.#addEntry(newPath, node);
    });
  }

  unlink(path: string): Promise<void> {
    return this.#call('unlink', path, () => {
      if (this.#find(path).kind !== 'file') throw failure('EISDIR', path);
      const parent = this.#folder(dirname(path));
      parent.entries.delete(basename(path));
      parent.unsynced.push({ name: basename(path), node: undefined });
    });
  }

  makeFolder(path: string): Promise<void> {
    return this.#call('makeFolder', path, () => this.#addEntry(path, newFolder()));
  }

  entries(path: string): Promise<FolderEntry[]> {
    return this.#call('entries', path, () =>
      [...this.#folder(path).entries].map(([name, node]) => ({ name, isFolder: node.kind === 'folder' })),
    );
  }

  info(path: string): Promise<FileInfo> {
    return this.#call('info', path, () => {
      const node = this.#find(path);
      return { sizeBytes: node.kind === 'file' ? node.bytes.length : 0, modifiedMs: 0 };
    });
  }

  syncFolder(path: string): Promise<void> {
    return this.#call('syncFolder', path, () => {
      const folder = this.#folder(path);
      folder.synced = new Map(folder.entries);
      folder.unsynced = [];
    });
  }

  #writable(path: string, file: FileNode): WritableFile {
    const powerOn = this.#powerOn;
    return {
      write: (slices) =>
        this.#call('write', path, () => void (file.bytes = Buffer.concat([file.bytes, ...slices])), powerOn),
      sync: () => this.#call('sync', path, () => void (file.syncedBytes = file.bytes.length), powerOn),
      close: () => Promise.resolve(),
    };
  }

  #readable(path: string, file: FileNode): ReadableFile {
    const powerOn = this.#powerOn;
    return {
      sizeBytes: file.bytes.length,
      read: (target, position) =>
        this.#call('read', path, () => file.bytes.copy(target, 0, position, position + target.length), powerOn),
      close: () => Promise.resolve(),
    };
  }

  async #call<T>(
    operation: FileSystemCall['operation'],
    path: string,
    act: () => T,
    powerOn = this.#powerOn,
  ): Promise<T> {
    for (let turns = this.#random.int(4); turns > 0; turns -= 1) await Promise.resolve();
    if (this.#off || powerOn !== this.#powerOn) throw failure('EIO', path);
    const index = this.#calls;
    this.#calls += 1;
    const fault = this.plan({ operation, path, index });
    if (fault === 'crash') {
      if (this.#random.int(2) === 0) act(); // its effect may have begun, but nobody learns of it
      this.#off = true;
      throw failure('EIO', path);
    }
    if (fault !== undefined) throw failure(fault, path);
    return act();
  }

  #find(path: string): Node {
    let node: Node = this.#root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.kind !== 'folder') throw failure('ENOTDIR', path);
      const child = node.entries.get(name);
      if (child === undefined) throw failure('ENOENT', path);
      node = child;
    }
    return node;
  }

  #folder(path: string): FolderNode {
    const node = this.#find(path);
    if (node.kind !== 'folder') throw failure('ENOTDIR', path);
    return node;
  }

  #addEntry(path: string, node: Node): void {
    const parent = this.#folder(dirname(path));
    if (parent.entries.has(basename(path))) throw failure('EEXIST', path);
    parent.entries.set(basename(path), node);
    parent.unsynced.push({ name: basename(path), node });
  }

  /** What is found of a node after the crash; two names of one file find the same. */
  #afterCrash(node: Node, survival: Survival, done: Map<Node, Node>): Node {
    const known = done.get(node);
    if (known !== undefined) return known;
    if (node.kind === 'file') {
      const bytes = this.#survivingBytes(node, survival);
      const file: FileNode = { kind: 'file', bytes, syncedBytes: bytes.length };
      done.set(node, file);
      return file;
    }
    const entries = new Map(node.synced);
    for (const { name, node: child } of node.unsynced) {
      if (survival === 'nothing' || this.#random.int(2) === 0) continue;
      if (child === undefined) entries.delete(name);
      else entries.set(name, child);
    }
    const folder = newFolder();
    done.set(node, folder);
    for (const [name, child] of entries) folder.entries.set(name, this.#afterCrash(child, survival, done));
    folder.synced = new Map(folder.entries);
    return folder;
  }

  #survivingBytes({ bytes, syncedBytes }: FileNode, survival: Survival): Buffer {
    const synced = bytes.subarray(0, syncedBytes);
    const length = syncedBytes + this.#random.int(bytes.length - syncedBytes + 1);
    if (survival === 'nothing') return Buffer.from(synced);
    if (this.#random.int(2) === 0) return Buffer.from(bytes.subarray(0, length));
    const withHole = Buffer.alloc(length); // the new length reached the disk, the bytes did not
    synced.copy(withHole);
    return withHole;
  }
}

const failure = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code });
