import { ObjectBytes } from './object-bytes.ts';

const whole = Buffer.from(Array.from({ length: 64 }, (_, index) => (index * 37) & 0xff));

describe('the bytes of an object in pieces', () => {
  it.each([1, 3, 7, 16, 64])('read the same as in one, in pieces of %i bytes', (pieceBytes) => {
    const [first, ...rest] = Array.from({ length: Math.ceil(48 / pieceBytes) }, (_, index) => {
      const start = 16 + index * pieceBytes;
      return { start, bytes: whole.subarray(start, Math.min(start + pieceBytes, 64)) };
    });
    const pieces = new ObjectBytes([first!, ...rest]);
    expect(pieces.end).toBe(64);
    for (let position = 16; position + 8 <= 64; position += 1) {
      expect(pieces.int32At(position)).toBe(whole.readInt32BE(position));
      expect(Buffer.concat(pieces.slices(position, position + 8))).toEqual(whole.subarray(position, position + 8));
    }
    expect(pieces.int32At(16)).toBe(whole.readInt32BE(16)); // Back to the start after walking forward.
  });

  it('read offsets above 32 bits', () => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(2n ** 40n + 2n ** 31n);
    expect(new ObjectBytes([{ start: 0, bytes }]).int64At(0)).toBe(2 ** 40 + 2 ** 31);
  });

  it('lie nowhere but in the object itself', () => {
    const pieces = new ObjectBytes([{ start: 0, bytes: whole }]);
    expect(pieces.slices(3, 9)[0]!.buffer).toBe(whole.buffer);
    expect(() => pieces.int32At(64)).toThrow('not in memory');
  });
});
