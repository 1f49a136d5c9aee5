/**
 * How much history the store keeps. Watches and reads that take long rest on it, so it reaches back a few minutes as long as there is
 * room; where it begins to fill the store's quota it is cut shorter and sooner: who falls behind it reads again.
 */
import { metadataKeys } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { MetadataStore, Revision, StoreUsage } from '../metadata/metadata-store.ts';

export interface HistoryDependencies {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly callDeadlineMs: number;
  /** History reaches back this far, and no further than twice as far, while there is room. */
  readonly historyMs: number;
}

/** How often it is looked after. */
export const historyLookMs = 15_000;
/** Of the quota in use: from here on history is cut short. */
const crowdedShare = 0.35;
/** History reaches back this far in any case. */
const shortestHistoryMs = 60_000;
const shortLeaseMs = 5_000;
/** A look that is nearly due counts. */
const slackMs = 1_000;

interface Mark {
  readonly revision: Revision;
  readonly atMs: number;
}

export class History {
  readonly #dependencies: HistoryDependencies;
  /** Where the store was at each look, oldest first. */
  #marks: Mark[] = [];
  #compactedMs: number;

  constructor(dependencies: HistoryDependencies) {
    this.#dependencies = dependencies;
    this.#compactedMs = dependencies.clock.monotonicMs();
  }

  /** Compacts what is old enough. Throws MetadataError. */
  async look(): Promise<void> {
    const { store, clock, historyMs } = this.#dependencies;
    const { revision } = await this.#bounded((signal) => store.range({ key: metadataKeys.controller }, signal));
    const usage = await this.#bounded((signal) => store.usage(signal));
    const nowMs = clock.monotonicMs();
    this.#marks.push({ revision, atMs: nowMs });
    const keptMs = isCrowded(usage) ? Math.min(shortestHistoryMs, historyMs) : historyMs;
    const isDue = isCrowded(usage) || nowMs - this.#compactedMs >= historyMs - slackMs;
    const last = this.#marks.findLastIndex(({ atMs }) => nowMs - atMs >= keptMs - slackMs);
    if (!isDue || last < 0) return;
    const mark = this.#marks[last]!;
    this.#marks = this.#marks.slice(last + 1);
    this.#compactedMs = nowMs;
    await this.#bounded((signal) => store.compact(mark.revision, signal));
    if (isCrowded(usage)) await this.#touch();
  }

  /** etcd counts a page as free with the next write: where producers are held back for want of pages there may be none. */
  async #touch(): Promise<void> {
    const { store } = this.#dependencies;
    const lease = await this.#bounded((signal) => store.grantLease(shortLeaseMs, signal));
    await this.#bounded((signal) => store.revokeLease(lease, signal));
  }

  #bounded<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { clock, callDeadlineMs } = this.#dependencies;
    return withDeadline(clock, callDeadlineMs, work);
  }
}

const isCrowded = ({ inUseBytes, quotaBytes }: StoreUsage): boolean =>
  quotaBytes !== undefined && inUseBytes >= crowdedShare * quotaBytes;
