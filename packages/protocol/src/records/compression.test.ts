import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { compressSync as rawSnappy } from 'snappy';
import { codecs } from './codec.ts';
import { compressSync, decompress, decompressSync } from './compression.ts';
import { readFixture } from './fixtures/read-fixture.ts';
import { DecompressionError, type DecompressionFault } from './decompression-error.ts';

const mebibyte = 1024 * 1024;
const compressing = codecs.filter((codec) => codec !== 'none');

/** Text that compresses and noise that does not, in one. */
const content = fc
  .array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(Buffer.from('the same again, '))), { maxLength: 40 })
  .map((parts) => Buffer.concat(parts));

/** Runs the decompressor both ways and holds them to the same outcome: the bytes, or the fault they were refused for. */
async function outcome(codec: (typeof codecs)[number], bytes: Buffer, maxBytes: number) {
  const settle = (run: () => Promise<Buffer>) =>
    run().catch((error: unknown) => {
      if (error instanceof DecompressionError) return error.fault;
      throw error;
    });
  const inline: Buffer | DecompressionFault = await settle(async () => decompressSync(codec, bytes, maxBytes));
  const pooled: Buffer | DecompressionFault = await settle(() => decompress(codec, bytes, maxBytes));
  if (typeof inline === 'string' || typeof pooled === 'string') expect(pooled).toBe(inline);
  else expect(Buffer.compare(pooled, inline)).toBe(0);
  return inline;
}

describe.each(codecs)('%s', (codec) => {
  it('gives back what it was given', async () => {
    await fc.assert(
      fc.asyncProperty(content, async (bytes) => {
        const compressed = compressSync(codec, bytes);
        const result = await outcome(codec, compressed, bytes.length);
        expect(Buffer.compare(result as Buffer, bytes)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('refuses one byte more than the limit, and takes the limit', async () => {
    const bytes = Buffer.concat([Buffer.alloc(200_000, 'abcdefg'), Buffer.from('end')]);
    const compressed = compressSync(codec, bytes);
    expect(await outcome(codec, compressed, bytes.length - 1)).toBe('too-large');
    expect(Buffer.compare((await outcome(codec, compressed, bytes.length)) as Buffer, bytes)).toBe(0);
  });
});

describe.each(compressing)('compressed bytes of %s', (codec) => {
  const bytes = Buffer.from('some words, some more words, some words again, and an end');
  const compressed = compressSync(codec, bytes);

  it('are refused in every truncation, or give what is there of whole blocks', async () => {
    for (let length = 0; length < compressed.length; length++) {
      const result = await outcome(codec, compressed.subarray(0, length), mebibyte);
      // The header of a snappy stream without blocks is a stream of nothing.
      if (codec === 'snappy' && length === 16) expect(result).toEqual(Buffer.alloc(0));
      else expect(result).toBe('corrupt');
    }
  });

  it('are refused when anything follows them', async () => {
    for (const tail of ['x', 'xx', 'a tail of many bytes', '\0\0\0\0\0\0\0\0\0\0']) {
      expect(await outcome(codec, Buffer.concat([compressed, Buffer.from(tail)]), mebibyte)).toBe('corrupt');
    }
  });

  it('may stand one behind the other', async () => {
    const twice = await outcome(codec, Buffer.concat([compressed, compressed]), 2 * bytes.length);
    expect(Buffer.compare(twice as Buffer, Buffer.concat([bytes, bytes]))).toBe(0);
    expect(await outcome(codec, Buffer.concat([compressed, compressed]), 2 * bytes.length - 1)).toBe('too-large');
  });

  it('give a result or a typed refusal after any change, within the limit', async () => {
    const maxBytes = 10_000;
    await fc.assert(
      fc.asyncProperty(
        content,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 5 }),
        async (original, changes) => {
          const changed = compressSync(codec, original);
          for (const [at, value] of changes) changed[at % changed.length] = value;
          const result = await outcome(codec, changed, maxBytes);
          if (typeof result !== 'string') expect(result.length).toBeLessThanOrEqual(maxBytes);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('give a result or a typed refusal for any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        await outcome(codec, Buffer.concat([compressed.subarray(0, 12), noise]), 10_000);
        await outcome(codec, Buffer.from(noise), 10_000);
      }),
    );
  });

  it('of another codec are refused', async () => {
    for (const other of compressing.filter((name) => name !== codec)) {
      expect(await outcome(codec, compressSync(other, bytes), mebibyte)).not.toBeInstanceOf(Buffer);
    }
  });
});

describe('a decompression bomb', () => {
  /** Kept alive, so that the process cannot hide as much memory again in what it has had before. */
  const zeros = Buffer.alloc(64 * mebibyte);

  it.each(compressing)('of %s is refused at the limit, before memory is spent', (codec) => {
    const bomb = compressSync(codec, zeros);
    const peakBefore = process.resourceUsage().maxRSS;
    for (let round = 0; round < 5; round++) {
      expect(() => decompressSync(codec, bomb, mebibyte)).toThrow(
        expect.objectContaining({ fault: 'too-large' }) as Error,
      );
    }
    const grownKibibytes = process.resourceUsage().maxRSS - peakBefore;
    expect(grownKibibytes).toBeLessThan(32 * 1024);
  });

  it('of snappy is refused by what it declares, a few bytes', () => {
    expect(() => decompressSync('snappy', Buffer.from('ffffffff0f00', 'hex'), mebibyte)).toThrow(/more than 1048576/);
  });

  it('of zstd is refused although its frame declares to be small', () => {
    const bomb = compressSync('zstd', zeros);
    const lying = Buffer.concat([Buffer.from('28b52ffd6005', 'hex'), Buffer.from('00', 'hex'), bomb.subarray(6)]);
    expect(() => decompressSync('zstd', lying, mebibyte)).toThrow(DecompressionError);
  });

  it('of gzip in many members is refused', () => {
    const member = gzipSync(Buffer.alloc(100_000));
    const bomb = Buffer.concat(Array.from({ length: 100 }, () => member));
    expect(() => decompressSync('gzip', bomb, mebibyte)).toThrow(/more than 1048576/);
  });

  it('of lz4 in many frames is refused', () => {
    const frame = compressSync('lz4', Buffer.alloc(100_000));
    const bomb = Buffer.concat(Array.from({ length: 100 }, () => frame));
    expect(() => decompressSync('lz4', bomb, mebibyte)).toThrow(/more than 1048576/);
  });
});

describe('snappy', () => {
  it('is read as one bare block too, as librdkafka writes it', async () => {
    const bytes = Buffer.from('librdkafka writes no stream header, no stream header');
    expect(await outcome('snappy', rawSnappy(bytes), bytes.length)).toEqual(bytes);
    expect(await outcome('snappy', rawSnappy(bytes), bytes.length - 1)).toBe('too-large');
  });

  it('is written as the stream of the Java library', () => {
    const batches = readFixture('batches') as readonly { readonly name: string; readonly batch: string }[];
    const golden = batches.find(({ name }) => name === 'noise, snappy')!;
    const records = Buffer.from(golden.batch, 'base64').subarray(61);
    expect(compressSync('snappy', Buffer.from('x')).subarray(0, 16)).toEqual(records.subarray(0, 16));
  });
});
