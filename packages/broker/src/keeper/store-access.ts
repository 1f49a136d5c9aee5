/** How the keeper's parts ask the two stores: every call with a deadline, ranges in pages, slices held against their checksum. */
import { crc32c, type metadata } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { KeyValue, MetadataStore, Revision } from '../metadata/metadata-store.ts';
import type { ByteRange, ObjectKey, ObjectStore } from '../storage/object-store.ts';
import { StorageError } from '../storage/storage-error.ts';

export interface StoreAccess {
  readonly metadataStore: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  /** How long one call of the metadata store may take. */
  readonly callDeadlineMs: number;
}

const pageKeys = 200;
const objectDeadlineMs = 60_000;

/** The store's revision by a linearizable read, and the key's value at it. Throws MetadataError. */
export async function readKey(
  { metadataStore, clock, callDeadlineMs }: StoreAccess,
  key: string,
): Promise<{ readonly revision: Revision; readonly item: KeyValue | undefined }> {
  const { revision, items } = await withDeadline(clock, callDeadlineMs, (signal) =>
    metadataStore.range({ key }, signal),
  );
  return { revision, item: items[0] };
}

/** Whether any key starts with `prefix` now. Throws MetadataError. */
export async function anyKey({ metadataStore, clock, callDeadlineMs }: StoreAccess, prefix: string): Promise<boolean> {
  const range = { ...prefixRange(prefix), limit: 1 };
  const { items } = await withDeadline(clock, callDeadlineMs, (signal) => metadataStore.range(range, signal));
  return items.length > 0;
}

/** All keys that start with `prefix` ('' for every key) as of `revision`, a page at a time. Throws MetadataError. */
export async function* keysAt(
  { metadataStore, clock, callDeadlineMs }: StoreAccess,
  prefix: string,
  revision: Revision,
): AsyncGenerator<KeyValue, void, undefined> {
  const { key: first, end } = prefixRange(prefix);
  let key = first;
  for (;;) {
    const request = { key, end, revision, limit: pageKeys };
    const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => metadataStore.range(request, signal));
    yield* items;
    const last = items.at(-1);
    if (!more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

/** Keys begin with a letter, so these bounds hold all of them. */
export const prefixRange = (prefix: string): { readonly key: string; readonly end: string } =>
  prefix === '' ? { key: '!', end: '~' } : { key: prefix, end: `${prefix.slice(0, -1)}${next(prefix)}` };

const next = (prefix: string) => String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);

/** Throws StorageError. */
export function readObject({ objectStore, clock }: StoreAccess, key: ObjectKey, range?: ByteRange): Promise<Buffer> {
  return withDeadline(clock, objectDeadlineMs, (signal) => objectStore.read(key, range, signal));
}

/** Throws StorageError, `corrupt` for bytes that the checksum was not made from. */
export async function readSlice(access: StoreAccess, slice: metadata.ObjectSlice): Promise<Buffer> {
  const start = Number(slice.position);
  const bytes = await readObject(access, slice.objectKey, { start, end: start + slice.length });
  if (bytes.length !== slice.length || crc32c(bytes) !== slice.crc32c) {
    throw new StorageError('corrupt', `object ${slice.objectKey} does not hold what was stored at ${start}`);
  }
  return bytes;
}

/** Throws StorageError. */
export function createObject({ objectStore, clock }: StoreAccess, key: ObjectKey, body: readonly Uint8Array[]) {
  return withDeadline(clock, objectDeadlineMs, (signal) => objectStore.create(key, body, signal));
}
