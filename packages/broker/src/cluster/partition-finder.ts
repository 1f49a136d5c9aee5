/**
 * Where a partition is that a client looks for here and does not find: about to be opened, or with another broker. What memory knows
 * may be old in both cases, so nobody is sent away before a linearizable read, which all who look for the partition share; and where
 * the partition is ours, or nobody's yet, they wait a moment for what becomes of it. The same for shards of groups.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import type { ClusterImage, ImageChange, PartitionImage, TopicId } from '../metadata/metadata-image.ts';

export interface WhereaboutsDependencies {
  readonly image: Pick<ClusterImage, 'partition' | 'onChange'>;
  readonly clock: Clock;
  readonly incarnation: string;
  /** A linearizable read that begins now or later. May reject. */
  readonly currentOwner: (topicId: TopicId, partition: number) => Promise<PartitionImage | undefined>;
  /** How long somebody who looks for a partition waits at most; clients wait longer when they are sent away without a new leader. */
  readonly waitMs: number;
}

/**
 * `here` for a partition that is open here by now; another broker's record; or what is known of one that has no owner, or that is ours
 * and was not opened in time.
 */
export type Whereabouts = 'here' | PartitionImage | undefined;

export type WhereaboutsListener = (whereabouts: Whereabouts) => void;

export class PartitionFinder {
  readonly #dependencies: WhereaboutsDependencies;
  readonly #searches = new Map<TopicId, Map<number, Search>>();
  #stopListening: (() => void) | undefined;
  #isClosed = false;

  constructor(dependencies: WhereaboutsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Calls `listener` once, later, when it is known where the partition is, or when the time is over. Those who look for one partition
   * are called in the order in which they came, and if it is opened here, in that very turn: nobody who comes later is before them.
   */
  seek(topicId: TopicId, partition: number, listener: WhereaboutsListener): void {
    if (this.#isClosed) queueMicrotask(() => listener(undefined));
    else this.#search(topicId, partition).listeners.push(listener);
  }

  /** As `seek`; with what is known after `waitMs`, if that is sooner. */
  find(topicId: TopicId, partition: number, waitMs = this.#dependencies.waitMs): Promise<Whereabouts> {
    if (this.#isClosed) return Promise.resolve(undefined);
    const search = this.#search(topicId, partition);
    return new Promise((resolve) => {
      const isSooner = waitMs < this.#dependencies.waitMs;
      const cancel = isSooner
        ? this.#dependencies.clock.schedule(waitMs, () => resolve(this.#known(topicId, partition, search)))
        : undefined;
      search.listeners.push((whereabouts) => {
        cancel?.();
        resolve(whereabouts);
      });
    });
  }

  /** The partition is open here from now on. */
  opened(topicId: TopicId, partition: number): void {
    this.#searches.get(topicId)?.get(partition)?.end('here');
  }

  /** Whoever looks for something is told what is known. */
  close(): void {
    this.#isClosed = true;
    for (const topicId of [...this.#searches.keys()]) {
      for (const search of this.#ofTopic(topicId)) search.end(search.known);
    }
  }

  #search(topicId: TopicId, partition: number): Search {
    return this.#searches.get(topicId)?.get(partition) ?? this.#begin(topicId, partition);
  }

  #known(topicId: TopicId, partition: number, search: Search): PartitionImage | undefined {
    return search.known ?? this.#dependencies.image.partition(topicId, partition);
  }

  #begin(topicId: TopicId, partition: number): Search {
    const { clock, image, currentOwner, incarnation, waitMs } = this.#dependencies;
    const search = new Search(incarnation, () => image.partition(topicId, partition));
    const cancelTimer = clock.schedule(waitMs, () => search.end(this.#known(topicId, partition, search)));
    search.onEnd = () => this.#remove(topicId, partition, cancelTimer);
    const searches = this.#searches.get(topicId) ?? new Map<number, Search>();
    this.#searches.set(topicId, searches.set(partition, search));
    this.#stopListening ??= image.onChange((change) => this.#imageChanged(change));
    // Unreadable: the time runs out, and the image is what is known.
    currentOwner(topicId, partition).then(
      (owner) => search.learnt(owner),
      () => undefined,
    );
    return search;
  }

  #remove(topicId: TopicId, partition: number, cancelTimer: CancelTimer): void {
    cancelTimer();
    const searches = this.#searches.get(topicId);
    searches?.delete(partition);
    if (searches?.size === 0) this.#searches.delete(topicId);
    if (this.#searches.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  #imageChanged({ topicIds }: ImageChange): void {
    for (const topicId of topicIds ?? [...this.#searches.keys()]) {
      for (const search of this.#ofTopic(topicId)) search.look();
    }
  }

  /** As they are now: one that ends is no longer among those of later. */
  #ofTopic(topicId: TopicId): Search[] {
    return [...(this.#searches.get(topicId)?.values() ?? [])];
  }
}

/** One partition that somebody looks for. */
class Search {
  readonly listeners: WhereaboutsListener[] = [];
  /** By a linearizable read, or by an image newer than that. */
  known: PartitionImage | undefined;
  onEnd: () => void = () => undefined;
  readonly #incarnation: string;
  readonly #inImage: () => PartitionImage | undefined;
  #isRead = false;
  #isOver = false;

  constructor(incarnation: string, inImage: () => PartitionImage | undefined) {
    this.#incarnation = incarnation;
    this.#inImage = inImage;
  }

  learnt(owner: PartitionImage | undefined): void {
    this.#isRead = true;
    this.#know(owner);
    this.look();
  }

  /** The image has changed. Before the read it may be older than what the client knows. */
  look(): void {
    if (!this.#isRead) return;
    const state = this.#inImage();
    if (state !== undefined && state.leaderEpoch > (this.known?.leaderEpoch ?? -1)) this.#know(state);
  }

  end(whereabouts: Whereabouts): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onEnd();
    for (const listener of this.listeners) listener(whereabouts);
  }

  #know(state: PartitionImage | undefined): void {
    this.known = state;
    if (state !== undefined && state.owner !== '' && state.owner !== this.#incarnation) this.end(state);
  }
}
