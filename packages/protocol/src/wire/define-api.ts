// One Kafka API: its key, its versions, and the codecs of its request and response, made from their declarations. The code of a
// version is compiled when that version is first used.

import { compileDecoder, type Decoder } from './compile-decoder.ts';
import { compileEncoder, type Encoder } from './compile-encoder.ts';
import type { Field } from './fields.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

/** Turns one message of an API to bytes and back. Every method throws RangeError for a version the API does not have. */
export interface Codec<T> {
  readonly declaration: Field<T>;

  /** Reads the message at the reader's place, and leaves the reader behind it. Throws DecodeError, nothing else. */
  read(reader: Reader, version: number): T;

  /** Writes the message. On an error (null where the version has none, a string too long) call `writer.discard()`. */
  write(writer: Writer, message: T, version: number): void;

  /** The message that fills `bytes` exactly; fields of bytes are views into it. Throws DecodeError. */
  decode(bytes: Uint8Array, version: number): T;

  /** The message as one buffer; `write` does it without copying records. */
  encode(message: T, version: number): Buffer;
}

export interface Api<Request, Response> {
  readonly key: number;
  /** Kafka's name, in PascalCase. */
  readonly name: string;
  /** First and last version, both included. */
  readonly versions: readonly [min: number, max: number];
  /** First version with compact lengths and tagged fields (KIP-482), or null where there is none. */
  readonly flexibleFrom: number | null;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

export type RequestOf<A> = A extends { readonly request: Codec<infer Request> } ? Request : never;
export type ResponseOf<A> = A extends { readonly response: Codec<infer Response> } ? Response : never;

interface ApiDeclaration<Request, Response> extends Omit<Api<Request, Response>, 'request' | 'response'> {
  readonly request: Field<Request>;
  readonly response: Field<Response>;
}

export function defineApi<Request, Response>(declaration: ApiDeclaration<Request, Response>): Api<Request, Response> {
  return {
    ...declaration,
    request: new CompiledCodec(declaration, 'request', declaration.request),
    response: new CompiledCodec(declaration, 'response', declaration.response),
  };
}

class CompiledCodec<T> implements Codec<T> {
  readonly declaration: Field<T>;
  readonly #api: Pick<Api<unknown, unknown>, 'name' | 'versions' | 'flexibleFrom'>;
  readonly #what: string;
  readonly #decoders: Decoder<T>[] = [];
  readonly #encoders: Encoder<T>[] = [];

  constructor(
    api: Pick<Api<unknown, unknown>, 'name' | 'versions' | 'flexibleFrom'>,
    direction: string,
    declaration: Field<T>,
  ) {
    this.#api = api;
    this.#what = `${api.name} ${direction}`;
    this.declaration = declaration;
  }

  read(reader: Reader, version: number): T {
    const decoder = this.#decoders[version] ?? this.#compileDecoder(version);
    return decoder(reader);
  }

  write(writer: Writer, message: T, version: number): void {
    const encoder = this.#encoders[version] ?? this.#compileEncoder(version);
    encoder(writer, message);
  }

  decode(bytes: Uint8Array, version: number): T {
    const reader = new Reader(bytes);
    const message = this.read(reader, version);
    reader.expectEnd(this.#what);
    return message;
  }

  encode(message: T, version: number): Buffer {
    const writer = new Writer();
    this.write(writer, message, version);
    const { chunks, byteLength } = writer.finish();
    return Buffer.concat(chunks, byteLength);
  }

  #compileDecoder(version: number): Decoder<T> {
    const decoder = compileDecoder(this.declaration, this.#messageVersion(version));
    this.#decoders[version] = decoder;
    return decoder;
  }

  #compileEncoder(version: number): Encoder<T> {
    const encoder = compileEncoder(this.declaration, this.#messageVersion(version));
    this.#encoders[version] = encoder;
    return encoder;
  }

  #messageVersion(version: number) {
    const { versions, flexibleFrom } = this.#api;
    if (!Number.isInteger(version) || version < versions[0] || version > versions[1]) {
      throw new RangeError(`${this.#what} has no version ${version}`);
    }
    return { what: this.#what, version, flexible: flexibleFrom !== null && version >= flexibleFrom };
  }
}
