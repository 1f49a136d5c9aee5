import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import { RecordCursor, varintBytes, writeVarint } from './varint.ts';

const cursorOver = (...bytes: number[]) => new RecordCursor(Buffer.from(bytes), 0, bytes.length);

function encode(value: number): Buffer {
  const bytes = Buffer.alloc(varintBytes(value));
  expect(writeVarint(bytes, 0, value)).toBe(bytes.length);
  return bytes;
}

describe('varints', () => {
  it('are zigzag: 0, -1, 1, -2 take one byte each', () => {
    expect([0, -1, 1, -2, 63, -64].map((value) => [...encode(value)])).toEqual([[0], [1], [2], [3], [126], [127]]);
    expect([...encode(64)]).toEqual([0x80, 0x01]);
    expect([...encode(-(2 ** 31))]).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f]);
  });

  it('of 32 bits are read as they were written', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const bytes = encode(value);
        const cursor = new RecordCursor(bytes, 0, bytes.length);
        expect(cursor.varint()).toBe(value);
        expect(cursor.position).toBe(bytes.length);
      }),
    );
  });

  it('of 64 bits are read as they were written, within ±2^52', () => {
    const far = fc.integer({ min: -(2 ** 52), max: 2 ** 52 });
    fc.assert(
      fc.property(fc.oneof(far, fc.integer(), fc.integer({ min: -(2 ** 48), max: 2 ** 48 })), (value) => {
        const bytes = encode(value);
        const cursor = new RecordCursor(bytes, 0, bytes.length);
        expect(cursor.varlong()).toBe(value);
        expect(cursor.position).toBe(bytes.length);
      }),
    );
  });

  it('of 64 bits saturate where numbers end', () => {
    const longest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    expect(cursorOver(...longest).varlong()).toBe(Number.MAX_SAFE_INTEGER);
    expect(cursorOver(0xff, ...longest.slice(1)).varlong()).toBe(Number.MIN_SAFE_INTEGER);
  });

  it('that go on for too long, or end too early, are refused', () => {
    expect(() => cursorOver(0x80, 0x80, 0x80, 0x80, 0x80, 0x00).varint()).toThrow(DecodeError);
    expect(() => cursorOver(...Array<number>(10).fill(0x80), 0x00).varlong()).toThrow(DecodeError);
    for (let length = 0; length < 5; length++) {
      expect(() => cursorOver(...Array<number>(length).fill(0x80)).varint()).toThrow(DecodeError);
    }
    for (let length = 0; length < 10; length++) {
      expect(() => cursorOver(...Array<number>(length).fill(0x80)).varlong()).toThrow(DecodeError);
    }
  });
});
