/** A small controller of ours: does its work again and again until it is closed; what fails is tried again in the next round. */
import { setTimeout as sleep } from 'node:timers/promises';

const pauseMs = 1_000;

export class Repeated {
  readonly #stopped = new AbortController();
  readonly #loop: Promise<void>;

  /** Begins at once. */
  constructor(work: () => Promise<void>) {
    this.#loop = this.#run(work);
  }

  /** Resolves when the round that runs has ended. */
  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async #run(work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await work().catch(() => undefined); // the API server may be away
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
