/**
 * Snapshots of etcd in the bucket: `etcd-snapshots/{cluster}/{time}-{random}/`, beside the namespaces of brokers, who never touch it.
 * A snapshot is parts of the file that `etcdctl snapshot save` would write, and a head that names them with their checksums; the head
 * is written last, so a snapshot is whole or does not exist. The parts one after another are the file.
 */
import { z } from 'zod';

export const snapshotsPrefix = 'etcd-snapshots';

const digest = z.string().regex(/^[0-9a-f]{64}$/);

const snapshotHead = z.object({
  format: z.literal(1),
  cluster: z.string(),
  takenMs: z.int().min(0),
  etcdVersion: z.string(),
  /** Newest revision that it holds at least. */
  revision: z.int().min(0),
  sizeBytes: z.int().min(1),
  /** Of the whole file. */
  sha256: digest,
  parts: z.array(z.object({ key: z.string().min(1), sizeBytes: z.int().min(1), sha256: digest })).min(1),
});

export type SnapshotHead = z.output<typeof snapshotHead>;

/** A snapshot cannot be taken, or is not what was stored, and what to do. */
export class SnapshotFault extends Error {
  override readonly name = 'SnapshotFault';
}

/** As much of an object store as snapshots take. Reads throw where there is nothing. */
export interface SnapshotStore {
  create(key: string, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void>;
  read(key: string, range?: { readonly start: number; readonly end: number }, signal?: AbortSignal): Promise<Buffer>;
  list(prefix: string, signal?: AbortSignal): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }>;
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>;
}

export const prefixOf = (cluster: string): string => `${snapshotsPrefix}/${cluster}/`;

/** Names in their order of time, whoever takes them. */
export function snapshotName(takenMs: number, random: string): string {
  const time = new Date(takenMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `${time}-${random}`;
}

export const headKey = (cluster: string, name: string): string => `${prefixOf(cluster)}${name}/snapshot.json`;

/** A part whose upload may have failed is tried again under another name. */
export const partKey = (cluster: string, name: string, part: number, attempt: number): string =>
  `${prefixOf(cluster)}${name}/${String(part).padStart(5, '0')}${attempt === 1 ? '' : `-${attempt}`}.part`;

export const encodeHead = (head: SnapshotHead): Buffer => Buffer.from(`${JSON.stringify(head, undefined, 2)}\n`);

/** Throws SnapshotFault. */
export function decodeHead(key: string, bytes: Uint8Array): SnapshotHead {
  try {
    return snapshotHead.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (error) {
    throw new SnapshotFault(`${key} is no snapshot's head: name the object called snapshot.json`, { cause: error });
  }
}

interface StoredSnapshot {
  readonly name: string;
  readonly takenMs: number;
  readonly keys: readonly string[];
  readonly hasHead: boolean;
}

const ownKey = /^(?<name>(?<time>\d{8}T\d{6}Z)-[0-9a-f]+)\/(?<file>snapshot\.json|\d{5}(-\d+)?\.part)$/;

/** Everything below the cluster's prefix that bears a name of ours, oldest first; what does not is nobody's business here. */
export async function listSnapshots(store: SnapshotStore, cluster: string): Promise<readonly StoredSnapshot[]> {
  const prefix = prefixOf(cluster);
  const found = new Map<string, { takenMs: number; keys: string[]; hasHead: boolean }>();
  for await (const { key } of store.list(prefix)) {
    const { name, time, file } = ownKey.exec(key.slice(prefix.length))?.groups ?? {};
    if (name === undefined || time === undefined) continue;
    const one = found.get(name) ?? { takenMs: parseTime(time), keys: [], hasHead: false };
    one.keys.push(key);
    one.hasHead ||= file === 'snapshot.json';
    found.set(name, one);
  }
  return [...found].map(([name, one]) => ({ name, ...one })).sort((left, right) => (left.name < right.name ? -1 : 1));
}

const parseTime = (time: string): number =>
  Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));

/** An upload that was cut off is left alone for so long: it may still be going on. */
const abandonedAfterMs = 24 * 3_600_000;

/**
 * Deletes whole snapshots but the newest `keep`, and what uploads left that were cut off a day before the newest whole one. A head goes
 * before its parts, so nothing looks whole that is not. Answers how many went.
 */
export async function deleteOldSnapshots(store: SnapshotStore, cluster: string, keep: number): Promise<number> {
  const all = await listSnapshots(store, cluster);
  const whole = all.filter(({ hasHead }) => hasHead);
  const newest = whole.at(-1);
  if (newest === undefined) return 0;
  const old = whole.slice(0, Math.max(0, whole.length - Math.max(1, keep)));
  const abandoned = all.filter(({ hasHead, takenMs }) => !hasHead && takenMs < newest.takenMs - abandonedAfterMs);
  for (const { keys } of [...old, ...abandoned]) {
    const isHead = (key: string): boolean => key.endsWith('/snapshot.json');
    await store.delete(keys.filter(isHead));
    await store.delete(keys.filter((key) => !isHead(key)));
  }
  return old.length;
}
