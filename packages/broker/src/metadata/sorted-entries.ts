/**
 * Entries in the order of their keys' UTF-8 bytes, for lookups, ordered ranges and changes: runs of sorted entries, split when
 * they grow, so that neither an insert nor a delete moves more than one run.
 */

const maxRunLength = 512;

export interface SortedEntry {
  /** The key as `sortKey` gives it. */
  readonly sortKey: string;
}

/** Text whose order by code units is the order of the key's UTF-8 bytes; the key itself when it is ASCII. */
export function sortKey(key: string): string {
  for (let index = 0; index < key.length; index += 1) {
    if (key.charCodeAt(index) > 0x7f) return Buffer.from(key, 'utf8').toString('latin1');
  }
  return key;
}

export class SortedEntries<Entry extends SortedEntry> {
  readonly #byKey = new Map<string, Entry>();
  /** Never an empty run. */
  readonly #runs: Entry[][] = [];

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** The entry's key must not be in yet. */
  insert(entry: Entry): void {
    this.#byKey.set(entry.sortKey, entry);
    const runIndex = Math.max(0, this.#firstRunAfter(entry.sortKey) - 1);
    const run = this.#runs[runIndex];
    if (run === undefined) {
      this.#runs.push([entry]);
      return;
    }
    run.splice(lowerBound(run, entry.sortKey), 0, entry);
    // A run that grew at its end is left almost full, since keys mostly come in ascending order.
    if (run.length > maxRunLength) {
      const splitAt = run.at(-1) === entry ? maxRunLength : maxRunLength >>> 1;
      this.#runs.splice(runIndex + 1, 0, run.splice(splitAt));
    }
  }

  remove(key: string): void {
    if (!this.#byKey.delete(key)) return;
    const runIndex = this.#firstRunAfter(key) - 1;
    const run = this.#runs[runIndex]!;
    run.splice(lowerBound(run, key), 1);
    if (run.length === 0) this.#runs.splice(runIndex, 1);
  }

  /** Entries in `[start, end)` in ascending order. The set of entries must not change while it is iterated. */
  *range(start: string, end: string): Generator<Entry, void, undefined> {
    for (let runIndex = Math.max(0, this.#firstRunAfter(start) - 1); runIndex < this.#runs.length; runIndex += 1) {
      const run = this.#runs[runIndex]!;
      for (let index = lowerBound(run, start); index < run.length; index += 1) {
        const entry = run[index]!;
        if (entry.sortKey >= end) return;
        yield entry;
      }
    }
  }

  /** Index of the first run whose first key is greater than `key`. */
  #firstRunAfter(key: string): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]![0]!.sortKey <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first entry whose key is not less than `key`. */
function lowerBound(run: readonly SortedEntry[], key: string): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (run[middle]!.sortKey < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
