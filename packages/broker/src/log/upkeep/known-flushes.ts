/**
 * What a broker knows beforehand of all flushes of the cluster, so that opening a partition costs only what is new (COMMIT.md F20). It
 * keeps up with shelves, one object for many flushes, and with manifests that nobody shelves; the rest is read when partitions are about to
 * come. Nothing here is believed: what counts is which keys the store has at the revision of a takeover, and a key and the object it names never
 * change. Bounded: what does not fit is read anew each time.
 */
import {
  checkedFlushFooter,
  metadata,
  metadataPrefixes,
  scanManifest,
  scanShelf,
  type ScannedManifest,
} from '@kafscale/protocol';
import { mapConcurrently, withDeadline } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { prefixEnd, type KeyValue, type MetadataStore, type Revision } from '../../metadata/metadata-store.ts';
import { FlushIndex, type EncodedFlush, type IndexedFlush, type IndexedSource } from './flush-index.ts';
import { asStored, isLost, readSlice, type ReadingManifests } from './stored-manifests.ts';

export interface KnownFlushesDependencies extends ReadingManifests {
  readonly store: MetadataStore;
  /** Memory that all of it may take. */
  readonly budgetBytes: number;
}

/** A key without its value. */
export type StoredKey = Pick<KeyValue, 'key' | 'modRevision'>;

/** What the store had at one revision; good while `at` runs. */
export interface KnownView {
  /** What all keys that are known say of a partition, but extents that end at `above` or below. */
  read(
    topicId: string,
    partition: number,
    above: number,
    take: (flush: IndexedFlush, extent: metadata.FlushExtent) => void,
  ): void;
  /** To be called between pieces of work; lets others have their turn when there was much. */
  readonly pause: (bytes: number) => Promise<void>;
}

interface Learning {
  readonly turn?: () => Promise<void>;
  readonly onUnknown?: (kv: KeyValue) => void;
}

const keysPerRead = 5_000;
const valuesPerRead = 100;
const readsAtOnce = 32;
/** Of some megabytes each. */
const shelvesAtOnce = 4;
/** A longer value holds a description itself, and is scanned before more of them are read. */
const maxPointerBytes = 1_024;
/** Scanning so much takes about ten milliseconds. */
const bytesBetweenPauses = 512 * 1_024;
/** Manifests that are older by then are not going to be shelved soon. */
const settledAfterMs = 60_000;
/** Dead memory is given back when it is more than this, and than a third of all. */
const minDeadBytes = 4 * 2 ** 20;
const waitForViewsMs = 20;

export class KnownFlushes {
  readonly #dependencies: KnownFlushesDependencies;
  readonly #index = new FlushIndex();
  readonly #loading = new Map<string, Promise<void>>();
  #views = 0;
  #turn = Promise.resolve();
  #sincePause = 0;
  /** Revisions of earlier looks, oldest first. */
  #looks: { readonly revision: Revision; readonly atMs: number }[] = [];

  constructor(dependencies: KnownFlushesDependencies) {
    this.#dependencies = dependencies;
  }

  /** Memory that is taken. */
  get sizeBytes(): number {
    return this.#index.sizeBytes;
  }

  /**
   * Learns what is not known yet of the store at `revision`, tells `unknown` which keys it cannot keep, because they are too many or
   * cannot be read, and runs `use`. Throws MetadataError, StorageError, and what `use` throws.
   */
  async at<T>(revision: Revision, unknown: (kv: KeyValue) => void, use: (view: KnownView) => Promise<T>): Promise<T> {
    this.#views += 1;
    try {
      await Promise.allSettled(this.#loading.values());
      const keys = await this.#keysAt(revision);
      const unknownIds = new Set<string>();
      await this.#learn(keys, revision, {
        onUnknown: (kv) => {
          unknownIds.add(idOf(kv));
          unknown(kv);
        },
      });
      const present = new Set<IndexedSource>();
      for (const key of keys) {
        const source = this.#index.source(idOf(key));
        if (source !== undefined && !unknownIds.has(source.id)) present.add(source);
        else if (!unknownIds.has(idOf(key))) throw new Error(`${key.key} is neither known nor told to be unknown`);
      }
      const { removals } = this.#index;
      return await use({
        read: (topicId, partition, above, take) => {
          // Silently fewer extents could be a log with an end that is too low: acknowledged records would be written over.
          if (this.#index.removals !== removals)
            throw new Error('flushes were forgotten while a takeover rested on them');
          this.#index.read(topicId, partition, present, above, take);
        },
        pause: this.#pause,
      });
    } finally {
      this.#views -= 1;
    }
  }

  /**
   * Keeps up with the store as it is now: forgets what is gone, learns shelves and manifests that have been there for a while, or with
   * `everything` all of them. Throws MetadataError, StorageError.
   */
  async keepUp({ everything }: { readonly everything: boolean }): Promise<void> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    const { revision } = await withDeadline(clock, callDeadlineMs, (signal) =>
      store.range({ key: metadataPrefixes.manifests }, signal),
    );
    const keys = await this.#keysAt(revision);
    const settled = this.#settledRevision(revision);
    const wanted = everything ? keys : keys.filter((key) => isShelf(key) || key.modRevision <= settled);
    await this.#learn(wanted, revision, { turn: () => this.#untilNoView() });
    do await this.#untilNoView();
    while (this.#views > 0);
    // From here to the end of the turn nobody rests on what is removed.
    const present = new Set(keys.map(idOf));
    for (const id of [...this.#index.sourceIds]) if (!present.has(id) && !this.#loading.has(id)) this.#index.remove(id);
    const { deadBytes, sizeBytes } = this.#index;
    if (deadBytes > minDeadBytes && deadBytes > sizeBytes / 3) await this.#index.compact(this.#pause);
  }

  /** Forgets everything, unless it is being used. */
  clear(): void {
    if (this.#views === 0 && this.#loading.size === 0) this.#index.clear();
  }

  async #untilNoView(): Promise<void> {
    while (this.#views > 0) await this.#dependencies.clock.sleep(waitForViewsMs);
  }

  #settledRevision(revision: Revision): Revision {
    const nowMs = this.#dependencies.clock.monotonicMs();
    this.#looks.push({ revision, atMs: nowMs });
    const newest = this.#looks.findLastIndex(({ atMs }) => nowMs - atMs >= settledAfterMs);
    if (newest > 0) this.#looks = this.#looks.slice(newest);
    return newest < 0 ? 0 : this.#looks[0]!.revision;
  }

  /** Of manifests, then of shelves. */
  async #keysAt(revision: Revision): Promise<StoredKey[]> {
    const keys: StoredKey[] = [];
    for (const prefix of [metadataPrefixes.manifests, metadataPrefixes.shelves]) {
      const range = { key: prefix, end: prefixEnd(prefix), revision, keysOnly: true };
      for await (const items of pagesOf(range, keysPerRead, this.#dependencies)) keys.push(...items);
    }
    return keys;
  }

  /** `turn` is waited for before each key, `onUnknown` called for those that are not known when it resolves. */
  async #learn(keys: readonly StoredKey[], revision: Revision, { turn, onUnknown }: Learning): Promise<void> {
    const missing = keys.filter((key) => this.#index.source(idOf(key)) === undefined);
    if (missing.length === 0 || (this.#isFull && onUnknown === undefined)) return;
    const learn = async (kv: KeyValue) => {
      await turn?.();
      if (!this.#isFull) await this.#load(kv);
      if (this.#index.source(idOf(kv)) === undefined) onUnknown?.(kv);
    };
    // Behind all values: the metadata store does not keep a revision for as long as a slow bucket may take.
    const elsewhere: KeyValue[] = [];
    for await (const items of valuesOf(missing, revision, this.#dependencies)) {
      for (const kv of items) {
        if (kv.value.length > maxPointerBytes) await learn(kv);
        else elsewhere.push(kv);
      }
    }
    const inFooters = elsewhere.filter((kv) => !isShelf(kv));
    await mapConcurrently(elsewhere.filter(isShelf), shelvesAtOnce, learn);
    await mapConcurrently(inFooters, readsAtOnce, learn);
  }

  get #isFull(): boolean {
    return this.#index.sizeBytes >= this.#dependencies.budgetBytes;
  }

  /** Once for each key, which others may have done since it was found missing. What is lost stays unknown. */
  #load(kv: KeyValue): Promise<void> {
    const id = idOf(kv);
    if (this.#index.source(id) !== undefined) return Promise.resolve();
    const before = this.#loading.get(id);
    if (before !== undefined) return before;
    const load = async () => {
      try {
        await this.#index.add(id, await this.#flushesOf(kv), this.#pause);
      } catch (error) {
        if (!isLost(error) && !(error instanceof MetadataError && error.kind === 'corrupt')) throw error;
      } finally {
        this.#loading.delete(id);
      }
    };
    const loading = load();
    this.#loading.set(id, loading);
    loading.catch(() => undefined); // Whoever waits for it hears of it.
    return loading;
  }

  async #flushesOf({ key, value }: KeyValue): Promise<readonly EncodedFlush[]> {
    if (!isShelf({ key })) {
      return [await this.#encodedFlush(asStored(key, () => scanManifest(value)))];
    }
    const { shelf } = metadata.ShelfRecord.decode(value);
    if (shelf === undefined) throw new MetadataError('corrupt', `shelf ${key} lies nowhere`);
    const bytes = await readSlice(shelf, this.#dependencies);
    const manifests = asStored(shelf.objectKey, () => scanShelf(bytes, shelf));
    return Promise.all(manifests.map((manifest) => this.#encodedFlush(manifest)));
  }

  async #encodedFlush({ objectKey, description, footer }: ScannedManifest): Promise<EncodedFlush> {
    if (footer === undefined) return { objectKey, description };
    const bytes = await readSlice({ objectKey, ...footer }, this.#dependencies);
    return { objectKey, description: asStored(objectKey, () => checkedFlushFooter(bytes, footer.crc32c)) };
  }

  /** One after another, whoever waits: so what is done in one turn of the event loop stays small. */
  readonly #pause = (bytes: number): Promise<void> => {
    this.#turn = this.#turn.then(async () => {
      this.#sincePause += bytes;
      if (this.#sincePause < bytesBetweenPauses) return;
      this.#sincePause = 0;
      await this.#dependencies.clock.sleep(1);
    });
    return this.#turn;
  };
}

const isShelf = ({ key }: Pick<StoredKey, 'key'>) => key.startsWith(metadataPrefixes.shelves);
const idOf = ({ key, modRevision }: StoredKey) => `${key}@${modRevision}`;

type Reading = Pick<KnownFlushesDependencies, 'store' | 'clock' | 'callDeadlineMs'>;

/** Keys in ascending order with their values: each is read with its neighbours, and none between them. */
async function* valuesOf(
  keys: readonly StoredKey[],
  revision: Revision,
  reading: Reading,
): AsyncGenerator<readonly KeyValue[], void, undefined> {
  const wanted = new Set(keys.map(({ key }) => key));
  for (const [first, last] of runsOf(keys)) {
    for await (const items of pagesOf({ key: first, end: `${last}\0`, revision }, valuesPerRead, reading)) {
      yield items.filter(({ key }) => wanted.has(key));
    }
  }
}

const samePrefix = (left: string, right: string) =>
  left.slice(0, left.lastIndexOf('/')) === right.slice(0, right.lastIndexOf('/'));

/** First and last key of those that lie together: of one incarnation. */
function runsOf(keys: readonly StoredKey[]): [string, string][] {
  const runs: [string, string][] = [];
  for (const { key } of keys) {
    const run = runs.at(-1);
    if (run !== undefined && samePrefix(run[1], key)) run[1] = key;
    else runs.push([key, key]);
  }
  return runs;
}

export async function* pagesOf(
  range: { readonly key: string; readonly end: string; readonly revision: Revision; readonly keysOnly?: boolean },
  limit: number,
  { store, clock, callDeadlineMs }: Reading,
): AsyncGenerator<readonly KeyValue[], void, undefined> {
  for (let { key } = range; ;) {
    const request = { ...range, key, limit };
    const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
    yield items;
    const last = items.at(-1);
    if (!more || last === undefined) return;
    key = `${last.key}\0`;
  }
}
