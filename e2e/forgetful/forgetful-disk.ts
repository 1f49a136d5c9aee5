/**
 * A disk that forgets: an ext4 file system in an image file, on a loop device. What a program wrote there and did not fsync is in
 * the page cache of that inner file system only; a copy of the image file, taken at the moment of the power cut, has the rest.
 */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '@kafscale/testkit';

const imageBytes = 1024 * 1024 * 1024;
/** The journal commits nothing by itself in the time of a test, and a rename does not flush what it renames. */
const mountOptions = 'loop,commit=600,noauto_da_alloc';

export class ForgetfulDisk {
  readonly #folder: string;
  #image: string;
  #generation = 0;

  private constructor(folder: string, image: string) {
    this.#folder = folder;
    this.#image = image;
  }

  static async create(): Promise<ForgetfulDisk> {
    const folder = await mkdtemp(join(tmpdir(), 'forgetful-'));
    const disk = new ForgetfulDisk(folder, join(folder, 'disk-0.img'));
    const image = await open(disk.#image, 'w');
    await image.truncate(imageBytes);
    await image.close();
    await runProgram('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk.#image]);
    await mkdir(disk.mountPoint);
    await disk.#mount();
    return disk;
  }

  get mountPoint(): string {
    return join(this.#folder, 'mounted');
  }

  /** Everything that was not made durable is gone. Nobody may have a file of it open. */
  async cutPower(): Promise<void> {
    const before = this.#image;
    this.#generation += 1;
    this.#image = join(this.#folder, `disk-${this.#generation}.img`);
    await runProgram('cp', ['--sparse=always', before, this.#image]);
    await this.#unmount(); // which writes to the old image what the copy must not have
    await rm(before);
    await this.#mount();
  }

  async close(): Promise<void> {
    await this.#unmount();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #mount(): Promise<void> {
    await runProgram('mount', ['-o', mountOptions, this.#image, this.mountPoint]);
  }

  async #unmount(): Promise<void> {
    await runProgram('umount', [this.mountPoint]);
  }
}
