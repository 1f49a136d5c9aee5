/**
 * Proof by the session key: partitions leave an incarnation only when its session is gone or by its own lane, so a linearizable read
 * that finds the session proves every log that is still open here. All askers of one moment share one read.
 */
import { ErrorCode, KafkaError, metadataKeys } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Session } from '../metadata/session.ts';
import type { OwnershipProof } from './ownership-proof.ts';
import type { PartitionLog } from './partition-log.ts';

export interface SessionOwnershipProofDependencies {
  readonly store: MetadataStore;
  readonly session: Session;
  readonly clock: Clock;
  readonly callDeadlineMs: number;
}

export class SessionOwnershipProof implements OwnershipProof {
  readonly #dependencies: SessionOwnershipProofDependencies;
  /** The read that began last; whoever comes later needs the next one. */
  #reading: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(dependencies: SessionOwnershipProofDependencies) {
    this.#dependencies = dependencies;
  }

  /** Whether a read that began after this call found the session. Rejects with MetadataError when the store does not answer. */
  isAlive(): Promise<boolean> {
    return this.#readAfterNow();
  }

  async confirm(log: PartitionLog): Promise<void> {
    let living: boolean;
    try {
      living = await this.isAlive();
    } catch (error) {
      throw new KafkaError(ErrorCode.OFFSET_NOT_AVAILABLE, 'the metadata store does not answer', { cause: error });
    }
    if (!living || log.closed) throw new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER);
  }

  /** Joins the read that has yet to begin: one under way may have been answered by a state from before the call. */
  #readAfterNow(): Promise<boolean> {
    if (this.#reading === undefined) return this.#read();
    this.#next ??= this.#reading.then(
      () => this.#read(),
      () => this.#read(),
    );
    return this.#next;
  }

  #read(): Promise<boolean> {
    this.#next = undefined;
    const { store, session, clock, callDeadlineMs } = this.#dependencies;
    const key = metadataKeys.session(session.incarnation);
    const reading = withDeadline(clock, callDeadlineMs, (signal) => store.range({ key }, signal))
      .then(({ items }) => session.endReason === undefined && items[0]?.createRevision === session.createRevision)
      .finally(() => {
        if (this.#reading === reading) this.#reading = undefined;
      });
    this.#reading = reading;
    return reading;
  }
}
