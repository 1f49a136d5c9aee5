/**
 * Keeps the manifests of this incarnation few: those that a fold has made dead go, and the others are put on shelves when there are many
 * or they have been there for a while; shelves with nothing alive go, small ones are put together. Needs no record and no owner, so
 * no idle topic, corrupt object or partition without leader can make metadata pile up.
 */
import { metadataPrefixes } from '@kafscale/protocol';
import { withDeadline, type Clock, type Logger } from '@kafscale/runtime';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { prefixEnd, type MetadataStore } from '../../metadata/metadata-store.ts';
import { maxKeysPerMove, type Shelver, type StoredManifest, type StoredShelf } from './shelver.ts';
import { tidyShelves } from './tidy-shelves.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

export interface ShelvingSettings {
  /** So many manifests are put on a shelf at once, whatever their age. */
  readonly maxManifests: number;
  /** Likewise so many bytes of them. */
  readonly maxBytes: number;
  /** How old manifests get before it is tried although they are fewer. */
  readonly maxAgeMs: number;
  /** Fewer than this are left as they are. */
  readonly minManifests: number;
  readonly intervalMs: number;
  /** So many small shelves become one. */
  readonly mergedShelves: number;
}

export const defaultShelvingSettings: ShelvingSettings = {
  maxManifests: 64,
  maxBytes: 2 * 2 ** 20,
  maxAgeMs: 30_000,
  minManifests: 8,
  intervalMs: 5_000,
  mergedShelves: 8,
};

export interface ShelvingDependencies {
  readonly shelver: Shelver;
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly incarnation: string;
  readonly callDeadlineMs: number;
  readonly settings: ShelvingSettings;
}

interface Pending {
  readonly stored: StoredManifest;
  readonly sizeBytes: number;
  readonly sinceMs: number;
}

const manifestsPerRead = 100;

export class Shelving {
  readonly #dependencies: ShelvingDependencies;
  readonly #loop: UpkeepLoop;
  /** Oldest first. */
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #shelves: readonly StoredShelf[] = [];
  #lookAgainMs = 0;
  #failedUntilMs = 0;

  constructor(dependencies: ShelvingDependencies) {
    this.#dependencies = dependencies;
    const { clock, logger, settings } = dependencies;
    this.#loop = new UpkeepLoop({
      clock,
      logger,
      intervalMs: settings.intervalMs,
      round: (signal) => this.#round(signal),
    });
  }

  /** Manifest keys of this incarnation. */
  get manifestCount(): number {
    return this.#pending.length;
  }

  /** Shelf keys of this incarnation. */
  get shelfCount(): number {
    return this.#shelves.length;
  }

  /** A commit put one more manifest. */
  add(stored: StoredManifest): void {
    const { clock, settings } = this.#dependencies;
    const sizeBytes = Math.max(stored.value.length, stored.footer?.length ?? 0);
    this.#pending.push({ stored, sizeBytes, sinceMs: clock.monotonicMs() });
    this.#pendingBytes += sizeBytes;
    const isFull = this.#pending.length >= settings.maxManifests || this.#pendingBytes >= settings.maxBytes;
    if (isFull && clock.monotonicMs() >= this.#failedUntilMs) this.#loop.wake();
  }

  /** A shelf that this incarnation put for others. */
  adopt(shelf: StoredShelf): void {
    this.#shelves = [...this.#shelves, shelf];
  }

  /** Looks now, not at the next interval. */
  wake(): void {
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { clock, shelver, settings } = this.#dependencies;
    try {
      while (!signal.aborted && this.#isDue()) await this.#shelveOldest();
      const known = this.#shelves;
      const tidied = await tidyShelves(known, shelver, signal, settings.mergedShelves);
      this.#shelves = [...tidied, ...this.#shelves.slice(known.length)]; // Some may have been adopted meanwhile.
    } catch (error) {
      this.#failedUntilMs = clock.monotonicMs() + settings.intervalMs;
      if (error instanceof MetadataError && error.kind === 'conflict') await this.#readAgain();
      throw error;
    }
  }

  #isFull(): boolean {
    const { maxManifests, maxBytes } = this.#dependencies.settings;
    return this.#pending.length >= maxManifests || this.#pendingBytes >= maxBytes;
  }

  #isDue(): boolean {
    const { clock, settings } = this.#dependencies;
    const [oldest] = this.#pending;
    if (oldest === undefined) return false;
    const nowMs = clock.monotonicMs();
    return this.#isFull() || (nowMs - oldest.sinceMs >= settings.maxAgeMs && nowMs >= this.#lookAgainMs);
  }

  async #shelveOldest(): Promise<void> {
    const { shelver, clock, incarnation, settings } = this.#dependencies;
    const isFull = this.#isFull();
    const chosen: Pending[] = [];
    let bytes = 0;
    for (const pending of this.#pending) {
      if (chosen.length === maxKeysPerMove || (chosen.length > 0 && bytes + pending.sizeBytes > settings.maxBytes))
        break;
      chosen.push(pending);
      bytes += pending.sizeBytes;
    }
    const { shelf, left } = await shelver.shelve(
      chosen.map(({ stored }) => stored),
      { writer: incarnation, atLeast: isFull ? 1 : settings.minManifests },
    );
    if (shelf !== undefined) this.#shelves = [...this.#shelves, shelf];
    const stays = new Set(left);
    this.#keep((pending, index) => index >= chosen.length || stays.has(pending.stored));
    if (!isFull) this.#lookAgainMs = clock.monotonicMs() + settings.maxAgeMs;
  }

  #keep(isKept: (pending: Pending, index: number) => boolean): void {
    this.#pending = this.#pending.filter(isKept);
    this.#pendingBytes = this.#pending.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** A key was not as this incarnation left it: what the store has is what counts. */
  async #readAgain(): Promise<void> {
    const { incarnation } = this.#dependencies;
    const known = this.#pending.length;
    const manifests = await this.#revisionsOf(metadataPrefixes.manifestsOf(incarnation));
    this.#keep(({ stored }, index) => index >= known || manifests.get(stored.key) === stored.modRevision);
    const shelves = await this.#revisionsOf(metadataPrefixes.shelvesOf(incarnation));
    this.#shelves = this.#shelves.filter(({ key, modRevision }) => shelves.get(key) === modRevision);
  }

  async #revisionsOf(prefix: string): Promise<ReadonlyMap<string, number>> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    const end = prefixEnd(prefix);
    const revisions = new Map<string, number>();
    for (let from = prefix; ;) {
      const request = { key: from, end, limit: manifestsPerRead };
      const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
      for (const { key, modRevision } of items) revisions.set(key, modRevision);
      const last = items.at(-1);
      if (!more || last === undefined) return revisions;
      from = `${last.key}\0`;
    }
  }
}
