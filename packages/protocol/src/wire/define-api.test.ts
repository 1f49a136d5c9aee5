import { DecodeError } from '../errors/decode-error.ts';
import { defineApi } from './define-api.ts';
import {
  array,
  boolean,
  bytes,
  float64,
  int16,
  int32,
  int64,
  int8,
  nullable,
  nullableSince,
  offset,
  records,
  recordSlices,
  string,
  struct,
  uuid,
  zeroUuid,
} from './fields.ts';
import { Writer } from './writer.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const id = Buffer.from('00112233445566778899aabbccddeeff', 'hex').toString('base64url');

const scalars = defineApi({
  key: 1000,
  name: 'Scalars',
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({
    flag: boolean(),
    tiny: int8(),
    small: int16(),
    medium: int32(),
    large: int64(),
    place: offset(),
    ratio: float64(),
    id: uuid(),
    text: string(),
    blob: bytes(),
    maybe: nullable(string()),
    numbers: array(int32()),
  }),
  response: struct({}),
});

const scalarValues = {
  flag: true,
  tiny: -2,
  small: -300,
  medium: 0x01020304,
  large: -1n,
  place: 2 ** 40 + 5,
  ratio: 1.5,
  id,
  text: 'héllo',
  blob: Buffer.from([1, 2, 3]),
  maybe: null,
  numbers: [7, -1],
};

const versioned = defineApi({
  key: 1001,
  name: 'Versioned',
  versions: [0, 4],
  flexibleFrom: 3,
  request: struct({
    old: int8().until(2, -1),
    always: nullableSince(1, string()),
    young: int32().since(2, 42),
    middle: int16().between(1, 3, -7),
    tag: nullable(string()).tagged(1, 3, null),
    nested: struct({ a: int32(), b: string().since(4, 'none') }).tagged(0, 3, { a: -1, b: 'none' }),
    list: array(struct({ x: int8() })).tagged(5, 4, []),
  }),
  response: struct({ cursor: nullable(struct({ topic: string() })) }),
});

const data = defineApi({
  key: 1002,
  name: 'Data',
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({ partitions: array(struct({ records: nullable(records()) })) }),
  response: struct({ partitions: array(struct({ index: int8(), records: nullable(recordSlices()) })) }),
});

describe('a codec', () => {
  it('writes fixed lengths before the flexible version', () => {
    expect(scalars.request.encode(scalarValues, 0)).toEqual(
      hex(
        '01 fe fed4 01020304 ffffffffffffffff 0000010000000005 3ff8000000000000 00112233445566778899aabbccddeeff' +
          '0006 68c3a96c6c6f 00000003 010203 ffff 00000002 00000007 ffffffff',
      ),
    );
  });

  it('writes compact lengths and tagged fields from the flexible version on', () => {
    expect(scalars.request.encode(scalarValues, 1)).toEqual(
      hex(
        '01 fe fed4 01020304 ffffffffffffffff 0000010000000005 3ff8000000000000 00112233445566778899aabbccddeeff' +
          '07 68c3a96c6c6f 04 010203 00 03 00000007 ffffffff 00',
      ),
    );
  });

  it.each([0, 1])('decodes what it encodes (version %i)', (version) => {
    expect(scalars.request.decode(scalars.request.encode(scalarValues, version), version)).toEqual(scalarValues);
  });

  it('refuses versions that the API does not have', () => {
    expect(() => scalars.request.decode(Buffer.alloc(0), 2)).toThrow(RangeError);
    expect(() => scalars.request.encode(scalarValues, -1)).toThrow(RangeError);
  });

  it('gives fields that a version lacks their default, and leaves them out', () => {
    const bytesOfV0 = hex('05 0001 61');
    const decoded = versioned.request.decode(bytesOfV0, 0);
    expect(decoded).toEqual({
      old: 5,
      always: 'a',
      young: 42,
      middle: -7,
      tag: null,
      nested: { a: -1, b: 'none' },
      list: [],
    });
    expect(versioned.request.encode({ ...decoded, young: 9, tag: 'x' }, 0)).toEqual(bytesOfV0);
  });

  it('allows null only from its version on', () => {
    const value = versioned.request.decode(hex('05 0001 61'), 0);
    expect(() => versioned.request.decode(hex('05 ffff'), 0)).toThrow(DecodeError);
    expect(versioned.request.decode(hex('05 ffff 0001'), 1).always).toBeNull();
    expect(() => versioned.request.encode({ ...value, always: null }, 0)).toThrow('always must not be null');
  });

  it('sends tagged fields in the order of their tags, and only when they differ from their default', () => {
    const value = versioned.request.decode(hex('02 61 0000002a 00'), 3);
    expect(value.tag).toBeNull();
    expect(versioned.request.encode(value, 3)).toEqual(hex('02 61 0000002a 00'));
    const full = { ...value, tag: 'x', nested: { a: 1, b: 'y' }, list: [{ x: 1 }] };
    const bytesOfV4 = hex('02 61 0000002a 03 00 07 00000001 02 79 00 01 02 02 78 05 03 02 01 00');
    expect(versioned.request.encode(full, 4)).toEqual(bytesOfV4);
    expect(versioned.request.decode(bytesOfV4, 4)).toEqual({ ...full, middle: -7, old: -1 });
  });

  it('skips tagged fields it does not know', () => {
    expect(versioned.request.decode(hex('02 61 0000002a 02 01 02 02 78 63 03 aabbcc'), 3)).toMatchObject({ tag: 'x' });
    expect(scalars.response.decode(hex('01 00 02 aabb'), 1)).toEqual({});
  });

  it.each([
    ['twice the same tag', '02 61 0000002a 02 01 02 02 78 01 02 02 78'],
    ['descending tags', '02 61 0000002a 02 63 01 00 01 02 02 78'],
    ['a tagged field longer than the message', '02 61 0000002a 01 63 05 00'],
    ['a tagged field longer than its size', '02 61 0000002a 01 01 01 02 78'],
    ['a tagged field shorter than its size', '02 61 0000002a 01 01 03 02 78 00'],
    ['a tag of more than 32 bits', '02 61 0000002a 01 ffffffffff01 00'],
    ['bytes behind the message', '02 61 0000002a 00 00'],
  ])('refuses %s', (_, text) => {
    expect(() => versioned.request.decode(hex(text), 3)).toThrow(DecodeError);
  });

  it('puts a byte before a nullable struct', () => {
    expect(versioned.response.encode({ cursor: null }, 0)).toEqual(hex('ff'));
    expect(versioned.response.encode({ cursor: { topic: 'a' } }, 3)).toEqual(hex('01 02 61 00 00'));
    expect(versioned.response.decode(hex('ff'), 0)).toEqual({ cursor: null });
    expect(versioned.response.decode(hex('01 0001 61'), 0)).toEqual({ cursor: { topic: 'a' } });
  });

  it('reads any byte but 0 as true', () => {
    const encoded = scalars.request.encode(scalarValues, 0);
    encoded[0] = 0x80;
    expect(scalars.request.decode(encoded, 0).flag).toBe(true);
  });

  it('saturates offsets where numbers stop being exact', () => {
    const decodeOffset = (text: string) => {
      const encoded = scalars.request.encode(scalarValues, 0);
      hex(text).copy(encoded, 16);
      return scalars.request.decode(encoded, 0).place;
    };
    expect(decodeOffset('001fffffffffffff')).toBe(Number.MAX_SAFE_INTEGER);
    expect(decodeOffset('0020000000000000')).toBe(Number.MAX_SAFE_INTEGER);
    expect(decodeOffset('7fffffffffffffff')).toBe(Number.MAX_SAFE_INTEGER);
    expect(decodeOffset('ffe0000000000000')).toBe(Number.MIN_SAFE_INTEGER);
    expect(decodeOffset('8000000000000000')).toBe(Number.MIN_SAFE_INTEGER);
    expect(decodeOffset('fffffffffffffffe')).toBe(-2);
  });

  it('refuses a count that the bytes left cannot hold, before making anything of it', () => {
    expect(() => data.request.decode(hex('7fffffff 00000000'), 0)).toThrow(/exceeds/);
    expect(() => data.request.decode(hex('ffffffff0f 00'), 1)).toThrow(/exceeds/);
    expect(() => data.request.decode(hex('ffffffff'), 0)).toThrow(/null/);
    expect(() => data.request.decode(hex('fffffffe'), 0)).toThrow(/length -2/);
  });

  it('bounds the elements of one message', () => {
    const nested = defineApi({
      key: 1003,
      name: 'Nested',
      versions: [0, 0],
      flexibleFrom: null,
      request: struct({ outer: array(array(int8())) }),
      response: struct({}),
    });
    const inner = Buffer.concat([hex('000f4240'), Buffer.alloc(1_000_000)]); // a million each
    const message = (count: number) => Buffer.concat([hex(`0000000${count}`), ...Array<Buffer>(count).fill(inner)]);
    expect(nested.request.decode(message(1), 0).outer[0]).toHaveLength(1_000_000);
    expect(() => nested.request.decode(message(2), 0)).toThrow(/more than 2000000 elements/);
  });

  it('refuses text that is not UTF-8', () => {
    expect(() => versioned.request.decode(hex('05 0002 c328'), 0)).toThrow(/UTF-8/);
  });

  it('decodes records as a view, and sends them by reference', () => {
    const batch = Buffer.from('a record batch');
    const encoded = data.request.encode({ partitions: [{ records: batch }, { records: null }] }, 1);
    const [first, second] = data.request.decode(encoded, 1).partitions;
    expect(first?.records?.buffer).toBe(encoded.buffer);
    expect(first?.records).toEqual(batch);
    expect(second?.records).toBeNull();

    const writer = new Writer();
    const slices = [Buffer.from('one'), Buffer.from('two')];
    data.response.write(writer, { partitions: [{ index: 1, records: slices }] }, 0);
    const { chunks, byteLength } = writer.finish();
    expect(chunks.slice(1)).toEqual(slices);
    expect(chunks[1]).toBe(slices[0]);
    expect(Buffer.concat(chunks)).toEqual(hex('00000001 01 00000006 6f6e65 74776f'));
    expect(byteLength).toBe(15);
  });

  it('makes no field names out of text that is not a name', () => {
    expect(() => struct({ 'a;b': int8() })).toThrow(TypeError);
    expect(zeroUuid).toHaveLength(22);
  });
});
