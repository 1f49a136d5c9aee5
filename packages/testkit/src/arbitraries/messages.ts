/**
 * Random messages, derived from the declarations: a new API is covered as soon as it is declared. Fields that a version lacks hold
 * their defaults, so what is drawn is what comes back from encoding and decoding.
 */
import {
  apis,
  fieldsAt,
  nullableAt,
  type Api,
  type Codec,
  type Field,
  type FieldType,
  zeroUuid,
} from '@kafscale/protocol';
import fc from 'fast-check';

/** One direction of one API at one version, and how it is called in a test's title. */
export interface MessageCase {
  readonly title: string;
  readonly api: Api<unknown, unknown>;
  readonly codec: Codec<unknown>;
  readonly version: number;
}

/** Every request and response at every version. */
export const messageCases: readonly MessageCase[] = apis.flatMap((api) => {
  const [first, last] = api.versions;
  const versions = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return versions.flatMap((version) => [
    { title: `${api.name} request v${version}`, api, codec: api.request, version },
    { title: `${api.name} response v${version}`, api, codec: api.response, version },
  ]);
});

/** A message of this codec as `version` can carry it. */
export function messageOf<T>(codec: Codec<T>, version: number): fc.Arbitrary<T> {
  return valueOf(codec.declaration, version) as fc.Arbitrary<T>;
}

function valueOf(field: Field<unknown>, version: number): fc.Arbitrary<unknown> {
  const value = presentValue(field.type, version);
  return nullableAt(field, version) ? fc.option(value, { nil: null, freq: 4 }) : value;
}

const signed = (bits: number) => fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
const buffer = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

function presentValue(type: FieldType, version: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'boolean':
      return fc.boolean();
    case 'int8':
      return signed(8);
    case 'int16':
      return signed(16);
    case 'int32':
      return signed(32);
    case 'int64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 'offset':
      return fc.maxSafeInteger();
    case 'float64':
      return fc.double({ noNaN: true });
    case 'uuid':
      return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('base64url'));
    case 'string':
      return fc.oneof({ weight: 9, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) }, longString);
    case 'bytes':
    case 'records':
      return buffer(200);
    case 'recordSlices':
      return buffer(200).map((slice) => (slice.length === 0 ? [] : [slice]));
    case 'array':
      return fc.array(valueOf(type.element, version), { maxLength: type.element.type.kind === 'struct' ? 3 : 8 });
    case 'struct':
      return fc.record(
        Object.fromEntries(
          fieldsAt(type, version).map(({ name, field, placement }) => [
            name,
            placement === 'absent' ? fc.constant(field.versions.absent) : valueOf(field, version),
          ]),
        ),
        { noNullPrototype: true },
      );
  }
}

/** Long enough for a length of two bytes as a varint. */
const longString = fc.string({ unit: 'binary', minLength: 100, maxLength: 300 });

/** Messages in which one array has `count` of the smallest elements there are: the most memory for the fewest bytes. */
export function densestMessages(codec: Codec<unknown>, version: number, count: number): readonly unknown[] {
  return arrayPaths(codec.declaration.type, version, '').map((dense) =>
    smallest(codec.declaration, version, '', { path: dense, count }),
  );
}

/** The paths of all arrays a version has. */
function arrayPaths(type: FieldType, version: number, path: string): readonly string[] {
  if (type.kind === 'array') return [path, ...arrayPaths(type.element.type, version, `${path}[]`)];
  if (type.kind !== 'struct') return [];
  return fieldsAt(type, version)
    .filter(({ placement }) => placement !== 'absent')
    .flatMap(({ name, field }) => arrayPaths(field.type, version, `${path}.${name}`));
}

interface DenseArray {
  readonly path: string;
  readonly count: number;
}

/** The value of the fewest bytes, with one element in the arrays that lead to the dense one. */
function smallest(field: Field<unknown>, version: number, path: string, dense: DenseArray): unknown {
  const { type } = field;
  switch (type.kind) {
    case 'array': {
      const count = dense.path === path ? dense.count : dense.path.startsWith(`${path}[]`) ? 1 : 0;
      if (count === 0) return [];
      return Array<unknown>(count).fill(smallest(type.element, version, `${path}[]`, dense));
    }
    case 'struct':
      return Object.fromEntries(
        fieldsAt(type, version).map(({ name, field: each, placement }) => {
          const own = `${path}.${name}`;
          const isNeeded = placement === 'inline' || (placement === 'tagged' && dense.path.startsWith(own));
          return [name, isNeeded ? smallest(each, version, own, dense) : each.versions.absent];
        }),
      );
    case 'boolean':
      return false;
    case 'int64':
      return 0n;
    case 'uuid':
      return zeroUuid;
    case 'string':
      return '';
    case 'bytes':
    case 'records':
      return Buffer.alloc(0);
    case 'recordSlices':
      return [];
    default:
      return 0;
  }
}
