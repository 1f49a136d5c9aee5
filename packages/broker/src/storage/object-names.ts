/**
 * The only maker of object keys. Every name is unique for ever: it holds the incarnation, one sequence for all objects of that
 * incarnation, and a random part, so that no retry, late write or recreated topic ever meets another's object. Names never depend
 * on offsets, and flush objects are spread over 256 prefixes, since stores limit the rate of each.
 *
 *   {namespace}/flush/{2 hex}/{incarnation}.{sequence, 16 digits}.{random}.wal
 */
import { createHash } from 'node:crypto';
import { checkObjectKey } from './object-key.ts';
import type { ObjectKey } from './object-store.ts';

const sequenceDigits = 16;
const safeSegment = /^[A-Za-z0-9_-]{1,64}$/;
const namespacePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;
const flushPattern = /^flush\/([0-9a-f]{2})\/([A-Za-z0-9_-]{1,64})\.([0-9]{16})\.([A-Za-z0-9_-]{1,64})\.wal$/;

export interface FlushObjectName {
  readonly incarnation: string;
  /** The incarnation's sequence, from 0; one more with each object it makes. */
  readonly sequence: number;
  /** At least 64 random bits, new for every attempt, as letters, digits, `_` and `-`. */
  readonly unique: string;
}

export class ObjectNames {
  readonly #prefix: string;

  /** Throws RangeError for a namespace that is not one path segment of letters, digits, `.`, `_` and `-`. */
  constructor(namespace: string) {
    if (!namespacePattern.test(namespace)) throw new RangeError(`namespace ${JSON.stringify(namespace)} is not usable`);
    this.#prefix = `${namespace}/`;
  }

  /** What the keys of all objects of this namespace start with. */
  get prefix(): string {
    return this.#prefix;
  }

  /** What the keys of all flush objects start with. */
  get flushPrefix(): string {
    return `${this.#prefix}flush/`;
  }

  /** Throws RangeError for parts that would not come back from `parseFlush`. */
  flush({ incarnation, sequence, unique }: FlushObjectName): ObjectKey {
    const valid = safeSegment.test(incarnation) && safeSegment.test(unique);
    if (!valid || !Number.isSafeInteger(sequence) || sequence < 0) {
      throw new RangeError(`no flush object is called ${incarnation} ${sequence} ${unique}`);
    }
    const padded = sequence.toString().padStart(sequenceDigits, '0');
    const key = `${this.flushPrefix}${spread(incarnation, padded)}/${incarnation}.${padded}.${unique}.wal`;
    checkObjectKey(key);
    return key;
  }

  /** The parts of a flush object's key; undefined for any other key. */
  parseFlush(key: ObjectKey): FlushObjectName | undefined {
    if (!key.startsWith(this.#prefix)) return undefined;
    const [, folder, incarnation, padded, unique] = flushPattern.exec(key.slice(this.#prefix.length)) ?? [];
    if (incarnation === undefined || padded === undefined || unique === undefined) return undefined;
    const sequence = Number(padded);
    if (!Number.isSafeInteger(sequence) || folder !== spread(incarnation, padded)) return undefined;
    return { incarnation, sequence, unique };
  }
}

/** The two digits that spread objects over prefixes; known from the name, so that one object can be looked for alone. */
function spread(incarnation: string, paddedSequence: string): string {
  return createHash('sha256').update(`${incarnation}/${paddedSequence}`).digest('hex').slice(0, 2);
}
