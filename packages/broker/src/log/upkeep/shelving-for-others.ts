/**
 * What the controller does for incarnations whose session is gone, and who therefore cannot keep their manifests and shelves few
 * themselves: the same moves, of keys that nobody adds to any more. Who has such keys had a session once, so one that is not there is
 * gone for ever; and each move compares what it removes.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { withDeadline, type Clock, type Logger } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import {
  prefixEnd,
  type KeyValue,
  type MetadataStore,
  type RangeRequest,
  type RangeResult,
} from '../../metadata/metadata-store.ts';
import { maxKeysPerMove, type Shelver, type StoredManifest, type StoredShelf } from './shelver.ts';
import { isLost } from './stored-manifests.ts';
import { tidyShelves } from './tidy-shelves.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

export interface ShelvingForOthersDependencies {
  readonly shelver: Shelver;
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly incarnation: string;
  /** Asked before each round, and between its moves. */
  readonly isController: () => boolean;
  /** A shelf was put under this incarnation, which looks after it from now on. */
  readonly adopt: (shelf: StoredShelf) => void;
  readonly callDeadlineMs: number;
  readonly intervalMs: number;
}

/** Fewer manifests of all the dead than this are left as they are, unless they are dead themselves. */
const minManifests = 16;
const maxBytesPerMove = 2 * 2 ** 20;
/** Shelves whose contents are looked at for the first time in one round. */
const maxOpenedPerRound = 64;
const lookAgainMs = 600_000;

/** What a manifest describes, be it in its key or in a footer. */
function describedBytes(value: Uint8Array): number {
  const { body } = metadata.FlushManifest.decode(value);
  return body?.$case === 'footer' ? body.value.length : value.length;
}

export class ShelvingForOthers {
  readonly #dependencies: ShelvingForOthersDependencies;
  readonly #loop: UpkeepLoop;
  /** What lies on shelves of the dead, by key. */
  #known = new Map<string, StoredShelf>();
  /** Shelves that could not be read, and when. */
  readonly #lost = new Map<string, number>();
  /** Incarnations that were found without a session. */
  readonly #dead = new Set<string>();

  constructor(dependencies: ShelvingForOthersDependencies) {
    this.#dependencies = dependencies;
    const { clock, logger, intervalMs } = dependencies;
    this.#loop = new UpkeepLoop({ clock, logger, intervalMs, round: (signal) => this.#round(signal) });
  }

  /** Looks now, not at the next interval. */
  wake(): void {
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { isController } = this.#dependencies;
    if (!isController()) {
      this.#known.clear();
      return;
    }
    try {
      await this.#shelveManifests(signal);
      await this.#tidy(signal);
    } catch (error) {
      // Somebody else was faster, another controller perhaps; the next round reads anew.
      if (!(error instanceof MetadataError && error.kind === 'conflict')) throw error;
      this.#known.clear();
    }
  }

  async #shelveManifests(signal: AbortSignal): Promise<void> {
    const { shelver, adopt, isController } = this.#dependencies;
    let batch: StoredManifest[] = [];
    let bytes = 0;
    /** Looked at and left: they are too few. */
    let left: readonly StoredManifest[] = [];
    const move = async () => {
      const result = await shelver.shelve([...left, ...batch], { writer: '', atLeast: minManifests });
      [left, batch, bytes] = [result.left, [], 0];
      if (result.shelf !== undefined) adopt(result.shelf);
    };
    for await (const entry of this.#entriesOfTheDead(metadataPrefixes.manifests)) {
      if (signal.aborted || !isController()) return;
      batch.push(entry);
      bytes += describedBytes(entry.value);
      if (left.length + batch.length >= maxKeysPerMove || bytes >= maxBytesPerMove) await move();
    }
    if (batch.length > 0) await move();
  }

  async #tidy(signal: AbortSignal): Promise<void> {
    const { shelver, adopt, logger, clock } = this.#dependencies;
    const known = new Map<string, StoredShelf>();
    let opened = 0;
    for await (const { key, modRevision, value } of this.#entriesOfTheDead(metadataPrefixes.shelves)) {
      const before = this.#known.get(key);
      if (before !== undefined) known.set(key, before);
      else if (opened < maxOpenedPerRound && !signal.aborted && this.#isDue(key)) {
        opened += 1;
        try {
          known.set(key, await shelver.open(key, modRevision, value));
          this.#lost.delete(key);
        } catch (error) {
          if (!isLost(error)) throw error;
          if (!this.#lost.has(key)) logger.error({ key, err: error }, 'a shelf cannot be read: run kafscale verify');
          this.#lost.set(key, clock.monotonicMs());
        }
      }
    }
    this.#known = known;
    const shelves = [...known.values()];
    for (const shelf of await tidyShelves(shelves, shelver, signal)) if (!known.has(shelf.key)) adopt(shelf);
  }

  /** What could not be read is tried again after a while, so that it keeps no others from being looked at. */
  #isDue(key: string): boolean {
    const failedMs = this.#lost.get(key);
    return failedMs === undefined || this.#dependencies.clock.monotonicMs() - failedMs >= lookAgainMs;
  }

  /** Of an incarnation that has manifests or shelves. */
  async #isDead(incarnation: string): Promise<boolean> {
    if (this.#dead.has(incarnation)) return true;
    const { items } = await this.#read({ key: metadataKeys.session(incarnation) });
    if (items.length > 0) return false;
    this.#dead.add(incarnation);
    return true;
  }

  /** The entries below `prefix` of incarnations that are dead; of each living one no more than its first is read. */
  async *#entriesOfTheDead(prefix: string): AsyncGenerator<KeyValue, void, undefined> {
    const end = prefixEnd(prefix);
    for (let key = prefix; ;) {
      const [first] = (await this.#read({ key, end, limit: 1 })).items;
      if (first === undefined) return;
      const [incarnation = ''] = first.key.slice(prefix.length).split('/');
      const endOfIncarnation = prefixEnd(`${prefix}${incarnation}/`);
      if (await this.#isDead(incarnation)) yield* this.#entries(first.key, endOfIncarnation);
      key = endOfIncarnation;
    }
  }

  async *#entries(from: string, end: string): AsyncGenerator<KeyValue, void, undefined> {
    for (let key = from; ;) {
      const { items, more } = await this.#read({ key, end, limit: maxKeysPerMove });
      yield* items;
      const last = items.at(-1);
      if (!more || last === undefined) return;
      key = `${last.key}\0`;
    }
  }

  #read(request: RangeRequest): Promise<RangeResult> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    return withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
  }
}
