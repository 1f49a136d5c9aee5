/**
 * Whether metadata store and bucket belong together, asked before anything is written. The bucket says whose it is by an object that
 * names cluster and generation; the metadata store by its cluster record; and checkpoints say how far the store once was.
 *
 * The name of an identity object is its content, so two brokers that start at once write the same, and two clusters that come to one
 * place write different ones and both see it: nothing rests on a store that can refuse an existing key. The record comes first: it
 * is what only one can create. A crash between the two leaves a record without sessions, topics or records beside an empty bucket, which
 * the next start completes.
 */
import {
  decodeFlushFooter,
  decodeFlushTrailer,
  flushTrailerBytes,
  metadata,
  metadataKeys,
  metadataPrefixes,
} from '@kafscale/protocol';
import type { Random } from '@kafscale/runtime';
import { clusterIdentity } from '../cluster/cluster-identity.ts';
import type { ObjectInfo } from '../storage/object-store.ts';
import { StorageError } from '../storage/storage-error.ts';
import type { IdentityName, ObjectNames } from '../storage/object-names.ts';
import { listCheckpoints } from './checkpoint-reader.ts';
import { anyKey, createObject, readKey, readObject, type StoreAccess } from './store-access.ts';

/** Of everything that is written into the bucket; a later one is not ours to touch. */
export const bucketFormatVersion = 1;

const attempts = 3;
const retryDelayMs = 300;

export interface ClusterIdentity {
  readonly clusterId: string;
  readonly generation: number;
}

/** Why this metadata store must not be used with this bucket, and what to do. Nothing was changed. */
export class IdentityMismatch extends Error {
  override readonly name = 'IdentityMismatch';
}

export interface IdentityDependencies extends StoreAccess {
  readonly names: ObjectNames;
  readonly random: Random;
}

/**
 * The identity that both stores agree on; creates it in both when both are empty. Throws IdentityMismatch when they do not belong
 * together; MetadataError and StorageError when they do not answer.
 */
export async function agreedIdentity(dependencies: IdentityDependencies): Promise<ClusterIdentity> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await agree(dependencies);
    } catch (error) {
      // What another broker of this cluster is just creating looks like a mismatch for a moment.
      if (!(error instanceof IdentityMismatch) || attempt === attempts) throw error;
      await dependencies.clock.sleep(retryDelayMs);
    }
  }
}

async function agree(dependencies: IdentityDependencies): Promise<ClusterIdentity> {
  const { metadataStore, clock, random } = dependencies;
  const identities = await readIdentities(dependencies);
  const stored = await readClusterRecord(dependencies);
  if (stored === undefined) {
    await checkNothingIsHere(identities, dependencies);
    await clusterIdentity(metadataStore, clock, random);
  }
  const record = stored ?? (await readClusterRecord(dependencies));
  if (record === undefined) throw new IdentityMismatch('The cluster record vanished while it was read. Start again.');
  if (identities.length === 0) {
    await checkBucketIsOurs(record, dependencies);
    await writeIdentity(record, dependencies);
  }
  const identity = { clusterId: record.clusterId, generation: Number(record.generation) };
  // Read again also where it was just written: somebody else may have come at the same time.
  await checkAgreement(identity, dependencies);
  await checkFormatVersion(identity, dependencies);
  return identity;
}

/** Throws IdentityMismatch unless both stores are this cluster's, now; MetadataError and StorageError when they do not answer. */
export async function checkAgreement(
  identity: ClusterIdentity,
  dependencies: StoreAccess & { readonly names: ObjectNames },
) {
  const identities = await readIdentities(dependencies);
  const record = await readClusterRecord(dependencies);
  if (record === undefined) {
    throw new IdentityMismatch(
      `The metadata store has lost its contents. If it was restored or replaced by mistake, bring the right one back; otherwise run: kafscale rebuild`,
    );
  }
  checkSame(
    identity,
    { clusterId: record.clusterId, generation: Number(record.generation) },
    identities,
    dependencies.names,
  );
  await checkRevision(identity, dependencies);
}

function checkSame(
  expected: ClusterIdentity,
  found: ClusterIdentity,
  identities: readonly IdentityName[],
  names: ObjectNames,
): void {
  const { prefix } = names;
  if (found.clusterId !== expected.clusterId || found.generation !== expected.generation) {
    throw new IdentityMismatch(
      `The metadata store now holds cluster ${found.clusterId} (generation ${found.generation}), and held ${expected.clusterId} (generation ${expected.generation}) before. Stop this broker and look what happened to the store.`,
    );
  }
  const foreign = identities.filter(({ clusterId }) => clusterId !== found.clusterId);
  if (foreign.length > 0) {
    const own = identities.some(({ clusterId }) => clusterId === found.clusterId);
    const others = [...new Set(foreign.map(({ clusterId }) => clusterId))].join(', ');
    throw new IdentityMismatch(
      own
        ? `Two clusters use ${prefix} of this bucket: ${found.clusterId} (this one) and ${others}. Give one of them another KAFSCALE_S3_NAMESPACE or bucket; if it never wrote records, remove its object ${foreign.map((name) => names.identity(name)).join(', ')}.`
        : `${prefix} of this bucket belongs to cluster ${others}, and the metadata store to cluster ${found.clusterId}. Choose another KAFSCALE_S3_NAMESPACE or bucket for this cluster, or point KAFSCALE_ETCD_ENDPOINTS, KAFSCALE_ETCD_PREFIX and KAFSCALE_CLUSTER_ID (or KAFSCALE_DATA_DIR) to the metadata of the other one.`,
    );
  }
  const newest = Math.max(...identities.map(({ generation }) => generation));
  if (identities.length === 0) {
    throw new IdentityMismatch(
      `The bucket no longer says whose ${prefix} is: its object ${names.identity(found)} is gone. If the bucket was emptied or replaced by mistake, bring the right one back.`,
    );
  }
  if (newest > found.generation) {
    throw new IdentityMismatch(
      `The metadata store is a thing of the past: it has generation ${found.generation} of cluster ${found.clusterId}, and the bucket was rebuilt into generation ${newest} since. Use the store that was rebuilt. Nothing was written to this one.`,
    );
  }
  if (newest < found.generation) {
    throw new IdentityMismatch(
      `The bucket is a thing of the past: it has generation ${newest} of cluster ${found.clusterId}, and the metadata store generation ${found.generation}. Use the bucket that the store was rebuilt from.`,
    );
  }
}

/** A store that is behind its own checkpoint has lost what came after: it was restored from a backup. */
async function checkRevision(
  { clusterId, generation }: ClusterIdentity,
  dependencies: StoreAccess & { readonly names: ObjectNames },
): Promise<void> {
  const checkpoints = await listCheckpoints(dependencies, dependencies.names);
  const newest = checkpoints.filter((checkpoint) => checkpoint.generation === generation).at(-1);
  const { revision } = await readKey(dependencies, metadataKeys.cluster);
  if (newest === undefined || newest.revision <= revision) return;
  throw new IdentityMismatch(
    `The metadata store of cluster ${clusterId} went back: it is at revision ${revision}, and the bucket has a checkpoint of revision ${newest.revision}. It was restored from an older backup, or is a copy. ` +
      `Bring the newer store back; if it is lost, empty this one (its keys of this cluster) and run: kafscale rebuild`,
  );
}

async function readIdentities({ objectStore, names }: StoreAccess & { readonly names: ObjectNames }) {
  const identities: IdentityName[] = [];
  for await (const { key } of objectStore.list(names.identityPrefix)) {
    const name = names.parseCluster(key);
    if (name?.kind === 'identity') identities.push(name);
  }
  return identities;
}

async function checkFormatVersion(identity: ClusterIdentity, dependencies: IdentityDependencies): Promise<void> {
  const key = dependencies.names.identity(identity);
  const { formatVersion } = metadata.BucketIdentity.decode(await readObject(dependencies, key));
  if (formatVersion === bucketFormatVersion) return;
  throw new IdentityMismatch(
    `The bucket is of format version ${formatVersion} (object ${key}), and this program knows version ${bucketFormatVersion}. Start the version of KafScale that wrote it, or a newer one.`,
  );
}

async function readClusterRecord(access: StoreAccess): Promise<metadata.ClusterRecord | undefined> {
  const { item } = await readKey(access, metadataKeys.cluster);
  return item && metadata.ClusterRecord.decode(item.value);
}

/** Before a cluster is created: both stores are empty, or one was lost. */
async function checkNothingIsHere(
  identities: readonly IdentityName[],
  dependencies: IdentityDependencies,
): Promise<void> {
  const { names } = dependencies;
  const rebuild = await readKey(dependencies, metadataKeys.rebuild);
  if (rebuild.item !== undefined) {
    throw new IdentityMismatch('A rebuild of this metadata store did not finish. Run it again: kafscale rebuild');
  }
  const owner = identities.at(-1)?.clusterId;
  const found = await firstObject(dependencies);
  if (owner === undefined && found === undefined) return;
  throw new IdentityMismatch(
    `The metadata store is empty, and ${names.prefix} of the bucket holds ${owner === undefined ? `objects (${found!.key})` : `cluster ${owner}`}. ` +
      `If the metadata store was lost, run: kafscale rebuild. If it is the wrong one, correct KAFSCALE_ETCD_ENDPOINTS, KAFSCALE_ETCD_PREFIX and KAFSCALE_CLUSTER_ID (or KAFSCALE_DATA_DIR). ` +
      `For a new cluster choose another KAFSCALE_S3_NAMESPACE or bucket. Nothing was written.`,
  );
}

/** Before the bucket is called ours: it is empty and nothing of the store's lies elsewhere, or its records are of this cluster. */
async function checkBucketIsOurs(record: metadata.ClusterRecord, dependencies: IdentityDependencies): Promise<void> {
  const { names } = dependencies;
  const found = await firstObject(dependencies);
  if (found === undefined) {
    const prefixes = [metadataPrefixes.manifests, metadataPrefixes.shelves];
    for (const prefix of prefixes) {
      if (!(await anyKey(dependencies, prefix))) continue;
      throw new IdentityMismatch(
        `The metadata store of cluster ${record.clusterId} knows records, and ${names.prefix} of the bucket is empty. It is the wrong bucket or namespace, or the bucket was emptied: correct KAFSCALE_S3_BUCKET and KAFSCALE_S3_NAMESPACE, or bring the objects back.`,
      );
    }
    return;
  }
  const clusterId = await clusterIdOfSomeFlush(dependencies);
  if (clusterId === record.clusterId) return;
  throw new IdentityMismatch(
    `${names.prefix} of the bucket holds objects that ${clusterId === undefined ? 'nobody claims' : `belong to cluster ${clusterId}`} (${found.key}), and the metadata store belongs to cluster ${record.clusterId}. Choose an empty KAFSCALE_S3_NAMESPACE or bucket for this cluster. Nothing was written.`,
  );
}

/** Probes by which brokers try the store do not count. */
async function firstObject({ objectStore, names }: IdentityDependencies): Promise<ObjectInfo | undefined> {
  for await (const info of objectStore.list(names.prefix)) if (!names.isHealthProbe(info.key)) return info;
  return undefined;
}

/** Of a flush object in the bucket that explains itself. */
async function clusterIdOfSomeFlush(dependencies: IdentityDependencies): Promise<string | undefined> {
  const { objectStore, names } = dependencies;
  for await (const { key, sizeBytes } of objectStore.list(names.prefixOf('flush'))) {
    if (names.parse(key)?.kind !== 'flush') continue;
    const trailer = await readObject(dependencies, key, {
      start: Math.max(0, sizeBytes - flushTrailerBytes),
      end: sizeBytes,
    });
    const { position, length, crc32c } = decodeFlushTrailer(trailer, sizeBytes);
    const footer = await readObject(dependencies, key, { start: position, end: position + length });
    return decodeFlushFooter(footer, crc32c).clusterId;
  }
  return undefined;
}

/** Another broker that writes the same at the same time is welcome. */
export async function writeIdentity(
  { clusterId, generation }: Pick<metadata.ClusterRecord, 'clusterId' | 'generation'>,
  dependencies: StoreAccess & { readonly names: ObjectNames },
): Promise<void> {
  const { clock, names } = dependencies;
  const identity = metadata.BucketIdentity.encode({
    clusterId,
    generation,
    formatVersion: bucketFormatVersion,
    createdMs: BigInt(clock.wallMs()),
  }).finish();
  const key = names.identity({ clusterId, generation: Number(generation) });
  try {
    await createObject(dependencies, key, [identity]);
  } catch (error) {
    if (!(error instanceof StorageError) || error.kind !== 'conflict') throw error;
  }
}
