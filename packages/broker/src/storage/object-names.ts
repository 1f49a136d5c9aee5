/**
 * The only maker of object keys. Every name is unique for ever: it holds the incarnation, a sequence of that incarnation, and a
 * random part, so that no retry, late write, paused compactor or recreated topic ever meets another's object. Names never depend on
 * offsets for being unique, and what is written often is spread over 256 prefixes, since stores limit the rate of each.
 *
 *   {namespace}/flush/{2 hex}/{incarnation}.{sequence, 16 digits}.{random}.wal      a flush
 *   {namespace}/merged/{2 hex}/{incarnation}.{sequence}.{random}.wal                small partitions' batches, put together
 *   {namespace}/shelf/{2 hex}/{incarnation}.{sequence}.{random}.shelf               manifests
 *   {namespace}/index/{2 hex}/{incarnation}.{sequence}.{random}.idx                 segment lists and producer snapshots
 *   {namespace}/{topic}/{partition}/segment-{base offset, 20 digits}-{incarnation}.{sequence}.{random}.kfs, and .index beside it
 *   {namespace}/cluster/identity/{generation, 10 digits}.{cluster id}                whose the bucket is
 *   {namespace}/cluster/checkpoints/{generation}.{revision, 16 digits}.{incarnation}.{random}/head, and part-00000 and so on beside it
 *
 * Flushes count in one sequence and everything else in another, as the lanes do by which they are published ('data', 'upkeep').
 */
import { createHash } from 'node:crypto';
import { isHealthProbeKey } from './health-probe-key.ts';
import { checkObjectKey } from './object-key.ts';
import type { ObjectKey } from './object-store.ts';

/** What an object of one of the flat folders is. */
export type ObjectKind = 'flush' | 'merged' | 'shelf' | 'index';

/** Who made an object, and as which. */
export interface ObjectOrigin {
  readonly incarnation: string;
  /** From 0; one more with each object of the sequence. */
  readonly sequence: number;
  /** At least 64 random bits, new for every attempt, as letters, digits, `_` and `-`. */
  readonly unique: string;
}

export interface SegmentPlace {
  readonly topicName: string;
  readonly partition: number;
  readonly baseOffset: number;
}

export type ObjectName =
  | ({ readonly kind: ObjectKind } & ObjectOrigin)
  | ({ readonly kind: 'segment' | 'segment-index' } & ObjectOrigin & SegmentPlace);

/** A bucket's owner, as the name of its identity object says it. */
export interface IdentityName {
  readonly kind: 'identity';
  readonly generation: number;
  readonly clusterId: string;
}

/** One checkpoint of the metadata store. */
export interface CheckpointId {
  readonly generation: number;
  readonly revision: number;
  readonly incarnation: string;
  /** As of ObjectOrigin. */
  readonly unique: string;
}

export type ClusterObjectName =
  | IdentityName
  | ({ readonly kind: 'checkpoint-head' } & CheckpointId)
  | ({ readonly kind: 'checkpoint-part'; readonly part: number } & CheckpointId);

const sequenceDigits = 16;
const generationDigits = 10;
const partDigits = 5;
const offsetDigits = 20;
const extensions: Readonly<Record<ObjectKind, string>> = { flush: 'wal', merged: 'wal', shelf: 'shelf', index: 'idx' };
const safeSegment = /^[A-Za-z0-9_-]{1,64}$/;
const namespacePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;
const topicPattern = /^[A-Za-z0-9._-]{1,249}$/;
const origin = String.raw`([A-Za-z0-9_-]{1,64})\.([0-9]{16})\.([A-Za-z0-9_-]{1,64})`;
const flatPattern = new RegExp(`^(flush|merged|shelf|index)/([0-9a-f]{2})/${origin}\\.(wal|shelf|idx)$`);
const segmentPattern = new RegExp(
  `^([A-Za-z0-9._-]{1,249})/(0|[1-9][0-9]{0,9})/segment-([0-9]{20})-${origin}\\.(kfs|index)$`,
);

const identityPattern = /^cluster\/identity\/([0-9]{10})\.([A-Za-z0-9_-]{1,64})$/;
const checkpointPattern =
  /^cluster\/checkpoints\/([0-9]{10})\.([0-9]{16})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\/(head|part-([0-9]{5}))$/;

export class ObjectNames {
  readonly #prefix: string;

  /** Throws RangeError for a namespace that is not one path segment of letters, digits, `.`, `_` and `-`. */
  constructor(namespace: string) {
    if (!namespacePattern.test(namespace)) throw new RangeError(`namespace ${JSON.stringify(namespace)} is not usable`);
    this.#prefix = `${namespace}/`;
  }

  /** What the keys of all objects of this namespace start with. */
  get prefix(): string {
    return this.#prefix;
  }

  /** What the keys of all objects of that kind start with. */
  prefixOf(kind: ObjectKind): string {
    return `${this.#prefix}${kind}/`;
  }

  /** Throws RangeError for parts that would not come back from `parse`. */
  flat(kind: ObjectKind, from: ObjectOrigin): ObjectKey {
    const text = originText(from);
    return checked(`${this.prefixOf(kind)}${spread(from)}/${text}.${extensions[kind]}`);
  }

  flush(from: ObjectOrigin): ObjectKey {
    return this.flat('flush', from);
  }

  /** The keys of a partition's segment and of its index. Throws RangeError for parts that would not come back from `parse`. */
  segment(
    { topicName, partition, baseOffset }: SegmentPlace,
    from: ObjectOrigin,
  ): { readonly segment: ObjectKey; readonly index: ObjectKey } {
    const valid = topicPattern.test(topicName) && isCount(partition) && isCount(baseOffset);
    if (!valid) throw new RangeError(`no segment lies at ${topicName} ${partition} ${baseOffset}`);
    const offset = baseOffset.toString().padStart(offsetDigits, '0');
    const stem = `${this.#prefix}${topicName}/${partition}/segment-${offset}-${originText(from)}`;
    return { segment: checked(`${stem}.kfs`), index: checked(`${stem}.index`) };
  }

  /** What the keys of the objects about the cluster itself start with. */
  get clusterPrefix(): string {
    return `${this.#prefix}cluster/`;
  }

  get identityPrefix(): string {
    return `${this.clusterPrefix}identity/`;
  }

  get checkpointPrefix(): string {
    return `${this.clusterPrefix}checkpoints/`;
  }

  identity({ generation, clusterId }: Omit<IdentityName, 'kind'>): ObjectKey {
    const name = `${fixedDigits(generation, generationDigits)}.${clusterId}`;
    if (!safeSegment.test(clusterId)) throw new RangeError(`no identity is called ${name}`);
    return checked(`${this.identityPrefix}${name}`);
  }

  checkpointHead(id: CheckpointId): ObjectKey {
    return checked(`${this.#checkpoint(id)}/head`);
  }

  checkpointPart(id: CheckpointId, part: number): ObjectKey {
    return checked(`${this.#checkpoint(id)}/part-${fixedDigits(part, partDigits)}`);
  }

  #checkpoint({ generation, revision, incarnation, unique }: CheckpointId): string {
    const name = `${fixedDigits(generation, generationDigits)}.${padded(revision)}.${incarnation}.${unique}`;
    const valid = safeSegment.test(incarnation) && safeSegment.test(unique) && isCount(revision);
    if (!valid) throw new RangeError(`no checkpoint is called ${name}`);
    return `${this.checkpointPrefix}${name}`;
  }

  /** What the key of an object about the cluster itself says; undefined for any other key. */
  parseCluster(key: ObjectKey): ClusterObjectName | undefined {
    if (!key.startsWith(this.clusterPrefix)) return undefined;
    const path = key.slice(this.#prefix.length);
    const [, ofGeneration, clusterId] = identityPattern.exec(path) ?? [];
    if (clusterId !== undefined) return { kind: 'identity', generation: Number(ofGeneration), clusterId };
    const [, generation, revision, incarnation, unique, file, part] = checkpointPattern.exec(path) ?? [];
    if (file === undefined || !isCount(Number(revision))) return undefined;
    const id: CheckpointId = {
      generation: Number(generation),
      revision: Number(revision),
      incarnation: incarnation!,
      unique: unique!,
    };
    return part === undefined
      ? { kind: 'checkpoint-head', ...id }
      : { kind: 'checkpoint-part', part: Number(part), ...id };
  }

  /** Whether it is one of the objects by which brokers try the store; whoever starts removes old ones. */
  isHealthProbe(key: ObjectKey): boolean {
    return isHealthProbeKey(this.#prefix.slice(0, -1), key);
  }

  /** What the key says; undefined for a key that is not of our making, and for one about the cluster itself. */
  parse(key: ObjectKey): ObjectName | undefined {
    if (!key.startsWith(this.#prefix)) return undefined;
    const path = key.slice(this.#prefix.length);
    return parseFlat(path) ?? parseSegment(path);
  }
}

/** The key of the index beside a segment; undefined for any other object. */
export function indexOfSegment(key: ObjectKey): ObjectKey | undefined {
  return key.endsWith('.kfs') ? `${key.slice(0, -'.kfs'.length)}.index` : undefined;
}

function parseFlat(path: string): ObjectName | undefined {
  const [, kind, folder, incarnation, sequence, unique, extension] = flatPattern.exec(path) ?? [];
  if (kind === undefined) return undefined;
  const from = originOf(incarnation!, sequence!, unique!);
  if (from === undefined || spread(from) !== folder || extensions[kind as ObjectKind] !== extension) return undefined;
  return { kind: kind as ObjectKind, ...from };
}

function parseSegment(path: string): ObjectName | undefined {
  const [, topicName, partition, offset, incarnation, sequence, unique, extension] = segmentPattern.exec(path) ?? [];
  if (topicName === undefined) return undefined;
  const from = originOf(incarnation!, sequence!, unique!);
  const baseOffset = Number(offset);
  if (from === undefined || !isCount(baseOffset)) return undefined;
  const kind = extension === 'kfs' ? 'segment' : 'segment-index';
  return { kind, ...from, topicName, partition: Number(partition), baseOffset };
}

function originOf(incarnation: string, digits: string, unique: string): ObjectOrigin | undefined {
  const sequence = Number(digits);
  return isCount(sequence) ? { incarnation, sequence, unique } : undefined;
}

function originText({ incarnation, sequence, unique }: ObjectOrigin): string {
  if (!safeSegment.test(incarnation) || !safeSegment.test(unique) || !isCount(sequence)) {
    throw new RangeError(`no object is called ${incarnation} ${sequence} ${unique}`);
  }
  return `${incarnation}.${padded(sequence)}.${unique}`;
}

function checked(key: ObjectKey): ObjectKey {
  checkObjectKey(key);
  return key;
}

const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;

function fixedDigits(value: number, digits: number): string {
  const text = value.toString().padStart(digits, '0');
  if (!isCount(value) || text.length > digits) throw new RangeError(`${value} has no ${digits} digits`);
  return text;
}

const padded = (sequence: number) => sequence.toString().padStart(sequenceDigits, '0');

/** The two digits that spread objects over prefixes; known from the name, so that one object can be looked for alone. */
function spread({ incarnation, sequence }: ObjectOrigin): string {
  return createHash('sha256')
    .update(`${incarnation}/${padded(sequence)}`)
    .digest('hex')
    .slice(0, 2);
}
