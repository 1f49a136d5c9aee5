/** What a check of everything can find, in words that name the object or the partition. */

/**
 * - `missing-object`: something refers to an object that is not there.
 * - `damaged`: bytes are not what was stored.
 * - `broken-log`: extents and segments of a partition do not make a log: a gap, an overlap, an epoch that goes back, an early end.
 * - `broken-metadata`: metadata that contradicts itself or does not decode.
 * - `unknown-object`: an object in the bucket that is nobody's, as far as this cluster knows.
 */
export type FindingKind = 'missing-object' | 'damaged' | 'broken-log' | 'broken-metadata' | 'unknown-object';

export interface Finding {
  readonly kind: FindingKind;
  readonly object?: string;
  readonly topic?: string;
  readonly partition?: number;
  readonly detail: string;
}

/** Findings beyond this number are counted, not kept. */
const maxFindings = 10_000;

export class Findings {
  readonly #kept: Finding[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get kept(): readonly Finding[] {
    return this.#kept;
  }

  add(finding: Finding): void {
    this.#count += 1;
    if (this.#kept.length < maxFindings) this.#kept.push(finding);
  }

  /** Takes back those that turned out to be none. */
  keepOnly(isOne: (finding: Finding) => boolean): void {
    const before = this.#kept.length;
    this.#kept.splice(0, before, ...this.#kept.filter(isOne));
    this.#count -= before - this.#kept.length;
  }
}
