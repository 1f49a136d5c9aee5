/** The lane of a session (see lane.ts): one transaction in flight, and no outcome left open. */
import { metadata, metadataKeys, type LaneName } from '@kafscale/protocol';
import { withDeadline } from '@kafscale/runtime';
import type { Lane, LaneCommit } from './lane.ts';
import { MetadataError } from './metadata-error.ts';
import type { Revision, Transaction, TransactionResult } from './metadata-store.ts';
import type { Session, SessionDependencies } from './session.ts';

interface QueuedCommit {
  readonly commit: LaneCommit;
  readonly resolve: (revision: Revision) => void;
  readonly reject: (error: MetadataError) => void;
}

/** What a lane holds after a transaction. */
interface Counter {
  readonly counter: bigint;
  readonly value: Uint8Array;
}

type Outcome =
  | { readonly appliedAt: Revision }
  /** Not applied so far; with `copiesUnanswered` it may be yet. */
  | { readonly appliedAt?: undefined; readonly refusal: MetadataError; readonly copiesUnanswered: boolean };

const resubmitDelayMs = 50;
const maxQueuedCommits = 10_000;

const encodeLane = (counter: bigint, floor: bigint) => metadata.LaneRecord.encode({ counter, floor }).finish();
const equalBytes = (left: Uint8Array | undefined, right: Uint8Array) =>
  left !== undefined && Buffer.compare(left, right) === 0;

export class SessionLane implements Lane {
  /** What a lane holds when its session is opened. */
  static readonly initialValue: Uint8Array = encodeLane(0n, 0n);

  readonly #key: string;
  readonly #sessionKey: string;
  readonly #session: Session;
  readonly #dependencies: SessionDependencies;
  readonly #queue: QueuedCommit[] = [];
  #counter = 0n;
  /** The highest counter that was ever sent; none is sent twice for different things, so a lane's value tells which one applied. */
  #tried = 0n;
  #floor = 0n;
  #value: Uint8Array = SessionLane.initialValue;
  #running = false;

  constructor(name: LaneName, session: Session, dependencies: SessionDependencies) {
    this.#key = metadataKeys.lane(session.incarnation, name);
    this.#sessionKey = metadataKeys.session(session.incarnation);
    this.#session = session;
    this.#dependencies = dependencies;
  }

  /** From the next commit on the lane says that no publication of an object below `sequence` is open. Never goes back. */
  raiseFloor(sequence: number): void {
    const floor = BigInt(sequence);
    if (floor > this.#floor) this.#floor = floor;
  }

  commit(commit: LaneCommit): Promise<Revision> {
    return new Promise((resolve, reject) => {
      if (this.#queue.length >= maxQueuedCommits) {
        reject(new MetadataError('invalid', `more than ${maxQueuedCommits} commits wait in lane ${this.#key}`));
        return;
      }
      this.#queue.push({ commit, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { commit, resolve, reject } = next;
      try {
        resolve(await this.#apply(commit));
      } catch (error) {
        reject(error instanceof MetadataError ? error : this.#stop('a lane failed unexpectedly', error));
      }
    }
    this.#running = false;
  }

  async #apply(commit: LaneCommit): Promise<Revision> {
    const next = this.#nextCounter();
    const outcome = await this.#submit(commit, next);
    if (outcome.appliedAt !== undefined) return outcome.appliedAt;
    // Refused; but a copy of it might be delivered later and find the compares true. The counter moves past it first, to a value of
    // its own: either that becomes impossible, or it has happened before and shows.
    if (outcome.copiesUnanswered || outcome.refusal.kind === 'conflict') {
      const appliedAt = await this.#overtake(next, this.#nextCounter());
      if (appliedAt !== undefined) return appliedAt;
    }
    throw outcome.refusal;
  }

  /** Resolves with the revision at which `open` was applied after all, or with nothing once it never can be. */
  async #overtake(open: Counter, beyond: Counter): Promise<Revision | undefined> {
    const outcome = await this.#submit({ operations: [] }, beyond, open);
    const appliedAt = outcome.appliedAt ?? (await this.#settle([open, beyond], outcome.refusal));
    return this.#counter === open.counter ? appliedAt : undefined;
  }

  /** Tries until it is known what became of it; `open` is another transaction that may apply instead. */
  async #submit(commit: LaneCommit, next: Counter, open?: Counter): Promise<Outcome> {
    const { store, clock, settings } = this.#dependencies;
    // A session that has ended here may live on in the store until it is revoked, so what is open is settled all the same.
    const endReason = open === undefined ? this.#session.endReason : undefined;
    if (endReason !== undefined) throw this.#stop('the session is over', endReason);

    const transaction = this.#transaction(commit, next.value);
    const giveUpMs = clock.monotonicMs() + settings.settleDeadlineMs;
    const possible = open === undefined ? [next] : [next, open];
    let copiesUnanswered = false;

    for (;;) {
      let result: TransactionResult;
      try {
        result = await withDeadline(clock, settings.callDeadlineMs, (signal) => store.transact(transaction, signal));
      } catch (error) {
        if (error instanceof MetadataError && error.kind === 'invalid') return { refusal: error, copiesUnanswered };
        if (error instanceof MetadataError && error.kind === 'lease-not-found')
          throw this.#stop('the lease is gone', error);
        if (error instanceof MetadataError && error.kind === 'replaced') throw this.#stop(error.message, error);
        if (error instanceof MetadataError && error.kind === 'no-space') {
          const outcome = await this.#afterNoSpace(possible, { refusal: error, copiesUnanswered });
          if (outcome !== undefined) return outcome;
        }
        // Unknown: the identical transaction goes in again. The counter lets the original and its copies apply at most once.
        copiesUnanswered = true;
        if (clock.monotonicMs() >= giveUpMs) return { appliedAt: await this.#settle(possible, error) };
        await clock.sleep(resubmitDelayMs);
        continue;
      }
      if (result.succeeded) return { appliedAt: this.#advanced(next, result.revision) };

      const session = result.ranges[0]?.items[0];
      const lane = result.ranges[1]?.items[0];
      const applied = possible.find(({ value }) => equalBytes(lane?.value, value));
      if (applied !== undefined) return { appliedAt: this.#advanced(applied, lane!.modRevision) };
      const sessionIsThere = session?.createRevision === this.#session.createRevision;
      if (!equalBytes(lane?.value, this.#value) && (lane !== undefined || sessionIsThere)) throw this.#wentBack();
      if (!sessionIsThere) throw this.#stop('the session key is gone');
      return { refusal: new MetadataError('conflict', 'a compared key is not as it was read'), copiesUnanswered };
    }
  }

  /** A full store may have taken the transaction all the same, but not after its answer; undefined when the lane cannot be read. */
  async #afterNoSpace(possible: readonly Counter[], refused: Outcome): Promise<Outcome | undefined> {
    const { store, clock, settings } = this.#dependencies;
    try {
      const { items } = await withDeadline(clock, settings.callDeadlineMs, (signal) =>
        store.range({ key: this.#key }, signal),
      );
      const applied = possible.find(({ value }) => equalBytes(items[0]?.value, value));
      return applied === undefined ? refused : { appliedAt: this.#advanced(applied, items[0]!.modRevision) };
    } catch {
      return undefined; // like any other unknown outcome
    }
  }

  #transaction(commit: LaneCommit, nextValue: Uint8Array): Transaction {
    return {
      compare: [
        {
          key: this.#sessionKey,
          target: 'createRevision',
          operator: '=',
          operand: this.#session.createRevision,
        },
        { key: this.#key, target: 'value', operator: '=', operand: this.#value },
        ...(commit.compare ?? []),
      ],
      success: [...commit.operations, { type: 'put', key: this.#key, value: nextValue }],
      failure: [
        { type: 'range', key: this.#sessionKey },
        { type: 'range', key: this.#key },
      ],
    };
  }

  #nextCounter(): Counter {
    this.#tried += 1n;
    return { counter: this.#tried, value: encodeLane(this.#tried, this.#floor) };
  }

  #advanced({ counter, value }: Counter, revision: Revision): Revision {
    this.#counter = counter;
    this.#value = value;
    return revision;
  }

  /**
   * Nothing more can be learnt by trying: the session is ended in the store, after which no copy can apply, and what the lane then
   * holds is the answer.
   */
  async #settle(possible: readonly Counter[], cause: unknown): Promise<Revision> {
    const { store, clock, settings } = this.#dependencies;
    const reason = this.#stop('the outcome of a transaction could not be learnt in time', cause);
    for (;;) {
      try {
        await this.#session.revoke(reason);
        const { items } = await withDeadline(clock, settings.callDeadlineMs, (signal) =>
          store.range({ key: this.#key }, signal),
        );
        const lane = items[0];
        const applied = possible.find(({ value }) => equalBytes(lane?.value, value));
        if (applied === undefined) throw reason;
        return this.#advanced(applied, lane!.modRevision);
      } catch (error) {
        if (error === reason) throw reason;
        if (error instanceof MetadataError && error.kind === 'replaced') throw this.#stop(error.message, error);
        await clock.sleep(resubmitDelayMs * 10);
      }
    }
  }

  #wentBack(): MetadataError {
    const message = 'the lane is not as this incarnation left it: the metadata store went back to an older state';
    return this.#stop(message, new MetadataError('replaced', message));
  }

  #stop(message: string, cause?: unknown): MetadataError {
    const error =
      cause instanceof MetadataError && cause.kind === 'fenced'
        ? cause
        : new MetadataError('fenced', message, cause === undefined ? undefined : { cause });
    // Whoever learns why the session ended must know whether a new one may be begun on this store.
    this.#session.end(cause instanceof MetadataError && cause.kind === 'replaced' ? cause : error);
    return error;
  }
}
