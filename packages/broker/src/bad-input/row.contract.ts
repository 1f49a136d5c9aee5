/** What the tables of bad requests are made of. */
import type { RawClient } from '@kafscale/testkit';

/** One row: what is asked, and the error code (or what else tells the answer) that comes back. */
export type Row = readonly [name: string, ask: (client: RawClient) => Promise<unknown>, answer: unknown];

/** The topic that every row may use: three partitions, the first of which holds a record. */
export const known = 'known';
export const int64Max = 2n ** 63n - 1n;
export const int64Min = -(2n ** 63n);

/** A good batch with some of its bytes replaced and its CRC left as it was or made right again. */
export function changed(bytes: Buffer, position: number, ...values: readonly number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(values, position);
  return copy;
}
