import { DecodeError } from '../errors/decode-error.ts';
import { decodeText, longVarint, Reader, skipTags } from './reader.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('an unsigned varint', () => {
  const read = (text: string) => {
    const reader = new Reader(hex(text));
    const value = longVarint(reader, 0, reader.end, 'field');
    return [value, reader.offset];
  };

  it.each([
    ['00', 0, 1],
    ['7f', 0x7f, 1],
    ['8001', 0x80, 2],
    ['ffff03', 0xffff, 3],
    ['ffffffff07', 0x7fffffff, 5],
    ['ffffffff0f', 0xffffffff, 5],
    ['8000', 0, 2], // longer than it must be, which Kafka reads too
  ])('%s is %i', (text, value, length) => {
    expect(read(text)).toEqual([value, length]);
  });

  it.each(['', '80', 'ffffff', 'ffffffff10', '808080808000', 'ffffffffffffffffff01'])('%j is refused', (text) => {
    expect(() => read(text)).toThrow(DecodeError);
  });
});

describe('text', () => {
  const decode = (bytes: Buffer) => decodeText(bytes, 0, bytes.length, 'field');

  it.each([0, 1, 24, 25, 1000])('of %i ASCII characters is read', (length) => {
    expect(decode(Buffer.from('x'.repeat(length)))).toBe('x'.repeat(length));
  });

  it.each(['é', 'aé', '\u{1f600}', '\0', '\ufeffmark', 'é'.repeat(500)])('such as %j is read', (text) => {
    expect(decode(Buffer.from(text))).toBe(text);
  });

  it.each(['ff', 'c3', 'c328', 'eda080', 'f8888080', `${'61'.repeat(30)}80`])('of the bytes %s is refused', (text) => {
    expect(() => decode(hex(text))).toThrow(DecodeError);
  });
});

describe('unknown tagged fields', () => {
  const skip = (text: string) => {
    const reader = new Reader(hex(text));
    return skipTags(reader, 0, reader.end, 'message');
  };

  it.each([
    ['00', 1],
    ['01 05 00', 3],
    ['02 05 02 aabb 07 01 cc', 8],
  ])('%s take %i bytes', (text, length) => {
    expect(skip(text)).toBe(length);
  });

  it.each([
    '',
    '01',
    '01 05',
    '01 05 02 aa',
    '02 05 00 05 00',
    '02 05 00 04 00',
    '01 05 ffffffff0f',
    'ffffffff0f 00 00',
  ])('%j are refused', (text) => {
    expect(() => skip(text)).toThrow(DecodeError);
  });
});

it('reads bytes that are not a Buffer, in place', () => {
  const bytes = new Uint8Array([9, 0, 0, 0, 5, 9]);
  const reader = new Reader(bytes, 1, 5);
  expect(reader.bytes.buffer).toBe(bytes.buffer);
  expect(reader.int32('field')).toBe(5);
  expect(() => reader.int16('field')).toThrow(DecodeError);
});
