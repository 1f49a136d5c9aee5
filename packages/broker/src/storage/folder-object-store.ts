/**
 * Objects as files below one folder. A create counts when file and folder entries are on the disk: the bytes go to a staging file
 * that is synced, then linked to its name (a link, unlike a rename, never replaces), then every folder that changed is synced.
 * So no name ever shows part of an object, whenever the machine dies.
 */
import { dirname, join, resolve } from 'node:path';
import { nodeFileSystem, type FileSystem } from './file-system.ts';
import { checkObjectKey, checkRange, compareKeys } from './object-key.ts';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts';
import { OpenFiles } from './open-files.ts';
import { StorageError } from './storage-error.ts';

export interface FolderObjectStoreOptions {
  /** Made when it is missing. One process at a time may use it. */
  readonly folder: string;
  readonly fileSystem?: FileSystem;
  /** Files kept open for reading. */
  readonly maxOpenFiles?: number;
}

/** Below the folder, outside of every key: no segment of ours starts with a dot. */
const stagingName = '.staging';
const maxKnownFolders = 10_000;
const statsAtOnce = 16;

export class FolderObjectStore implements ObjectStore {
  readonly capabilities = { conditionalCreate: true } as const;
  readonly #folder: string;
  readonly #fileSystem: FileSystem;
  readonly #openFiles: OpenFiles;
  /** Folders whose entry in their parent is on the disk, or on its way there. */
  readonly #folders = new Map<string, Promise<void>>();
  #staged = 0;
  /** Staging names of objects that were created, on their way out. */
  readonly #discarding = new Set<Promise<void>>();
  #closed = false;

  private constructor(options: Required<FolderObjectStoreOptions>) {
    this.#folder = resolve(options.folder);
    this.#fileSystem = options.fileSystem;
    this.#openFiles = new OpenFiles(options.fileSystem, options.maxOpenFiles);
  }

  /** Opens the folder and removes what creates of an earlier process left behind. Throws StorageError `unavailable`. */
  static async open({
    folder,
    fileSystem = nodeFileSystem,
    maxOpenFiles = 128,
  }: FolderObjectStoreOptions): Promise<FolderObjectStore> {
    const store = new FolderObjectStore({ folder, fileSystem, maxOpenFiles });
    await store.#translated(async () => {
      const staging = join(store.#folder, stagingName);
      await store.#ensureFolder(staging);
      for (const { name } of await fileSystem.entries(staging)) await fileSystem.unlink(join(staging, name));
    });
    return store;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#translated(async () => {
      const path = this.#pathOf(key);
      const staged = join(this.#folder, stagingName, `${this.#staged}`);
      this.#staged += 1;
      checkSignal(signal);
      try {
        const parentMade = this.#ensureFolder(dirname(path));
        await this.#writeStaged(staged, body);
        await parentMade;
        checkSignal(signal);
        await this.#fileSystem.link(staged, path);
      } catch (error) {
        await this.#discard(staged);
        if (!isMissing(error)) throw error;
        this.#folders.clear(); // somebody removed folders of ours: the next create makes them again
        throw new StorageError('unavailable', 'a folder of the object store is gone', { cause: error });
      }
      try {
        await this.#fileSystem.syncFolder(dirname(path));
      } catch (error) {
        await this.#discard(staged);
        await this.#discard(path);
        await this.#openFiles.forget(path);
        throw error;
      }
      this.#discardLater(staged);
    });
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    return this.#translated(async () => {
      const path = this.#pathOf(key);
      if (range !== undefined) checkRange(range);
      checkSignal(signal);
      return await this.#openFiles.use(path, async (file) => {
        const start = Math.min(range?.start ?? 0, file.sizeBytes);
        const end = Math.min(range?.end ?? file.sizeBytes, file.sizeBytes);
        const fits = into !== undefined && into.length >= end - start;
        const bytes = fits ? into.subarray(0, end - start) : Buffer.allocUnsafeSlow(end - start);
        const length = await file.read(bytes, start);
        checkSignal(signal);
        if (length !== bytes.length) throw new StorageError('corrupt', `object ${key} is shorter than it was`);
        return bytes;
      });
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    const lastSlash = prefix.lastIndexOf('/') + 1;
    if (prefix.startsWith(stagingName)) return;
    if (lastSlash > 0) checkObjectKey(prefix.slice(0, lastSlash - 1));
    yield* this.#listFolder(prefix.slice(0, lastSlash), prefix, signal);
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#translated(async () => {
      const paths = keys.map((key) => this.#pathOf(key));
      for (const path of paths) {
        checkSignal(signal);
        await ifThere(this.#fileSystem.unlink(path));
        await this.#openFiles.forget(path);
      }
      // Also where nothing was: an earlier delete may have got so far and failed before its removal was on the disk.
      for (const folder of new Set(paths.map(dirname))) await ifThere(this.#fileSystem.syncFolder(folder));
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#discarding);
    await this.#openFiles.close();
  }

  async *#listFolder(
    folderKey: string,
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ObjectInfo, void, undefined> {
    // A folder sorts where its keys do, as if its name ended with the slash.
    const found =
      (await this.#translated(() => ifThere(this.#fileSystem.entries(join(this.#folder, folderKey))))) ?? [];
    const children = found
      .filter(({ name }) => folderKey !== '' || name !== stagingName)
      .map(({ name, isFolder }) => ({ key: `${folderKey}${name}${isFolder ? '/' : ''}`, isFolder }))
      .filter(({ key, isFolder }) => key.startsWith(prefix) || (isFolder && prefix.startsWith(key)))
      .sort((left, right) => compareKeys(left.key, right.key));
    for (let index = 0; index < children.length; index += 1) {
      checkSignal(signal);
      const child = children[index]!;
      if (child.isFolder) {
        yield* this.#listFolder(child.key, prefix, signal);
        continue;
      }
      const files: string[] = [];
      while (files.length < statsAtOnce && children[index + files.length]?.isFolder === false) {
        files.push(children[index + files.length]!.key);
      }
      index += files.length - 1;
      const infos = await this.#translated(() => Promise.all(files.map((key) => this.#infoIfThere(key))));
      for (const info of infos) if (info !== undefined) yield info;
    }
  }

  async #writeStaged(path: string, body: readonly Uint8Array[]): Promise<void> {
    const file = await this.#fileSystem.createFile(path);
    try {
      await file.write(body);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Makes the folder where it is missing; resolves when the entries of all folders down to it are on the disk. */
  #ensureFolder(folder: string): Promise<void> {
    const known = this.#folders.get(folder);
    if (known !== undefined) return known;
    if (this.#folders.size >= maxKnownFolders) this.#folders.clear();
    const made = this.#makeFolder(folder);
    this.#folders.set(folder, made);
    made.catch(() => this.#folders.delete(folder));
    return made;
  }

  async #makeFolder(folder: string): Promise<void> {
    const parent = dirname(folder);
    if (parent === folder) return;
    try {
      await this.#fileSystem.makeFolder(folder);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') {
        await this.#ensureFolder(parent);
        return this.#makeFolder(folder);
      }
      if (codeOf(error) !== 'EEXIST') throw error;
      // An earlier process may have made it and died before its entry was on the disk: that is made up for below.
      if (folder === this.#folder) return this.#syncMountPoint(parent);
    }
    if (folder !== this.#folder) await this.#ensureFolder(parent);
    await this.#fileSystem.syncFolder(parent);
  }

  /** What lies above the store's folder may be closed to us; then it was not us who made the folder. */
  async #syncMountPoint(parent: string): Promise<void> {
    try {
      await this.#fileSystem.syncFolder(parent);
    } catch (error) {
      if (codeOf(error) !== 'EACCES') throw error;
    }
  }

  #pathOf(key: ObjectKey): string {
    checkObjectKey(key);
    if (key.startsWith(stagingName)) throw new RangeError(`${key} lies where objects are staged`);
    return join(this.#folder, key);
  }

  /** Removes what a create made, as far as that is possible; what remains is garbage and no harm. */
  async #discard(path: string): Promise<void> {
    await this.#fileSystem.unlink(path).catch(() => undefined);
  }

  /** Nobody waits for it, and its folder need not be synced: what comes back is removed at open. */
  #discardLater(staged: string): void {
    const discarded = this.#discard(staged).then(() => void this.#discarding.delete(discarded));
    this.#discarding.add(discarded);
  }

  async #infoIfThere(key: ObjectKey): Promise<ObjectInfo | undefined> {
    const info = await ifThere(this.#fileSystem.info(join(this.#folder, key)));
    return info && { key, ...info };
  }

  async #translated<T>(act: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StorageError('unavailable', 'the object store is closed');
    try {
      return await act();
    } catch (error) {
      throw asStorageError(error);
    }
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;
const isMissing = (error: unknown) => ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '');

/** Undefined where the path leads to nothing. */
async function ifThere<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new StorageError('aborted', 'the caller gave up', { cause: signal.reason });
}

function asStorageError(error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof StorageError || error instanceof RangeError || code === undefined) return error;
  if (isMissing(error)) return new StorageError('not-found', 'no such object', { cause: error });
  if (code === 'EEXIST') return new StorageError('conflict', 'the object exists already', { cause: error });
  return new StorageError('unavailable', `the folder cannot be used: ${code}`, { cause: error });
}
