/** Randomness as a component: the machine's own for production, a seeded one whose run can be repeated for tests. */
import { randomBytes, randomInt } from 'node:crypto';

export interface Random {
  /** Fresh memory, `length` random bytes. */
  bytes(length: number): Buffer;
  /** An integer in `[0, bound)`, each equally likely; `bound` is between 1 and 2^32. */
  int(bound: number): number;
  /** A number in `[0, 1)`. */
  float(): number;
}

/** Unpredictable: for ids that must be unique for ever, and for secrets. */
export const cryptoRandom: Random = {
  bytes: (length) => randomBytes(length),
  int: (bound) => randomInt(bound),
  float: () => randomInt(2 ** 48 - 1) / (2 ** 48 - 1),
};

const wordRange = 2 ** 32;

/** The same sequence for the same seed (sfc32); predictable, so only for tests and simulations. */
export function seededRandom(seed: number): Random {
  let a = seed | 0;
  let b = 0x9e3779b9 | 0;
  let c = 0x243f6a88 | 0;
  let counter = 1;

  const word = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 12; round += 1) word(); // spreads a small seed over the whole state

  return {
    bytes(length) {
      const bytes = Buffer.allocUnsafe(length);
      let position = 0;
      for (; position + 4 <= length; position += 4) bytes.writeUInt32LE(word(), position);
      for (; position < length; position += 1) bytes[position] = word() & 0xff;
      return bytes;
    },
    int(bound) {
      if (!Number.isInteger(bound) || bound < 1 || bound > wordRange) throw new RangeError(`bound ${bound}`);
      const unbiased = wordRange - (wordRange % bound); // words from here on would favour the small results
      for (;;) {
        const drawn = word();
        if (drawn < unbiased) return drawn % bound;
      }
    },
    float: () => word() / wordRange,
  };
}
