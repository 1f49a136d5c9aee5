/**
 * One at a time per key: what was read before an `await` stays true while the key is held. Waiters run in the order they came;
 * keys do not wait for each other, and an idle key costs nothing.
 */
export class KeyedMutex<Key> {
  /** Per held key, the promise that settles when its last waiter is done. */
  readonly #tails = new Map<Key, Promise<void>>();

  /** Number of keys that are held or waited for. */
  get size(): number {
    return this.#tails.size;
  }

  /** Runs `critical` when everybody who asked for `key` earlier is done, and settles as it does. Not reentrant. */
  run<Result>(key: Key, critical: () => Promise<Result> | Result): Promise<Result> {
    return this.runAll([key], critical);
  }

  /** As `run`, holding all of `keys`, which are asked for in one step: two that share several never wait for each other. */
  async runAll<Result>(keys: readonly Key[], critical: () => Promise<Result> | Result): Promise<Result> {
    const previous: Promise<void>[] = [];
    const { promise: tail, resolve: release } = withResolvers();
    for (const key of new Set(keys)) {
      const before = this.#tails.get(key);
      if (before !== undefined) previous.push(before);
      this.#tails.set(key, tail);
    }
    try {
      for (const before of previous) await before;
      return await critical();
    } finally {
      for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key);
      release();
    }
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
