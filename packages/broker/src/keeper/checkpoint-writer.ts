/**
 * Copies the metadata store into the bucket: every key at one revision, but what is bound to a lease and what only the living need.
 * Sessions are copied by name, since a checkpoint also tells who could still publish what when it was made. Parts first, the head
 * last, each under a name of its own: a checkpoint whose head is there is whole.
 */
import { crc32c, metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Random } from '@kafscale/runtime';
import type { CheckpointId, ObjectNames } from '../storage/object-names.ts';
import type { ClusterIdentity } from './bucket-identity.ts';
import { checkpointFormatVersion, encodeHead } from './checkpoint-reader.ts';
import type { StateEntry, ClusterState } from './cluster-state.ts';
import { createObject, type StoreAccess } from './store-access.ts';

/** Small enough to be encoded and decoded between two requests of clients. */
const partBytes = 2 ** 20;
const uniqueBytes = 12;

/** Ranges that a rebuilt cluster makes anew. */
const leftOut: readonly string[] = [metadataPrefixes.brokers, metadataPrefixes.garbage, metadataPrefixes.assignments];
const keysLeftOut: ReadonlySet<string> = new Set([metadataKeys.controller, metadataKeys.rebuild]);

export interface CheckpointDependencies extends StoreAccess {
  readonly names: ObjectNames;
  readonly random: Random;
  readonly identity: ClusterIdentity;
  /** Who writes it. */
  readonly incarnation: string;
}

/** Writes `state` into the bucket. Throws MetadataError, StorageError; what was written by then is garbage. */
export async function writeCheckpoint(
  state: ClusterState,
  dependencies: CheckpointDependencies,
): Promise<CheckpointId & { readonly entryCount: number }> {
  const { clock, names, random, identity, incarnation } = dependencies;
  const id: CheckpointId = {
    generation: identity.generation,
    revision: state.revision,
    incarnation,
    unique: random.bytes(uniqueBytes).toString('base64url'),
  };
  const parts: metadata.ObjectSlice[] = [];
  let entryCount = 0;
  for await (const entries of inParts(state)) {
    const bytes = Buffer.from(metadata.CheckpointPart.encode({ entries }).finish());
    const objectKey = names.checkpointPart(id, parts.length);
    await createObject(dependencies, objectKey, [bytes]);
    parts.push({ objectKey, position: 0n, length: bytes.length, crc32c: crc32c(bytes) });
    entryCount += entries.length;
  }
  const head = encodeHead({
    clusterId: identity.clusterId,
    generation: BigInt(identity.generation),
    revision: BigInt(state.revision),
    createdMs: BigInt(clock.wallMs()),
    parts,
    entryCount: BigInt(entryCount),
    formatVersion: checkpointFormatVersion,
  });
  await createObject(dependencies, names.checkpointHead(id), [head]);
  return { ...id, entryCount };
}

async function* inParts(state: ClusterState): AsyncGenerator<metadata.CheckpointEntry[], void, undefined> {
  let entries: metadata.CheckpointEntry[] = [];
  let sizeBytes = 0;
  for await (const entry of state.entries('')) {
    if (!belongsInCheckpoint(entry)) continue;
    entries.push({ key: entry.key, value: Buffer.from(entry.value) });
    sizeBytes += entry.key.length + entry.value.length;
    if (sizeBytes < partBytes) continue;
    yield entries;
    [entries, sizeBytes] = [[], 0];
  }
  if (entries.length > 0) yield entries;
}

const belongsInCheckpoint = ({ key }: StateEntry) =>
  !keysLeftOut.has(key) && !leftOut.some((prefix) => key.startsWith(prefix));
