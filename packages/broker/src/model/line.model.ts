/**
 * The world between a simulated process and its stores: calls are delayed, fail before or after they took effect, hang, and writes
 * are delivered again later. A process stops at its crash, wherever it is; while it is paused its timers and answers wait.
 */
import type { CancelTimer, Clock, Random } from '@kafscale/runtime';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataStore, Transaction, TransactionResult } from '../metadata/metadata-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { StorageError } from '../storage/storage-error.ts';
import type { EventCounts } from './event-counts.model.ts';

/** What may happen to one call. */
type Fate =
  'answered' | 'refused' | 'lost before' | 'lost after' | 'hangs' | 'hangs and applies late' | 'delivered again';

const createFates: readonly Fate[] = ['lost before', 'lost after', 'hangs', 'hangs and applies late', 'refused'];
const transactFates: readonly Fate[] = [
  'lost before',
  'lost after',
  'lost after',
  'hangs',
  'hangs and applies late',
  'delivered again',
  'delivered again',
  'delivered again',
  'refused',
];
const otherFates: readonly Fate[] = ['lost before', 'hangs', 'lost after'];

/** After this nothing sent before reaches a store any more. */
export const latestDeliveryMs = 9_000;
const crashPerFaults = 40;
const pausePerFaults = 20;
const pausePerKeepAlives = 80;
export const longestPauseMs = 9_000;

export interface Weather {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventCounts;
  /** Share of calls that something happens to; the world sets it to 0 when it heals. */
  faultRate: number;
  /** Until then no object is taken. */
  objectOutageUntilMs: number;
  /** Told of each process that stops or is stopped. */
  onAbsence: () => void;
  /** Told of each transaction that reached the store outside its call. */
  onLateDelivery: (transaction: Transaction, result: TransactionResult) => void;
}

export class Line {
  readonly #weather: Weather;
  readonly clock: Clock;
  /** The process ends its session by itself. */
  draining = false;
  #crashed = false;
  #pausedUntilMs = 0;
  /** Until then the metadata store does not answer this process. */
  #cutOffUntilMs = 0;

  constructor(weather: Weather) {
    this.#weather = weather;
    this.clock = new ProcessClock(this, weather);
  }

  get crashed(): boolean {
    return this.#crashed;
  }

  /** Milliseconds until the process runs again; 0 while it runs. */
  get pausedForMs(): number {
    return Math.max(0, this.#pausedUntilMs - this.#weather.clock.monotonicMs());
  }

  get running(): boolean {
    return !this.#crashed && this.pausedForMs === 0;
  }

  /** Nothing of the process goes out or comes in any more. */
  crash(): void {
    this.#crashed = true;
    this.#weather.onAbsence();
  }

  /** As a process that is stopped and resumed: what it sent arrives, what comes in waits. */
  pause(durationMs: number): void {
    this.#pausedUntilMs = this.#weather.clock.monotonicMs() + durationMs;
    this.#weather.onAbsence();
  }

  cutOff(durationMs: number): void {
    this.#cutOffUntilMs = this.#weather.clock.monotonicMs() + durationMs;
  }

  objectStore(store: ObjectStore): ObjectStore {
    return {
      capabilities: store.capabilities,
      create: (key, body, signal) => {
        const { clock, objectOutageUntilMs } = this.#weather;
        const outage = clock.monotonicMs() < objectOutageUntilMs;
        const sent = Buffer.concat(body);
        return this.#call({
          fates: outage ? ['lost before', 'hangs', 'hangs and applies late'] : createFates,
          faultRate: outage ? 1 : this.#weather.faultRate,
          work: () => store.create(key, body),
          workLate: () => store.create(key, [sent]),
          signal,
          lost: storageLost,
          refused: () => new StorageError('corrupt', 'the object store refused the object'),
        });
      },
      read: (key, range, signal) => this.#read(() => store.read(key, range), signal, storageLost),
      list: (prefix) => store.list(prefix),
      delete: (keys) => store.delete(keys),
      close: () => store.close(),
    };
  }

  metadataStore(store: MetadataStore): MetadataStore {
    return {
      range: (request, signal) => this.#read(() => store.range(request), signal, metadataLost),
      transact: (transaction, signal) =>
        this.#call({
          fates: this.#isCutOff ? ['lost before', 'hangs', 'hangs and applies late'] : transactFates,
          faultRate: this.#isCutOff ? 1 : this.#weather.faultRate,
          work: async () => {
            const result = await store.transact(transaction);
            if (foundApplied(transaction, result)) this.#weather.events.count('outcome learnt from the lane');
            return result;
          },
          workLate: async () => {
            this.#weather.onLateDelivery(transaction, await store.transact(transaction));
          },
          signal,
          lost: () => metadataLost(),
          refused: () => new MetadataError('invalid', 'the metadata store refused the transaction'),
          onReplyLost: ({ succeeded }) => {
            if (succeeded) this.#weather.events.count('reply lost of a transaction that applied');
          },
        }),
      grantLease: (ttlMs, signal) => this.#read(() => store.grantLease(ttlMs), signal, metadataLost),
      keepAlive: (lease, signal) => {
        const { random, events, faultRate } = this.#weather;
        if (faultRate > 0 && random.int(pausePerKeepAlives) === 0) {
          events.count('pause around a store call');
          this.pause(random.int(longestPauseMs));
        }
        return this.#read(() => store.keepAlive(lease), signal, metadataLost);
      },
      revokeLease: (lease, signal) => {
        const revoke = async () => {
          await store.revokeLease(lease);
          if (!this.draining) this.#weather.events.count('session revoked to settle');
        };
        return this.#read(revoke, signal, metadataLost);
      },
      watch: (range, revision, signal) => store.watch(range, revision, signal),
      compact: (revision) => store.compact(revision),
      usage: (signal) => this.#read(() => store.usage(), signal, metadataLost),
      close: () => store.close(),
    };
  }

  get #isCutOff(): boolean {
    return this.#weather.clock.monotonicMs() < this.#cutOffUntilMs;
  }

  /** A call that may be lost, and whose late copies change nothing. */
  #read<T>(work: () => Promise<T>, signal: AbortSignal | undefined, lost: () => Error): Promise<T> {
    const cutOff = this.#isCutOff && lost === metadataLost;
    const faultRate = cutOff ? 1 : this.#weather.faultRate / 2;
    const fates: readonly Fate[] = cutOff ? ['hangs', 'lost before'] : otherFates;
    return this.#call({ fates, faultRate, work, workLate: work, signal, lost, refused: lost });
  }

  async #call<T>(call: {
    readonly fates: readonly Fate[];
    readonly faultRate: number;
    readonly work: () => Promise<T>;
    readonly workLate: () => Promise<unknown>;
    readonly signal: AbortSignal | undefined;
    readonly lost: () => Error;
    readonly refused: () => Error;
    readonly onReplyLost?: (answer: T) => void;
  }): Promise<T> {
    const { clock, random, events } = this.#weather;
    if (this.#crashed) return await never();
    let fate: Fate = 'answered';
    if (random.float() < call.faultRate) {
      if (random.int(pausePerFaults) === 0) {
        events.count('pause around a store call');
        this.pause(random.int(longestPauseMs));
      } else fate = call.fates[random.int(call.fates.length)]!;
      if (random.int(crashPerFaults) === 0) {
        events.count('crash around a store call');
        this.crash();
        if (random.int(2) === 0) return await never();
      }
    }
    if (fate === 'hangs and applies late' || fate === 'delivered again') {
      const delayMs = random.int(2) === 0 ? random.int(900) : random.int(latestDeliveryMs);
      clock.schedule(delayMs, () => void call.workLate().catch(() => undefined));
    }
    if (fate === 'hangs' || fate === 'hangs and applies late') return await hang(call.signal, call.lost);

    await this.#travel();
    if (fate === 'lost before') throw call.lost();
    if (fate === 'refused') throw call.refused();
    let answer: T | undefined;
    let failure: unknown;
    try {
      answer = await call.work();
    } catch (error) {
      failure = error;
    }
    await this.#travel();
    await this.#comeIn();
    if (fate === 'lost after') {
      if (failure === undefined) call.onReplyLost?.(answer as T);
      throw call.lost();
    }
    if (failure !== undefined) throw failure as Error;
    return answer as T;
  }

  async #travel(): Promise<void> {
    const { clock, random } = this.#weather;
    if (random.int(4) === 0) await clock.sleep(random.int(40));
  }

  async #comeIn(): Promise<void> {
    while (this.pausedForMs > 0 && !this.#crashed) {
      await this.#weather.clock.sleep(this.pausedForMs + this.#weather.random.int(3));
    }
    if (this.#crashed) await never();
  }
}

/** The clock of one process: its timers wait while it is paused, and are gone when it crashed. */
class ProcessClock implements Clock {
  readonly #line: Line;
  readonly #weather: Weather;

  constructor(line: Line, weather: Weather) {
    this.#line = line;
    this.#weather = weather;
  }

  monotonicMs(): number {
    return this.#weather.clock.monotonicMs();
  }

  wallMs(): number {
    return this.#weather.clock.wallMs();
  }

  schedule(delayMs: number, callback: () => void): CancelTimer {
    const { clock, random } = this.#weather;
    const fire = () => {
      const { crashed, pausedForMs } = this.#line;
      if (crashed) return;
      if (pausedForMs > 0) cancel = clock.schedule(pausedForMs + random.int(3), fire);
      else callback();
    };
    let cancel = clock.schedule(delayMs, fire);
    return () => cancel();
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.schedule(delayMs, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          cancel();
          reject(signal.reason as Error);
        },
        { once: true },
      );
    });
  }
}

/** The transaction failed because it had applied before: its lane holds what it wanted to put there. */
function foundApplied(transaction: Transaction, { succeeded, ranges }: TransactionResult): boolean {
  const put = transaction.success.at(-1);
  const lane = ranges[1]?.items[0];
  if (succeeded || lane === undefined || put?.type !== 'put') return false;
  return Buffer.compare(lane.value, put.value) === 0;
}

const never = () => new Promise<never>(() => undefined);

function hang(signal: AbortSignal | undefined, lost: () => Error): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal?.aborted) reject(lost());
    signal?.addEventListener('abort', () => reject(lost()), { once: true });
  });
}

const storageLost = () => new StorageError('unavailable', 'the object store did not answer');
const metadataLost = () => new MetadataError('unavailable', 'the metadata store did not answer');
