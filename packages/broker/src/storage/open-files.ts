/** Files kept open for reading, the least recently used closed first: opening costs more than the read of a small range. */
import type { FileSystem, ReadableFile } from './file-system.ts';

interface OpenFile {
  readonly file: Promise<ReadableFile>;
  users: number;
  /** No longer in the table: closed when its last user is done. */
  forgotten: boolean;
}

export class OpenFiles {
  readonly #fileSystem: FileSystem;
  readonly #maxFiles: number;
  /** In the order of their last use. Files in use are never closed, so there can be as many more as reads in flight. */
  readonly #files = new Map<string, OpenFile>();

  constructor(fileSystem: FileSystem, maxFiles: number) {
    this.#fileSystem = fileSystem;
    this.#maxFiles = maxFiles;
  }

  /** Runs `read` on the open file. Rejects like opening it when that fails. */
  async use<T>(path: string, read: (file: ReadableFile) => Promise<T>): Promise<T> {
    const open = this.#files.get(path) ?? { file: this.#fileSystem.openFile(path), users: 0, forgotten: false };
    open.users += 1;
    this.#files.delete(path);
    this.#files.set(path, open);
    try {
      const file = await open.file;
      return await read(file);
    } catch (error) {
      // A file that failed is opened anew by the next reader.
      if (this.#files.get(path) === open) this.#take(path, open);
      throw error;
    } finally {
      open.users -= 1;
      if (open.forgotten) await this.#closeUnused(open);
      else await this.#closeOldest();
    }
  }

  /** After this no new reader gets the file as it was. */
  async forget(path: string): Promise<void> {
    const open = this.#files.get(path);
    if (open === undefined) return;
    this.#take(path, open);
    await this.#closeUnused(open);
  }

  async close(): Promise<void> {
    for (const path of [...this.#files.keys()]) await this.forget(path);
  }

  #take(path: string, open: OpenFile): void {
    this.#files.delete(path);
    open.forgotten = true;
  }

  async #closeOldest(): Promise<void> {
    for (const [path, open] of this.#files) {
      if (this.#files.size <= this.#maxFiles) return;
      if (open.users > 0) continue;
      this.#take(path, open);
      await this.#closeUnused(open);
    }
  }

  async #closeUnused(open: OpenFile): Promise<void> {
    if (open.users > 0) return;
    const file = await open.file.catch(() => undefined);
    await file?.close();
  }
}
