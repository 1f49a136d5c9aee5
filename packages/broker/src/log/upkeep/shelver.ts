/**
 * Moves manifests out of the metadata store without touching what they describe: many whole manifests become one shelf object and one
 * key, several shelves become one, and what has nothing alive in it goes. Each move is one transaction that compares the mod revision
 * of every key it removes, so whoever else moved one first wins and nothing is described twice or not at all (COMMIT.md K6). Deletions
 * alone go past the lane: they need no put, which etcd refuses when it is full, and a copy of one that comes late finds the keys gone.
 */
import {
  decodeFlushFooter,
  encodeShelfOf,
  metadata,
  metadataKeys,
  scanShelf,
  summarizePartitions,
  type ScannedManifest,
} from '@kafscale/protocol';
import { withDeadline, type Logger } from '@kafscale/runtime';
import type { Lane } from '../../metadata/lane.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { Compare, MetadataStore, Revision } from '../../metadata/metadata-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { DeadExtents } from './dead-extents.ts';
import type { Publications } from './publications.ts';
import { asStored, describeFlush, isLost, readSlice, type ReadingManifests } from './stored-manifests.ts';

/** A manifest key as it is stored. */
export interface StoredManifest {
  readonly key: string;
  readonly modRevision: Revision;
  readonly value: Uint8Array;
  /** The footer that `value` points to, where it is still in memory. */
  readonly footer?: Buffer;
}

/** A shelf key, and what lies on it. */
export interface StoredShelf {
  readonly key: string;
  readonly modRevision: Revision;
  readonly slice: metadata.ObjectSlice;
  readonly manifestCount: number;
  readonly contents: ShelfContents;
}

/** What keeps a shelf alive. */
export interface ShelfContents {
  /** By topic id, then partition: the end of the last extent. */
  readonly ends: ReadonlyMap<string, ReadonlyMap<number, number>>;
  /** Manifests of which nobody can tell what they describe, because their objects cannot be read. */
  readonly unreadable: number;
}

export interface ShelverDependencies extends ReadingManifests {
  readonly store: MetadataStore;
  readonly lane: Lane;
  readonly publications: Publications;
  readonly dead: DeadExtents;
  readonly incarnation: string;
  readonly logger: Logger;
  /** How long storing a shelf may take. */
  readonly uploadDeadlineMs: number;
}

export interface ShelvingResult {
  /** Undefined when there were too few for one. */
  readonly shelf: StoredShelf | undefined;
  /** Still keys of their own. */
  readonly left: readonly StoredManifest[];
  readonly droppedCount: number;
}

/** So many keys one transaction can compare and delete beside what the lane adds. */
export const maxKeysPerMove = 100;

/** Incarnations that the key of a shelf names; of more it names none. */
const maxFlushRanges = 8;
/** When what could not be read is tried again. */
const lookAgainMs = 600_000;
/** Decoding or encoding so much holds requests up for a few milliseconds. */
const bytesBetweenPauses = 256 * 1_024;
/** What an extent takes where it is encoded, about. */
const bytesPerExtent = 64;

const sizeOf = ({ value, footer }: StoredManifest) => Math.max(value.length, footer?.length ?? 0);

type StoredKey = Pick<StoredManifest, 'key' | 'modRevision'>;

export class Shelver {
  readonly #dependencies: ShelverDependencies;
  readonly #alarmed = new Set<string>();
  /** Shelves with something unreadable on them: what is known by now, and since when. */
  readonly #lookedAgain = new WeakMap<StoredShelf, { readonly contents: ShelfContents; readonly atMs: number }>();

  constructor(dependencies: ShelverDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Drops the manifests with nothing alive in them and puts the others on a shelf, unless they are fewer than `atLeast`. At most
   * `maxKeysPerMove` manifests, oldest first; `writer` is the incarnation they are of, empty for several. Throws MetadataError (`conflict`
   * when a key is not as it was read) and StorageError; then any part of it may have been done.
   */
  async shelve(
    manifests: readonly StoredManifest[],
    { writer, atLeast }: { readonly writer: string; readonly atLeast: number },
  ): Promise<ShelvingResult> {
    const described = await this.#inPieces(manifests, sizeOf, (stored) => this.#describe(stored));
    const alive = await this.#alive(described);
    const dropped = manifests.filter((_, index) => alive[index] === undefined);
    await this.drop(dropped);
    const kept = manifests.filter((_, index) => alive[index] !== undefined);
    if (kept.length === 0 || kept.length < atLeast)
      return { shelf: undefined, left: kept, droppedCount: dropped.length };
    const shelf = await this.#put(
      kept,
      alive.filter((manifest) => manifest !== undefined),
      writer,
    );
    return { shelf, left: [], droppedCount: dropped.length };
  }

  /** Puts what is alive on these shelves on one; undefined when nothing is. At most `maxKeysPerMove`, oldest first. Throws as above. */
  async merge(shelves: readonly StoredShelf[]): Promise<StoredShelf | undefined> {
    const lists: metadata.FlushManifest[] = [];
    for (const { slice } of shelves) lists.push(...(await this.#manifestsOn(slice)));
    const described = await Promise.all(lists.map((manifest) => this.#resolve(manifest)));
    const alive = (await this.#alive(described)).filter((manifest) => manifest !== undefined);
    if (alive.length === 0) {
      await this.drop(shelves);
      return undefined;
    }
    return this.#put(shelves, alive, '');
  }

  /** Whether nothing on the shelf is alive, as far as is known. Throws MetadataError. */
  async isDead(shelf: StoredShelf): Promise<boolean> {
    return (await this.aliveShare(shelf)) === 0;
  }

  /** How many of the partitions on a shelf still need it, from 0 to 1. Throws MetadataError. */
  async aliveShare(shelf: StoredShelf): Promise<number> {
    const { ends, unreadable } = await this.#contentsOf(shelf);
    const { dead } = this.#dependencies;
    await dead.learn(ends.keys());
    let alive = unreadable;
    let total = unreadable;
    for (const [topicId, partitions] of ends) {
      total += partitions.size;
      for (const [partition, end] of partitions) if (!dead.isDead(topicId, partition, end)) alive += 1;
    }
    return total === 0 ? 0 : alive / total;
  }

  /** What could not be read when the shelf was made is tried again from time to time. */
  async #contentsOf(shelf: StoredShelf): Promise<ShelfContents> {
    if (shelf.contents.unreadable === 0) return shelf.contents;
    const { clock } = this.#dependencies;
    const nowMs = clock.monotonicMs();
    const looked = this.#lookedAgain.get(shelf) ?? { contents: shelf.contents, atMs: nowMs };
    this.#lookedAgain.set(shelf, looked);
    if (looked.contents.unreadable === 0 || nowMs - looked.atMs < lookAgainMs) return looked.contents;
    let { contents } = looked;
    try {
      const manifests = await this.#manifestsOn(shelf.slice);
      contents = contentsOf(await Promise.all(manifests.map((manifest) => this.#resolve(manifest))));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error; // the shelf itself cannot be read now; it stays as it is known
    }
    this.#lookedAgain.set(shelf, { contents, atMs: nowMs });
    return contents;
  }

  /** The shelf that a key points to. Throws StorageError. */
  async open(key: string, modRevision: Revision, value: Uint8Array): Promise<StoredShelf> {
    const { shelf: slice, manifestCount } = metadata.ShelfRecord.decode(value);
    if (slice === undefined) throw new MetadataError('corrupt', `shelf ${key} lies nowhere`);
    const manifests = await this.#manifestsOn(slice);
    const described = await Promise.all(manifests.map((manifest) => this.#resolve(manifest)));
    return { key, modRevision, slice, manifestCount, contents: contentsOf(described) };
  }

  /** Deletes the keys. Throws MetadataError; `conflict` when one is not as it was read. */
  async drop(keys: readonly StoredKey[]): Promise<void> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    for (let from = 0; from < keys.length; from += maxKeysPerMove) {
      const group = keys.slice(from, from + maxKeysPerMove);
      const transaction = {
        compare: group.map(unchanged),
        success: group.map(({ key }) => ({ type: 'delete', key }) as const),
      };
      const { succeeded } = await withDeadline(clock, callDeadlineMs, (signal) => store.transact(transaction, signal));
      if (!succeeded) throw new MetadataError('conflict', 'a manifest or shelf is not as it was read');
    }
  }

  /** One after another, with a pause for requests whenever much was decoded. */
  async #inPieces<Item, Result>(
    items: readonly Item[],
    bytesOf: (item: Item) => number,
    work: (item: Item) => Promise<Result>,
  ): Promise<Result[]> {
    const results: Result[] = [];
    let bytes = 0;
    for (const item of items) {
      results.push(await work(item));
      bytes += bytesOf(item);
      if (bytes < bytesBetweenPauses) continue;
      bytes = 0;
      await this.#dependencies.clock.sleep(1);
    }
    return results;
  }

  /** The manifests on a shelf, oldest first. Throws StorageError. */
  async #manifestsOn(slice: metadata.ObjectSlice): Promise<readonly metadata.FlushManifest[]> {
    const bytes = await readSlice(slice, this.#dependencies);
    const scanned = asStored(slice.objectKey, () => scanShelf(bytes, slice));
    return this.#inPieces(
      scanned,
      ({ description }) => description?.length ?? 0,
      (manifest) => Promise.resolve(decoded(manifest)),
    );
  }

  #describe({ value, footer }: StoredManifest): Promise<metadata.FlushManifest> {
    const manifest = metadata.FlushManifest.decode(value);
    if (manifest.body?.$case !== 'footer' || footer === undefined) return this.#resolve(manifest);
    const description = decodeFlushFooter(footer, manifest.body.value.crc32c);
    return Promise.resolve({ ...manifest, body: { $case: 'inline', value: description } });
  }

  /** The manifest with its description in it; as it was when its object cannot be read. */
  async #resolve(manifest: metadata.FlushManifest): Promise<metadata.FlushManifest> {
    if (manifest.body?.$case !== 'footer') return manifest;
    try {
      return { ...manifest, body: { $case: 'inline', value: await describeFlush(manifest, this.#dependencies) } };
    } catch (error) {
      const { logger } = this.#dependencies;
      const { objectKey } = manifest;
      if (isLost(error) && !this.#alarmed.has(objectKey)) {
        this.#alarmed.add(objectKey);
        logger.error(
          { objectKey, err: error },
          'a committed flush object cannot be read: its records are not available',
        );
      }
      return manifest;
    }
  }

  /** Each manifest without its dead extents, or undefined in its place. */
  async #alive(manifests: readonly metadata.FlushManifest[]): Promise<(metadata.FlushManifest | undefined)[]> {
    const { dead } = this.#dependencies;
    await dead.learn(topicIdsOf(manifests));
    const aliveOf = (manifest: metadata.FlushManifest): metadata.FlushManifest | undefined => {
      if (manifest.body?.$case !== 'inline') return manifest;
      const value = dead.withoutDead(manifest.body.value);
      return value && { ...manifest, body: { $case: 'inline', value } };
    };
    return this.#inPieces(manifests, encodedSizeOf, (manifest) => Promise.resolve(aliveOf(manifest)));
  }

  /** Stores the shelf, then puts its key in the place of `replaced`. */
  async #put(
    replaced: readonly StoredKey[],
    manifests: readonly metadata.FlushManifest[],
    writer: string,
  ): Promise<StoredShelf> {
    const { lane, publications, objectStore, clock, uploadDeadlineMs, incarnation } = this.#dependencies;
    const publication = publications.begin();
    try {
      const sequence = publication.nextSequence();
      const encoded = await this.#inPieces(manifests, encodedSizeOf, (manifest) =>
        Promise.resolve(metadata.FlushManifest.encode(manifest).finish()),
      );
      const { object, slice } = encodeShelfOf(publication.nameFlat('shelf', sequence), encoded);
      await withDeadline(clock, uploadDeadlineMs, (signal) => objectStore.create(slice.objectKey, object, signal));
      const key = metadataKeys.shelf(incarnation, sequence);
      const manifestCount = manifests.length;
      const record = { shelf: slice, manifestCount, writer, ...summaryOf(manifests) };
      const value = metadata.ShelfRecord.encode(record).finish();
      const modRevision = await lane.commit({
        compare: replaced.map(unchanged),
        operations: [
          ...replaced.map((old) => ({ type: 'delete', key: old.key }) as const),
          { type: 'put', key, value },
        ],
      });
      return { key, modRevision, slice, manifestCount, contents: contentsOf(manifests) };
    } finally {
      publication.settle();
    }
  }
}

function decoded({ objectKey, description, footer }: ScannedManifest): metadata.FlushManifest {
  if (footer !== undefined) return { objectKey, body: { $case: 'footer', value: footer } };
  return { objectKey, body: { $case: 'inline', value: metadata.FlushDescription.decode(description) } };
}

/** About. */
function encodedSizeOf({ body }: metadata.FlushManifest): number {
  if (body?.$case !== 'inline') return 0;
  return body.value.topics.reduce((sum, { extents }) => sum + extents.length * bytesPerExtent, 0);
}

/** What is known of a shelf without its object; nothing when one of its manifests says nothing. */
function summaryOf(manifests: readonly metadata.FlushManifest[]): Pick<metadata.ShelfRecord, 'partitions' | 'flushes'> {
  const descriptions: metadata.FlushDescription[] = [];
  for (const { body } of manifests) {
    if (body?.$case !== 'inline') return {};
    descriptions.push(body.value);
  }
  const ranges = new Map<string, metadata.FlushRange>();
  for (const { incarnation, sequence } of descriptions) {
    const { firstSequence, lastSequence } = ranges.get(incarnation) ?? {
      firstSequence: sequence,
      lastSequence: sequence,
    };
    ranges.set(incarnation, {
      incarnation,
      firstSequence: sequence < firstSequence ? sequence : firstSequence,
      lastSequence: sequence > lastSequence ? sequence : lastSequence,
    });
  }
  return {
    partitions: summarizePartitions(descriptions),
    ...(ranges.size <= maxFlushRanges && { flushes: { ranges: [...ranges.values()] } }),
  };
}

const unchanged = ({ key, modRevision }: StoredKey): Compare => ({
  key,
  target: 'modRevision',
  operator: '=',
  operand: modRevision,
});

function* topicIdsOf(manifests: readonly metadata.FlushManifest[]): Generator<string, void, undefined> {
  for (const { body } of manifests) {
    if (body?.$case !== 'inline') continue;
    for (const { topicId } of body.value.topics) yield topicId.toString('base64url');
  }
}

function contentsOf(manifests: readonly metadata.FlushManifest[]): ShelfContents {
  const ends = new Map<string, Map<number, number>>();
  let unreadable = 0;
  for (const { body } of manifests) {
    if (body?.$case !== 'inline') {
      unreadable += 1;
      continue;
    }
    for (const { topicId, extents } of body.value.topics) {
      const name = topicId.toString('base64url');
      const partitions = ends.get(name) ?? new Map<number, number>();
      ends.set(name, partitions);
      for (const { partition, nextOffset } of extents) {
        partitions.set(partition, Math.max(partitions.get(partition) ?? 0, Number(nextOffset)));
      }
    }
  }
  return { ends, unreadable };
}
