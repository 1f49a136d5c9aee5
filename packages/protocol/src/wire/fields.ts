// The words in which a Kafka message is declared: primitive fields, arrays, structs, and the versions in which a field exists.
// A declaration is data; compile-decoder.ts and compile-encoder.ts turn it into straight-line code per version.

import type { ErrorCode } from '../errors/error-codes.ts';

/** What a field holds, without regard to versions. */
export type FieldType =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'array'; readonly element: Field<unknown> }
  | { readonly kind: 'struct'; readonly fields: readonly (readonly [name: string, field: Field<unknown>])[] };

export type ScalarKind =
  | 'boolean'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'offset'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'
  | 'recordSlices';

/** In which versions a field exists, and how. Every range is half-open: `from` is in, `before` is out. */
interface FieldVersions {
  readonly from: number;
  readonly before: number;
  /** First version in which null is allowed; Infinity for never. */
  readonly nullableFrom: number;
  /** Set for a field that is sent as a tagged field (KIP-482) and left out while it holds its default. */
  readonly tag: number | undefined;
  /** The value where a version lacks the field, or a tagged field was left out. */
  readonly absent: unknown;
}

const everyVersion: FieldVersions = {
  from: 0,
  before: Infinity,
  nullableFrom: Infinity,
  tag: undefined,
  absent: undefined,
};

/** One field of a message; `T` is its value in code. Immutable: every method answers a new field. */
export class Field<T> {
  readonly type: FieldType;
  readonly versions: FieldVersions;
  /** Exists in types only, so that `T` can be inferred. */
  declare protected readonly value: T;

  constructor(type: FieldType, versions: FieldVersions = everyVersion) {
    this.type = type;
    this.versions = versions;
  }

  /** The field exists from `version` on; before, a decoded message holds `absent`. */
  since(version: number, absent: T): Field<T> {
    return new Field(this.type, { ...this.versions, from: version, absent });
  }

  /** The field is gone from `version` on (the mirror of `since`); a decoded message then holds `absent`. */
  until(version: number, absent: T): Field<T> {
    return new Field(this.type, { ...this.versions, before: version, absent });
  }

  /** The field exists in versions [`version`, `end`) only. */
  between(version: number, end: number, absent: T): Field<T> {
    return new Field(this.type, { ...this.versions, from: version, before: end, absent });
  }

  /** A tagged field (KIP-482) from `version` on: left out by the sender while it equals `absent`. */
  tagged(tag: number, version: number, absent: T): Field<T> {
    return new Field(this.type, { ...this.versions, from: version, tag, absent });
  }
}

/** The value a field has in code. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

const scalar = <T>(kind: ScalarKind) => new Field<T>({ kind });

/** One byte; any byte but 0 is true, as Kafka reads it. */
export const boolean = () => scalar<boolean>('boolean');
export const int8 = () => scalar<number>('int8');
export const int16 = () => scalar<number>('int16');
export const int32 = () => scalar<number>('int32');
/** An int64 of which every value may mean something (timestamps, producer ids): a bigint. */
export const int64 = () => scalar<bigint>('int64');
/** An int64 that counts records: a number, saturated at ±Number.MAX_SAFE_INTEGER, which no log reaches. */
export const offset = () => scalar<number>('offset');
export const float64 = () => scalar<number>('float64');
/** 16 bytes, in code the 22 characters of base64url that Kafka prints. */
export const uuid = () => scalar<string>('uuid');
/** UTF-8; bytes that are not UTF-8 are a DecodeError. */
export const string = () => scalar<string>('string');
/** A view into the message's bytes, not a copy. */
export const bytes = () => scalar<Buffer>('bytes');
/** Record batches as a producer sends them: a view when decoded, sent by reference. */
export const records = () => scalar<Buffer>('records');
/** Record batches as a consumer gets them: slices sent one after another by reference, never joined. */
export const recordSlices = () => scalar<readonly Uint8Array[]>('recordSlices');
/** An int16 of the error table; a code that the table does not know is kept as it is. */
export const errorCode = () => scalar<ErrorCode>('int16');

/** The all-zero uuid, which stands for "no id". */
export const zeroUuid = 'AAAAAAAAAAAAAAAAAAAAAA';

export function array<T>(element: Field<T>): Field<readonly T[]> {
  return new Field({ kind: 'array', element });
}

/** The field may be null in every version that has it. */
export function nullable<T>(field: Field<T>): Field<T | null> {
  return nullableSince(0, field);
}

/** The field exists in earlier versions too, but may be null only from `version` on. */
export function nullableSince<T>(version: number, field: Field<T>): Field<T | null> {
  return new Field<T | null>(field.type, { ...field.versions, nullableFrom: version });
}

type StructFields = Readonly<Record<string, Field<unknown>>>;
export type StructValue<F extends StructFields> = { readonly [Name in keyof F]: ValueOf<F[Name]> };

const fieldName = /^[a-z][A-Za-z0-9]*$/;

/** Fields in the order in which they are sent; tagged ones follow all others, whatever their place. */
export function struct<F extends StructFields>(fields: F): Field<StructValue<F>> {
  const entries = Object.entries(fields);
  for (const [name] of entries) {
    if (!fieldName.test(name)) throw new TypeError(`${name} cannot name a field`); // names become source text
  }
  return new Field({ kind: 'struct', fields: entries });
}

/** How a field is sent in one version. */
export interface FieldAtVersion {
  readonly name: string;
  readonly field: Field<unknown>;
  readonly placement: 'inline' | 'tagged' | 'absent';
  readonly nullable: boolean;
}

/** The fields of a struct as one version has them, in declaration order. */
export function fieldsAt(type: FieldType & { kind: 'struct' }, version: number): readonly FieldAtVersion[] {
  return type.fields.map(([name, field]) => {
    const { from, before, tag } = field.versions;
    const placement = version < from || version >= before ? 'absent' : tag === undefined ? 'inline' : 'tagged';
    return { name, field, placement, nullable: nullableAt(field, version) };
  });
}

export function nullableAt(field: Field<unknown>, version: number): boolean {
  return version >= field.versions.nullableFrom;
}
