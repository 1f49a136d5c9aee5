/**
 * Which extents are dead: those below the folded offset of their partition, whose batches, producers and epochs the partition record
 * carries by now, and those of a deleted topic. The folded offset may come from an old image, because it only grows; a deletion only
 * from a tombstone that a linearizable read found, never from an absence (COMMIT.md F13). What merely lies below the log start is
 * not dead here: its bytes are, but what its manifest says of producers has to be folded first (F11).
 */
import { metadataPrefixes, type metadata } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { MetadataImage } from '../../metadata/metadata-image.ts';
import { prefixEnd, type MetadataStore } from '../../metadata/metadata-store.ts';

export interface DeadExtentsDependencies {
  readonly image: Pick<MetadataImage, 'partition' | 'topicById'>;
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly callDeadlineMs: number;
}

const tombstonesPerRead = 1_000;

export class DeadExtents {
  readonly #dependencies: DeadExtentsDependencies;
  readonly #deletedTopics = new Set<string>();

  constructor(dependencies: DeadExtentsDependencies) {
    this.#dependencies = dependencies;
  }

  isDead(topicId: string, partition: number, nextOffset: number): boolean {
    if (this.#deletedTopics.has(topicId)) return true;
    return nextOffset <= (this.#dependencies.image.partition(topicId, partition)?.foldedOffset ?? 0);
  }

  /** Finds out whether topics that the image does not show were deleted. Throws MetadataError when the store does not answer. */
  async learn(topicIds: Iterable<string>): Promise<void> {
    const { image } = this.#dependencies;
    const unknown = new Set<string>();
    for (const topicId of topicIds) {
      if (!this.#deletedTopics.has(topicId) && image.topicById(topicId) === undefined) unknown.add(topicId);
    }
    if (unknown.size === 0) return;
    for await (const topicId of this.#tombstones()) if (unknown.has(topicId)) this.#deletedTopics.add(topicId);
  }

  /** What is left of a flush without its dead extents; undefined when nothing is. */
  withoutDead(description: metadata.FlushDescription): metadata.FlushDescription | undefined {
    const topics: metadata.FlushTopic[] = [];
    for (const topic of description.topics) {
      const topicId = topic.topicId.toString('base64url');
      const extents = topic.extents.filter(
        ({ partition, nextOffset }) => !this.isDead(topicId, partition, Number(nextOffset)),
      );
      if (extents.length > 0) topics.push({ ...topic, extents });
    }
    return topics.length === 0 ? undefined : { ...description, topics };
  }

  async *#tombstones(): AsyncGenerator<string, void, undefined> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    const prefix = metadataPrefixes.tombstones;
    const end = prefixEnd(prefix);
    for (let key: string = prefix; ;) {
      const request = { key, end, limit: tombstonesPerRead };
      const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) => store.range(request, signal));
      for (const item of items) yield item.key.slice(prefix.length);
      const last = items.at(-1);
      if (!more || last === undefined) return;
      key = `${last.key}\0`;
    }
  }
}
