/**
 * One read for all who ask at the same moment, where each needs an answer that is newer than its question: whoever comes while a read
 * is under way shares the next one, since the one under way may have been answered before.
 */
export class CoalescedRead<T> {
  readonly #read: () => Promise<T>;
  #current: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** What a read answers that begins after this call; rejects as that read does. */
  afterNow(): Promise<T> {
    if (this.#current === undefined) return this.#begin();
    const begin = () => this.#begin();
    this.#next ??= this.#current.then(begin, begin);
    return this.#next;
  }

  #begin(): Promise<T> {
    this.#next = undefined;
    const current = this.#read().finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
    this.#current = current;
    return current;
  }
}
