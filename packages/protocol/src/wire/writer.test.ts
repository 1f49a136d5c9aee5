import { Writer } from './writer.ts';

const joined = (writer: Writer) => Buffer.concat(writer.finish().chunks);

describe('a writer', () => {
  it('goes on in a new slab when one is full, without moving what was written', () => {
    const writer = new Writer(16);
    for (let value = 0; value < 10; value++) writer.int32(value);
    const { chunks, byteLength } = writer.finish();
    expect(chunks.map(({ length }) => length)).toEqual([16, 16, 8]);
    expect(byteLength).toBe(40);
    expect(Buffer.concat(chunks).readInt32BE(36)).toBe(9);
  });

  it('puts messages one after another into a slab', () => {
    const writer = new Writer();
    writer.int32(1);
    const first = writer.finish().chunks[0]!;
    writer.int32(2);
    const second = writer.finish().chunks[0]!;
    expect(second.buffer).toBe(first.buffer);
    expect([...first, ...second]).toEqual([0, 0, 0, 1, 0, 0, 0, 2]);
  });

  it('gives a value that is larger than a slab one of its own', () => {
    const writer = new Writer(16);
    writer.int16(5);
    writer.copy(Buffer.alloc(100, 1));
    writer.int16(6);
    expect(joined(writer)).toHaveLength(104);
  });

  it('keeps the order of copied and referenced bytes', () => {
    const writer = new Writer();
    writer.int16(1);
    writer.reference(Buffer.from('abc'));
    writer.reference(Buffer.alloc(0));
    writer.int16(2);
    const { chunks } = writer.finish();
    expect(chunks).toHaveLength(3);
    expect(Buffer.concat(chunks).toString('latin1')).toBe('\0\x01abc\0\x02');
  });

  it('puts a size before what it encloses, also one inside another', () => {
    const writer = new Writer(32);
    writer.beginSized();
    writer.beginSized();
    writer.copy(Buffer.alloc(200, 7));
    writer.endSized();
    writer.endSized();
    writer.int16(1);
    const bytes = joined(writer);
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0xca, 0x01, 0xc8, 0x01])); // 202, 200
    expect(bytes).toHaveLength(206);
  });

  it.each([
    ['', '00 00', '01'],
    ['short', '00 05 73 68 6f 72 74', '06 73 68 6f 72 74'],
    ['é', '00 02 c3 a9', '03 c3 a9'],
    ['\u{1f600}', '00 04 f0 9f 98 80', '05 f0 9f 98 80'],
  ])('writes the string %j', (text, fixed, compact) => {
    const writer = new Writer();
    writer.string(text);
    expect(joined(writer).toString('hex')).toBe(fixed.replaceAll(' ', ''));
    writer.compactString(text);
    expect(joined(writer).toString('hex')).toBe(compact.replaceAll(' ', ''));
  });

  it.each([126, 127, 128, 16_383, 40_000])('writes a compact string of %i bytes', (length) => {
    const writer = new Writer();
    for (const text of ['a'.repeat(length), 'é'.repeat(length / 2)]) {
      writer.compactString(text);
      const bytes = joined(writer);
      const varint = bytes.length - Buffer.byteLength(text);
      expect(varint).toBe(Buffer.byteLength(text) + 1 < 128 ? 1 : Buffer.byteLength(text) + 1 < 16_384 ? 2 : 3);
      expect(bytes.subarray(varint).toString()).toBe(text);
    }
  });

  it('refuses a string that its 2-byte length cannot tell', () => {
    const writer = new Writer();
    writer.string('a'.repeat(32_767));
    expect(() => writer.string('é'.repeat(16_384))).toThrow(RangeError);
  });

  it('forgets a message that was given up', () => {
    const writer = new Writer(16);
    writer.beginSized();
    writer.copy(Buffer.alloc(100));
    writer.discard();
    writer.int16(1);
    expect(joined(writer)).toEqual(Buffer.from([0, 1]));
  });
});
