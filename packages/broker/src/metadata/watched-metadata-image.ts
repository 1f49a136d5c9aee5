/**
 * The image as a copy that follows the store: read whole at one revision, then kept by watches from the next one on. Watches are
 * hints, so it is read whole again after any of them broke, when somebody waits for a revision that they do not show, and once a
 * minute in any case.
 */
import { metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { setMaxListeners } from 'node:events';
import { ImageContents, topicIdOf } from './image-contents.ts';
import { MetadataError } from './metadata-error.ts';
import type {
  AssignmentImage,
  BrokerImage,
  ClusterImage,
  ImageChange,
  PartitionImage,
  TopicId,
  TopicImage,
} from './metadata-image.ts';
import { prefixEnd, type KeyRange, type MetadataStore, type Revision, type WatchEvent } from './metadata-store.ts';

export interface WatchedMetadataImageSettings {
  readonly store: MetadataStore;
  readonly clusterId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface Waiter {
  readonly revision: Revision;
  readonly resolve: () => void;
}

const wholePrefix = (prefix: string): KeyRange => ({ key: prefix, end: prefixEnd(prefix) });

const ranges: readonly KeyRange[] = [
  wholePrefix(metadataPrefixes.topics),
  wholePrefix(metadataPrefixes.partitions),
  wholePrefix(metadataPrefixes.assignments),
  wholePrefix(metadataPrefixes.brokers),
  { key: metadataKeys.controller },
];

const readAgainMs = 60_000;
/** How long the watches have to show a revision that somebody waits for. */
const waitForWatchMs = 50;
/** When to read once more for a revision that a whole read did not show either. */
const stillBehindMs = 1_000;
const retryBackoff = { baseMs: 100, maxMs: 5_000 };
const keysPerRead = 1_000;

export class WatchedMetadataImage implements ClusterImage {
  readonly clusterId: string;
  readonly #settings: WatchedMetadataImageSettings;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(change: ImageChange) => void>();
  readonly #waiters = new Set<Waiter>();
  #contents: ImageContents;
  /** Up to which revision each of `ranges` is known. */
  #known: Revision[] = ranges.map(() => 0);
  #endRound: (() => void) | undefined;
  #readingAgainSoon = false;
  #running: Promise<void> | undefined;

  private constructor(settings: WatchedMetadataImageSettings) {
    this.#settings = settings;
    this.clusterId = settings.clusterId;
    this.#contents = new ImageContents(settings.logger);
    setMaxListeners(0, this.#closing.signal); // as many as wait for a revision
  }

  /** Resolves with an image that has been read once; tries again until then. Rejects when `signal` aborts. */
  static async open(settings: WatchedMetadataImageSettings, signal?: AbortSignal): Promise<WatchedMetadataImage> {
    const image = new WatchedMetadataImage(settings);
    const abort = () => image.#closing.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      await image.#tryUntilDone(() => image.#read());
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    image.#running = image.#keepUp();
    return image;
  }

  get revision(): Revision {
    return Math.min(...this.#known);
  }

  topic(name: string): TopicImage | undefined {
    return this.#contents.topic(name);
  }

  topicById(topicId: TopicId): TopicImage | undefined {
    return this.#contents.topicById(topicId);
  }

  topics(): Iterable<TopicImage> {
    return this.#contents.topics();
  }

  partition(topicId: TopicId, partition: number): PartitionImage | undefined {
    return this.#contents.partition(topicId, partition);
  }

  brokers(): readonly BrokerImage[] {
    return this.#contents.brokers();
  }

  deletingTopics(): Iterable<TopicImage> {
    return this.#contents.deletingTopics();
  }

  assignment(topicId: TopicId): AssignmentImage | undefined {
    return this.#contents.assignment(topicId);
  }

  get controller(): string | undefined {
    return this.#contents.controller;
  }

  brokerOf(incarnation: string): BrokerImage | undefined {
    return this.#contents.brokerOf(incarnation);
  }

  reached(revision: Revision, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (revision <= this.revision) {
        resolve();
        return;
      }
      signal?.throwIfAborted();
      this.#closing.signal.throwIfAborted();
      const settle = (finish: () => void) => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
        this.#closing.signal.removeEventListener('abort', onClose);
        finish();
      };
      const waiter: Waiter = { revision, resolve: () => settle(resolve) };
      const onAbort = () => settle(() => reject(signal?.reason as Error));
      const onClose = () => settle(() => reject(new MetadataError('aborted', 'the image is closed')));
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#closing.signal.addEventListener('abort', onClose, { once: true });
      this.#readAgainIn(waitForWatchMs);
    });
  }

  onChange(listener: (change: ImageChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops following. What the image holds stays readable; who waits for a revision is turned away. */
  async close(): Promise<void> {
    this.#closing.abort(new MetadataError('aborted', 'the image is closed'));
    await this.#running;
  }

  async #keepUp(): Promise<void> {
    const { clock, random } = this.#settings;
    const { signal } = this.#closing;
    try {
      for (let breaks = 0; !signal.aborted;) {
        const startedMs = clock.monotonicMs();
        await this.#follow();
        breaks = clock.monotonicMs() - startedMs < retryBackoff.maxMs ? breaks + 1 : 0;
        if (breaks > 1) await clock.sleep(backoffDelayMs(breaks, retryBackoff, random), signal);
        await this.#tryUntilDone(() => this.#read());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Applies what the watches show until one of them breaks, or the image is to be read again. */
  async #follow(): Promise<void> {
    const { clock } = this.#settings;
    const round = new AbortController();
    const end = () => round.abort();
    const cancelTimer = clock.schedule(readAgainMs, end);
    this.#closing.signal.addEventListener('abort', end, { once: true });
    if (this.#closing.signal.aborted) end();
    this.#endRound = end;
    try {
      await Promise.all(ranges.map((range, index) => this.#watch(range, index, round)));
    } finally {
      this.#endRound = undefined;
      cancelTimer();
      this.#closing.signal.removeEventListener('abort', end);
    }
  }

  async #watch(range: KeyRange, index: number, round: AbortController): Promise<void> {
    const { store, logger } = this.#settings;
    try {
      for await (const { revision, events } of store.watch(range, this.#known[index]! + 1, round.signal)) {
        if (round.signal.aborted) break;
        for (const event of events) {
          if (event.type === 'put') this.#contents.put(event.kv);
          else this.#contents.delete(event.key);
        }
        this.#known[index] = revision;
        this.#changed(changedTopicIds(events));
      }
    } catch (error) {
      if (!round.signal.aborted) logger.warn({ err: error, key: range.key }, 'a metadata watch broke; reading again');
    } finally {
      round.abort();
    }
  }

  /** Reads everything at one revision and puts it in the place of what was known. */
  async #read(): Promise<void> {
    const contents = new ImageContents(this.#settings.logger);
    let revision: Revision | undefined;
    for (const range of ranges) revision = await this.#readRange(range, revision, contents);
    this.#contents = contents;
    this.#known = ranges.map(() => revision!);
    this.#changed(undefined);
  }

  async #readRange(range: KeyRange, atRevision: Revision | undefined, into: ImageContents): Promise<Revision> {
    const { store } = this.#settings;
    let revision = atRevision;
    for (let from = range.key; ;) {
      const request = { ...range, key: from, limit: keysPerRead, ...(revision !== undefined && { revision }) };
      const { items, more, revision: current } = await store.range(request, this.#closing.signal);
      revision ??= current;
      for (const item of items) into.put(item);
      const last = items.at(-1);
      if (!more || last === undefined) return revision;
      from = `${last.key}\0`;
    }
  }

  async #tryUntilDone(work: () => Promise<void>): Promise<void> {
    const { clock, random, logger } = this.#settings;
    const { signal } = this.#closing;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        logger.warn({ err: error }, 'the metadata could not be read; trying again');
        await clock.sleep(backoffDelayMs(attempt, retryBackoff, random), signal);
      }
    }
  }

  #readAgainIn(delayMs: number): void {
    if (this.#readingAgainSoon) return;
    this.#readingAgainSoon = true;
    this.#settings.clock.schedule(delayMs, () => {
      this.#readingAgainSoon = false;
      if (this.#waiters.size === 0 || this.#closing.signal.aborted) return;
      this.#endRound?.();
      this.#readAgainIn(stillBehindMs);
    });
  }

  #changed(topicIds: ReadonlySet<TopicId> | undefined): void {
    const { revision } = this;
    for (const waiter of [...this.#waiters]) if (waiter.revision <= revision) waiter.resolve();
    for (const listener of [...this.#listeners]) listener({ topicIds });
  }
}

function changedTopicIds(events: readonly WatchEvent[]): ReadonlySet<TopicId> | undefined {
  const topicIds = new Set<TopicId>();
  for (const event of events) {
    const topicId = topicIdOf(event.type === 'put' ? event.kv.key : event.key);
    if (topicId === undefined) return undefined;
    topicIds.add(topicId);
  }
  return topicIds;
}
