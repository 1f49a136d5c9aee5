/** Finds checkpoints in the bucket and reads them as the state they are of, a part at a time. */
import { crc32c, DecodeError, metadata } from '@kafscale/protocol';
import type { CheckpointId, ObjectNames } from '../storage/object-names.ts';
import type { ObjectKey } from '../storage/object-store.ts';
import type { ClusterState, StateEntry } from './cluster-state.ts';
import { readObject, readSlice, type StoreAccess } from './store-access.ts';

/** The version of what a checkpoint holds. */
export const checkpointFormatVersion = 1;

const headTrailerBytes = 4;

/** A checkpoint whose head is there, and so all of it. */
export interface FoundCheckpoint extends CheckpointId {
  readonly headKey: ObjectKey;
  /** By the object store's clock. */
  readonly modifiedMs: number;
}

/** Which of two checkpoints is the older one: by generation, then by revision, then by the store's clock. */
const byAge = (left: FoundCheckpoint, right: FoundCheckpoint): number =>
  left.generation - right.generation ||
  left.revision - right.revision ||
  left.modifiedMs - right.modifiedMs ||
  (left.headKey < right.headKey ? -1 : 1);

/** Oldest first. Throws StorageError. */
export async function listCheckpoints({ objectStore }: StoreAccess, names: ObjectNames): Promise<FoundCheckpoint[]> {
  const found: FoundCheckpoint[] = [];
  for await (const { key, modifiedMs } of objectStore.list(names.checkpointPrefix)) {
    const name = names.parseCluster(key);
    if (name?.kind !== 'checkpoint-head') continue;
    const { generation, revision, incarnation, unique } = name;
    found.push({ generation, revision, incarnation, unique, headKey: key, modifiedMs });
  }
  return found.sort(byAge);
}

export interface Checkpoint extends ClusterState {
  readonly head: metadata.CheckpointHead;
}

/** Throws StorageError, and DecodeError for one that is not of this version or not whole. */
export async function openCheckpoint(access: StoreAccess, headKey: ObjectKey): Promise<Checkpoint> {
  const head = decodeHead(headKey, await readObject(access, headKey));
  return {
    head,
    revision: Number(head.revision),
    entries: (prefix) => entriesOf(access, head, prefix),
  };
}

async function* entriesOf(
  access: StoreAccess,
  head: metadata.CheckpointHead,
  prefix: string,
): AsyncGenerator<StateEntry, void, undefined> {
  for (const slice of head.parts) {
    const { entries } = metadata.CheckpointPart.decode(await readSlice(access, slice));
    const last = entries.at(-1);
    if (last === undefined || last.key < prefix) continue;
    for (const entry of entries) {
      if (entry.key.startsWith(prefix)) yield entry;
      else if (entry.key > prefix) return;
    }
  }
}

/** A head is the message and its CRC-32C, big-endian. */
export function encodeHead(head: metadata.CheckpointHead): Buffer {
  const bytes = Buffer.from(metadata.CheckpointHead.encode(head).finish());
  const checksum = Buffer.alloc(headTrailerBytes);
  checksum.writeUInt32BE(crc32c(bytes));
  return Buffer.concat([bytes, checksum]);
}

function decodeHead(key: ObjectKey, object: Buffer): metadata.CheckpointHead {
  const bytes = object.subarray(0, Math.max(0, object.length - headTrailerBytes));
  const isWhole = object.length > headTrailerBytes && object.readUInt32BE(bytes.length) === crc32c(bytes);
  if (!isWhole) throw new DecodeError(`checkpoint ${key} fails its checksum`);
  const head = metadata.CheckpointHead.decode(bytes);
  if (head.formatVersion !== checkpointFormatVersion) {
    throw new DecodeError(
      `checkpoint ${key} has version ${head.formatVersion}, and this program knows ${checkpointFormatVersion}`,
    );
  }
  return head;
}
