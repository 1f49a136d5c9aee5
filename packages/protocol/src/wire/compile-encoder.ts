// Turns a declaration into the encoder of one version: straight-line source text that asks for room once per run of fixed-size
// fields and stores bytes directly. Fields that the version lacks are ignored.

import { fieldsAt, nullableAt, type Field, type FieldAtVersion, type FieldType, type ScalarKind } from './fields.ts';
import type { MessageVersion } from './compile-decoder.ts';
import { SourceText } from './source-text.ts';
import { putOffset, putUuid, putVarint, type Writer } from './writer.ts';

export type Encoder<T> = (writer: Writer, value: T) => void;

/** Throws TypeError for null where the version has none, RangeError for a string above its 2-byte length. */
export function compileEncoder<T>(message: Field<T>, version: MessageVersion): Encoder<T> {
  return new EncoderText(version).compile(message);
}

const forbiddenNull = (what: string) => new TypeError(`${what} must not be null`);

function slicesLength(slices: readonly Uint8Array[]): number {
  let length = 0;
  for (const slice of slices) length += slice.length;
  return length;
}

function referenceAll(writer: Writer, slices: readonly Uint8Array[]): void {
  for (const slice of slices) writer.reference(slice);
}

const library = { forbiddenNull, putOffset, putUuid, putVarint, referenceAll, slicesLength };

interface Store {
  readonly size: number;
  readonly lines: (at: (index: number) => string, value: string) => readonly string[];
}

const bigEndian = (size: number): Store => ({
  size,
  lines: (at, value) =>
    Array.from({ length: size }, (_, index) => `b[${at(index)}] = ${value} >>> ${8 * (size - 1 - index)};`),
});

const stores: Readonly<Partial<Record<ScalarKind, Store>>> = {
  boolean: { size: 1, lines: (at, value) => [`b[${at(0)}] = ${value} ? 1 : 0;`] },
  int8: bigEndian(1),
  int16: bigEndian(2),
  int32: bigEndian(4),
  int64: { size: 8, lines: (at, value) => [`writer.view.setBigInt64(${at(0)}, ${value});`] },
  float64: { size: 8, lines: (at, value) => [`writer.view.setFloat64(${at(0)}, ${value});`] },
  offset: { size: 8, lines: (at, value) => [`putOffset(b, ${at(0)}, ${value});`] },
  uuid: { size: 16, lines: (at, value) => [`putUuid(b, ${at(0)}, ${value});`] },
};

class EncoderText {
  readonly #source = new SourceText();
  readonly #message: MessageVersion;
  /** Stores of fixed size that wait for their common room. */
  #run: string[] = [];
  #runSize = 0;

  constructor(message: MessageVersion) {
    this.#message = message;
  }

  compile<T>(message: Field<T>): Encoder<T> {
    const source = this.#source;
    source.line('let b = writer.bytes, p = writer.offset, limit = writer.limit;');
    this.#value('message', message, '', false);
    this.#flush();
    source.line('writer.offset = p;');
    return source.compile(['writer', 'message'], library);
  }

  #value(value: string, field: Field<unknown>, path: string, isNullable: boolean): void {
    const { type } = field;
    if (type.kind === 'array' || type.kind === 'struct') {
      if (isNullable) this.#nullableComposite(value, type, path);
      else this.#composite(value, type, path);
      return;
    }
    const store = stores[type.kind];
    if (store !== undefined) this.#fixed(store, value);
    else this.#sized(type.kind, value, isNullable);
  }

  #fixed(store: Store, value: string): void {
    const start = this.#runSize;
    this.#run.push(...store.lines((index) => `p + ${start + index}`, value));
    this.#runSize += store.size;
  }

  /** Writes the waiting stores, with room for `more` bytes behind them. */
  #flush(more = 0): void {
    const size = this.#runSize + more;
    if (size > 0) {
      this.#source.line(`if (limit - p < ${size}) { writer.offset = p; writer.reserve(${size}); ${reload} }`);
    }
    if (this.#runSize > 0) {
      this.#run.forEach((line) => this.#source.line(line));
      this.#source.line(`p += ${this.#runSize};`);
    }
    this.#run = [];
    this.#runSize = 0;
  }

  #length(value: string, fixed: Store): void {
    if (!this.#message.flexible) {
      this.#fixed(fixed, value);
      return;
    }
    this.#flush(5);
    this.#source.line(`if (${value} < 127) b[p++] = ${value} + 1; else p = putVarint(b, p, ${value} + 1);`);
  }

  #call(call: string): void {
    this.#flush();
    this.#source.line(`writer.offset = p; writer.${call}; ${reload}`);
  }

  #sized(kind: ScalarKind, value: string, isNullable: boolean): void {
    const source = this.#source;
    this.#flush();
    if (isNullable) {
      source.line(`if (${value} === null) {`);
      this.#length('-1', kind === 'string' ? bigEndian(2) : bigEndian(4));
      this.#flush();
      source.line('} else {');
    }
    if (kind === 'string') {
      this.#call(this.#message.flexible ? `compactString(${value})` : `string(${value})`);
    } else {
      const length = source.name();
      source.line(`const ${length} = ${kind === 'recordSlices' ? `slicesLength(${value})` : `${value}.length`};`);
      this.#length(length, bigEndian(4));
      if (kind === 'bytes') this.#call(`copy(${value})`);
      else if (kind === 'records') this.#call(`reference(${value})`);
      else {
        this.#flush();
        source.line(`writer.offset = p; referenceAll(writer, ${value}); ${reload}`);
      }
    }
    if (isNullable) source.line('}');
  }

  #nullableComposite(value: string, type: FieldType & { kind: 'array' | 'struct' }, path: string): void {
    const source = this.#source;
    this.#flush();
    source.line(`if (${value} === null) {`);
    if (type.kind === 'array') this.#length('-1', bigEndian(4));
    else this.#fixed(bigEndian(1), '-1');
    this.#flush();
    source.line('} else {');
    if (type.kind === 'struct') this.#fixed(bigEndian(1), '1');
    this.#composite(value, type, path);
    this.#flush();
    source.line('}');
  }

  #composite(value: string, type: FieldType & { kind: 'array' | 'struct' }, path: string): void {
    if (type.kind === 'struct') this.#struct(value, type, path);
    else this.#array(value, type.element, path);
  }

  #array(value: string, element: Field<unknown>, path: string): void {
    const source = this.#source;
    const [count, index, item] = [source.name(), source.name(), source.name()];
    source.line(`const ${count} = ${value}.length;`);
    this.#length(count, bigEndian(4));
    this.#flush();
    source.line(`for (let ${index} = 0; ${index} < ${count}; ${index}++) {`);
    source.line(`const ${item} = ${value}[${index}];`);
    this.#value(item, element, `${path}[]`, nullableAt(element, this.#message.version));
    this.#flush();
    source.line('}');
  }

  #struct(value: string, type: FieldType & { kind: 'struct' }, path: string): void {
    const fields = fieldsAt(type, this.#message.version);
    for (const { name, field, placement, nullable } of fields) {
      if (placement !== 'inline') continue;
      const local = this.#local(value, name);
      if (!nullable && field.versions.nullableFrom !== Infinity) {
        this.#source.line(`if (${local} === null) throw forbiddenNull(${this.#what(join(path, name))});`);
      }
      this.#value(local, field, join(path, name), nullable);
    }
    if (this.#message.flexible) {
      this.#taggedFields(
        value,
        fields
          .filter(({ placement }) => placement === 'tagged')
          .sort((a, b) => a.field.versions.tag! - b.field.versions.tag!),
        path,
      );
    }
  }

  #taggedFields(value: string, fields: readonly FieldAtVersion[], path: string): void {
    const source = this.#source;
    if (fields.length === 0) {
      this.#fixed(bigEndian(1), '0');
      return;
    }
    const present = fields.map((field) => {
      const local = this.#local(value, field.name);
      const isSet = source.name();
      source.line(`const ${isSet} = ${this.#differs(local, field.field, field.field.versions.absent)};`);
      return { ...field, local, isSet };
    });
    const count = present.map(({ isSet }) => `(${isSet} ? 1 : 0)`).join(' + ');
    this.#fixed(bigEndian(1), `(${count})`);
    this.#flush();
    for (const { name, field, nullable, local, isSet } of present) {
      source.line(`if (${isSet}) {`);
      this.#call(`unsignedVarint(${String(field.versions.tag)})`);
      this.#call('beginSized()');
      this.#value(local, field, join(path, name), nullable);
      this.#call('endSized()');
      source.line('}');
    }
  }

  /** An expression for "`value` is not the default `absent`". */
  #differs(value: string, field: Field<unknown>, absent: unknown): string {
    const { type } = field;
    if (absent === null) return `${value} !== null`;
    const orNull = field.versions.nullableFrom === Infinity ? '' : `${value} === null || `;
    if (type.kind === 'array' || type.kind === 'bytes') return `${orNull}${value}.length !== 0`;
    if (type.kind === 'struct') {
      const inner = fieldsAt(type, this.#message.version)
        .filter(({ placement }) => placement !== 'absent')
        .map(({ name, field: each }) =>
          this.#differs(`${value}.${name}`, each, (absent as Readonly<Record<string, unknown>>)[name]),
        );
      return `${orNull}${inner.join(' || ')}`;
    }
    return `${value} !== ${typeof absent === 'bigint' ? `${absent}n` : JSON.stringify(absent)}`;
  }

  #local(value: string, name: string): string {
    const local = this.#source.name();
    this.#source.line(`const ${local} = ${value}.${name};`);
    return local;
  }

  #what(path: string): string {
    return JSON.stringify(`${this.#message.what} v${this.#message.version} ${path}`);
  }
}

/** After a call that may have changed the writer's slab. */
const reload = 'b = writer.bytes; p = writer.offset; limit = writer.limit;';

const join = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);
