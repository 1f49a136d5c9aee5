/** A bucket in memory for tests of snapshots. */
import type { SnapshotStore } from './snapshot-catalog.ts';

export class MemorySnapshotStore implements SnapshotStore {
  readonly objects = new Map<string, Buffer>();
  /** Keys in the order in which they were written or deleted. */
  readonly writes: string[] = [];
  /** Throws to refuse a write, or answers what is stored in place of what was sent. */
  onCreate: (key: string, bytes: Buffer) => Buffer = (_key, bytes) => bytes;

  async create(key: string, body: readonly Uint8Array[]): Promise<void> {
    this.objects.set(key, this.onCreate(key, Buffer.concat(body)));
    this.writes.push(key);
  }

  async read(key: string, range?: { readonly start: number; readonly end: number }): Promise<Buffer> {
    const bytes = this.objects.get(key);
    if (bytes === undefined) throw new Error(`no object ${key}`);
    return Buffer.from(bytes.subarray(range?.start, range?.end));
  }

  async *list(prefix: string) {
    for (const [key, { length }] of this.objects) if (key.startsWith(prefix)) yield { key, sizeBytes: length };
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      this.objects.delete(key);
      this.writes.push(`- ${key}`);
    }
  }
}
