/**
 * Makes one call of what many ask for at about the same time: whatever comes while a call runs, or within a moment before it, goes
 * together into the next one. Of the same key asked twice in one batch the newest counts, and both get its result.
 */
import type { Clock } from '@kafscale/runtime';

interface Waiting<Item, Result> {
  item: Item;
  readonly waiters: { readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void }[];
}

export interface BatchSettings<Item, Result> {
  readonly clock: Clock;
  /** Answers for every key, or rejects for all of them. */
  readonly send: (items: ReadonlyMap<string, Item>) => Promise<ReadonlyMap<string, Result>>;
  /** How long the first one waits for company. */
  readonly gatherMs?: number;
  readonly largest?: number;
}

export class Batch<Item, Result> {
  readonly #settings: BatchSettings<Item, Result>;
  readonly #waiting = new Map<string, Waiting<Item, Result>>();
  #isBusy = false;

  constructor(settings: BatchSettings<Item, Result>) {
    this.#settings = settings;
  }

  ask(key: string, item: Item): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const known = this.#waiting.get(key);
      if (known === undefined) this.#waiting.set(key, { item, waiters: [{ resolve, reject }] });
      else {
        known.item = item;
        known.waiters.push({ resolve, reject });
      }
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#settings.clock.schedule(this.#settings.gatherMs ?? 10, () => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const some = [...this.#waiting].slice(0, this.#settings.largest ?? 200);
      for (const [key] of some) this.#waiting.delete(key);
      try {
        const results = await this.#settings.send(new Map(some.map(([key, { item }]) => [key, item])));
        for (const [key, { waiters }] of some) {
          for (const { resolve } of waiters) resolve(results.get(key) as Result);
        }
      } catch (error) {
        for (const [, { waiters }] of some) for (const { reject } of waiters) reject(error);
      }
    }
    this.#isBusy = false;
  }
}
