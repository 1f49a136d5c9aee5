/**
 * Whether what answers is still the store that we began with. An answer by another cluster, or a revision below one already seen,
 * means that etcd was replaced or put back to an older state: what was acknowledged may be gone, and nothing may rest on it any more.
 */
import { MetadataError } from '../metadata-error.ts';
import type { Revision } from '../metadata-store.ts';
import type { ResponseHeader } from './generated/etcd/etcd.ts';

export class StoreIdentity {
  readonly #onReplaced: (error: MetadataError) => void;
  #clusterId: bigint | undefined;
  #seenRevision: Revision = 0;
  #replaced: MetadataError | undefined;

  /** `onReplaced` is called once. */
  constructor(onReplaced: (error: MetadataError) => void) {
    this.#onReplaced = onReplaced;
  }

  /** The highest revision that an answer has shown. */
  get seenRevision(): Revision {
    return this.#seenRevision;
  }

  /** Set once and for ever. */
  get replaced(): MetadataError | undefined {
    return this.#replaced;
  }

  /** Throws MetadataError `replaced`. */
  throwIfReplaced(): void {
    if (this.#replaced !== undefined) throw this.#replaced;
  }

  /** For any answer. Throws MetadataError `replaced`. */
  checkCluster(header: ResponseHeader | undefined): void {
    this.throwIfReplaced();
    if (header === undefined) throw new MetadataError('unavailable', 'an answer of etcd without a header');
    this.#clusterId ??= header.clusterId;
    if (header.clusterId !== this.#clusterId) {
      this.#replace(
        `etcd answers as cluster ${header.clusterId.toString(16)}, and was ${this.#clusterId.toString(16)} before: all endpoints must be members of one cluster`,
      );
    }
  }

  /**
   * For the answer to a linearizable read or a transaction: it cannot be older than what was seen when it was sent. (Answers overtake
   * each other, so what was seen meanwhile does not count.) Throws MetadataError `replaced`.
   */
  checkRevision(header: ResponseHeader | undefined, seenWhenSent: Revision): Revision {
    this.checkCluster(header);
    const revision = Number(header!.revision);
    if (revision < seenWhenSent) {
      this.#replace(
        `etcd went back from revision ${seenWhenSent} to ${revision}: it was restored from a snapshot or lost its disk`,
      );
    }
    this.saw(revision);
    return revision;
  }

  saw(revision: Revision): void {
    if (revision > this.#seenRevision) this.#seenRevision = revision;
  }

  #replace(message: string): never {
    const error = new MetadataError('replaced', message);
    this.#replaced = error;
    this.#onReplaced(error);
    throw error;
  }
}
