/**
 * Proof by the session key: partitions leave an incarnation only when its session is gone or by its own lane, so a linearizable read
 * that finds the session proves every log that is still open here. All askers of one moment share one read.
 */
import { ErrorCode, KafkaError, metadataKeys } from '@kafscale/protocol';
import { withDeadline, type Clock } from '@kafscale/runtime';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Session } from '../metadata/session.ts';
import { CoalescedRead } from './coalesced-read.ts';
import type { OwnershipProof } from './ownership-proof.ts';
import type { PartitionLog } from './partition-log.ts';

export interface SessionOwnershipProofDependencies {
  readonly store: MetadataStore;
  readonly session: Session;
  readonly clock: Clock;
  readonly callDeadlineMs: number;
}

export class SessionOwnershipProof implements OwnershipProof {
  readonly #isInSession: () => boolean;
  readonly #session: CoalescedRead<boolean>;

  constructor({ store, session, clock, callDeadlineMs }: SessionOwnershipProofDependencies) {
    this.#isInSession = () => session.alive;
    const key = metadataKeys.session(session.incarnation);
    this.#session = new CoalescedRead(async () => {
      const { items } = await withDeadline(clock, callDeadlineMs, (signal) => store.range({ key }, signal));
      return session.endReason === undefined && items[0]?.createRevision === session.createRevision;
    });
  }

  get mayServe(): boolean {
    return this.#isInSession();
  }

  /** Whether a read that began after this call found the session. Rejects with MetadataError when the store does not answer. */
  isAlive(): Promise<boolean> {
    return this.#session.afterNow();
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
}
