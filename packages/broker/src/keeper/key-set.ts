/**
 * A set of object keys in 16 bytes or less for each: 48 bits of a hash, in a table of open addresses. It may say that it has a key
 * which it has not (a chance of one in 10^8 among a million); never the other way round. So it may only be used to keep things.
 */
import { createHash } from 'node:crypto';

const hashBytes = 6;
const initialCapacity = 1024;
const maxLoad = 0.5;

export class KeySet {
  /** Hashes; 0 for a free place. */
  #table = new Float64Array(initialCapacity);
  #size = 0;

  /** Keys with different hashes. */
  get size(): number {
    return this.#size;
  }

  add(key: string): void {
    if ((this.#size + 1) / this.#table.length > maxLoad) this.#grow();
    if (insert(this.#table, hashOf(key))) this.#size += 1;
  }

  /** False is certain. */
  has(key: string): boolean {
    const hash = hashOf(key);
    return this.#table[placeOf(this.#table, hash)] === hash;
  }

  #grow(): void {
    const table = new Float64Array(this.#table.length * 2);
    for (const hash of this.#table) if (hash !== 0) insert(table, hash);
    this.#table = table;
  }
}

/** Never 0, which marks a free place. */
const hashOf = (key: string): number => createHash('sha1').update(key).digest().readUIntBE(0, hashBytes) || 1;

function placeOf(table: Float64Array, hash: number): number {
  let place = hash % table.length;
  while (table[place] !== 0 && table[place] !== hash) place = (place + 1) % table.length;
  return place;
}

/** False when it was there before. */
function insert(table: Float64Array, hash: number): boolean {
  const place = placeOf(table, hash);
  if (table[place] === hash) return false;
  table[place] = hash;
  return true;
}
