/**
 * The records that every client sends, and their text form: one line per record, `key TAB value TAB headers`, bytes in base64, `~`
 * for null, headers as `name:value` with commas between them. Every language reads it with nothing but its standard library.
 */
import { createHash } from 'node:crypto';

export interface SentRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: string, value: Buffer | null])[];
}

export interface ReadRecord extends SentRecord {
  readonly partition: number;
  readonly offset: number;
}

const largeBytes = 900_000;

/** Bytes that no codec makes smaller, the same in every run. */
function incompressible(size: number): Buffer {
  const blocks: Buffer[] = [];
  for (let n = 0; n * 64 < size; n++) blocks.push(createHash('sha512').update(String(n)).digest());
  return Buffer.concat(blocks).subarray(0, size);
}

const text = (value: string): Buffer => Buffer.from(value);

/** `lot` is part of every value that has one, so that what one lot wrote is never taken for another's. */
export function recordSet(lot: string): SentRecord[] {
  const edges: SentRecord[] = [
    { key: text('plain'), value: text(`value of ${lot}`), headers: [] },
    { key: null, value: text(`no key in ${lot}`), headers: [] },
    { key: text('tombstone'), value: null, headers: [] },
    { key: null, value: null, headers: [] },
    { key: text(''), value: text(`empty key in ${lot}`), headers: [] },
    { key: text('empty value'), value: text(''), headers: [] },
    { key: text('one header'), value: text(lot), headers: [['trace', text('00-4bf92f')]] },
    {
      key: text('headers'),
      value: text(lot),
      headers: [
        ['same', text('first')],
        ['same', text('second')],
        ['empty', text('')],
        ['binary', Buffer.from([0, 255, 128, 10])],
      ],
    },
    { key: text('null header'), value: text(lot), headers: [['nothing', null]] },
    { key: Buffer.from([0, 1, 2, 254, 255]), value: Buffer.from([255, 0, 13, 10, 9]), headers: [] },
    { key: text('schlüssel-鍵'), value: text(`Grüße, ${lot}: 値`), headers: [] },
    { key: text('large, compressible'), value: Buffer.alloc(largeBytes, `${lot} `), headers: [] },
    { key: text('large, incompressible'), value: incompressible(largeBytes), headers: [['kind', text('noise')]] },
  ];
  const many = Array.from({ length: 300 }, (_, n) => ({
    key: text(`key-${n % 50}`),
    value: text(`${lot} ${n} ${'x'.repeat(n)}`),
    headers: [],
  }));
  return [...edges, ...many];
}

const encode = (bytes: Buffer | null): string => (bytes === null ? '~' : bytes.toString('base64'));
const decode = (field: string): Buffer | null => (field === '~' ? null : Buffer.from(field, 'base64'));

/** Two records are the same exactly when their lines are. */
export function recordLine({ key, value, headers }: SentRecord): string {
  return [encode(key), encode(value), headers.map(([name, bytes]) => `${name}:${encode(bytes)}`).join(',')].join('\t');
}

/** A line of a client's output: `partition TAB offset TAB` and the record. */
export function readRecord(line: string): ReadRecord {
  const [partition, offset, key, value, headers] = line.split('\t');
  return {
    partition: Number(partition),
    offset: Number(offset),
    key: decode(key!),
    value: decode(value!),
    headers: headers!
      .split(',')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const colon = pair.indexOf(':');
        return [pair.slice(0, colon), decode(pair.slice(colon + 1))] as const;
      }),
  };
}
