/**
 * Decides when the open flush closes. An idle broker flushes at once, so that a lone producer waits for the store and nothing else;
 * producers that were just answered get a millisecond to come back and share the flush of those who wait already. Every such early
 * flush takes a token, and tokens come back one a window: a steady trickle ends up at one object a window, however many producers
 * and partitions it comes from. Behind a flush under way the next one waits for the window, or as long as the last one took: a
 * store that takes longer than the window is not given more, smaller flushes for it. An ample one waits for the window alone, and
 * a full one for nothing. Nor does a large one to which nobody adds any more: its producers hold as much in flight as they may, and
 * wait for it as it waits for them.
 */
import type { Clock } from '@kafscale/runtime';
import type { FlushBuffer } from './flush-buffer.ts';

export interface FlushPacerSettings {
  /** The longest a batch waits for company. */
  readonly windowMs: number;
  /** A flush of this size closes without waiting. */
  readonly maxBytes: number;
  /** A flush with so many partitions and batches closes without waiting: it bounds the manifest. */
  readonly maxEntries: number;
  /** Uploads that may run at once; the open flush grows meanwhile. */
  readonly maxUploads: number;
}

const burstTokens = 8;
/** How long those who were answered together have to come back. */
const companyMs = 1;
/** A store slower than this is better used by several flushes at once. */
const maxPatienceMs = 50;
/** From this size on a flush costs as much for its bytes as for itself, and is better on its way beside others. */
const ampleBytes = 512 * 1024;

/** So long nobody adds to a flush that has come to rest. */
const restMs = 5;

/** Close now, look again in so many milliseconds, or wait for the next append or finished upload. */
export type FlushDecision = 'close' | 'wait' | { readonly afterMs: number };

export class FlushPacer {
  readonly #settings: FlushPacerSettings;
  readonly #clock: Clock;
  /** A quarter of a full flush, so that coming to rest costs at most four times the objects that bytes alone do. */
  readonly #restingBytes: number;
  #tokens = burstTokens;
  #refilledMs: number;
  #openedMs = 0;
  /** Batches of the open flush at the last look, and when they had become more. */
  #seenBatches = 0;
  #grewMs = 0;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #expectedBatches = 1;
  /** How long the open flush waits for one that is under way. */
  #patienceMs: number;

  constructor(settings: FlushPacerSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#restingBytes = Math.max(ampleBytes, settings.maxBytes / 4);
    this.#refilledMs = clock.monotonicMs();
    this.#patienceMs = settings.windowMs;
  }

  /** The open flush got its first batch. */
  opened(): void {
    this.#openedMs = this.#clock.monotonicMs();
    this.#seenBatches = 0;
  }

  /** A flush was answered: its producers may each send the next batch now, beside the batches that are waiting. */
  answered(batchCount: number, waitingBatches: number, durationMs: number): void {
    const { windowMs } = this.#settings;
    this.#answeredMs = this.#clock.monotonicMs();
    this.#expectedBatches = batchCount + waitingBatches;
    this.#patienceMs = windowMs === 0 ? 0 : Math.max(windowMs, Math.min(durationMs, maxPatienceMs));
  }

  /** `unsettled` counts the flushes that are closed and have no outcome yet; those being uploaded are among them. */
  decide(buffer: FlushBuffer, uploadsInFlight: number, unsettled: number): FlushDecision {
    const { maxBytes, maxEntries, maxUploads } = this.#settings;
    if (buffer.isEmpty || uploadsInFlight >= maxUploads) return 'wait';
    if (buffer.sizeBytes >= maxBytes || buffer.entryCount >= maxEntries) return 'close';
    const nowMs = this.#clock.monotonicMs();
    const decision = this.#byTime(buffer, unsettled, nowMs);
    if (decision === 'close' || buffer.sizeBytes < this.#restingBytes) return decision;
    const untilRestMs = this.#untilRestMs(buffer, nowMs);
    return untilRestMs <= 0 ? 'close' : { afterMs: Math.min(decision.afterMs, Math.ceil(untilRestMs)) };
  }

  #byTime(buffer: FlushBuffer, unsettled: number, nowMs: number): Exclude<FlushDecision, 'wait'> {
    const { windowMs } = this.#settings;
    const ageMs = nowMs - this.#openedMs;
    const isAmple = buffer.sizeBytes >= ampleBytes;
    if (unsettled > 0) {
      const waitMs = (isAmple ? windowMs : this.#patienceMs) - ageMs;
      return waitMs <= 0 ? 'close' : { afterMs: Math.ceil(waitMs) };
    }
    const aloneMs = nowMs - Math.max(this.#openedMs, this.#answeredMs);
    if (windowMs > 0 && !isAmple && buffer.batchCount < this.#expectedBatches && aloneMs < companyMs)
      return { afterMs: Math.ceil(companyMs - aloneMs) };
    if (ageMs >= windowMs) return 'close';
    if (!this.#hasToken(nowMs)) return { afterMs: Math.ceil(windowMs - ageMs) };
    this.#tokens -= 1;
    return 'close';
  }

  #untilRestMs({ batchCount }: FlushBuffer, nowMs: number): number {
    if (batchCount !== this.#seenBatches) {
      this.#seenBatches = batchCount;
      this.#grewMs = nowMs;
    }
    return this.#grewMs + restMs - nowMs;
  }

  #hasToken(nowMs: number): boolean {
    const { windowMs } = this.#settings;
    const earned = windowMs === 0 ? burstTokens : (nowMs - this.#refilledMs) / windowMs;
    this.#tokens = Math.min(burstTokens, this.#tokens + earned);
    this.#refilledMs = nowMs;
    return this.#tokens >= 1;
  }
}
