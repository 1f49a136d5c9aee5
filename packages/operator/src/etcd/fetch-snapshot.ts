/**
 * Brings a snapshot from the bucket into a file and checks it: one of ours by its head, or a plain object that somebody else put there
 * (`etcdctl snapshot save` and an upload). Either way the checksum that etcd appended has the last word.
 */
import { open } from 'node:fs/promises';
import { decodeHead, SnapshotFault, type SnapshotStore } from './snapshot-catalog.ts';
import { sha256Of, SnapshotChecksum } from './snapshot-checksum.ts';

const pieceBytes = 16 * 2 ** 20;

/** Throws SnapshotFault, and what the store throws. The file is whole when it resolves. */
export async function fetchSnapshot(store: SnapshotStore, key: string, file: string): Promise<void> {
  const pieces = key.endsWith('/snapshot.json') ? await partsOf(store, key) : plainObject(store, key);
  const checksum = new SnapshotChecksum();
  const handle = await open(file, 'w');
  try {
    for await (const piece of pieces) {
      await handle.writeFile(piece);
      checksum.add(piece);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (!checksum.isWhole()) {
    throw new SnapshotFault(`${key} does not fit the checksum at its end: it is damaged, or no snapshot of etcd`);
  }
}

async function partsOf(store: SnapshotStore, key: string): Promise<AsyncIterable<Buffer>> {
  const { parts } = decodeHead(key, await store.read(key));
  return (async function* () {
    for (const part of parts) {
      const bytes = await store.read(part.key);
      if (bytes.length !== part.sizeBytes || sha256Of(bytes) !== part.sha256) {
        throw new SnapshotFault(`${part.key} is not what was stored; restore an older snapshot`);
      }
      yield bytes;
    }
  })();
}

async function* plainObject(store: SnapshotStore, key: string): AsyncGenerator<Buffer, void, undefined> {
  for (let start = 0; ; start += pieceBytes) {
    const bytes = await store.read(key, { start, end: start + pieceBytes });
    if (bytes.length > 0) yield bytes;
    if (bytes.length < pieceBytes) return;
  }
}
