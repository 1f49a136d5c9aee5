/**
 * A broker's life as the metadata store sees it: a lease-bound key that is never rewritten and whose existence is the only proof of
 * life, and the lanes by which this incarnation commits. Whoever lost its session changes nothing any more.
 */
import { metadata, metadataKeys, type LaneName } from '@kafscale/protocol';
import { withDeadline, type CancelTimer, type Clock } from '@kafscale/runtime';
import { MetadataError } from './metadata-error.ts';
import type { LeaseId, MetadataStore, Operation, Revision, Transaction } from './metadata-store.ts';
import { SessionLane } from './session-lane.ts';

export interface SessionSettings {
  readonly ttlMs: number;
  /** How long one call to the store may take. */
  readonly callDeadlineMs: number;
  /** How long a lane tries to learn the outcome of a transaction before it ends the session to force one. */
  readonly settleDeadlineMs: number;
}

export interface SessionDependencies {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly settings: SessionSettings;
}

/** How often a keepalive is sent, and how long its answer is waited for, as shares of the time to live: three may fail in a row. */
const keepAliveShare = 1 / 3;
const keepAliveDeadlineShare = 1 / 4;
const keepAliveRetryShare = 1 / 40;

const laneNames: readonly LaneName[] = ['data', 'coordinator', 'upkeep'];

export class Session {
  readonly incarnation: string;
  readonly leaseId: LeaseId;
  /** What every transaction of this incarnation compares its session key against. */
  readonly createRevision: Revision;

  readonly #dependencies: SessionDependencies;
  readonly #lanes: ReadonlyMap<LaneName, SessionLane>;
  readonly #endListeners = new Set<(reason: Error) => void>();
  #validUntilMs: number;
  #endReason: Error | undefined;
  #cancelKeepAlive: CancelTimer | undefined;

  private constructor(
    incarnation: string,
    leaseId: LeaseId,
    createRevision: Revision,
    validUntilMs: number,
    dependencies: SessionDependencies,
  ) {
    this.incarnation = incarnation;
    this.leaseId = leaseId;
    this.createRevision = createRevision;
    this.#validUntilMs = validUntilMs;
    this.#dependencies = dependencies;
    this.#lanes = new Map(laneNames.map((name) => [name, new SessionLane(name, this, dependencies)]));
    this.#scheduleKeepAlive();
  }

  /**
   * Starts a new incarnation. Its name must never have been used before; an attempt whose outcome is unknown is abandoned, its
   * lease left to expire, and the caller tries again under another name. Throws MetadataError.
   */
  static async open(incarnation: string, dependencies: SessionDependencies): Promise<Session> {
    const { store, clock, settings } = dependencies;
    const sentMs = clock.monotonicMs();
    const leaseId = await withDeadline(clock, settings.callDeadlineMs, (signal) =>
      store.grantLease(settings.ttlMs, signal),
    );
    const session = metadata.SessionRecord.encode({ startedMs: BigInt(clock.wallMs()) }).finish();
    const transaction: Transaction = {
      compare: [
        metadataKeys.session(incarnation),
        ...laneNames.map((name) => metadataKeys.lane(incarnation, name)),
      ].map((key) => ({ key, target: 'createRevision', operator: '=', operand: 0 })),
      success: [
        { type: 'put', key: metadataKeys.session(incarnation), value: session, leaseId },
        ...laneNames.map((name): Operation => {
          return { type: 'put', key: metadataKeys.lane(incarnation, name), value: SessionLane.initialValue };
        }),
      ],
    };
    const result = await withDeadline(clock, settings.callDeadlineMs, (signal) => store.transact(transaction, signal));
    if (!result.succeeded) throw new MetadataError('conflict', `incarnation ${incarnation} exists already`);
    return new Session(incarnation, leaseId, result.revision, sentMs + settings.ttlMs, dependencies);
  }

  /**
   * Whether the session may still be counted on: its time runs from when the last answered keepalive was sent. To be asked when an
   * answer that rests on ownership is built. True is no proof (only a commit is); false is final for the caller.
   */
  get alive(): boolean {
    return this.#endReason === undefined && this.#dependencies.clock.monotonicMs() < this.#validUntilMs;
  }

  /** Why the session is over; undefined while it is not known to be. `replaced` is for ever: no other session may be begun. */
  get endReason(): Error | undefined {
    return this.#endReason;
  }

  lane(name: LaneName): SessionLane {
    const lane = this.#lanes.get(name);
    if (lane === undefined) throw new Error(`no lane ${name}`);
    return lane;
  }

  /** Runs once when the session is over, at once if it is already. */
  onEnd(listener: (reason: Error) => void): void {
    if (this.#endReason === undefined) this.#endListeners.add(listener);
    else listener(this.#endReason);
  }

  /** Takes note that the session is over or must not be used any more. The lease is left to whoever knows its state. */
  end(reason: Error): void {
    if (this.#endReason !== undefined) return;
    this.#endReason = reason;
    this.#cancelKeepAlive?.();
    const listeners = [...this.#endListeners];
    this.#endListeners.clear();
    for (const listener of listeners) listener(reason);
  }

  /** Ends the session in the store too; when it resolves, nothing of this incarnation can apply any more. */
  async revoke(reason: Error): Promise<void> {
    this.end(reason);
    const { store, clock, settings } = this.#dependencies;
    await withDeadline(clock, settings.callDeadlineMs, (signal) => store.revokeLease(this.leaseId, signal));
  }

  /** Its time passed and may have been acted on, so it does not come back, although the store still knows it. */
  async #giveUp(): Promise<void> {
    if (this.#endReason !== undefined) return;
    await this.revoke(new MetadataError('fenced', 'the session ran out before a keepalive was answered'));
  }

  #scheduleKeepAlive(share = keepAliveShare): void {
    const { clock, settings } = this.#dependencies;
    this.#cancelKeepAlive = clock.schedule(settings.ttlMs * share, () => void this.#keepAlive());
  }

  async #keepAlive(): Promise<void> {
    const { store, clock, settings } = this.#dependencies;
    const deadlineMs = Math.min(settings.callDeadlineMs, settings.ttlMs * keepAliveDeadlineShare);
    const sentMs = clock.monotonicMs();
    let isAnswered = false;
    try {
      const { ttlMs } = await withDeadline(clock, deadlineMs, (signal) => store.keepAlive(this.leaseId, signal));
      isAnswered = true;
      if (this.alive) this.#validUntilMs = sentMs + Math.min(ttlMs, settings.ttlMs);
      else await this.#giveUp();
    } catch (error) {
      if (error instanceof MetadataError && error.kind === 'lease-not-found') {
        this.end(new MetadataError('fenced', 'the session has expired in the metadata store', { cause: error }));
      } else if (error instanceof MetadataError && error.kind === 'replaced') this.end(error);
      // Any other failure leaves the time as it was: the next keepalive tries again soon, and `alive` turns false by itself.
    }
    if (this.#endReason === undefined) this.#scheduleKeepAlive(isAnswered ? keepAliveShare : keepAliveRetryShare);
  }
}
