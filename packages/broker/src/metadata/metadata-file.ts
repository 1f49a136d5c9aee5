/**
 * The keys of an embedded metadata store on disk: one LMDB file, read as a whole when it is opened and written group by group.
 * A write is on the disk when it resolves, and a group is there as a whole or not at all, whenever the process or machine dies.
 *
 * Records, integers big-endian:
 *
 *   store   key 00                      format u8 = 1 · revision u64 · opens u64
 *   key     key 01 + the key's bytes, or (from 1 024 bytes on) 02 + their SHA-256
 *           create revision u64 · mod revision u64 · version u64 · lease length u16 · lease · key length u32 · key · value
 */
import { createHash } from 'node:crypto';
import { mkdir, open as openFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { MetadataError } from './metadata-error.ts';
import type { KeyValue, Revision } from './metadata-store.ts';

const fileName = 'metadata.mdb';
const formatVersion = 1;
const storeRecordKey = Buffer.from([0]);
const storeRecordBytes = 17;
const maxInlineKeyBytes = 1024;
const fixedBytes = 8 + 8 + 8 + 2 + 4;

/** What the file holds besides the keys. */
export interface StoreRecord {
  readonly revision: Revision;
  /** How often the store was opened, this time included. */
  readonly opens: number;
}

/** Keys and what became of them: the new state, or undefined for deleted. */
export type KeyChanges = ReadonlyMap<string, KeyValue | undefined>;

/** What a store needs of the file. */
export type KeyFile = Pick<MetadataFile, 'readStoreRecord' | 'readKeys' | 'write' | 'close'>;

export class MetadataFile {
  readonly #database: RootDatabase<Buffer, Buffer>;

  private constructor(database: RootDatabase<Buffer, Buffer>) {
    this.#database = database;
  }

  /** Opens the file in `folder`, or makes it. Nobody else may have it open; see folder-claim.ts. */
  static async open(folder: string): Promise<MetadataFile> {
    // Without overlapping syncs a commit is what LMDB means by it: pages, fdatasync, then the page that makes them count, synced.
    const database = open<Buffer, Buffer>({
      path: join(folder, fileName),
      encoding: 'binary',
      keyEncoding: 'binary',
      overlappingSync: false,
      eventTurnBatching: false, // it makes promises that nobody can catch when the disk is full
      maxReaders: 16,
    });
    await syncFolder(folder);
    return new MetadataFile(database);
  }

  /** Undefined for a new file. Throws MetadataError `corrupt` for a format that this release does not know. */
  readStoreRecord(): StoreRecord | undefined {
    const record = this.#database.get(storeRecordKey);
    if (record === undefined) return undefined;
    if (record.length !== storeRecordBytes || record[0] !== formatVersion) {
      throw new MetadataError(
        'corrupt',
        `metadata file of format ${record[0] ?? 'none'}, this release reads ${formatVersion}`,
      );
    }
    return { revision: readUint64(record, 1), opens: readUint64(record, 9) };
  }

  /** All keys in ascending order (the few very long ones behind all others). Throws MetadataError `corrupt`. */
  *readKeys(): Generator<KeyValue, void, undefined> {
    for (const { value } of this.#database.getRange({ start: Buffer.from([1]), end: Buffer.from([3]) })) {
      yield decodeKey(value);
    }
  }

  /** Durable as a whole when it resolves; a rejection leaves the file as it was or with all of it. */
  async write(changes: KeyChanges, { revision, opens }: StoreRecord): Promise<void> {
    const storeRecord = Buffer.alloc(storeRecordBytes);
    storeRecord[0] = formatVersion;
    storeRecord.writeBigUInt64BE(BigInt(revision), 1);
    storeRecord.writeBigUInt64BE(BigInt(opens), 9);
    try {
      await this.#database.batch(() => {
        for (const [key, kv] of changes) {
          if (kv === undefined) void this.#database.remove(recordKey(key));
          else void this.#database.put(recordKey(key), encodeKey(kv));
        }
        void this.#database.put(storeRecordKey, storeRecord);
      });
    } catch (error) {
      // The library gives the reason as a promise beside the error; it must not stay unhandled.
      (error as { readonly commitError?: Promise<never> }).commitError?.catch(() => undefined);
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

/** Makes the folder and those above it that are missing; their entries are on the disk when it resolves. */
export async function makeFolder(folder: string): Promise<void> {
  const firstMade = await mkdir(folder, { recursive: true });
  if (firstMade === undefined) return;
  let parent = dirname(firstMade);
  for (const name of relative(parent, folder).split(sep)) {
    await syncFolder(parent);
    parent = join(parent, name);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await openFile(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function recordKey(key: string): Buffer {
  const keyBytes = Buffer.from(key, 'utf8');
  return keyBytes.length < maxInlineKeyBytes
    ? Buffer.concat([Buffer.from([1]), keyBytes])
    : Buffer.concat([Buffer.from([2]), createHash('sha256').update(keyBytes).digest()]);
}

function encodeKey({ key, value, createRevision, modRevision, version, leaseId = '' }: KeyValue): Buffer {
  const keyBytes = Buffer.byteLength(key);
  const leaseBytes = Buffer.byteLength(leaseId);
  const record = Buffer.allocUnsafeSlow(fixedBytes + leaseBytes + keyBytes + value.length);
  record.writeBigUInt64BE(BigInt(createRevision), 0);
  record.writeBigUInt64BE(BigInt(modRevision), 8);
  record.writeBigUInt64BE(BigInt(version), 16);
  record.writeUInt16BE(leaseBytes, 24);
  let position = 26 + record.write(leaseId, 26);
  position = record.writeUInt32BE(keyBytes, position);
  position += record.write(key, position);
  record.set(value, position);
  return record;
}

function decodeKey(record: Buffer): KeyValue {
  const leaseEnd = record.length < fixedBytes ? Number.POSITIVE_INFINITY : 26 + record.readUInt16BE(24);
  const keyStart = leaseEnd + 4;
  const keyEnd = keyStart > record.length ? Number.POSITIVE_INFINITY : keyStart + record.readUInt32BE(leaseEnd);
  if (keyEnd > record.length) throw new MetadataError('corrupt', 'a record of the metadata file is cut short');
  return {
    key: record.toString('utf8', keyStart, keyEnd),
    value: Uint8Array.prototype.slice.call(record, keyEnd),
    createRevision: readUint64(record, 0),
    modRevision: readUint64(record, 8),
    version: readUint64(record, 16),
    ...(leaseEnd === 26 ? {} : { leaseId: record.toString('utf8', 26, leaseEnd) }),
  };
}

/** Revisions and counts stay below 2^53, and opening a large file reads millions of them. */
const readUint64 = (record: Buffer, position: number) =>
  record.readUInt32BE(position) * 2 ** 32 + record.readUInt32BE(position + 4);
