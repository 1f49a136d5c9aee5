/** Work that a broker does again and again beside its requests: one round at a time, and none once it was stopped. */
import type { Clock, Logger } from '@kafscale/runtime';

export interface UpkeepLoopSettings {
  readonly clock: Clock;
  readonly logger: Logger;
  /** From the end of one round to the start of the next. */
  readonly intervalMs: number;
  /** What to do; its rejection is logged, and the next round tries again. Ends soon after `signal` aborts. */
  readonly round: (signal: AbortSignal) => Promise<void>;
}

export class UpkeepLoop {
  readonly #settings: UpkeepLoopSettings;
  readonly #stopping = new AbortController();
  #cancel: () => void = () => undefined;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(settings: UpkeepLoopSettings) {
    this.#settings = settings;
    this.#plan();
  }

  /** Starts a round now, or right behind the one that is running. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#cancel();
    this.#again = false;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.wake();
      else this.#plan();
    });
  }

  /** No round starts any more; resolves when the one that is running has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the broker was stopped'));
    this.#cancel();
    await this.#running;
  }

  #plan(): void {
    if (this.#stopping.signal.aborted) return;
    const { clock, intervalMs } = this.#settings;
    this.#cancel = clock.schedule(intervalMs, () => this.wake());
  }

  async #run(): Promise<void> {
    const { round, logger } = this.#settings;
    try {
      await round(this.#stopping.signal);
    } catch (error) {
      if (!this.#stopping.signal.aborted) logger.warn({ err: error }, 'upkeep failed; trying again later');
    }
  }
}
