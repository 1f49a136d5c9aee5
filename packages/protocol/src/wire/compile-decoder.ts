// Turns a declaration into the decoder of one version: straight-line source text with the place in the bytes in a local variable,
// one bounds check per run of fixed-size fields, and nothing looked up while it runs. Every length and count is held against the
// bytes that are left before anything is made of it, so a message costs a small multiple of its own size.

import { fieldsAt, nullableAt, type Field, type FieldType, type ScalarKind } from './fields.ts';
import {
  badTag,
  decodeOffset,
  decodeText,
  decodeUuid,
  forbiddenNull,
  longVarint,
  maxElements,
  negativeLength,
  skipTags,
  tooLong,
  tooMany,
  truncated,
  type Reader,
} from './reader.ts';
import { literal, SourceText } from './source-text.ts';

const library = {
  badTag,
  decodeOffset,
  decodeText,
  decodeUuid,
  forbiddenNull,
  longVarint,
  negativeLength,
  skipTags,
  tooLong,
  tooMany,
  truncated,
};

export interface MessageVersion {
  /** For messages of errors: API and direction. */
  readonly what: string;
  readonly version: number;
  /** Compact lengths and tagged fields (KIP-482). */
  readonly flexible: boolean;
}

export type Decoder<T> = (reader: Reader) => T;

export function compileDecoder<T>(message: Field<T>, version: MessageVersion): Decoder<T> {
  return new DecoderText(version).compile(message);
}

type SizedKind = Extract<ScalarKind, 'string' | 'bytes' | 'records' | 'recordSlices'>;
type FixedKind = Exclude<ScalarKind, SizedKind>;

const fixedSizes: Readonly<Record<FixedKind, number>> = {
  boolean: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  offset: 8,
  float64: 8,
  uuid: 16,
};

const isFixed = (kind: ScalarKind): kind is FixedKind => kind in fixedSizes;

function fixedExpression(kind: FixedKind, at: (index: number) => string): string {
  switch (kind) {
    case 'boolean':
      return `b[${at(0)}] !== 0`;
    case 'int8':
      return `b[${at(0)}] << 24 >> 24`;
    case 'int16':
      return `b[${at(0)}] << 24 >> 16 | b[${at(1)}]`;
    case 'int32':
      return `b[${at(0)}] << 24 | b[${at(1)}] << 16 | b[${at(2)}] << 8 | b[${at(3)}]`;
    case 'int64':
      return `reader.view.getBigInt64(${at(0)})`;
    case 'float64':
      return `reader.view.getFloat64(${at(0)})`;
    case 'offset':
      return `decodeOffset(b, ${at(0)})`;
    case 'uuid':
      return `decodeUuid(b, ${at(0)})`;
  }
}

class DecoderText {
  readonly #source = new SourceText();
  readonly #message: MessageVersion;
  /** Reads of fixed size that wait for their common bounds check. */
  #run: string[] = [];
  #runSize = 0;
  #runPath = '';

  constructor(message: MessageVersion) {
    this.#message = message;
  }

  compile<T>(message: Field<T>): Decoder<T> {
    const source = this.#source;
    source.line('const b = reader.bytes;');
    source.line('let p = reader.offset, end = reader.end;');
    source.line(`let elementsLeft = ${maxElements};`);
    const value = this.#value(message, '', false);
    this.#flush();
    source.line('reader.offset = p;');
    source.line(`return ${value};`);
    return source.compile(['reader'], library);
  }

  #value(field: Field<unknown>, path: string, isNullable: boolean): string {
    const { type } = field;
    if (type.kind === 'struct') return isNullable ? this.#nullableStruct(type, path) : this.#struct(type, path);
    if (type.kind === 'array') return this.#array(type.element, path, isNullable);
    return isFixed(type.kind) ? this.#fixed(type.kind, path) : this.#sized(type.kind, path, isNullable);
  }

  #fixed(kind: FixedKind, path: string): string {
    const name = this.#source.name();
    const start = this.#runSize;
    if (start === 0) this.#runPath = path;
    this.#run.push(`const ${name} = ${fixedExpression(kind, (index) => `p + ${start + index}`)};`);
    this.#runSize += fixedSizes[kind];
    return name;
  }

  #flush(): void {
    if (this.#runSize === 0) return;
    this.#source.line(`if (end - p < ${this.#runSize}) throw truncated(${this.#what(this.#runPath)});`);
    this.#run.forEach((line) => this.#source.line(line));
    this.#source.line(`p += ${this.#runSize};`);
    this.#run = [];
    this.#runSize = 0;
  }

  #varint(path: string): string {
    this.#flush();
    const name = this.#source.name();
    this.#source.line(`if (p >= end) throw truncated(${this.#what(path)});`);
    this.#source.line(`let ${name} = b[p++];`);
    this.#source.line(
      `if (${name} > 127) { ${name} = longVarint(reader, p - 1, end, ${this.#what(path)}); p = reader.offset; }`,
    );
    return name;
  }

  /** The length or count of something that may be null: -1 then, whatever the encoding. */
  #length(fixedKind: 'int16' | 'int32', path: string): string {
    if (!this.#message.flexible) {
      const name = this.#fixed(fixedKind, path);
      this.#flush();
      return name;
    }
    const name = this.#varint(path);
    this.#source.line(`${name}--;`);
    return name;
  }

  /** Opens the branch in which `length` is not negative; `target` is null otherwise, or the message is refused. */
  #openPresent(target: string, length: string, path: string, isNullable: boolean): void {
    const source = this.#source;
    const refusal = isNullable
      ? `if (${length} !== -1) throw negativeLength(${this.#what(path)}, ${length});`
      : `throw ${length} === -1 ? forbiddenNull(${this.#what(path)}) : negativeLength(${this.#what(path)}, ${length});`;
    source.line(`let ${target} = null;`);
    source.line(`if (${length} < 0) { ${refusal} }`);
    source.line('else {');
  }

  #sized(kind: SizedKind, path: string, isNullable: boolean): string {
    const source = this.#source;
    const length = this.#length(kind === 'string' ? 'int16' : 'int32', path);
    const name = source.name();
    this.#openPresent(name, length, path, isNullable);
    source.line(`if (${length} > end - p) throw tooLong(${this.#what(path)}, ${length});`);
    if (kind === 'string') source.line(`${name} = decodeText(b, p, ${length}, ${this.#what(path)});`);
    else if (kind === 'recordSlices') source.line(`${name} = ${length} === 0 ? [] : [b.subarray(p, p + ${length})];`);
    else source.line(`${name} = b.subarray(p, p + ${length});`);
    source.line(`p += ${length};`);
    source.line('}');
    return name;
  }

  #array(element: Field<unknown>, path: string, isNullable: boolean): string {
    const source = this.#source;
    const count = this.#length('int32', path);
    const name = source.name();
    const index = source.name();
    this.#openPresent(name, count, path, isNullable);
    const least = minimalSize(element, this.#message);
    source.line(`if (${count} * ${least} > end - p) throw tooLong(${this.#what(path)}, ${count});`);
    source.line(`elementsLeft -= ${count};`);
    source.line(`if (elementsLeft < 0) throw tooMany(${this.#what(path)});`);
    source.line(`${name} = [];`);
    source.line(`for (let ${index} = 0; ${index} < ${count}; ${index}++) {`);
    const value = this.#value(element, `${path}[]`, nullableAt(element, this.#message.version));
    this.#flush();
    source.line(`${name}.push(${value});`);
    source.line('}');
    source.line('}');
    return name;
  }

  /** A nullable struct stands behind a byte: negative for null. */
  #nullableStruct(type: FieldType & { kind: 'struct' }, path: string): string {
    const marker = this.#fixed('int8', path);
    this.#flush();
    const name = this.#source.name();
    this.#source.line(`let ${name} = null;`);
    this.#source.line(`if (${marker} >= 0) {`);
    const value = this.#struct(type, path);
    this.#flush();
    this.#source.line(`${name} = ${value};`);
    this.#source.line('}');
    return name;
  }

  #struct(type: FieldType & { kind: 'struct' }, path: string): string {
    const source = this.#source;
    const values = new Map<string, string>();
    const tagged: { readonly tag: number; readonly name: string; readonly target: string }[] = [];
    const fields = fieldsAt(type, this.#message.version);
    for (const { name, field, placement, nullable } of fields) {
      if (placement === 'inline') {
        values.set(name, this.#value(field, join(path, name), nullable));
      } else if (placement === 'absent') {
        values.set(name, literal(source, field.versions.absent));
      } else {
        const target = source.name();
        source.line(`let ${target} = ${literal(source, field.versions.absent)};`);
        values.set(name, target);
        tagged.push({ tag: field.versions.tag!, name, target });
      }
    }
    if (this.#message.flexible) {
      this.#taggedFields(path, tagged, (name, target) => {
        const { field, nullable } = fields.find((candidate) => candidate.name === name)!;
        const value = this.#value(field, join(path, name), nullable);
        this.#flush();
        source.line(`${target} = ${value};`);
      });
    }
    const result = source.name();
    this.#flush();
    source.line(`const ${result} = { ${[...values].map(([name, value]) => `${name}: ${value}`).join(', ')} };`);
    return result;
  }

  #taggedFields(
    path: string,
    known: readonly { readonly tag: number; readonly name: string; readonly target: string }[],
    decode: (name: string, target: string) => void,
  ): void {
    const source = this.#source;
    const what = this.#what(path);
    this.#flush();
    source.line(`if (p >= end) throw truncated(${what});`);
    if (known.length === 0) {
      source.line(`if (b[p] === 0) p++; else p = skipTags(reader, p, end, ${what});`);
      return;
    }
    const count = this.#varint(path);
    const [index, previous, outerEnd] = [source.name(), source.name(), source.name()];
    source.line(`for (let ${index} = 0, ${previous} = -1; ${index} < ${count}; ${index}++) {`);
    const tag = this.#varint(path);
    source.line(`if (${tag} <= ${previous}) throw badTag(${what}, \`tag \${${tag}} after tag \${${previous}}\`);`);
    source.line(`${previous} = ${tag};`);
    const size = this.#varint(path);
    source.line(`if (${size} > end - p) throw tooLong(${what}, ${size});`);
    source.line(`const ${outerEnd} = end;`);
    source.line(`end = p + ${size};`);
    source.line(`switch (${tag}) {`);
    for (const field of known) {
      source.line(`case ${field.tag}: {`);
      decode(field.name, field.target);
      source.line(
        `if (p !== end) throw badTag(${this.#what(join(path, field.name))}, 'the tagged field is shorter than its size');`,
      );
      source.line('break;');
      source.line('}');
    }
    source.line('default: p = end;');
    source.line('}');
    source.line(`end = ${outerEnd};`);
    source.line('}');
  }

  /** Source text of what an error names. */
  #what(path: string): string {
    const { what, version } = this.#message;
    return JSON.stringify(`${what} v${version}${path === '' ? '' : ` ${path}`}`);
  }
}

const join = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);

/** The fewest bytes a value can take: what a declared count is held against. */
function minimalSize(field: Field<unknown>, message: MessageVersion): number {
  const { type } = field;
  if (type.kind === 'array') return message.flexible ? 1 : 4;
  if (type.kind === 'struct') {
    if (nullableAt(field, message.version)) return 1;
    const inline = fieldsAt(type, message.version).filter(({ placement }) => placement === 'inline');
    const tags = message.flexible ? 1 : 0;
    return inline.reduce((sum, { field: inner }) => sum + minimalSize(inner, message), tags);
  }
  if (isFixed(type.kind)) return fixedSizes[type.kind];
  if (message.flexible) return 1;
  return type.kind === 'string' ? 2 : 4;
}
