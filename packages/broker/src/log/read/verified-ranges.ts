/** Which bytes of a cached block were found to be whole record batches with a right checksum: disjoint ranges in ascending order. */

export class VerifiedRanges {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Whether every byte of `[start, end)` was verified. */
  covers(start: number, end: number): boolean {
    const index = this.#lastStartingAtOrBefore(start);
    return index >= 0 && this.#ends[index]! >= end;
  }

  add(start: number, end: number): void {
    let first = this.#lastStartingAtOrBefore(start);
    if (first < 0 || this.#ends[first]! < start) first += 1;
    let next = first;
    let mergedStart = start;
    let mergedEnd = end;
    while (next < this.#starts.length && this.#starts[next]! <= end) {
      mergedStart = Math.min(mergedStart, this.#starts[next]!);
      mergedEnd = Math.max(mergedEnd, this.#ends[next]!);
      next += 1;
    }
    this.#starts.splice(first, next - first, mergedStart);
    this.#ends.splice(first, next - first, mergedEnd);
  }

  #lastStartingAtOrBefore(position: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
