/**
 * The second half of a topic's deletion. The first is the mark in the topic's record, from which on nobody takes its partitions; their
 * owners then release them behind their last flush. Once each is released, or its owner's session is gone, one transaction frees the
 * name and leaves the tombstone, so that nobody is acknowledged into a topic that another one has taken the place of (COMMIT.md F25).
 * Any broker may complete any deletion, as often as it likes.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { backoffDelayMs, withDeadline, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { imageShows } from '../metadata/image-shows.ts';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { ClusterImage, TopicId } from '../metadata/metadata-image.ts';
import {
  prefixEnd,
  type MetadataStore,
  type RangeRequest,
  type RangeResult,
  type Revision,
} from '../metadata/metadata-store.ts';
import { absent, deletion, unchanged } from './topic-operations.ts';

export interface TopicDeletionsDependencies {
  readonly store: MetadataStore;
  readonly lane: Lane;
  readonly image: ClusterImage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How long one read of the store may take. */
  readonly callDeadlineMs: number;
}

export interface DeletedTopic {
  readonly name: string;
  readonly topicId: TopicId;
  readonly partitionCount: number;
}

/** Records may be large. */
const recordsPerRead = 100;
/** The image tells when it is time to look; but a watch may be silent. */
const lookAgainMs = 2_000;
const retryBackoff = { baseMs: 100, maxMs: 5_000 };

export class TopicDeletions {
  readonly #dependencies: TopicDeletionsDependencies;
  readonly #underWay = new Map<TopicId, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(dependencies: TopicDeletionsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Resolves when the topic, which is marked, is gone for good, however long its owners take; whoever asks while that is under way
   * waits for the same. Rejects with MetadataError `fenced` when this broker's session ends, and when it is closed.
   */
  complete(topic: DeletedTopic): Promise<void> {
    const known = this.#underWay.get(topic.topicId);
    if (known !== undefined) return known;
    const completed = this.#complete(topic).finally(() => this.#underWay.delete(topic.topicId));
    completed.catch(() => undefined); // told to those who wait; perhaps nobody does
    this.#underWay.set(topic.topicId, completed);
    return completed;
  }

  /** Once: true when the topic is gone for good, false while somebody may still append to it. Throws MetadataError. */
  async attempt(topic: DeletedTopic): Promise<boolean> {
    const { lane, clock } = this.#dependencies;
    const key = metadataKeys.topic(topic.name);
    const markedAt = await this.#markedAt(topic);
    if (markedAt === undefined) return true;
    if (!(await this.#isReleased(topic.topicId))) return false;
    // Released stays released and dead stays dead: a takeover compares the topic's record as it was before the mark.
    try {
      await lane.commit({
        compare: [unchanged(key, markedAt), absent(metadataKeys.tombstone(topic.topicId))],
        operations: deletion(topic, clock.wallMs()),
      });
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind !== 'conflict') throw error;
      return (await this.#markedAt(topic)) === undefined; // another broker was faster
    }
    return true;
  }

  /** Looks after no deletion any more; the controller of the cluster does. */
  close(): void {
    this.#closing.abort(new MetadataError('aborted', 'the broker stops'));
  }

  async #complete(topic: DeletedTopic): Promise<void> {
    const { clock, random, logger } = this.#dependencies;
    const { signal } = this.#closing;
    for (let failures = 0; ;) {
      signal.throwIfAborted();
      try {
        if (await this.attempt(topic)) return;
        failures = 0;
        await this.#mayBeReleased(topic);
      } catch (error) {
        if (signal.aborted || (error instanceof MetadataError && isFinal(error))) throw error;
        logger.warn({ err: error, topic: topic.name }, 'the deletion of a topic could not go on; trying again');
        await clock.sleep(backoffDelayMs(failures, retryBackoff, random), signal);
        failures += 1;
      }
    }
  }

  /** The mod revision of the topic's record while it is marked; undefined once it is gone. Throws where it is not marked. */
  async #markedAt({ name, topicId }: DeletedTopic): Promise<Revision | undefined> {
    const { items } = await this.#read({ key: metadataKeys.topic(name) });
    const entry = items[0];
    if (entry === undefined) return undefined;
    const record = metadata.TopicRecord.decode(entry.value);
    if (record.topicId.toString('base64url') !== topicId) return undefined;
    if (!record.deleting) throw new MetadataError('invalid', `topic ${name} is not to be deleted`);
    return entry.modRevision;
  }

  /** By reads that begin now. Who lives is read last: an owner that is gone then was gone for all that was read before. */
  async #isReleased(topicId: TopicId): Promise<boolean> {
    const owners = new Set<string>();
    const records = metadataPrefixes.partitionsOf(topicId);
    for await (const { value } of this.#all({ key: records, end: prefixEnd(records), limit: recordsPerRead })) {
      const { owner } = metadata.PartitionRecord.decode(value);
      if (owner !== '') owners.add(owner);
    }
    if (owners.size === 0) return true;
    const sessions = metadataPrefixes.sessions;
    for await (const { key } of this.#all({ key: sessions, end: prefixEnd(sessions) })) {
      if (owners.has(key.slice(sessions.length))) return false;
    }
    return true;
  }

  /** Resolves when the image shows no living owner any more, and soon in any case. */
  async #mayBeReleased({ topicId, partitionCount }: DeletedTopic): Promise<void> {
    const { image, clock } = this.#dependencies;
    let released = 0;
    const isOwned = (partition: number) => {
      const owner = image.partition(topicId, partition)?.owner ?? '';
      return owner !== '' && image.brokerOf(owner) !== undefined;
    };
    const isReleased = () => {
      while (released < partitionCount && !isOwned(released)) released += 1;
      return released === partitionCount;
    };
    const { signal } = this.#closing;
    // The store has just said otherwise; there is no use in asking it all the time.
    if (isReleased()) await clock.sleep(retryBackoff.baseMs, signal);
    else await imageShows(image, isReleased, { clock, timeoutMs: lookAgainMs, signal });
  }

  async *#all(request: RangeRequest) {
    for (let key = request.key; ;) {
      const { items, more } = await this.#read({ ...request, key });
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

const isFinal = ({ kind }: MetadataError) => kind === 'fenced' || kind === 'invalid';
