/**
 * How the object store is doing, judged over a window of its answers: creates and reads each by themselves, the worse of the two
 * counts. A store that gives no good answer any more is unavailable whatever it did before, calls that hang included; and once it
 * does again that soon shows, so that nobody waits for the window to pass.
 */
import type { Clock } from '@kafscale/runtime';
import type { StorageErrorKind } from './storage-error.ts';

export type StoreHealthState = 'healthy' | 'degraded' | 'unavailable';
export const storeHealthStates = ['healthy', 'degraded', 'unavailable'] as const satisfies readonly StoreHealthState[];

export interface StoreHealthSettings {
  readonly windowMs: number;
  /** Mean latency from which the store is degraded, or unavailable. */
  readonly latencyWarnMs: number;
  readonly latencyCritMs: number;
  /** Share of failed calls from which the store is degraded, or unavailable; 0 to 1. */
  readonly errorRateWarn: number;
  readonly errorRateCrit: number;
}

export interface StoreHealthReport {
  readonly state: StoreHealthState;
  /** Whether creates are worth trying: false while nearly all of them fail. A store that is slow, or that fails reads, can be written. */
  readonly canWrite: boolean;
  /** Mean of the good answers. */
  readonly latencyMs: number;
  readonly errorRate: number;
  /** Since the state changed last. */
  readonly stateDurationMs: number;
}

export type JudgedOperation = 'create' | 'read';
export type CallOutcome = 'ok' | StorageErrorKind | 'failed';

/** How a call that was told of ended; to be called once. */
export type EndCall = (outcome: CallOutcome) => void;

const slotCount = 30;
/** Fewer failures than this in a window are an accident. */
const minFailures = 3;
/** So many good answers in a row end the memory of a time in which most were bad. */
const goodAnswersInARow = 3;

export class StoreHealth {
  readonly #clock: Clock;
  readonly #settings: StoreHealthSettings;
  readonly #windows: Readonly<Record<JudgedOperation, CallWindow>>;
  readonly #listeners: ((report: StoreHealthReport) => void)[] = [];
  #state: StoreHealthState = 'healthy';
  #canWrite = true;
  #sinceMs: number;

  constructor(clock: Clock, settings: StoreHealthSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#windows = { create: new CallWindow(clock, settings), read: new CallWindow(clock, settings) };
    this.#sinceMs = clock.monotonicMs();
  }

  /** As of the last call that ended or the last `refresh`. */
  get canWrite(): boolean {
    return this.#canWrite;
  }

  report(): StoreHealthReport {
    const { create, read } = this.#windows;
    const [creates, reads] = [create.sums(), read.sums()];
    const calls = creates.calls + reads.calls;
    const failures = creates.failures + reads.failures;
    return {
      state: this.#state,
      canWrite: this.#canWrite,
      latencyMs: calls === failures ? 0 : (creates.latencyMs + reads.latencyMs) / (calls - failures),
      errorRate: calls === 0 ? 0 : failures / calls,
      stateDurationMs: this.#clock.monotonicMs() - this.#sinceMs,
    };
  }

  /** Runs whenever the state or what may be written changes. */
  onChange(listener: (report: StoreHealthReport) => void): void {
    this.#listeners.push(listener);
  }

  /** A call begins. */
  began(operation: JudgedOperation): EndCall {
    const end = this.#windows[operation].began();
    return (outcome) => {
      end(outcome);
      this.refresh();
    };
  }

  /** Judges anew: time passes for calls that hang, and for what lies behind. */
  refresh(): void {
    const creates = this.#judge(this.#windows.create);
    const reads = this.#judge(this.#windows.read);
    const state = worse(creates.state, reads.state);
    if (state === this.#state && creates.canTry === this.#canWrite) return;
    if (state !== this.#state) this.#sinceMs = this.#clock.monotonicMs();
    this.#state = state;
    this.#canWrite = creates.canTry;
    for (const listener of this.#listeners) listener(this.report());
  }

  #judge(window: CallWindow): { readonly state: StoreHealthState; readonly canTry: boolean } {
    const { latencyWarnMs, latencyCritMs, errorRateWarn, errorRateCrit } = this.#settings;
    const { calls, failures, latencyMs } = window.sums();
    const errorRate = failures < minFailures ? 0 : failures / calls;
    const answers = calls - failures;
    const meanMs = answers < minFailures ? 0 : latencyMs / answers;
    const isFailing = window.isSilent() || (errorRateCrit > 0 && errorRate >= errorRateCrit);
    if (isFailing || meanMs >= latencyCritMs) return { state: 'unavailable', canTry: !isFailing };
    const isWorse = (errorRate > 0 && errorRate >= errorRateWarn) || meanMs >= latencyWarnMs;
    return { state: isWorse ? 'degraded' : 'healthy', canTry: true };
  }
}

interface Sums {
  calls: number;
  failures: number;
  /** Of those that did not fail. */
  latencyMs: number;
}

/** The calls of one operation: what ended, in slots of time that pass, and what has not ended yet. */
class CallWindow {
  readonly #clock: Clock;
  readonly #slotMs: number;
  readonly #windowMs: number;
  readonly #hangMs: number;
  readonly #slots: Sums[] = Array.from({ length: slotCount }, noCalls);
  #newestSlot: number;
  /** When each call that has no answer began; the oldest first. */
  readonly #open = new Map<object, number>();
  #goodInARow = 0;
  #badInARow = 0;
  /** When the first call began that failed since the last good answer. */
  #firstBadMs = Number.POSITIVE_INFINITY;
  /** Calls that began before the store came back say no more about it, whenever they end. */
  #forgivenBeforeMs = Number.NEGATIVE_INFINITY;
  #lastBadMs = Number.NEGATIVE_INFINITY;
  #lastGoodMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, { windowMs, latencyCritMs }: StoreHealthSettings) {
    this.#clock = clock;
    this.#slotMs = windowMs / slotCount;
    this.#windowMs = windowMs;
    this.#hangMs = 2 * latencyCritMs;
    this.#newestSlot = this.#slotNow();
  }

  began(): EndCall {
    const call = {};
    const startMs = this.#clock.monotonicMs();
    this.#open.set(call, startMs);
    return (outcome) => {
      this.#open.delete(call);
      this.#ended(outcome, this.#clock.monotonicMs() - startMs);
    };
  }

  sums(): Sums {
    this.#passTime();
    const sums = noCalls();
    for (const slot of this.#slots) add(sums, slot.calls, slot.failures, slot.latencyMs);
    const nowMs = this.#clock.monotonicMs();
    const hanging = this.#hanging(nowMs).length;
    add(sums, hanging, hanging, 0);
    return sums;
  }

  /** No good answer for as long as a call may hang, although several were waited for. */
  isSilent(): boolean {
    const nowMs = this.#clock.monotonicMs();
    const hanging = this.#hanging(nowMs);
    const badInARow = nowMs - this.#lastBadMs < this.#windowMs ? this.#badInARow : 0;
    if (badInARow + hanging.length < minFailures) return false;
    const sinceMs = Math.max(this.#lastGoodMs, Math.min(this.#firstBadMs, hanging[0] ?? Number.POSITIVE_INFINITY));
    return nowMs - sinceMs >= this.#hangMs;
  }

  /** When each call began that should have had its answer, the oldest first. */
  #hanging(nowMs: number): number[] {
    const startsMs: number[] = [];
    for (const startMs of this.#open.values()) {
      if (nowMs - startMs < this.#hangMs) break;
      if (startMs >= this.#forgivenBeforeMs) startsMs.push(startMs);
    }
    return startsMs;
  }

  #ended(outcome: CallOutcome, durationMs: number): void {
    const isGood = answers.has(outcome);
    // Whoever gave up early tells nothing about the store.
    if (!isGood && outcome === 'aborted' && durationMs < this.#hangMs) return;
    const nowMs = this.#clock.monotonicMs();
    if (!isGood && nowMs - durationMs < this.#forgivenBeforeMs) return;
    if (isGood) {
      this.#goodInARow += 1;
      this.#badInARow = 0;
      this.#firstBadMs = Number.POSITIVE_INFINITY;
      this.#lastGoodMs = nowMs;
    } else {
      this.#goodInARow = 0;
      this.#badInARow += 1;
      this.#firstBadMs = Math.min(this.#firstBadMs, nowMs - durationMs);
      this.#lastBadMs = nowMs;
    }
    this.#passTime();
    if (this.#goodInARow === goodAnswersInARow) this.#forgetBadTimes();
    add(this.#slots[this.#newestSlot % slotCount]!, 1, isGood ? 0 : 1, isGood ? durationMs : 0);
  }

  /** Slots in which most calls failed say no more about the store than that it came back. */
  #forgetBadTimes(): void {
    this.#forgivenBeforeMs = this.#clock.monotonicMs();
    for (const slot of this.#slots) if (slot.failures * 2 > slot.calls) Object.assign(slot, noCalls());
  }

  #passTime(): void {
    const now = this.#slotNow();
    const passed = Math.min(slotCount, now - this.#newestSlot);
    for (let slot = 1; slot <= passed; slot += 1) this.#slots[(now - passed + slot) % slotCount] = noCalls();
    this.#newestSlot = now;
  }

  #slotNow(): number {
    return Math.floor(this.#clock.monotonicMs() / this.#slotMs);
  }
}

/** What a store that works may say. */
const answers: ReadonlySet<CallOutcome> = new Set(['ok', 'not-found', 'conflict', 'archived']);
const noCalls = (): Sums => ({ calls: 0, failures: 0, latencyMs: 0 });

function add(sums: Sums, calls: number, failures: number, latencyMs: number): void {
  sums.calls += calls;
  sums.failures += failures;
  sums.latencyMs += latencyMs;
}

const worse = (one: StoreHealthState, other: StoreHealthState): StoreHealthState =>
  storeHealthStates.indexOf(one) >= storeHealthStates.indexOf(other) ? one : other;
