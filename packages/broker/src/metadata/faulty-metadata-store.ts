/**
 * A metadata store behind a bad network: calls that never arrive, replies that get lost, delays, hangs, and writes that are
 * delivered a second time long after (etcd does that to requests whose deadline has passed). What happens to each call is the
 * plan's decision, so a schedule is a script or a seed.
 */
import type { Clock, Random } from '@kafscale/runtime';
import { MetadataError } from './metadata-error.ts';
import type {
  KeyRange,
  LeaseId,
  MetadataStore,
  RangeRequest,
  RangeResult,
  Revision,
  StoreUsage,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './metadata-store.ts';

export interface MetadataCall {
  readonly operation: 'range' | 'transact' | 'grantLease' | 'keepAlive' | 'revokeLease' | 'compact' | 'usage';
  /** 0 for the first call of all, one more with each. */
  readonly index: number;
  /** What `transact` was called with. */
  readonly transaction?: Transaction;
}

/** What becomes of one call; times are milliseconds by the clock. Without any of these it goes through. */
export interface MetadataCallFault {
  /** The call reaches the store so much later, also when its caller has given up by then; `never` loses it. */
  readonly deliverAfterMs?: number | 'never';
  /** Copies of a write reach the store again, so long after its first delivery. Their outcomes are nobody's. */
  readonly deliverAgainAfterMs?: number | readonly number[];
  /** `lost`: the caller gets `unavailable`. `hang`: it gets nothing until its signal aborts. */
  readonly reply?: 'lost' | 'hang';
  /** The reply takes so long after delivery. */
  readonly replyAfterMs?: number;
  /** The caller gets `unavailable` so long after its call unless the reply is there first; the call goes its way. */
  readonly failAfterMs?: number;
}

/** What becomes of a watch. */
export interface WatchFault {
  /** The stream breaks with `unavailable` behind so many batches. */
  readonly breakAfterBatches?: number;
  /** Each batch comes so much later. */
  readonly delayMs?: number;
  /** A batch for which it is true is swallowed without a sign. */
  readonly loses?: (batch: WatchBatch) => boolean;
}

/**
 * - `ok`: goes through.
 * - `fail-before`: `unavailable`, not applied.
 * - `lost-reply`: applied, then `unavailable`.
 * - `hang`: never arrives and is never answered; ends when the caller aborts.
 * - `hang-after`: applied and never answered.
 */
export type MetadataFault =
  'ok' | 'fail-before' | 'lost-reply' | 'hang' | 'hang-after' | { readonly delayMs: number } | MetadataCallFault;

export interface FaultyMetadataStoreOptions {
  readonly clock: Clock;
  /** Asked once for each call but watches, in the order of the calls. */
  readonly plan?: (call: MetadataCall) => MetadataFault;
  /** Asked once for each watch. */
  readonly watchPlan?: (range: KeyRange) => WatchFault;
}

const everythingWorks = (): MetadataFault => 'ok';
const watchWorks = (): WatchFault => ({});

export class FaultyMetadataStore implements MetadataStore {
  /** May be replaced at any time; counts for calls made from then on. */
  plan: (call: MetadataCall) => MetadataFault;
  watchPlan: (range: KeyRange) => WatchFault;
  readonly #inner: MetadataStore;
  readonly #clock: Clock;
  #calls = 0;
  #undelivered = 0;

  constructor(
    inner: MetadataStore,
    { clock, plan = everythingWorks, watchPlan = watchWorks }: FaultyMetadataStoreOptions,
  ) {
    this.#inner = inner;
    this.#clock = clock;
    this.plan = plan;
    this.watchPlan = watchPlan;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Calls and copies that will still reach the store. */
  get undelivered(): number {
    return this.#undelivered;
  }

  /** From now on everything works; what is on its way still arrives. */
  heal(): void {
    this.plan = everythingWorks;
    this.watchPlan = watchWorks;
  }

  range(request: RangeRequest, signal?: AbortSignal): Promise<RangeResult> {
    return this.#call({ operation: 'range' }, () => this.#inner.range(request), signal);
  }

  transact(transaction: Transaction, signal?: AbortSignal): Promise<TransactionResult> {
    return this.#call({ operation: 'transact', transaction }, () => this.#inner.transact(transaction), signal);
  }

  grantLease(ttlMs: number, signal?: AbortSignal): Promise<LeaseId> {
    return this.#call({ operation: 'grantLease' }, () => this.#inner.grantLease(ttlMs), signal);
  }

  keepAlive(lease: LeaseId, signal?: AbortSignal): Promise<{ readonly ttlMs: number }> {
    return this.#call({ operation: 'keepAlive' }, () => this.#inner.keepAlive(lease), signal);
  }

  revokeLease(lease: LeaseId, signal?: AbortSignal): Promise<void> {
    return this.#call({ operation: 'revokeLease' }, () => this.#inner.revokeLease(lease), signal);
  }

  async *watch(
    range: KeyRange,
    fromRevision: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    const { breakAfterBatches = Number.POSITIVE_INFINITY, delayMs = 0, loses } = this.watchPlan(range);
    let batches = 0;
    if (breakAfterBatches === 0) throw lostError();
    for await (const batch of this.#inner.watch(range, fromRevision, signal)) {
      if (loses?.(batch)) continue;
      if (delayMs > 0) await this.#clock.sleep(delayMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      yield batch;
      batches += 1;
      if (batches >= breakAfterBatches) throw lostError();
    }
  }

  compact(revision: Revision, signal?: AbortSignal): Promise<void> {
    return this.#call({ operation: 'compact' }, () => this.#inner.compact(revision), signal);
  }

  usage(signal?: AbortSignal): Promise<StoreUsage> {
    return this.#call({ operation: 'usage' }, () => this.#inner.usage(), signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #call<T>(call: Omit<MetadataCall, 'index'>, deliver: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    const fault = asCallFault(this.plan({ ...call, index: this.#calls }));
    this.#calls += 1;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(abortedError(signal!));
      signal?.addEventListener('abort', onAbort, { once: true });
      const answer = (settle: () => void) => {
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      if (fault.failAfterMs !== undefined) this.#after(fault.failAfterMs, () => answer(() => reject(lostError())));
      if (fault.deliverAfterMs === 'never') {
        if (fault.reply !== 'hang' && fault.failAfterMs === undefined) answer(() => reject(lostError()));
        return;
      }
      const reply = (settle: () => void) => {
        if (fault.reply === 'hang') return;
        const given = fault.reply === 'lost' ? () => reject(lostError()) : settle;
        this.#after(fault.replyAfterMs ?? 0, () => answer(given));
      };
      this.#deliver(fault.deliverAfterMs ?? 0, deliver, (outcome) => {
        reply(() => {
          outcome.then(resolve, reject);
        });
      });
      if (call.operation === 'range' || call.operation === 'usage') return;
      for (const againMs of [fault.deliverAgainAfterMs ?? []].flat()) {
        this.#deliver((fault.deliverAfterMs ?? 0) + againMs, deliver, () => undefined);
      }
    });
  }

  /** Delivers now or later and hands over the settled outcome. */
  #deliver<T>(afterMs: number, deliver: () => Promise<T>, settled: (outcome: Promise<T>) => void): void {
    this.#undelivered += 1;
    this.#after(afterMs, () => {
      this.#undelivered -= 1;
      const outcome = deliver();
      outcome.then(
        () => settled(outcome),
        () => settled(outcome),
      );
    });
  }

  #after(delayMs: number, act: () => void): void {
    if (delayMs > 0) this.#clock.schedule(delayMs, act);
    else act();
  }
}

/** How often each fault comes, as a share of the calls (0 to 1), and how long delays get. */
export interface RandomMetadataFaults {
  readonly random: Random;
  readonly failBefore?: number;
  readonly lostReply?: number;
  readonly hang?: number;
  readonly hangAfter?: number;
  /** Delivered late, with the caller told `unavailable` at once. */
  readonly late?: number;
  readonly delay?: number;
  readonly maxDelayMs?: number;
  /** Comes on top of whatever else becomes of the write. */
  readonly deliverAgain?: number;
  readonly maxDeliverAgainMs?: number;
}

/** A plan that draws from `random`: the same seed and the same calls give the same faults. */
export function randomMetadataFaults({
  random,
  ...shares
}: RandomMetadataFaults): (call: MetadataCall) => MetadataFault {
  const { failBefore = 0, lostReply = 0, hang = 0, hangAfter = 0, late = 0, delay = 0 } = shares;
  const { maxDelayMs = 1000, deliverAgain = 0, maxDeliverAgainMs = 60_000 } = shares;
  const draw = (): MetadataCallFault => {
    const delayMs = 1 + random.int(maxDelayMs);
    const faults: readonly (readonly [number, MetadataCallFault])[] = [
      [failBefore, asCallFault('fail-before')],
      [lostReply, asCallFault('lost-reply')],
      [hang, asCallFault('hang')],
      [hangAfter, asCallFault('hang-after')],
      [late, { failAfterMs: 0, deliverAfterMs: delayMs }],
      [delay, { deliverAfterMs: delayMs }],
    ];
    let left = random.float();
    for (const [share, fault] of faults) {
      if (left < share) return fault;
      left -= share;
    }
    return {};
  };
  return () => {
    const fault = draw();
    if (random.float() >= deliverAgain) return fault;
    return { ...fault, deliverAgainAfterMs: 1 + random.int(maxDeliverAgainMs) };
  };
}

function asCallFault(fault: MetadataFault): MetadataCallFault {
  switch (fault) {
    case 'ok':
      return {};
    case 'fail-before':
      return { deliverAfterMs: 'never' };
    case 'lost-reply':
      return { reply: 'lost' };
    case 'hang':
      return { deliverAfterMs: 'never', reply: 'hang' };
    case 'hang-after':
      return { reply: 'hang' };
    default:
      return 'delayMs' in fault ? { deliverAfterMs: fault.delayMs } : fault;
  }
}

const lostError = () => new MetadataError('unavailable', 'the connection to the metadata store broke');
const abortedError = ({ reason }: AbortSignal) =>
  new MetadataError('aborted', 'the caller gave up', { cause: reason as unknown });
