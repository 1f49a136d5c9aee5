/**
 * The kinds of values that Kafka's settings have: how each is read from text, checked, written back, and named on the wire. What
 * is refused here is refused by Kafka, with the same words, because tools show them.
 */

/** The type of a setting as DescribeConfigs names it (KIP-569). */
export const ConfigType = {
  BOOLEAN: 1,
  STRING: 2,
  INT: 3,
  SHORT: 4,
  LONG: 5,
  DOUBLE: 6,
  LIST: 7,
} as const;
export type ConfigType = (typeof ConfigType)[keyof typeof ConfigType];

/** Why a text is no value of its kind. The message does not name the setting. */
export class ConfigValueError extends Error {
  override readonly name = 'ConfigValueError';
  /** The value as the message should show it. */
  readonly shown: string;

  constructor(shown: string, message: string) {
    super(message);
    this.shown = shown;
  }
}

export interface ConfigKind<T> {
  readonly type: ConfigType;
  /** What is allowed, for people. */
  readonly allowed: string;
  /** Throws ConfigValueError. */
  parse(text: string): T;
  /** The one way this value is written. */
  format(value: T): string;
}

interface Bounds<T> {
  readonly min?: T;
  readonly max?: T;
}

const maxInt32 = 2 ** 31 - 1;
const maxInt64 = 2n ** 63n - 1n;

function checkBounds<T extends number | bigint>(value: T, { min, max }: Bounds<T>): void {
  if (min !== undefined && value < min) throw new ConfigValueError(String(value), `Value must be at least ${min}`);
  if (max !== undefined && value > max) throw new ConfigValueError(String(value), `Value must be no more than ${max}`);
}

function describeBounds({ min, max }: Bounds<number | bigint>): string {
  if (min === undefined) return 'any';
  return max === undefined ? `${min} and more` : `${min} to ${max}`;
}

function parseInteger(text: string, type: 'INT' | 'LONG', largest: bigint): bigint {
  const trimmed = text.trim();
  // Bounded before it is made a number: a text of a megabyte of digits costs nothing.
  if (!/^[+-]?\d{1,64}$/.test(trimmed)) throw new ConfigValueError(text, `Not a number of type ${type}`);
  const value = BigInt(trimmed.startsWith('+') ? trimmed.slice(1) : trimmed);
  if (value > largest || value < -largest - 1n) throw new ConfigValueError(text, `Not a number of type ${type}`);
  return value;
}

/** A whole number of 32 bits. */
export function int(bounds: Bounds<number> = {}): ConfigKind<number> {
  return {
    type: ConfigType.INT,
    allowed: describeBounds(bounds),
    parse(text) {
      const value = Number(parseInteger(text, 'INT', BigInt(maxInt32)));
      checkBounds(value, bounds);
      return value;
    },
    format: String,
  };
}

/** A whole number of 32 bits within bounds, or one value beside them. */
export function intOr(other: number, min: number, max: number): ConfigKind<number> {
  const plain = int();
  return {
    ...plain,
    allowed: `${min} to ${max}, or ${other}`,
    parse(text) {
      const value = plain.parse(text);
      if (value === other || (value >= min && value <= max)) return value;
      throw new ConfigValueError(String(value), `Value must be between ${min} and ${max} or equal to ${other}`);
    },
  };
}

/** A whole number of 64 bits. */
export function long(bounds: Bounds<bigint> = {}): ConfigKind<bigint> {
  return {
    type: ConfigType.LONG,
    allowed: describeBounds(bounds),
    parse(text) {
      const value = parseInteger(text, 'LONG', maxInt64);
      checkBounds(value, bounds);
      return value;
    },
    format: String,
  };
}

/** A number with a fraction; whole ones are written with `.0`, as Java does. */
export function double(bounds: Bounds<number> = {}): ConfigKind<number> {
  return {
    type: ConfigType.DOUBLE,
    allowed: describeBounds(bounds),
    parse(text) {
      const trimmed = text.trim();
      const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : Number.NaN;
      if (!Number.isFinite(value)) throw new ConfigValueError(text, 'Not a number of type DOUBLE');
      checkBounds(value, bounds);
      return value;
    },
    format: (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value)),
  };
}

export function boolean(): ConfigKind<boolean> {
  return {
    type: ConfigType.BOOLEAN,
    allowed: 'true, false',
    parse(text) {
      const lower = text.trim().toLowerCase();
      if (lower !== 'true' && lower !== 'false') {
        throw new ConfigValueError(text, 'Expected value to be either true or false');
      }
      return lower === 'true';
    },
    format: String,
  };
}

/** Text; nothing is refused. */
export function anyString(): ConfigKind<string> {
  return { type: ConfigType.STRING, allowed: 'any', parse: (text) => text.trim(), format: (value) => value };
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): ConfigKind<Word> {
  return {
    type: ConfigType.STRING,
    allowed: words.join(', '),
    parse: (text) => wordOf(words, text.trim()),
    format: (value) => value,
  };
}

/** Any number of a few words, separated by commas. */
export function listOf<const Word extends string>(...words: readonly Word[]): ConfigKind<readonly Word[]> {
  return {
    type: ConfigType.LIST,
    allowed: `any of ${words.join(', ')}`,
    parse: (text) => splitList(text).map((item) => wordOf(words, item)),
    format: (value) => value.join(','),
  };
}

/** Replicas whose replication is to be throttled: `partition:broker` pairs, or `*` for all. */
export function throttledReplicas(name: string): ConfigKind<readonly string[]> {
  return {
    type: ConfigType.LIST,
    allowed: '`*`, or partition:broker pairs',
    parse(text) {
      const items = splitList(text);
      if (items.length === 1 && items[0] === '*') return items;
      if (items.every((item) => /^(\d+:\d+)?$/.test(item))) return items;
      throw new ConfigValueError(
        `[${items.join(', ')}]`,
        `${name} must be the literal '*' or a list of replicas in the following format: ` +
          '[partitionId]:[brokerId],[partitionId]:[brokerId],...',
      );
    },
    format: (value) => value.join(','),
  };
}

/** The items of a list setting: separated by commas, without the space around them; an empty text has none. */
export function splitList(text: string): string[] {
  const trimmed = text.trim();
  return trimmed === '' ? [] : trimmed.split(',').map((item) => item.trim());
}

function wordOf<Word extends string>(words: readonly Word[], text: string): Word {
  const word = words.find((candidate) => candidate === text);
  if (word === undefined) throw new ConfigValueError(text, `String must be one of: ${words.join(', ')}`);
  return word;
}
