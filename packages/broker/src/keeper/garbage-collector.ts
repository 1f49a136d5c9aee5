/**
 * Searches the bucket for objects that nothing needs any more, and deletes those that an earlier search had found already. The rule is
 * garbage-rule.ts; here is the order in which its evidence is gathered, which is part of it. Memory is bounded by the number of
 * references, 16 bytes each; the bucket is listed as a stream. Runs on one broker, the controller; a second one that still
 * believes it is would delete nothing else.
 */
import { metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import type { Compare, Operation } from '../metadata/metadata-store.ts';
import type { ObjectName, ObjectNames } from '../storage/object-names.ts';
import type { ObjectInfo, ObjectKey } from '../storage/object-store.ts';
import { checkAgreement, type ClusterIdentity } from './bucket-identity.ts';
import { listCheckpoints, openCheckpoint, type FoundCheckpoint } from './checkpoint-reader.ts';
import { liveState, partitionsOf, placeOf, tombstonesOf, type ClusterState } from './cluster-state.ts';
import { GarbageMarks } from './garbage-marks.ts';
import { judge, type GarbageEvidence, type Verdict } from './garbage-rule.ts';
import { KeySet } from './key-set.ts';
import { OriginProof } from './origin-proof.ts';
import { referencesOf, type LostList } from './references.ts';
import { anyKey, prefixRange, type StoreAccess } from './store-access.ts';

export interface GarbageSettings {
  readonly dryRun: boolean;
  readonly graceMs: number;
  readonly readerGraceMs: number;
  readonly deletesPerSecond: number;
}

export interface GarbageDependencies extends StoreAccess {
  readonly names: ObjectNames;
  readonly identity: ClusterIdentity;
  /** The upkeep lane: each deletion is preceded by a commit, which shows that session and store are as they were. */
  readonly lane: Lane;
  readonly incarnation: string;
  readonly isController: () => boolean;
  readonly logger: Logger;
  readonly settings: GarbageSettings;
}

export interface GarbageReport {
  readonly objects: Readonly<Record<Verdict, number>>;
  readonly bytes: Readonly<Record<Verdict, number>>;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  readonly markedObjects: number;
  /** A few of the unknown keys. */
  readonly unknownExamples: readonly ObjectKey[];
}

/** Checkpoints that are kept, the newest ones. */
export const keptCheckpoints = 3;

const objectsPerDelete = 200;
const maxMarksPerSearch = 20_000;
const maxExamples = 5;
const hourMs = 3_600_000;
const laneGraceMs = 24 * hourMs;
const tombstoneGraceMs = 24 * hourMs;
/** Between the brokers' clocks and the object store's. */
const clockSlackMs = hourMs;
const lanesPerCommit = 30;

/** The search ended because somebody else is to do it, or nobody. */
class SearchStopped extends Error {
  override readonly name = 'SearchStopped';
}

export class GarbageCollector {
  readonly #dependencies: GarbageDependencies;
  readonly #marks: GarbageMarks;

  constructor(dependencies: GarbageDependencies) {
    this.#dependencies = dependencies;
    const { clock, lane, incarnation, settings } = dependencies;
    const { readerGraceMs } = settings;
    this.#marks = new GarbageMarks({ clock, lane, incarnation, readerGraceMs, laneGraceMs });
  }

  /**
   * One search. Resolves with undefined when there is nothing to go by yet: no checkpoint, or this broker is not the controller any
   * more. Throws IdentityMismatch, MetadataError, StorageError, DecodeError: what cannot be read whole is no ground for a deletion.
   */
  async run(signal?: AbortSignal): Promise<GarbageReport | undefined> {
    try {
      return await this.#search(signal);
    } catch (error) {
      if (error instanceof SearchStopped) return undefined;
      throw error;
    }
  }

  async #search(signal: AbortSignal | undefined): Promise<GarbageReport | undefined> {
    const { identity, names, settings } = this.#dependencies;
    await checkAgreement(identity, this.#dependencies);
    const checkpoints = await this.#keptCheckpoints(signal);
    const newest = checkpoints.at(-1);
    if (newest === undefined) return undefined;

    const kept = await Promise.all(checkpoints.map(({ headKey }) => openCheckpoint(this.#dependencies, headKey)));
    const oldest = await OriginProof.of(kept[0]!);
    const before = await liveState(this.#dependencies);
    const live = await OriginProof.of(before);
    await this.#marks.load(before);
    const tombstones = await tombstonesOf(before);
    // Read after the proof: an object that is settled there can be referred to here, or never.
    const now = await liveState(this.#dependencies);
    const { references, incarnations, lost } = await this.#references([now, ...kept], signal);
    const mayBeReferenced = (name: ObjectName) => lost.some(({ mayList }) => mayList(name));

    const { graceMs } = settings;
    const evidence = { names, live, oldest, references, mayBeReferenced, storeNowMs: newest.modifiedMs, graceMs };
    const search = new Search(evidence, incarnations);
    await this.#judgeObjects(search, now.revision, signal);
    if (!settings.dryRun) {
      await this.#marks.removeRipe();
      await this.#removeLanes(search, live, now.revision);
      await this.#removeTombstones(search, tombstones);
    }
    return search.report();
  }

  /** The newest ones, oldest first; those before them are removed. */
  async #keptCheckpoints(signal: AbortSignal | undefined): Promise<readonly FoundCheckpoint[]> {
    const { identity, names, objectStore, settings } = this.#dependencies;
    const found = await listCheckpoints(this.#dependencies, names);
    const kept = found.filter(({ generation }) => generation === identity.generation).slice(-keptCheckpoints);
    const [oldest] = kept;
    if (settings.dryRun || oldest === undefined || kept.length < keptCheckpoints) return kept;
    const outdated = new Set(found.slice(0, found.indexOf(oldest)).map(checkpointName));
    const whole = new Set(found.map(checkpointName));
    const [heads, parts]: [ObjectInfo[], ObjectInfo[]] = [[], []];
    for await (const info of objectStore.list(names.checkpointPrefix, signal)) {
      const name = names.parseCluster(info.key);
      if (name === undefined || name.kind === 'identity') continue;
      // Parts without a head are those of a writer that is at work, or died.
      const isLeftOver = !whole.has(checkpointName(name)) && isBefore(name, oldest);
      if (!outdated.has(checkpointName(name)) && !isLeftOver) continue;
      if (name.kind === 'checkpoint-head') heads.push(info);
      else parts.push(info);
    }
    // Heads first: a checkpoint with a head is whole.
    await this.#delete(heads, signal);
    await this.#delete(parts, signal);
    return kept;
  }

  async #references(states: readonly ClusterState[], signal: AbortSignal | undefined) {
    const { names, logger } = this.#dependencies;
    const references = new KeySet();
    /** Of which something is still referred to, or that are named by keys that are not of the past. */
    const incarnations = new Set<string>();
    const alreadyRead = new Set<string>();
    const lost: LostList[] = [];
    const onLost = (list: LostList) => {
      lost.push(list);
      logger.error({ object: list.objectKey, key: list.key }, 'an object that lists others is lost; these are kept');
    };
    for (const state of states) {
      for await (const { objectKey, key } of referencesOf(this.#dependencies, state, { alreadyRead, onLost })) {
        signal?.throwIfAborted();
        references.add(objectKey);
        incarnations.add(names.parse(objectKey)?.incarnation ?? '');
        incarnations.add(placeOf(key).incarnation);
      }
      for await (const { record } of partitionsOf(state)) incarnations.add(record.owner);
    }
    return { references, incarnations, lost };
  }

  async #judgeObjects(search: Search, revision: number, signal: AbortSignal | undefined): Promise<void> {
    const { names, objectStore, logger, settings } = this.#dependencies;
    let ripe: ObjectInfo[] = [];
    const toMark: ObjectKey[] = [];
    for await (const info of objectStore.list(names.prefix, signal)) {
      signal?.throwIfAborted();
      if (names.parseCluster(info.key) !== undefined || names.isHealthProbe(info.key)) continue;
      if (search.judge(info) !== 'garbage') continue;
      const isRipe = this.#marks.isRipe(info.key);
      if (settings.dryRun) {
        logger.info({ object: info.key, bytes: info.sizeBytes }, 'garbage; not deleted, since this is a dry run');
      } else if (isRipe === true) ripe.push(info);
      else if (isRipe === undefined && toMark.length < maxMarksPerSearch) toMark.push(info.key);
      if (ripe.length < objectsPerDelete) continue;
      await this.#delete(ripe, signal, search);
      ripe = [];
    }
    await this.#delete(ripe, signal, search);
    if (toMark.length === 0) return;
    this.#checkController(signal);
    await this.#marks.mark(revision, { objectKeys: toMark });
    search.marked = toMark.length;
  }

  async #delete(objects: readonly ObjectInfo[], signal: AbortSignal | undefined, search?: Search): Promise<void> {
    const { clock, lane, objectStore, settings, logger } = this.#dependencies;
    for (let start = 0; start < objects.length; start += objectsPerDelete) {
      const batch = objects.slice(start, start + objectsPerDelete);
      const keys = batch.map(({ key }) => key);
      this.#checkController(signal);
      // Applies only while this session lives on a store that has not gone back.
      await lane.commit({ operations: [] });
      await objectStore.delete(keys, signal);
      logger.info({ objects: keys.length, first: keys[0], last: keys.at(-1) }, 'deleted garbage');
      for (const { sizeBytes } of batch) search?.deleted(sizeBytes);
      await clock.sleep((keys.length / settings.deletesPerSecond) * 1_000, signal);
    }
  }

  /** Lanes of incarnations of which nothing is left, a day after that was first seen. */
  async #removeLanes(search: Search, live: OriginProof, revision: number): Promise<void> {
    const gone = [...live.incarnations].filter((one) => !live.hasSession(one) && !search.hasTraceOf(one));
    const unmarked = gone.filter((one) => this.#marks.isLaneRipe(one) === undefined);
    if (unmarked.length > 0) await this.#marks.mark(revision, { incarnations: unmarked });
    const ripe = gone.filter((one) => this.#marks.isLaneRipe(one) === true);
    for (let start = 0; start < ripe.length; start += lanesPerCommit) {
      const batch = ripe.slice(start, start + lanesPerCommit);
      const compare = batch.map((one): Compare => {
        return { key: metadataKeys.session(one), target: 'createRevision', operator: '=', operand: 0 };
      });
      const operations = batch.map((one): Operation => {
        return { type: 'delete', ...prefixRange(`${metadataPrefixes.lanes}${one}/`) };
      });
      this.#checkController(undefined);
      await this.#dependencies.lane.commit({ compare, operations });
    }
    await this.#marks.removeRipeLanes();
  }

  /**
   * A tombstone goes once no object can hold a record of its topic: all shared objects are younger than the deletion, and none of
   * the topic's own is left from before it. Records of partitions below a tombstone are left over from a restore that did not finish.
   */
  async #removeTombstones(search: Search, tombstones: Awaited<ReturnType<typeof tombstonesOf>>): Promise<void> {
    const { clock, lane } = this.#dependencies;
    for (const [topicId, { name, deletedMs }] of tombstones) {
      const diedMs = Number(deletedMs);
      if (clock.wallMs() - diedMs < tombstoneGraceMs) continue;
      const key = metadataKeys.tombstone(topicId);
      const compare: Compare[] = [{ key, target: 'createRevision', operator: '!=', operand: 0 }];
      const records = prefixRange(metadataPrefixes.partitionsOf(topicId));
      if (await anyKey(this.#dependencies, metadataPrefixes.partitionsOf(topicId)))
        await lane.commit({ compare, operations: [{ type: 'delete', ...records }] });
      else if (!search.mayHoldRecordsOf(name, diedMs + clockSlackMs)) {
        await lane.commit({ compare, operations: [{ type: 'delete', key }] });
      }
    }
  }

  #checkController(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (!this.#dependencies.isController()) throw new SearchStopped('another broker is the controller');
  }
}

const checkpointName = ({
  generation,
  revision,
  incarnation,
  unique,
}: Omit<FoundCheckpoint, 'headKey' | 'modifiedMs'>) => `${generation}.${revision}.${incarnation}.${unique}`;

const isBefore = (one: { readonly generation: number; readonly revision: number }, other: FoundCheckpoint): boolean =>
  one.generation < other.generation || (one.generation === other.generation && one.revision < other.revision);

/** What one search has seen. */
class Search {
  readonly #evidence: GarbageEvidence;
  readonly #incarnations: Set<string>;
  readonly #objects: Record<Verdict, number> = { unknown: 0, open: 0, referenced: 0, young: 0, garbage: 0 };
  readonly #bytes: Record<Verdict, number> = { unknown: 0, open: 0, referenced: 0, young: 0, garbage: 0 };
  readonly #unknownExamples: ObjectKey[] = [];
  #oldestSharedMs = Infinity;
  /** By topic name, of segments and their indexes. */
  readonly #oldestSegmentMs = new Map<string, number>();
  #deletedObjects = 0;
  #deletedBytes = 0;
  marked = 0;

  constructor(evidence: GarbageEvidence, incarnations: Set<string>) {
    this.#evidence = evidence;
    this.#incarnations = incarnations;
  }

  judge(info: ObjectInfo): Verdict {
    const { verdict, name } = judge(info, this.#evidence);
    this.#objects[verdict] += 1;
    this.#bytes[verdict] += info.sizeBytes;
    if (verdict === 'unknown' && this.#unknownExamples.length < maxExamples) this.#unknownExamples.push(info.key);
    if (name === undefined) return verdict;
    this.#incarnations.add(name.incarnation);
    if (name.kind === 'flush' || name.kind === 'merged') {
      this.#oldestSharedMs = Math.min(this.#oldestSharedMs, info.modifiedMs);
    }
    if ('topicName' in name) {
      const oldest = this.#oldestSegmentMs.get(name.topicName) ?? Infinity;
      this.#oldestSegmentMs.set(name.topicName, Math.min(oldest, info.modifiedMs));
    }
    return verdict;
  }

  deleted(sizeBytes: number): void {
    this.#deletedObjects += 1;
    this.#deletedBytes += sizeBytes;
  }

  /** Whether the incarnation has an object, or something names it. */
  hasTraceOf(incarnation: string): boolean {
    return this.#incarnations.has(incarnation);
  }

  /** Whether an object from before `timeMs` is left that is shared, or of a topic with that name. */
  mayHoldRecordsOf(topicName: string, timeMs: number): boolean {
    return Math.min(this.#oldestSharedMs, this.#oldestSegmentMs.get(topicName) ?? Infinity) <= timeMs;
  }

  report(): GarbageReport {
    return {
      objects: this.#objects,
      bytes: this.#bytes,
      deletedObjects: this.#deletedObjects,
      deletedBytes: this.#deletedBytes,
      markedObjects: this.marked,
      unknownExamples: this.#unknownExamples,
    };
  }
}
