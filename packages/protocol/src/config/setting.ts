/**
 * The kinds of values a configuration field can have. Each reads text (from the environment) as well as the value itself (from
 * code), and says in its fault what it expects.
 */
import { z } from 'zod';

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** Where a server listens; without a host on every interface. */
export interface ListenAddress {
  readonly host?: string;
  readonly port: number;
}

const largestInteger = Number.MAX_SAFE_INTEGER;
const byteUnits: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

const shown = (value: unknown): string => (typeof value === 'string' ? `"${value}"` : String(value));

const numberIn = ({ min, max }: Bounds, expected: string) =>
  z
    .int({ error: ({ input }) => `expected ${expected}, got ${shown(input)}` })
    .min(min)
    .max(max);

/** A whole number within `bounds`. */
export function integer(bounds: Bounds) {
  const read = (value: unknown): unknown =>
    typeof value === 'string' && /^[+-]?\d+$/.test(value.trim()) ? Number(value) : value;
  return z.preprocess(read, numberIn(bounds, 'a whole number'));
}

/** A length of time in whole milliseconds. */
export function milliseconds({ min = 0, max = largestInteger }: Partial<Bounds> = {}) {
  return integer({ min, max });
}

/** A number of bytes; text may end in KiB, MiB or GiB. */
export function bytes({ min = 0, max = largestInteger }: Partial<Bounds> = {}) {
  const read = (value: unknown): unknown => {
    const parts = typeof value === 'string' ? /^(\d+)\s*(KiB|MiB|GiB)?$/.exec(value.trim()) : null;
    return parts === null ? value : Number(parts[1]) * (parts[2] === undefined ? 1 : byteUnits[parts[2]]!);
  };
  return z.preprocess(read, numberIn({ min, max }, 'a number of bytes such as 1048576 or 1MiB'));
}

/** `true` or `false`. */
export function flag() {
  const read = (value: unknown): unknown =>
    value === 'true' || value === '1' ? true : value === 'false' || value === '0' ? false : value;
  return z.preprocess(read, z.boolean({ error: ({ input }) => `expected true or false, got ${shown(input)}` }));
}

/** One of a few words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: ({ input }) => `expected one of ${words.join(', ')}, got ${shown(input)}` });
}

/** Text that is not empty. */
export function text(maxLength = 1024) {
  return z.string().min(1).max(maxLength);
}

/** `host:port`, `[ipv6]:port` or `:port`; port 0 lets the system choose a free one. */
export function listenAddress() {
  return z.string().transform((value, context): ListenAddress => {
    const parts = /^(?:\[(?<ipv6>[0-9a-fA-F:.]+)\]|(?<name>[^:[\]\s]*)):(?<port>\d{1,5})$/.exec(value)?.groups;
    const port = Number(parts?.['port']);
    if (parts === undefined || port > 65_535) {
      context.addIssue({ code: 'custom', message: `expected host:port or :port, got ${shown(value)}` });
      return z.NEVER;
    }
    const host = parts['ipv6'] ?? parts['name'];
    return host === undefined || host === '' ? { port } : { host, port };
  });
}

/** A number from 0 to 1. */
export function ratio() {
  const read = (value: unknown): unknown =>
    typeof value === 'string' && /^\d*\.?\d+$/.test(value.trim()) ? Number(value) : value;
  const error = ({ input }: { input?: unknown }) => `expected a number from 0 to 1, got ${shown(input)}`;
  return z.preprocess(read, z.number({ error }).min(0, { error }).max(1, { error }));
}

/** Texts, separated by commas; at least one. */
export function list() {
  const read = (value: unknown): unknown =>
    typeof value === 'string'
      ? value
          .split(',')
          .map((entry) => entry.trim())
          .filter((entry) => entry !== '')
      : value;
  return z.preprocess(read, z.array(text()).min(1, { error: () => 'expected at least one entry' }));
}
