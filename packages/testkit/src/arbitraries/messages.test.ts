/** What every codec promises, shown for every API at every version with messages derived from the declarations. */
import { DecodeError } from '@kafscale/protocol';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { densestMessages, messageCases, messageOf, type MessageCase } from './messages.ts';

const cases = messageCases.map((each) => [each.title, each] as const);

/** The decoded message, or undefined where the bytes were refused; anything but a DecodeError is a failure. */
function decodeOrRefuse({ codec, version }: MessageCase, bytes: Uint8Array): unknown {
  try {
    return codec.decode(bytes, version);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Roughly the bytes of heap a decoded message holds, views into its input apart. */
function heldBytes(value: unknown): number {
  if (typeof value === 'string') return 16 + 2 * value.length;
  if (typeof value === 'bigint') return 24;
  if (typeof value !== 'object' || value === null) return 0;
  if (ArrayBuffer.isView(value)) return 96;
  return Object.values(value).reduce<number>((sum, each) => sum + 8 + heldBytes(each), 24);
}

/** Bytes of heap a decoded message may hold for one byte of input. */
const largestMultiple = 64;

const hugeInt32 = Buffer.from('7fffffff', 'hex');
const hugeVarint = Buffer.from('ffffffff07', 'hex');

function firstDifference(one: Buffer, other: Buffer): number {
  return one.findIndex((byte, index) => byte !== other[index]);
}

describe.each(cases)('%s', (_, each) => {
  const { api, codec, version } = each;

  it('decodes what it encodes', () => {
    fc.assert(
      fc.property(messageOf(codec, version), (message) => {
        const decoded = codec.decode(codec.encode(message, version), version);
        if (!isDeepStrictEqual(decoded, message)) expect(decoded).toStrictEqual(message); // which is slow, but explains
      }),
      { numRuns: 20 },
    );
  });

  it('refuses every truncation', () => {
    fc.assert(
      fc.property(messageOf(codec, version), (message) => {
        const bytes = codec.encode(message, version);
        const step = Math.max(1, Math.floor(bytes.length / 100));
        for (let length = 0; length < bytes.length; length += step) {
          const decoded = decodeOrRefuse(each, bytes.subarray(0, length));
          if (decoded !== undefined) throw new Error(`decoded the first ${length} of ${bytes.length} bytes`);
        }
      }),
      { numRuns: 3 },
    );
  });

  it('refuses or decodes any bytes', () => {
    const mutated = fc
      .tuple(messageOf(codec, version), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([message, changes]) => {
        const bytes = codec.encode(message, version);
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes;
      });
    const repeated = fc
      .tuple(fc.uint8Array({ maxLength: 12 }), fc.nat(255), fc.nat(2000))
      .map(([head, byte, length]) => Buffer.concat([head, Buffer.alloc(length, byte)]));
    fc.assert(
      fc.property(fc.oneof(mutated, repeated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        const message = decodeOrRefuse(each, bytes);
        expect(heldBytes(message)).toBeLessThan(512 + largestMultiple * bytes.length);
      }),
      { numRuns: 30 },
    );
  });

  it('believes no declared count', () => {
    const [larger, dense] = [1001, 1000].map((count) => densestMessages(codec, version, count));
    for (const [index, message] of dense!.entries()) {
      const bytes = codec.encode(message, version);
      const countAt = firstDifference(bytes, codec.encode(larger![index], version));
      const isFlexible = api.flexibleFrom !== null && version >= api.flexibleFrom;
      const forged = isFlexible
        ? Buffer.concat([bytes.subarray(0, countAt), hugeVarint, bytes.subarray(countAt + 2)])
        : Buffer.concat([bytes.subarray(0, countAt - 3), hugeInt32, bytes.subarray(countAt + 1)]);
      const before = process.memoryUsage();
      expect(decodeOrRefuse(each, forged)).toBeUndefined();
      const after = process.memoryUsage();
      const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
      expect(grown).toBeLessThan(1_000_000 + largestMultiple * forged.length);
    }
  });

  it('takes a small multiple of the bytes, even for the densest messages', () => {
    for (const message of densestMessages(codec, version, 1000)) {
      const bytes = codec.encode(message, version);
      expect(heldBytes(codec.decode(bytes, version))).toBeLessThan(512 + largestMultiple * bytes.length);
      expect(decodeOrRefuse(each, bytes.subarray(0, -1))).toBeUndefined();
    }
  });
});
