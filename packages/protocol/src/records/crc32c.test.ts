import fc from 'fast-check';
import { crc32c, crc32cCombine, crc32cFallback, crc32cNative } from './crc32c.ts';

const bytes = fc.uint8Array({ maxLength: 2000 });

describe('crc32c', () => {
  it('gives the check value of the catalogue', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32cFallback(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it('gives the vectors of RFC 3720', () => {
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))).toBe(0x46dd794e);
  });

  it('is the same by native code and by the fallback', () => {
    expect(crc32cNative).toBeDefined();
    fc.assert(
      fc.property(bytes, fc.nat(), (data, seed) => {
        const start = data.length === 0 ? 0 : seed % data.length;
        const initial = seed >>> 0;
        const expected = crc32cFallback(data, start, data.length, initial);
        expect(crc32cNative!(data, start, data.length, initial)).toBe(expected);
        expect(crc32c(data, start, data.length, initial)).toBe(expected);
      }),
    );
  });

  it('continues from the CRC of what came before', () => {
    fc.assert(
      fc.property(bytes, bytes, (first, second) => {
        const whole = crc32c(Buffer.concat([first, second]));
        expect(crc32c(second, 0, second.length, crc32c(first))).toBe(whole);
      }),
    );
  });
});

describe('crc32cCombine', () => {
  it('gives the CRC of two runs laid end to end', () => {
    fc.assert(
      fc.property(bytes, bytes, (first, second) => {
        const whole = crc32c(Buffer.concat([first, second]));
        expect(crc32cCombine(crc32c(first), crc32c(second), second.length)).toBe(whole);
      }),
    );
  });

  it('takes lengths beyond 32 bits', () => {
    const gibibyte = 2 ** 30;
    const zeros = (length: number) => {
      let crc = crc32c(Buffer.alloc(1024));
      for (let covered = 1024; covered < length; covered *= 2) crc = crc32cCombine(crc, crc, covered);
      return crc;
    };
    const four = zeros(4 * gibibyte);
    const eight = zeros(8 * gibibyte);
    const begin = crc32c(Buffer.from('x'));
    const inTwoSteps = crc32cCombine(crc32cCombine(begin, four, 4 * gibibyte), four, 4 * gibibyte);
    expect(crc32cCombine(begin, eight, 8 * gibibyte)).toBe(inTwoSteps);
  });
});
