/**
 * Reads everything that the cluster ever committed and still has, and accounts for every object in its bucket. It changes nothing, and
 * runs beside living brokers: what they change meanwhile is looked at again before it is called a finding.
 */
import {
  decodeFlushFooter,
  decodeFlushTrailer,
  decodeProducerSnapshot,
  decodeSegmentFooter,
  decodeSegmentHeader,
  flushTrailerBytes,
  SegmentIndex,
  type metadata,
  segmentFooterBytes,
  segmentHeaderBytes,
} from '@kafscale/protocol';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { indexOfSegment, type ObjectNames } from '../../storage/object-names.ts';
import type { ObjectKey } from '../../storage/object-store.ts';
import { listCheckpoints, openCheckpoint } from '../checkpoint-reader.ts';
import { liveState, segmentsOf } from '../cluster-state.ts';
import { KeySet } from '../key-set.ts';
import { OriginProof } from '../origin-proof.ts';
import { referencesOf } from '../references.ts';
import { readObject, readSlice, type StoreAccess } from '../store-access.ts';
import { checkRun, findingOf, type CheckedRun } from './check-run.ts';
import { readClusterLogs, tiled, type ClusterLog, type ClusterLogs, type DescribedManifest } from './cluster-logs.ts';
import { Findings, type Finding } from './findings.ts';
import { ObjectReader } from './object-reader.ts';

export interface VerifyOptions {
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
  /** Told now and then how far it has come. */
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  readonly step: 'metadata' | 'flushes' | 'segments' | 'objects';
  readonly done: number;
  /** 0 while it is not known. */
  readonly total: number;
  readonly bytesRead: number;
}

export interface VerifyReport {
  readonly revision: number;
  readonly topics: number;
  readonly partitions: number;
  readonly extents: number;
  readonly segments: number;
  readonly batches: number;
  readonly records: number;
  readonly bytesRead: number;
  readonly objects: ObjectAccount;
  /** A few of the objects that garbage collection will delete. */
  readonly garbageExamples: readonly ObjectKey[];
  readonly findings: readonly Finding[];
  /** May be more than are kept. */
  readonly findingCount: number;
}

/** Every object of the bucket is one of these. */
export interface ObjectAccount {
  referenced: number;
  /** Identity, checkpoints and probes of the cluster itself. */
  cluster: number;
  /** Its maker lives and may refer to it yet. */
  open: number;
  /** Nothing refers to it; garbage collection deletes it once it is old enough. */
  garbage: number;
  unknown: number;
}

export interface VerifyDependencies extends StoreAccess {
  readonly names: ObjectNames;
}

const maxExamples = 1_000;
const maxAttempts = 5;
const progressEvery = 64;
/** No flush object is larger. */
const maxTailBytes = 512 * 2 ** 20;

/** Throws MetadataError and StorageError when the stores do not answer. */
export function verifyCluster(dependencies: VerifyDependencies, options: VerifyOptions = {}): Promise<VerifyReport> {
  return new Verifier(dependencies, options).run();
}

class Verifier {
  readonly #dependencies: VerifyDependencies;
  readonly #options: VerifyOptions;
  readonly #findings = new Findings();
  readonly #reader: ObjectReader;
  readonly #account: ObjectAccount = { referenced: 0, cluster: 0, open: 0, garbage: 0, unknown: 0 };
  readonly #garbageExamples: ObjectKey[] = [];
  #extents = 0;
  #segments = 0;
  #batches = 0;
  #records = 0;

  constructor(dependencies: VerifyDependencies, options: VerifyOptions) {
    this.#dependencies = dependencies;
    this.#options = options;
    this.#reader = new ObjectReader(dependencies, options);
  }

  async run(): Promise<VerifyReport> {
    this.#progress('metadata', 0, 0);
    const { cluster, manifests } = await this.#readLogs();
    for (const log of cluster.logs.values()) this.#checkLog(log, cluster);
    await this.#checkFlushes(manifests, cluster);
    await this.#checkSegments(cluster);
    await this.#checkCheckpoint();
    await this.#accountForObjects(cluster);
    await this.#lookAgain();
    return {
      revision: cluster.state.revision,
      topics: cluster.topics.size,
      partitions: cluster.logs.size,
      extents: this.#extents,
      segments: this.#segments,
      batches: this.#batches,
      records: this.#records,
      bytesRead: this.#reader.bytesRead,
      objects: this.#account,
      garbageExamples: this.#garbageExamples,
      findings: this.#findings.kept,
      findingCount: this.#findings.count,
    };
  }

  /** Begins again when the store's history was compacted on the way. */
  async #readLogs() {
    for (let attempt = 1; ; attempt += 1) {
      const manifests = new Map<ObjectKey, DescribedManifest[]>();
      const unreadable: Finding[] = [];
      try {
        const cluster = await readClusterLogs(this.#dependencies, {
          onManifest: (manifest) => {
            const { objectKey } = manifest.manifest;
            manifests.set(objectKey, [...(manifests.get(objectKey) ?? []), manifest]);
          },
          onUnreadable: (objectKey, error) => {
            unreadable.push(findingOf(error, objectKey));
            return undefined;
          },
        });
        for (const finding of unreadable) this.#findings.add(finding);
        return { cluster, manifests };
      } catch (error) {
        if (!isCompacted(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  #checkLog(log: ClusterLog, { topics, tombstones }: ClusterLogs): void {
    const { topic, topicId, partition } = log;
    if (tombstones.has(topicId)) return;
    if (!topics.has(topicId)) {
      const detail = `partition ${partition} of topic id ${topicId} has a record, but no topic and no tombstone`;
      this.#findings.add({ kind: 'broken-metadata', topic, partition, detail });
    }
    const { fault } = tiled(log);
    if (fault !== undefined) this.#findings.add({ kind: 'broken-log', topic, partition, detail: fault });
  }

  async #checkFlushes(manifests: ReadonlyMap<ObjectKey, readonly DescribedManifest[]>, cluster: ClusterLogs) {
    let done = 0;
    for (const [objectKey, described] of manifests) {
      for (const manifest of described) await this.#checkFlush(objectKey, manifest, cluster);
      done += 1;
      if (done % progressEvery === 0) this.#progress('flushes', done, manifests.size);
    }
    this.#progress('flushes', done, manifests.size);
  }

  async #checkFlush(objectKey: ObjectKey, { description }: DescribedManifest, cluster: ClusterLogs): Promise<void> {
    try {
      await this.#checkFooter(objectKey, description);
    } catch (error) {
      this.#findings.add(findingOf(error, objectKey));
      if (error instanceof Error && 'kind' in error && error.kind === 'not-found') return;
    }
    for (const { topicId, name, extents } of description.topics) {
      const id = topicId.toString('base64url');
      for (const stored of extents) {
        const log = cluster.logs.get(`${id}/${stored.partition}`);
        if (log === undefined) {
          if (!cluster.tombstones.has(id)) this.#reportLost(objectKey, name, stored.partition);
          continue;
        }
        const { foldedOffset, logStartOffset } = log.record;
        if (stored.nextOffset <= foldedOffset || stored.nextOffset <= logStartOffset) continue;
        await this.#checkExtent(objectKey, log, stored);
      }
    }
  }

  #reportLost(object: ObjectKey, topic: string, partition: number): void {
    const detail = 'its manifest holds records of a partition that has no record, and the topic no tombstone';
    this.#findings.add({ kind: 'broken-metadata', object, topic, partition, detail });
  }

  async #checkExtent(object: ObjectKey, { topic, partition }: ClusterLog, extent: metadata.FlushExtent): Promise<void> {
    this.#extents += 1;
    const { leaderEpoch, length } = extent;
    const run = {
      object,
      topic,
      partition,
      position: Number(extent.position),
      length,
      baseOffset: Number(extent.baseOffset),
      nextOffset: Number(extent.nextOffset),
      leaderEpoch,
    };
    this.#count(await checkRun(run, this.#reader, (finding) => this.#findings.add(finding)));
  }

  /** The footer has to say what the manifest says; a shelf leaves out extents that were dead. */
  async #checkFooter(objectKey: ObjectKey, description: metadata.FlushDescription): Promise<void> {
    const footer = await this.#footerOf(objectKey, description);
    const inFooter = new Set(extentTexts(footer));
    const differs =
      footer.clusterId !== description.clusterId ||
      footer.incarnation !== description.incarnation ||
      footer.sequence !== description.sequence ||
      extentTexts(description).some((text) => !inFooter.has(text));
    if (!differs) return;
    this.#findings.add({
      kind: 'damaged',
      object: objectKey,
      detail: 'the footer says something else than the manifest',
    });
  }

  /** The manifest does not tell the object's size: what lies behind its last extent ends with the trailer. */
  async #footerOf(objectKey: ObjectKey, { topics }: metadata.FlushDescription): Promise<metadata.FlushDescription> {
    const last = Math.max(0, ...topics.flatMap(({ extents }) => extents.map(endOf)));
    const tail = await this.#reader.readOnce(objectKey, last, last + maxTailBytes);
    const size = last + tail.length;
    const { position, length, crc32c } = decodeFlushTrailer(tail.subarray(-flushTrailerBytes), size);
    const isInTail = position >= last;
    const footer = isInTail
      ? tail.subarray(position - last, position - last + length)
      : await this.#reader.readOnce(objectKey, position, position + length);
    return decodeFlushFooter(footer, crc32c);
  }

  async #checkSegments({ logs }: ClusterLogs): Promise<void> {
    let done = 0;
    for (const log of logs.values()) {
      done += 1;
      const { topic, partition, record } = log;
      if (done % progressEvery === 0) this.#progress('segments', done, logs.size);
      if (record.segments.length === 0 && record.chunks.length === 0 && record.producerSnapshot === undefined) continue;
      try {
        for await (const segment of segmentsOf(this.#dependencies, record)) await this.#checkSegment(log, segment);
      } catch (error) {
        this.#findings.add({ ...findingOf(error, record.chunks[0]?.list?.objectKey ?? ''), topic, partition });
      }
      await this.#checkSnapshot(log);
    }
    this.#progress('segments', done, logs.size);
  }

  async #checkSnapshot({ topic, partition, record }: ClusterLog): Promise<void> {
    const { producerSnapshot: slice } = record;
    if (slice === undefined) return;
    try {
      decodeProducerSnapshot(await readSlice(this.#dependencies, slice), slice);
    } catch (error) {
      this.#findings.add({ ...findingOf(error, slice.objectKey), topic, partition });
    }
  }

  async #checkSegment({ topic, partition }: ClusterLog, segment: metadata.Segment): Promise<void> {
    this.#segments += 1;
    const { objectKey: object, leaderEpoch } = segment;
    const run = {
      object,
      topic,
      partition,
      position: Number(segment.position),
      length: Number(segment.length),
      baseOffset: Number(segment.baseOffset),
      nextOffset: Number(segment.nextOffset),
      leaderEpoch,
    };
    const checked = await checkRun(run, this.#reader, (finding) => this.#findings.add(finding));
    this.#count(checked);
    const index = indexOfSegment(object);
    if (checked === undefined || index === undefined) return;
    const add = (finding: Finding) => this.#findings.add({ ...finding, topic, partition });
    const end = run.position + run.length;
    try {
      const header = decodeSegmentHeader(await this.#reader.read(object, 0, segmentHeaderBytes));
      const footer = decodeSegmentFooter(await this.#reader.read(object, end, end + segmentFooterBytes));
      const isSame =
        header.baseOffset === run.baseOffset &&
        header.messageCount === checked.recordCount &&
        footer.lastOffset === run.nextOffset - 1 &&
        footer.crc32c === checked.crc32c;
      if (!isSame) add({ kind: 'damaged', object, detail: 'header and footer say something else than the batches' });
    } catch (error) {
      add(findingOf(error, object));
    }
    try {
      const entries = new SegmentIndex(await readObject(this.#dependencies, index)).entries();
      for (const { baseOffset, position } of entries) {
        const first = await this.#reader.read(object, position, position + 8);
        if (first.length === 8 && Number(first.readBigInt64BE()) === baseOffset) continue;
        add({ kind: 'damaged', object: index, detail: `no batch of offset ${baseOffset} lies at byte ${position}` });
        break;
      }
    } catch (error) {
      add(findingOf(error, index));
    }
  }

  /** The newest checkpoint has to be readable: a rebuild begins with it. */
  async #checkCheckpoint(): Promise<void> {
    const newest = (await listCheckpoints(this.#dependencies, this.#dependencies.names)).at(-1);
    if (newest === undefined) return;
    try {
      const checkpoint = await openCheckpoint(this.#dependencies, newest.headKey);
      for (const part of checkpoint.head.parts) await readSlice(this.#dependencies, part);
    } catch (error) {
      this.#findings.add(findingOf(error, newest.headKey));
    }
  }

  async #accountForObjects({ state }: ClusterLogs): Promise<void> {
    const { names, objectStore } = this.#dependencies;
    const { signal } = this.#options;
    const { references, proof } = await this.#evidence(state);
    let done = 0;
    for await (const { key } of objectStore.list(names.prefix, signal)) {
      signal?.throwIfAborted();
      done += 1;
      if (done % (progressEvery * 16) === 0) this.#progress('objects', done, 0);
      const name = names.parse(key);
      if (names.parseCluster(key) !== undefined || names.isHealthProbe(key)) this.#account.cluster += 1;
      else if (references.has(key)) this.#account.referenced += 1;
      else {
        const settlement = name === undefined ? 'foreign' : proof.settlementOf(name);
        if (settlement === 'foreign') this.#reportUnknown(key);
        else if (settlement === 'open') this.#account.open += 1;
        else {
          this.#account.garbage += 1;
          if (this.#garbageExamples.length < maxExamples) this.#garbageExamples.push(key);
        }
      }
    }
    this.#progress('objects', done, done);
  }

  #reportUnknown(object: ObjectKey): void {
    this.#account.unknown += 1;
    const detail = 'nothing refers to it, and no broker that this cluster knows made it; it is never deleted';
    this.#findings.add({ kind: 'unknown-object', object, detail });
  }

  /** Of a state that may be compacted away by now: then of the state as it is. */
  async #evidence(state: ClusterLogs['state']) {
    try {
      return await this.#evidenceOf(state);
    } catch (error) {
      if (!isCompacted(error)) throw error;
      return await this.#evidenceOf(await liveState(this.#dependencies));
    }
  }

  async #evidenceOf(state: ClusterLogs['state']) {
    const references = new KeySet();
    try {
      for await (const { objectKey } of referencesOf(this.#dependencies, state)) references.add(objectKey);
    } catch (error) {
      // What cannot be read was found before; what only it refers to is then called garbage or open, and deleted by nobody.
      const { detail } = findingOf(error, '');
      const already = this.#findings.kept.some(({ kind }) => kind === 'missing-object' || kind === 'damaged');
      if (!already) this.#findings.add({ kind: 'broken-metadata', detail: `references cannot be read: ${detail}` });
    }
    return { references, proof: await OriginProof.of(state) };
  }

  /** What was missing may have been folded away meanwhile, and what was unknown made by a broker that has just started. */
  async #lookAgain(): Promise<void> {
    const kinds = new Set(this.#findings.kept.map(({ kind }) => kind));
    if (!kinds.has('missing-object') && !kinds.has('unknown-object')) return;
    const { names } = this.#dependencies;
    const state = await liveState(this.#dependencies);
    const { references, proof } = await this.#evidenceOf(state);
    this.#findings.keepOnly(({ kind, object = '' }) => {
      if (kind === 'missing-object') return references.has(object);
      if (kind !== 'unknown-object') return true;
      const name = names.parse(object);
      const isKnown = references.has(object) || (name !== undefined && proof.settlementOf(name) !== 'foreign');
      if (isKnown) [this.#account.unknown, this.#account.open] = [this.#account.unknown - 1, this.#account.open + 1];
      return !isKnown;
    });
  }

  #count(checked: CheckedRun | undefined): void {
    this.#batches += checked?.batchCount ?? 0;
    this.#records += checked?.recordCount ?? 0;
  }

  #progress(step: VerifyProgress['step'], done: number, total: number): void {
    this.#options.onProgress?.({ step, done, total, bytesRead: this.#reader.bytesRead });
  }
}

const isCompacted = (error: unknown) => error instanceof MetadataError && error.kind === 'compacted';
const endOf = ({ position, length }: Pick<metadata.FlushExtent, 'position' | 'length'>) => Number(position) + length;

/** What has to be the same wherever the extent is described. */
function extentTexts({ topics }: metadata.FlushDescription): string[] {
  return topics.flatMap(({ topicId, extents }) =>
    extents.map((extent) => {
      const { partition, leaderEpoch, baseOffset, nextOffset, position, length } = extent;
      return [topicId.toString('hex'), partition, leaderEpoch, baseOffset, nextOffset, position, length].join(' ');
    }),
  );
}
