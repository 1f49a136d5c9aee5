/**
 * Configuration from the environment: one zod object, every field of which names its variable in `.meta({ env })` (a list means
 * older names for it, first wins). `NAME_FILE` gives a file that holds the value, as secrets are mounted. Every fault is reported
 * at once.
 */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';

/** What is wrong with a configuration, one line per fault, ready to be shown. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(
      `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n  ${faults.join('\n  ')}`,
    );
    this.faults = faults;
  }
}

export interface LoadConfigOptions {
  /** The process's own environment unless told. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Values by field name that win over the environment, for instance from the command line. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Values by field name for what the environment does not set, instead of the schema's own defaults. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Set variables that start with it but that no field knows are returned as `unknownNames`. */
  readonly prefix?: string;
}

export interface LoadedConfig<Config> {
  readonly config: Config;
  /** Variables that look like ours and are not: a typing error, or a setting of another version. */
  readonly unknownNames: readonly string[];
}

/** Throws ConfigError. An empty variable counts as not set. */
export function loadConfig<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  { env = process.env, overrides = {}, defaults = {}, prefix }: LoadConfigOptions = {},
): LoadedConfig<z.output<z.ZodObject<Shape>>> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  const knownNames = new Set<string>();

  for (const [field, type] of Object.entries(schema.shape)) {
    const names = environmentNames(type as z.ZodType);
    for (const name of names) knownNames.add(name).add(`${name}_FILE`);
    origins.set(field, names[0] ?? field);
    if (overrides[field] !== undefined) {
      values[field] = overrides[field];
      origins.set(field, field);
      continue;
    }
    const found = names.find((name) => isSet(env[name]) || isSet(env[`${name}_FILE`]));
    if (found === undefined) {
      if (defaults[field] !== undefined) values[field] = defaults[field];
      continue;
    }
    origins.set(field, found);
    try {
      values[field] = readVariable(found, env);
    } catch (error) {
      faults.push((error as Error).message);
    }
  }

  const parsed = schema.safeParse(values);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const field = String(issue.path[0] ?? '');
      faults.push(`${origins.get(field) ?? field}: ${issue.message}`);
    }
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);

  const isUnknown = (name: string): boolean => prefix !== undefined && name.startsWith(prefix) && !knownNames.has(name);
  return { config: parsed.data, unknownNames: Object.keys(env).filter(isUnknown).sort() };
}

/** The variables that set a field, the current name first; empty for a field that only code sets. */
export function environmentNames(type: z.ZodType): readonly string[] {
  const env = type.meta()?.['env'];
  if (typeof env === 'string') return [env];
  return Array.isArray(env) ? (env as string[]) : [];
}

const isSet = (value: string | undefined): value is string => value !== undefined && value !== '';

function readVariable(name: string, env: Readonly<Record<string, string | undefined>>): string {
  const value = env[name];
  const file = env[`${name}_FILE`];
  if (!isSet(file)) return value!;
  if (isSet(value)) throw new Error(`${name}: set both directly and as ${name}_FILE; remove one`);
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`${name}_FILE: cannot read ${file} (${String((error as NodeJS.ErrnoException).code)})`, {
      cause: error,
    });
  }
}
