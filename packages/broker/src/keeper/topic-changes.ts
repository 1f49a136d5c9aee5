/** Whether topics were created, changed or deleted since somebody last asked: what a checkpoint alone can bring back. */
import type { MetadataImage, TopicId } from '../metadata/metadata-image.ts';
import type { Revision } from '../metadata/metadata-store.ts';

export interface TopicChangesImage extends Pick<MetadataImage, 'topicById' | 'topics'> {
  onChange(listener: (change: { readonly topicIds: ReadonlySet<TopicId> | undefined }) => void): () => void;
}

export class TopicChanges {
  readonly #image: TopicChangesImage;
  readonly #known = new Map<TopicId, Revision>();
  readonly #stop: () => void;
  #isChanged = false;

  constructor(image: TopicChangesImage) {
    this.#image = image;
    for (const { topicId, modRevision } of image.topics()) this.#known.set(topicId, modRevision);
    this.#stop = image.onChange(({ topicIds }) => this.#look(topicIds));
  }

  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** From now on only later changes count. */
  clear(): void {
    this.#isChanged = false;
  }

  close(): void {
    this.#stop();
  }

  /** Changes of partitions alone leave the topic's revision as it was. */
  #look(topicIds: ReadonlySet<TopicId> | undefined): void {
    const candidates = topicIds ?? [...this.#known.keys(), ...[...this.#image.topics()].map(({ topicId }) => topicId)];
    for (const topicId of candidates) {
      const revision = this.#image.topicById(topicId)?.modRevision;
      if (this.#known.get(topicId) === revision) continue;
      this.#isChanged = true;
      if (revision === undefined) this.#known.delete(topicId);
      else this.#known.set(topicId, revision);
    }
  }
}
