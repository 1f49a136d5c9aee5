/**
 * What the bucket itself tells when the metadata store is lost: whose it is, the newest checkpoint that can be read, and the footers of
 * flush objects that this checkpoint does not settle.
 */
import {
  decodeFlushFooter,
  decodeFlushTrailer,
  decodeIndexFooter,
  decodeIndexTrailer,
  decodeShelf,
  decodeShelfTrailer,
  flushTrailerBytes,
  indexTrailerBytes,
  type FooterPlace,
  type metadata,
} from '@kafscale/protocol';
import { mapConcurrently } from '@kafscale/runtime';
import type { IdentityName, ObjectName, ObjectNames } from '../../storage/object-names.ts';
import type { ObjectKey } from '../../storage/object-store.ts';
import { listCheckpoints, openCheckpoint, type Checkpoint } from '../checkpoint-reader.ts';
import { describe, manifestsOf, type ClusterState, type StateManifest, type StateShelf } from '../cluster-state.ts';
import { OriginProof } from '../origin-proof.ts';
import { readObject, readSlice, type StoreAccess } from '../store-access.ts';
import { findingOf } from '../verify/check-run.ts';
import type { BaseManifest } from './rebuilt-logs.ts';

export interface SurveyDependencies extends StoreAccess {
  readonly names: ObjectNames;
  readonly onProgress?: (text: string) => void;
}

export interface FoundFlush {
  readonly objectKey: ObjectKey;
  readonly incarnation: string;
  readonly sequence: number;
  readonly buildsOn: number;
  readonly description: metadata.FlushDescription;
  /** Where in the object that description lies. */
  readonly footer: FooterPlace;
}

/** A shelf, or a flush object with a description in its footer. */
export interface LostDescription {
  readonly objectKey: ObjectKey;
  readonly detail: string;
  /** Which partitions it may be about; absent for any. */
  readonly partitions: metadata.PartitionSummary | undefined;
}

export interface BucketSurvey {
  readonly clusterId: string;
  /** The highest in the bucket. */
  readonly generation: number;
  readonly checkpoint: Checkpoint | undefined;
  /** What a state without anything says, where there is no checkpoint. */
  readonly base: ClusterState;
  readonly proof: OriginProof;
  /** Of the checkpoint's manifests and shelves: `incarnation/sequence`. */
  readonly known: ReadonlySet<string>;
  /** The same, as far as they can be read. */
  readonly manifests: readonly BaseManifest[];
  /** What the checkpoint names and cannot be read: records that it describes are missing from the logs. */
  readonly lost: readonly LostDescription[];
  /** One for each sequence of an incarnation. */
  readonly flushes: readonly FoundFlush[];
  /** Footers of index objects; looked for only without a checkpoint. */
  readonly indexes: readonly metadata.IndexFooter[];
  /** All that can be told to have written for this cluster. */
  readonly incarnations: ReadonlySet<string>;
  /** When the youngest object was written that only a broker writes, by the object store's clock; 0 for none. */
  readonly newestMs: number;
  readonly warnings: readonly string[];
}

const readsAtOnce = 16;
/** Of one incarnation, to tell whether it wrote for this cluster. */
const triedObjects = 3;
const noState: ClusterState = { revision: 0, entries: () => nothing() };

/** Throws StorageError. */
export async function surveyBucket(dependencies: SurveyDependencies): Promise<BucketSurvey | undefined> {
  const { names, objectStore, onProgress } = dependencies;
  const identities: IdentityName[] = [];
  for await (const { key } of objectStore.list(names.identityPrefix)) {
    const name = names.parseCluster(key);
    if (name?.kind === 'identity') identities.push(name);
  }
  const clusterIds = new Set(identities.map(({ clusterId }) => clusterId));
  const clusterId = [...clusterIds][0];
  if (clusterId === undefined) return undefined;
  const warnings: string[] = [];
  if (clusterIds.size > 1) warnings.push(`several clusters wrote into this place: ${[...clusterIds].join(', ')}`);

  const checkpoint = await newestCheckpoint(dependencies, warnings);
  const base = checkpoint ?? noState;
  const proof = await OriginProof.of(base);
  const known = new Set<string>();
  const manifests: StateManifest[] = [];
  const lost: LostDescription[] = [];
  const onUnreadable = ({ key, record }: StateShelf, error: unknown) => {
    const objectKey = record.shelf?.objectKey ?? key;
    lost.push({ objectKey, detail: findingOf(error, objectKey).detail, partitions: record.partitions });
  };
  for await (const manifest of manifestsOf(dependencies, base, onUnreadable)) {
    manifests.push(manifest);
    const name = names.parse(manifest.manifest.objectKey);
    if (name !== undefined) known.add(flushId(name));
  }
  const baseManifests = await describeAll(manifests, dependencies, lost);
  onProgress?.('listing the bucket');
  const listed = await list(dependencies, { proof, known, withIndexes: checkpoint === undefined });
  onProgress?.(`reading the footers of ${listed.flushes.length} flush objects that no checkpoint names`);
  const flushes = await readFlushes(listed.flushes, clusterId, dependencies, warnings);
  const indexes = await readIndexes(listed.indexes, clusterId, dependencies, warnings);
  const incarnations = new Set(proof.incarnations);
  for (const { incarnation } of [...flushes, ...indexes]) incarnations.add(incarnation);
  for (const [incarnation, objects] of listed.upkeep) {
    const isOurs = incarnations.has(incarnation) || (await wroteFor(clusterId, objects, dependencies));
    if (isOurs) incarnations.add(incarnation);
  }
  return {
    clusterId,
    generation: Math.max(...identities.map(({ generation }) => generation)),
    checkpoint,
    base,
    proof,
    known,
    manifests: baseManifests,
    lost,
    flushes,
    indexes,
    incarnations,
    newestMs: listed.newestMs,
    warnings,
  };
}

export const flushId = ({ incarnation, sequence }: Pick<ObjectName, 'incarnation' | 'sequence'>): string =>
  `${incarnation}/${sequence}`;

async function describeAll(
  manifests: readonly StateManifest[],
  dependencies: SurveyDependencies,
  lost: LostDescription[],
): Promise<BaseManifest[]> {
  const described = await mapConcurrently(manifests, readsAtOnce, async (manifest) => {
    const { objectKey, body } = manifest.manifest;
    try {
      return { objectKey, description: await describe(dependencies, manifest) };
    } catch (error) {
      const partitions = body?.$case === 'footer' ? body.value.partitions : undefined;
      lost.push({ objectKey, detail: findingOf(error, objectKey).detail, partitions });
      return undefined;
    }
  });
  return described.filter((manifest) => manifest !== undefined);
}

/** The newest one that can be read whole; what could not is said. */
async function newestCheckpoint(dependencies: SurveyDependencies, warnings: string[]): Promise<Checkpoint | undefined> {
  const found = await listCheckpoints(dependencies, dependencies.names);
  for (const { headKey } of found.reverse()) {
    try {
      const checkpoint = await openCheckpoint(dependencies, headKey);
      for (const part of checkpoint.head.parts) await readSlice(dependencies, part);
      return checkpoint;
    } catch (error) {
      warnings.push(`checkpoint ${headKey} cannot be used: ${findingOf(error, headKey).detail}`);
    }
  }
  return undefined;
}

interface Listed {
  readonly flushes: { readonly key: ObjectKey; readonly name: ObjectName; readonly sizeBytes: number }[];
  readonly indexes: ListedObject[];
  /** Some of the index objects, merged objects and shelves of those that the base does not know. */
  readonly upkeep: Map<string, ListedObject[]>;
  newestMs: number;
}

interface ListedObject {
  readonly key: ObjectKey;
  readonly sizeBytes: number;
  readonly kind: ObjectName['kind'];
}

async function list(
  { names, objectStore }: SurveyDependencies,
  { proof, known, withIndexes }: { proof: OriginProof; known: ReadonlySet<string>; withIndexes: boolean },
): Promise<Listed> {
  const listed: Listed = { flushes: [], indexes: [], upkeep: new Map(), newestMs: 0 };
  for await (const { key, sizeBytes, modifiedMs } of objectStore.list(names.prefix)) {
    const isSign = !names.isHealthProbe(key) && names.parseCluster(key)?.kind !== 'identity';
    if (isSign) listed.newestMs = Math.max(listed.newestMs, modifiedMs);
    const name = names.parse(key);
    if (name === undefined) continue;
    const { kind, incarnation } = name;
    if (kind === 'index' && withIndexes) listed.indexes.push({ key, sizeBytes, kind });
    if (isSelfDescribing(kind) && !proof.incarnations.has(incarnation)) {
      const some = listed.upkeep.get(incarnation) ?? [];
      if (some.length < triedObjects) listed.upkeep.set(incarnation, [...some, { key, sizeBytes, kind }]);
    }
    if (kind !== 'flush' || known.has(flushId(name))) continue;
    if (proof.settlementOf(name) !== 'settled') listed.flushes.push({ key, name, sizeBytes });
  }
  return listed;
}

async function readFlushes(
  listed: Listed['flushes'],
  clusterId: string,
  dependencies: SurveyDependencies,
  warnings: string[],
): Promise<FoundFlush[]> {
  const found = new Map<string, FoundFlush>();
  await mapConcurrently(listed, readsAtOnce, async ({ key, name, sizeBytes }) => {
    try {
      const trailer = await readEnd(dependencies, key, sizeBytes, flushTrailerBytes);
      const place = decodeFlushTrailer(trailer, sizeBytes);
      const { position, length } = place;
      const footer = await readObject(dependencies, key, { start: position, end: position + length });
      const description = decodeFlushFooter(footer, place.crc32c);
      if (description.clusterId !== clusterId) {
        warnings.push(`object ${key} is of cluster ${description.clusterId} and left alone`);
        return;
      }
      const { incarnation, sequence } = name;
      // Attempts to write one flush differ in their names alone.
      found.set(flushId(name), {
        objectKey: key,
        incarnation,
        sequence,
        buildsOn: Number(description.buildsOn),
        description,
        footer: place,
      });
    } catch (error) {
      warnings.push(`object ${key} cannot be used: ${findingOf(error, key).detail}`);
    }
  });
  return [...found.values()];
}

async function readIndexes(
  listed: Listed['indexes'],
  clusterId: string,
  dependencies: SurveyDependencies,
  warnings: string[],
): Promise<metadata.IndexFooter[]> {
  const found: metadata.IndexFooter[] = [];
  await mapConcurrently(listed, readsAtOnce, async ({ key, sizeBytes }) => {
    try {
      const trailer = await readEnd(dependencies, key, sizeBytes, indexTrailerBytes);
      const place = decodeIndexTrailer(trailer, sizeBytes);
      const bytes = await readObject(dependencies, key, { start: place.position, end: place.position + place.length });
      const footer = decodeIndexFooter(bytes, place);
      if (footer.clusterId === clusterId) found.push(footer);
    } catch (error) {
      warnings.push(`object ${key} cannot be used: ${findingOf(error, key).detail}`);
    }
  });
  return found;
}

const isSelfDescribing = (kind: ObjectName['kind']) => kind === 'index' || kind === 'merged' || kind === 'shelf';

/** Whether one of the objects says that it was written for the cluster. */
async function wroteFor(
  clusterId: string,
  objects: readonly ListedObject[],
  dependencies: SurveyDependencies,
): Promise<boolean> {
  for (const { key, sizeBytes, kind } of objects) {
    try {
      const trailer = await readEnd(dependencies, key, sizeBytes, flushTrailerBytes);
      const decodePlace =
        kind === 'index' ? decodeIndexTrailer : kind === 'shelf' ? decodeShelfTrailer : decodeFlushTrailer;
      const place = decodePlace(trailer, sizeBytes);
      const range = { start: place.position, end: place.position + place.length };
      const footer = await readObject(dependencies, key, range);
      if (clusterIdIn(footer, place, kind) === clusterId) return true;
    } catch (error) {
      findingOf(error, key); // rethrows what says nothing about the object
    }
  }
  return false;
}

function clusterIdIn(footer: Buffer, place: FooterPlace, kind: ObjectName['kind']): string | undefined {
  if (kind === 'index') return decodeIndexFooter(footer, place).clusterId;
  if (kind === 'merged') return decodeFlushFooter(footer, place.crc32c).clusterId;
  const manifests = decodeShelf(footer, {
    objectKey: '',
    position: BigInt(place.position),
    ...lengthAndChecksum(place),
  });
  for (const { body } of manifests) if (body?.$case === 'inline') return body.value.clusterId;
  return undefined;
}

const lengthAndChecksum = ({ length, crc32c }: FooterPlace) => ({ length, crc32c });

const readEnd = (access: StoreAccess, key: ObjectKey, sizeBytes: number, count: number) =>
  readObject(access, key, { start: Math.max(0, sizeBytes - count), end: sizeBytes });

async function* nothing(): AsyncGenerator<never, void, undefined> {
  // No entries.
}
