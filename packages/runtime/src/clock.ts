/** Time as a component: monotonic for durations and deadlines, wall clock for what is stored or shown. */

/** Cancels a timer; harmless once it has fired. */
export type CancelTimer = () => void;

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. For deadlines, leases and durations. */
  monotonicMs(): number;
  /** Whole milliseconds since the Unix epoch; may jump. For timestamps that are stored or shown, never for a decision of safety. */
  wallMs(): number;
  /** Runs `callback` once, at least `delayMs` from now. Does not keep the process alive. */
  schedule(delayMs: number, callback: () => void): CancelTimer;
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}
