/**
 * Asks a second time when a read takes longer than nearly all of the last ones did, and takes the answer that comes first: one slow
 * disk, connection or front end of the store is then nobody's wait. Second requests are a small share of all, so that a store that is
 * slow for everybody is not given more to do.
 */
import type { Clock } from '@kafscale/runtime';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';

export interface HedgedObjectStoreOptions {
  readonly clock: Clock;
  /** A second request is made after this share of the last reads had their answer, 0 to 1. */
  readonly quantile: number;
  /** Never sooner than this, however quick the store is. */
  readonly minDelayMs: number;
  /** Second requests for each read, in the long run. */
  readonly maxShare: number;
  /** Larger reads take their time for their bytes and are not asked for twice. */
  readonly maxBytes: number;
  /** Told of each second request, and whether it was the one that answered. */
  readonly onHedged?: (won: boolean) => void;
}

const rememberedReads = 256;
/** With fewer nothing is known about the store. */
const minRememberedReads = 32;
/** Second requests that may come at once after a quiet time. */
const burst = 8;

export class HedgedObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #options: HedgedObjectStoreOptions;
  readonly #durations = new Float64Array(rememberedReads);
  #reads = 0;
  #delayMs = Number.POSITIVE_INFINITY;
  #tokens = burst;

  constructor(inner: ObjectStore, options: HedgedObjectStoreOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  /** After which a second request is made now, milliseconds; infinite while nothing is known. */
  get delayMs(): number {
    return this.#delayMs;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#inner.create(key, body, signal);
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    const { maxShare, maxBytes } = this.#options;
    if (range === undefined || range.end - range.start > maxBytes) return this.#inner.read(key, range, signal, into);
    this.#tokens = Math.min(burst, this.#tokens + maxShare);
    return this.#readTwiceIfSlow(key, range, signal, into);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#inner.list(prefix, signal);
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(keys, signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** Settles only when neither request touches `into` any more: the loser is told to stop and waited for. */
  async #readTwiceIfSlow(
    key: ObjectKey,
    range: ByteRange,
    signal: AbortSignal | undefined,
    into: Buffer | undefined,
  ): Promise<Buffer> {
    const { clock, onHedged } = this.#options;
    const startMs = clock.monotonicMs();
    const first = new Attempt(signal, (ownSignal) => this.#inner.read(key, range, ownSignal, into));
    let second: Attempt | undefined;
    const secondStarted = new Promise<void>((resolve) => {
      const cancel = this.#isKnown
        ? clock.schedule(this.#delayMs, () => {
            if (this.#tokens < 1 || signal?.aborted) return;
            this.#tokens -= 1;
            second = new Attempt(signal, (ownSignal) => this.#inner.read(key, range, ownSignal));
            resolve();
          })
        : () => undefined;
      void first.settled.then(() => {
        cancel();
        resolve();
      });
    });
    await secondStarted;
    const winner = second === undefined ? first : await firstToAnswer(first, second);
    const loser = winner === first ? second : first;
    loser?.abort();
    await loser?.settled;
    if (await winner.settled) this.#remember(clock.monotonicMs() - startMs);
    if (second !== undefined) onHedged?.(winner === second);
    return winner.result;
  }

  get #isKnown(): boolean {
    return this.#reads >= minRememberedReads;
  }

  #remember(durationMs: number): void {
    const { quantile, minDelayMs } = this.#options;
    this.#durations[this.#reads % rememberedReads] = durationMs;
    this.#reads += 1;
    const known = Math.min(this.#reads, rememberedReads);
    if (!this.#isKnown || this.#reads % minRememberedReads !== 0) return;
    const sorted = this.#durations.slice(0, known).sort();
    this.#delayMs = Math.max(minDelayMs, sorted[Math.floor(known * quantile)]!);
  }
}

/** One of two requests, which can be told to stop without the caller's signal. */
class Attempt {
  readonly result: Promise<Buffer>;
  /** Resolves with whether it succeeded. */
  readonly settled: Promise<boolean>;
  readonly #controller = new AbortController();

  constructor(signal: AbortSignal | undefined, read: (signal: AbortSignal) => Promise<Buffer>) {
    const onAbort = () => this.#controller.abort(signal!.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    this.result = read(this.#controller.signal);
    this.settled = this.result.then(
      () => true,
      () => false,
    );
    void this.settled.then(() => signal?.removeEventListener('abort', onAbort));
  }

  abort(): void {
    this.#controller.abort(new Error('the other request was answered first'));
  }
}

/** The first that succeeds, or the last that fails. */
async function firstToAnswer(one: Attempt, other: Attempt): Promise<Attempt> {
  const answered = await Promise.race([one, other].map(async (attempt) => ({ attempt, ok: await attempt.settled })));
  if (answered.ok) return answered.attempt;
  const left = answered.attempt === one ? other : one;
  await left.settled;
  return left;
}
