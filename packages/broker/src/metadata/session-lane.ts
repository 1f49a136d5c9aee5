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
    const { store, clock, settings } = this.#dependencies;
    if (this.#session.endReason !== undefined) throw this.#stop('the session is over', this.#session.endReason);

    const nextValue = encodeLane(this.#counter + 1n, this.#floor);
    const transaction = this.#transaction(commit, nextValue);
    const giveUpMs = clock.monotonicMs() + settings.settleDeadlineMs;
    let outcomeUnknown = false;

    for (;;) {
      let result: TransactionResult;
      try {
        result = await withDeadline(clock, settings.callDeadlineMs, (signal) => store.transact(transaction, signal));
      } catch (error) {
        if (error instanceof MetadataError && error.kind === 'invalid') throw error;
        if (error instanceof MetadataError && error.kind === 'lease-not-found')
          throw this.#stop('the lease is gone', error);
        // Unknown: the identical transaction goes in again. The counter lets the original and its copies apply at most once.
        outcomeUnknown = true;
        if (clock.monotonicMs() >= giveUpMs) return await this.#settle(nextValue, error);
        await clock.sleep(resubmitDelayMs);
        continue;
      }
      if (result.succeeded) return this.#advanced(nextValue, result.revision);

      const session = result.ranges[0]?.items[0];
      const lane = result.ranges[1]?.items[0];
      if (equalBytes(lane?.value, nextValue)) return this.#advanced(nextValue, lane!.modRevision);
      if (!equalBytes(lane?.value, this.#value)) {
        throw this.#stop('the lane is not as this incarnation left it: the metadata store went back');
      }
      if (session?.createRevision !== this.#session.createRevision) throw this.#stop('the session key is gone');
      // A compare of the caller's own failed. A copy whose answer was lost might still find it true later: the counter moves
      // first, and only then is the commit known to be dead.
      if (outcomeUnknown) await this.#apply({ operations: [] });
      throw new MetadataError('conflict', 'a compared key is not as it was read');
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

  #advanced(value: Uint8Array, revision: Revision): Revision {
    this.#counter += 1n;
    this.#value = value;
    return revision;
  }

  /**
   * Nothing more can be learnt by trying: the session is ended in the store, after which no copy can apply, and what the lane then
   * holds is the answer.
   */
  async #settle(nextValue: Uint8Array, cause: unknown): Promise<Revision> {
    const { store, clock, settings } = this.#dependencies;
    const reason = this.#stop('the outcome of a transaction could not be learnt in time', cause);
    for (;;) {
      try {
        await this.#session.revoke(reason);
        const { items } = await withDeadline(clock, settings.callDeadlineMs, (signal) =>
          store.range({ key: this.#key }, signal),
        );
        if (equalBytes(items[0]?.value, nextValue)) return this.#advanced(nextValue, items[0]!.modRevision);
        throw reason;
      } catch (error) {
        if (error === reason) throw reason;
        await clock.sleep(resubmitDelayMs * 10);
      }
    }
  }

  #stop(message: string, cause?: unknown): MetadataError {
    const error =
      cause instanceof MetadataError && cause.kind === 'fenced'
        ? cause
        : new MetadataError('fenced', message, cause === undefined ? undefined : { cause });
    this.#session.end(error);
    return error;
  }
}
