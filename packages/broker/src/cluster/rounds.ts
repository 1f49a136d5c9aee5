/**
 * Level-based work: a round looks at how things are and does what is missing. Rounds run one at a time; whoever wakes them meanwhile
 * shares the next one, and a round that failed is tried again after a while.
 */
import { backoffDelayMs, type Clock, type Random } from '@kafscale/runtime';
import type { TopicId } from '../metadata/metadata-image.ts';

/** Which topics to look at; undefined for all. */
export type Scope = ReadonlySet<TopicId> | undefined;

export interface RoundsDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly round: (scope: Scope) => Promise<void>;
  /** A round failed. True when there is no use in another one, now or ever. */
  readonly isOver: (error: unknown) => boolean;
  /** From the end of a round to the start of the next. */
  readonly spacingMs?: number;
}

const retryBackoff = { baseMs: 100, maxMs: 5_000 };

export class Rounds {
  readonly #dependencies: RoundsDependencies;
  readonly #closing = new AbortController();
  /** Waiting for the next round that succeeds. */
  #waiting: (() => void)[] = [];
  #due = false;
  #scope: Set<TopicId> | undefined = new Set();
  #running = false;

  constructor(dependencies: RoundsDependencies) {
    this.#dependencies = dependencies;
  }

  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  wake(scope?: Scope): void {
    if (this.#closing.signal.aborted) return;
    if (scope === undefined) this.#scope = undefined;
    else for (const topicId of scope) this.#scope?.add(topicId);
    this.#due = true;
    if (!this.#running) void this.#run();
  }

  /** Resolves when a round that starts from now on has succeeded, or when there will be none. */
  async complete(scope?: Scope): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const completed = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.wake(scope);
    await completed;
  }

  /** A round that runs goes on to its end. */
  close(): void {
    this.#closing.abort(new Error('the rounds are over'));
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #run(): Promise<void> {
    const { random, round, isOver, spacingMs } = this.#dependencies;
    this.#running = true;
    for (let failures = 0; this.#due && !this.#closing.signal.aborted;) {
      const scope = this.#scope;
      const waiting = this.#waiting;
      [this.#due, this.#scope, this.#waiting] = [false, new Set(), []];
      try {
        await round(scope);
        for (const resolve of waiting) resolve();
        failures = 0;
        if (spacingMs !== undefined) await this.#sleep(spacingMs);
      } catch (error) {
        this.#waiting.unshift(...waiting);
        if (isOver(error)) this.close();
        else {
          this.wake(scope);
          await this.#sleep(backoffDelayMs(failures, retryBackoff, random));
          failures += 1;
        }
      }
    }
    this.#running = false;
    if (this.#closing.signal.aborted) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #sleep(durationMs: number): Promise<void> {
    await this.#dependencies.clock.sleep(durationMs, this.#closing.signal).catch(() => undefined);
  }
}
