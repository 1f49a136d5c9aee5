/** `docs/reference/configuration.md`, printed from the broker's configuration schema. */
import { brokerConfigSchema, brokerConfigSections, type ListenAddress } from '@kafscale/protocol';
import { environmentNames } from '@kafscale/runtime';
import { z } from 'zod';

/** Where the page lies, from the root of the repository. */
export const brokerConfigReferencePath = 'docs/reference/configuration.md';

const introduction = `# Configuration of the broker

Every setting is a variable of the environment. \`NAME_FILE\` gives a file that holds the value instead, as secrets are mounted.
Bytes may be written with KiB, MiB or GiB (\`4MiB\`), times are whole milliseconds, addresses are \`host:port\` or \`:port\` for every
interface. A broker whose configuration has faults does not start and lists all of them. A variable that starts with
\`KAFSCALE_\` and is not listed here changes nothing; \`kafscale dev\` says so.

\`kafscale dev\` listens on 127.0.0.1, uses a window of 2 ms (\`KAFSCALE_FLUSH_INTERVAL_MS\`) and writes warnings only, unless a variable
or an option says otherwise.

This page is generated from the schema in \`packages/protocol/src/config/broker-config.ts\`.
`;

/** What can be said of a field's values in JSON Schema. */
interface FieldSchema {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly enum?: readonly string[];
}

export function brokerConfigReference(): string {
  const defaults: Readonly<Record<string, SettingValue | undefined>> = brokerConfigSchema.parse({});
  const sections = Object.entries(brokerConfigSections).map(([heading, fields]) => {
    const entries = Object.entries<z.ZodType>(fields).map(([field, type]) => entry(field, type, defaults[field]));
    return [`## ${heading}\n`, ...entries].join('\n');
  });
  return [introduction, ...sections].join('\n');
}

function entry(field: string, type: z.ZodType, defaultValue: SettingValue | undefined): string {
  const [name, ...olderNames] = environmentNames(type);
  const unit = unitOf(field);
  const facts = [
    defaultValue === undefined ? 'no default' : `default ${shown(defaultValue, unit)}`,
    ...range(z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' }) as FieldSchema, unit),
    ...olderNames.map((older) => `also read from \`${older}\``),
  ];
  const text = type.meta()?.description ?? '';
  return `### \`${name!}\`\n\n${text}\n\n${facts.map((fact) => `- ${fact}`).join('\n')}\n`;
}

type SettingValue = readonly string[] | string | number | boolean | ListenAddress;
type Unit = 'bytes' | 'milliseconds' | 'none';

function unitOf(field: string): Unit {
  if (field.endsWith('Bytes')) return 'bytes';
  return field.endsWith('Ms') ? 'milliseconds' : 'none';
}

function range({ type, minimum, maximum, enum: words }: FieldSchema, unit: Unit): string[] {
  if (words !== undefined) return [`one of ${words.map((word) => `\`${word}\``).join(', ')}`];
  if (type === 'boolean') return ['`true` or `false`'];
  if (type !== 'integer' || minimum === undefined || maximum === undefined) return [];
  const lowest = shown(minimum, unit);
  return [maximum === Number.MAX_SAFE_INTEGER ? `at least ${lowest}` : `from ${lowest} to ${shown(maximum, unit)}`];
}

/** The value as it is set, and in larger units where that is easier to read. */
function shown(value: SettingValue, unit: Unit): string {
  if (value instanceof Array) return shown(value.join(','), unit);
  if (typeof value === 'object') {
    const { host = '', port } = value;
    return `\`${host}:${port}\``;
  }
  const readable = typeof value === 'number' && unit !== 'none' ? inLargerUnits(value, unit) : undefined;
  return `\`${String(value)}\`${readable === undefined ? '' : ` (${readable})`}`;
}

const largerUnits = {
  bytes: [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ],
  milliseconds: [
    ['days', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ],
} as const;

function inLargerUnits(value: number, unit: Exclude<Unit, 'none'>): string | undefined {
  const found = largerUnits[unit].find(([, size]) => value >= size && value % size === 0);
  if (found === undefined) return undefined;
  const [name, size] = found;
  const count = value / size;
  return `${count} ${count === 1 && name === 'days' ? 'day' : name}`;
}
