/**
 * Kafka's message definitions (the JSON files in its client jars), and our declarations, both as the same flat list of fields per
 * version, so that they can be compared.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fieldsAt, zeroUuid, type Field, type FieldType } from '@kafscale/protocol';

/** One field of a message at one version; nested ones have the path of their parents. */
export interface FlatField {
  readonly path: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly tag: number | null;
}

interface DefinedField {
  readonly name: string;
  readonly type: string;
  readonly versions: string;
  readonly nullableVersions?: string;
  readonly taggedVersions?: string;
  readonly tag?: number;
  readonly default?: string | number | boolean;
  readonly fields?: readonly DefinedField[];
}

/** A definition as it stands in its file. */
export interface MessageDefinition {
  readonly apiKey?: number;
  readonly type: string;
  readonly name: string;
  readonly validVersions: string;
  readonly flexibleVersions: string;
  readonly latestVersionUnstable?: boolean;
  readonly fields: readonly DefinedField[];
  readonly commonStructs?: readonly { readonly name: string; readonly fields: readonly DefinedField[] }[];
}

/** Every request and response defined in a folder. */
export async function readDefinitions(folder: string): Promise<readonly MessageDefinition[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json'));
  const definitions = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(folder, file), 'utf8');
      return JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, '')) as MessageDefinition;
    }),
  );
  return definitions.filter(({ apiKey }) => apiKey !== undefined);
}

/** Kafka's notation of versions (`3`, `0-4`, `2+`, `none`) as [first, last]; undefined for none. */
export function versionRange(text: string | undefined): readonly [first: number, last: number] | undefined {
  if (text === undefined || text === 'none') return undefined;
  const match = /^(\d+)(\+|-(\d+))?$/.exec(text);
  if (match === null) throw new Error(`${text} is no range of versions`);
  const first = Number(match[1]);
  if (match[2] === '+') return [first, Infinity];
  return [first, match[3] === undefined ? first : Number(match[3])];
}

export function contains(text: string | undefined, version: number): boolean {
  const range = versionRange(text);
  return range !== undefined && range[0] <= version && version <= range[1];
}

const lowerFirst = (name: string) => name.charAt(0).toLowerCase() + name.slice(1);
const pathOf = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);

function isStructName(type: string): boolean {
  return /^[A-Z]/.test(type);
}

function nestedFields(definition: MessageDefinition, field: DefinedField): readonly DefinedField[] {
  const name = field.type.replace('[]', '');
  const common = definition.commonStructs?.find((struct) => struct.name === name);
  return field.fields ?? common?.fields ?? [];
}

/** The fields a version of the definition has: inline ones in the order they are sent, tagged ones by tag. */
export function definedFields(definition: MessageDefinition, version: number): readonly FlatField[] {
  const flatten = (fields: readonly DefinedField[], path: string): FlatField[] =>
    fields
      .filter((field) => contains(field.versions, version))
      .flatMap((field) => {
        const isArray = field.type.startsWith('[]');
        const base = field.type.replace('[]', '');
        const own = pathOf(path, lowerFirst(field.name));
        const flat = {
          path: own,
          type: `${isArray ? '[]' : ''}${isStructName(base) ? 'struct' : base}`,
          nullable: contains(field.nullableVersions, version),
          tag: contains(field.taggedVersions, version) ? field.tag! : null,
        };
        return [flat, ...flatten(nestedFields(definition, field), own)];
      });
  return flatten(definition.fields, '');
}

const wireNames: Readonly<Record<string, string>> = { boolean: 'bool', offset: 'int64', recordSlices: 'records' };

function typeName(type: FieldType): string {
  if (type.kind === 'array') return `[]${typeName(type.element.type)}`;
  return wireNames[type.kind] ?? type.kind;
}

function structOf(type: FieldType): (FieldType & { kind: 'struct' }) | undefined {
  if (type.kind === 'array') return structOf(type.element.type);
  return type.kind === 'struct' ? type : undefined;
}

/** The fields a version of our declaration has. */
export function declaredFields(message: Field<unknown>, version: number): readonly FlatField[] {
  const flatten = (type: FieldType & { kind: 'struct' }, path: string): FlatField[] =>
    fieldsAt(type, version)
      .filter(({ placement }) => placement !== 'absent')
      .flatMap(({ name, field, placement, nullable }) => {
        const own = pathOf(path, name);
        const tag = placement === 'tagged' ? field.versions.tag! : null;
        const nested = structOf(field.type);
        const flat = { path: own, type: typeName(field.type), nullable, tag };
        return [flat, ...(nested === undefined ? [] : flatten(nested, own))];
      });
  return flatten(structOf(message.type)!, '');
}

/** What a message holds where a version lacks a field, or a tagged field was left out, by the path of the field. */
export type Defaults = ReadonlyMap<string, unknown>;

/** The defaults Kafka defines, of fields that some version in `versions` lacks or that are tagged. */
export function definedDefaults(definition: MessageDefinition, versions: readonly number[]): Defaults {
  const defaults = new Map<string, unknown>();
  const visit = (fields: readonly DefinedField[], path: string, at: readonly number[]): void => {
    for (const field of fields) {
      const own = pathOf(path, lowerFirst(field.name));
      const present = at.filter((version) => contains(field.versions, version));
      if (present.length === 0) continue;
      const isOptional = present.length < at.length || field.taggedVersions !== undefined;
      if (isOptional) defaults.set(own, defaultValue(definition, field));
      visit(nestedFields(definition, field), own, present);
    }
  };
  visit(definition.fields, '', versions);
  return defaults;
}

function defaultValue(definition: MessageDefinition, field: DefinedField): unknown {
  const given = field.default;
  if (given === 'null') return null;
  if (field.type.startsWith('[]')) return [];
  switch (field.type) {
    case 'bool':
      return String(given).toLowerCase() === 'true';
    case 'string':
      return given ?? '';
    case 'uuid':
      return zeroUuid;
    case 'bytes':
    case 'records':
      return Buffer.alloc(0);
    case 'int64':
      return BigInt(given === undefined || given === '' ? 0 : given);
    default:
      if (isStructName(field.type)) {
        const nested = nestedFields(definition, field);
        return Object.fromEntries(nested.map((each) => [lowerFirst(each.name), defaultValue(definition, each)]));
      }
      return Number(given ?? 0);
  }
}

/** The defaults we declare, of fields that some version in `versions` lacks or that are tagged. */
export function declaredDefaults(message: Field<unknown>, versions: readonly number[]): Defaults {
  const defaults = new Map<string, unknown>();
  const visit = (type: FieldType & { kind: 'struct' }, path: string, at: readonly number[]): void => {
    for (const [name, field] of type.fields) {
      const own = pathOf(path, name);
      const present = at.filter((version) => version >= field.versions.from && version < field.versions.before);
      if (present.length === 0) continue;
      const isOptional = present.length < at.length || field.versions.tag !== undefined;
      if (isOptional) defaults.set(own, comparable(field, field.versions.absent));
      const nested = structOf(field.type);
      if (nested !== undefined) visit(nested, own, present);
    }
  };
  visit(structOf(message.type)!, '', versions);
  return defaults;
}

/** Offsets are numbers with us; where they saturate, Kafka's default is the largest int64. */
function comparable(field: Field<unknown>, value: unknown): unknown {
  if (field.type.kind === 'offset')
    return value === Number.MAX_SAFE_INTEGER ? 0x7fff_ffff_ffff_ffffn : BigInt(value as number);
  if (field.type.kind === 'struct' && value !== null) {
    const values = value as Readonly<Record<string, unknown>>;
    return Object.fromEntries(field.type.fields.map(([name, each]) => [name, comparable(each, values[name])]));
  }
  return value;
}
