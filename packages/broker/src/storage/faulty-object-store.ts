/**
 * An object store behind a bad network and on bad disks: calls that never arrive, replies that get lost, delays, hangs, creates
 * that land long after their caller gave up, and reads that answer with other bytes. What happens to each call is the plan's
 * decision, so a schedule is a script or a seed.
 */
import type { Clock, Random } from '@kafscale/runtime';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError, type StorageErrorKind } from './storage-error.ts';

export interface ObjectCall {
  readonly operation: 'create' | 'read' | 'list' | 'delete';
  /** The keys of the call; for a list its prefix. */
  readonly keys: readonly string[];
  /** 0 for the first call of all, one more with each. */
  readonly index: number;
}

/** What becomes of one call; times are milliseconds by the clock. Without any of these it goes through. */
export interface ObjectCallFault {
  /** The call reaches the store so much later, also when its caller has given up by then; `never` loses it. */
  readonly deliverAfterMs?: number | 'never';
  /** `lost`: the caller gets `unavailable`. `hang`: it gets nothing until its signal aborts. */
  readonly reply?: 'lost' | 'hang';
  /** The reply takes so long after delivery. */
  readonly replyAfterMs?: number;
  /** The caller gets `unavailable` so long after its call unless the reply is there first; the call goes its way. */
  readonly failAfterMs?: number;
  /** What the caller learns in place of `unavailable`. */
  readonly error?: StorageErrorKind;
  /** A read answers with one byte changed, or without its second half. */
  readonly bytes?: 'wrong' | 'truncated';
  /** A list breaks with `unavailable` behind so many objects. */
  readonly breakAfterObjects?: number;
}

/**
 * - `ok`: goes through.
 * - `fail-before`: `unavailable`, without effect.
 * - `lost-reply`: takes effect, then `unavailable`.
 * - `hang`: never arrives and is never answered; ends when the caller aborts.
 * - `hang-after`: takes effect and is never answered.
 * - `wrong-bytes`, `truncated`: a read that answers with damaged bytes.
 */
export type ObjectFault =
  | 'ok'
  | 'fail-before'
  | 'lost-reply'
  | 'hang'
  | 'hang-after'
  | 'wrong-bytes'
  | 'truncated'
  | { readonly delayMs: number }
  | ObjectCallFault;

export interface FaultyObjectStoreOptions {
  readonly clock: Clock;
  /** Asked once for each call, in the order of the calls. */
  readonly plan?: (call: ObjectCall) => ObjectFault;
}

const noFault: ObjectCallFault = {};
const everythingWorks = (): ObjectFault => 'ok';

export class FaultyObjectStore implements ObjectStore {
  /** May be replaced at any time; counts for calls made from then on. */
  plan: (call: ObjectCall) => ObjectFault;
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  #calls = 0;
  #undelivered = 0;

  constructor(inner: ObjectStore, { clock, plan = everythingWorks }: FaultyObjectStoreOptions) {
    this.#inner = inner;
    this.#clock = clock;
    this.plan = plan;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Calls that will still reach the store. */
  get undelivered(): number {
    return this.#undelivered;
  }

  /** From now on everything works; what is on its way still arrives. */
  heal(): void {
    this.plan = everythingWorks;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    const fault = this.#next('create', [key]);
    if (fault === noFault) return this.#inner.create(key, body, signal);
    // The caller's memory is its own again once it has an answer, and the call may go on after that.
    const sent = Buffer.concat(body);
    return this.#call(fault, () => this.#inner.create(key, [sent]), signal);
  }

  async read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal): Promise<Buffer> {
    if (signal?.aborted) throw abortedError(signal);
    const fault = this.#next('read', [key]);
    const bytes = await this.#call(fault, () => this.#inner.read(key, range), signal);
    if (fault.bytes === 'truncated') return bytes.subarray(0, bytes.length >>> 1);
    const middle = bytes.length >>> 1;
    if (fault.bytes === 'wrong' && bytes.length > 0) bytes[middle] = bytes[middle]! ^ 0xff;
    return bytes;
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    if (signal?.aborted) throw abortedError(signal);
    const fault = this.#next('list', [prefix]);
    await this.#call(fault, () => Promise.resolve(), signal);
    let objects = 0;
    for await (const info of this.#inner.list(prefix, signal)) {
      if (objects === fault.breakAfterObjects) throw lostError(fault);
      objects += 1;
      yield info;
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    return this.#call(this.#next('delete', keys), () => this.#inner.delete(keys), signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #next(operation: ObjectCall['operation'], keys: readonly string[]): ObjectCallFault {
    const fault = asCallFault(this.plan({ operation, keys, index: this.#calls }));
    this.#calls += 1;
    return fault;
  }

  #call<T>(fault: ObjectCallFault, deliver: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(abortedError(signal!));
      signal?.addEventListener('abort', onAbort, { once: true });
      const answer = (settle: () => void) => {
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const fail = () => answer(() => reject(lostError(fault)));
      if (fault.failAfterMs !== undefined) this.#after(fault.failAfterMs, fail);
      if (fault.deliverAfterMs === 'never') {
        if (fault.reply !== 'hang' && fault.failAfterMs === undefined) fail();
        return;
      }
      this.#undelivered += 1;
      this.#after(fault.deliverAfterMs ?? 0, () => {
        this.#undelivered -= 1;
        const reply = (settle: () => void) => {
          if (fault.reply === 'hang') return;
          this.#after(fault.replyAfterMs ?? 0, fault.reply === 'lost' ? fail : () => answer(settle));
        };
        const outcome = deliver();
        const answered = () => reply(() => void outcome.then(resolve, reject));
        outcome.then(answered, answered);
      });
    });
  }

  #after(delayMs: number, act: () => void): void {
    if (delayMs > 0) this.#clock.schedule(delayMs, act);
    else act();
  }
}

/** How often each fault comes, as a share of the calls (0 to 1), and how long delays get. */
export interface RandomObjectFaults {
  readonly random: Random;
  readonly failBefore?: number;
  readonly lostReply?: number;
  readonly hang?: number;
  readonly hangAfter?: number;
  /** Delivered late, with the caller told `unavailable` at once. */
  readonly late?: number;
  readonly delay?: number;
  readonly maxDelayMs?: number;
}

/** A plan that draws from `random`: the same seed and the same calls give the same faults. */
export function randomObjectFaults({ random, ...shares }: RandomObjectFaults): (call: ObjectCall) => ObjectFault {
  const { failBefore = 0, lostReply = 0, hang = 0, hangAfter = 0, late = 0, delay = 0, maxDelayMs = 1000 } = shares;
  return () => {
    const delayMs = 1 + random.int(maxDelayMs);
    const faults: readonly (readonly [number, ObjectFault])[] = [
      [failBefore, 'fail-before'],
      [lostReply, 'lost-reply'],
      [hang, 'hang'],
      [hangAfter, 'hang-after'],
      [late, { failAfterMs: 0, deliverAfterMs: delayMs }],
      [delay, { delayMs }],
    ];
    let left = random.float();
    for (const [share, fault] of faults) {
      if (left < share) return fault;
      left -= share;
    }
    return 'ok';
  };
}

function asCallFault(fault: ObjectFault): ObjectCallFault {
  switch (fault) {
    case 'ok':
      return noFault;
    case 'fail-before':
      return { deliverAfterMs: 'never' };
    case 'lost-reply':
      return { reply: 'lost' };
    case 'hang':
      return { deliverAfterMs: 'never', reply: 'hang' };
    case 'hang-after':
      return { reply: 'hang' };
    case 'wrong-bytes':
      return { bytes: 'wrong' };
    case 'truncated':
      return { bytes: 'truncated' };
    default:
      return 'delayMs' in fault ? { deliverAfterMs: fault.delayMs } : fault;
  }
}

const lostError = ({ error = 'unavailable' }: ObjectCallFault) =>
  new StorageError(error, 'the connection to the object store broke');
const abortedError = ({ reason }: AbortSignal) =>
  new StorageError('aborted', 'the caller gave up', { cause: reason as unknown });
