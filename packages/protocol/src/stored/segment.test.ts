import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import { crc32c } from '../records/crc32c.ts';
import { encodeRecordBatch } from '../records/encode-batch.ts';
import { SegmentIndex } from './segment-index.ts';
import { decodeSegmentObject, encodeSegmentObject, segmentFooterBytes, segmentHeaderBytes } from './segment-object.ts';

/** The example of docs/reference/storage-format.md, every byte of it checked by hand. */
const goldenSegment = Buffer.from(
  `4b414653 0001 0000 00000000000003e8 00000003 0000018bcfe56fd0 00000000
   00000000000003e8 00000046 00000007 02 3cffc607 0000 00000001 0000018bcfe56800 0000018bcfe56805
   ffffffffffffffff ffff ffffffff 00000002
   14 00 00 00 02 6b 06 6f6e65 00
   12 00 0a 02 01 06 74776f 00
   00000000000003ea 0000003a 00000007 02 a2d56a4e 0000 00000000 0000018bcfe56be8 0000018bcfe56be8
   ffffffffffffffff ffff ffffffff 00000001
   10 00 00 00 04 6b32 01 00
   1f344ab6 00000000000003ea 454e4421`.replaceAll(/\s/g, ''),
  'hex',
);
const goldenIndex = Buffer.from(
  `49445800 0001 00000002 00000002 0000
   00000000000003e8 00000020
   00000000000003ea 00000072`.replaceAll(/\s/g, ''),
  'hex',
);

const goldenBatches = () => [
  encodeRecordBatch({
    baseOffset: 1_000,
    partitionLeaderEpoch: 7,
    records: [
      { timestamp: 1_700_000_000_000, key: 'k', value: 'one' },
      { timestamp: 1_700_000_000_005, key: null, value: 'two' },
    ],
  }),
  encodeRecordBatch({
    baseOffset: 1_002,
    partitionLeaderEpoch: 7,
    records: [{ timestamp: 1_700_000_001_000, key: 'k2', value: null }],
  }),
];

/** Batches of so many records each, from `baseOffset` on. */
function batchesOf(counts: readonly number[], baseOffset = 0, timestamps: readonly number[] = []): Buffer[] {
  let next = baseOffset;
  return counts.map((count, index) => {
    const timestamp = timestamps[index] ?? -1;
    const records = Array.from({ length: count }, () => ({ timestamp, value: 'x' }));
    const batch = encodeRecordBatch({ baseOffset: next, partitionLeaderEpoch: 3, records });
    next += count;
    return batch;
  });
}

/** The same bytes cut anew, also into empty slices. */
function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const createdMs = 1_700_000_002_000;
const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

describe('a segment', () => {
  it('is made byte for byte as the format says', () => {
    const segment = encodeSegmentObject({ batches: goldenBatches(), createdMs, indexInterval: 2 });
    expect(Buffer.concat(segment.object).toString('hex')).toBe(goldenSegment.toString('hex'));
    expect(Buffer.concat(segment.index).toString('hex')).toBe(goldenIndex.toString('hex'));
    expect(segment).toMatchObject({ baseOffset: 1_000, nextOffset: 1_003, messageCount: 3, position: 32, length: 152 });
    expect(segment).toMatchObject({ leaderEpoch: 7, maxTimestamp: 1_700_000_001_000, maxTimestampBaseOffset: 1_002 });
  });

  it('is read as the format says', () => {
    expect(decodeSegmentObject(goldenSegment)).toEqual({
      baseOffset: 1_000,
      lastOffset: 1_002,
      messageCount: 3,
      createdMs,
      batches: Buffer.concat(goldenBatches()),
    });
  });

  it('holds the very slices it was given, wherever they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 250 }), { minLength: 1, maxLength: 12 }),
        shares,
        fc.nat(2 ** 40),
        fc.integer({ min: 1, max: 300 }),
        (counts, cuts, baseOffset, indexInterval) => {
          const whole = Buffer.concat(batchesOf(counts, baseOffset));
          const slices = cut(whole, cuts);
          const segment = encodeSegmentObject({ batches: slices, createdMs, indexInterval });
          expect(segment.object.slice(1, -1).every((slice, index) => slice === slices[index])).toBe(true);
          const decoded = decodeSegmentObject(Buffer.concat(segment.object));
          const messageCount = counts.reduce((sum, count) => sum + count, 0);
          expect(decoded).toMatchObject({ baseOffset, messageCount, lastOffset: segment.nextOffset - 1 });
          expect(decoded.batches.equals(whole)).toBe(true);

          const starts: { baseOffset: number; position: number }[] = [];
          let at = 0;
          let offset = baseOffset;
          for (const count of counts) {
            const isDue = starts.length === 0 || offset - starts.at(-1)!.baseOffset >= indexInterval;
            if (isDue) starts.push({ baseOffset: offset, position: at + segmentHeaderBytes });
            at += whole.readInt32BE(at + 8) + 12;
            offset += count;
          }
          expect([...new SegmentIndex(Buffer.concat(segment.index)).entries()]).toEqual(starts);
        },
      ),
    );
  });

  it('says when its latest record is, and which batch has it first', () => {
    const of = (timestamps: readonly number[]) =>
      encodeSegmentObject({ batches: batchesOf([2, 2, 2], 10, timestamps), createdMs });
    expect(of([5, 9, 9])).toMatchObject({ maxTimestamp: 9, maxTimestampBaseOffset: 12 });
    expect(of([-1, -1, -1])).toMatchObject({ maxTimestamp: -1, maxTimestampBaseOffset: 10 });
  });

  it('is not made of nothing, of batches with a gap, or of half a batch', () => {
    const make = (batches: readonly Buffer[]) => encodeSegmentObject({ batches, createdMs });
    expect(() => make([])).toThrow(DecodeError);
    expect(() => make([Buffer.alloc(0)])).toThrow(DecodeError);
    expect(() => make([...batchesOf([2]), ...batchesOf([2], 3)])).toThrow('a batch at offset 3 where 2 is next');
    expect(() => make([Buffer.concat(batchesOf([2, 2])).subarray(0, -1)])).toThrow('its end is cut');
    expect(() => make([Buffer.concat(batchesOf([2, 2])).subarray(0, batchesOf([2])[0]!.length + 60)])).toThrow('cut');
  });

  it('is refused when any bit of it changed', () => {
    for (let byte = 0; byte < goldenSegment.length; byte += 1) {
      if (byte >= 20 && byte < 28) continue; // When it was made is nobody's business.
      const changed = Buffer.from(goldenSegment);
      changed[byte]! ^= 1 << (byte % 8);
      expect(() => decodeSegmentObject(changed)).toThrow(DecodeError);
    }
  });

  it('is refused at every other length', () => {
    for (let length = 0; length < goldenSegment.length; length += 1) {
      expect(() => decodeSegmentObject(goldenSegment.subarray(0, length))).toThrow(DecodeError);
    }
    expect(() => decodeSegmentObject(Buffer.concat([goldenSegment, Buffer.alloc(1)]))).toThrow(DecodeError);
  });

  it('is refused when its checksum fits what its batches do not say', () => {
    const resealed = (tamper: (object: Buffer) => void) => {
      const object = Buffer.from(goldenSegment);
      tamper(object);
      const batches = object.subarray(segmentHeaderBytes, object.length - segmentFooterBytes);
      object.writeUInt32BE(crc32c(batches), object.length - segmentFooterBytes);
      return () => decodeSegmentObject(object);
    };
    expect(resealed((object) => object.writeInt32BE(0x7fffffff, 40))).toThrow('its end is cut');
    expect(resealed((object) => object.writeInt32BE(-1, 40))).toThrow('less than a header');
    expect(resealed((object) => object.writeInt32BE(-5, 55))).toThrow('offsets from');
    expect(resealed((object) => object.writeInt32BE(5, 55))).toThrow('a batch at offset 1002 where 1006 is next');
    expect(resealed((object) => object.writeInt32BE(-1, 89))).toThrow('records');
    expect(resealed((object) => object.writeUInt32BE(4, 16))).toThrow('holds 3 messages');
    expect(resealed((object) => object.writeUInt16BE(1, 6))).toThrow('flags 1');
  });

  it('of any bytes at all is refused, never hung on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, withMagic) => {
        const object = Buffer.from(bytes);
        if (withMagic) goldenSegment.copy(object, 0, 0, Math.min(object.length, segmentHeaderBytes));
        expect(() => decodeSegmentObject(object)).toThrow(DecodeError);
      }),
    );
  });
});

describe('a segment index', () => {
  const make = (change: (bytes: Buffer) => void, source = goldenIndex) => {
    const bytes = Buffer.from(source);
    change(bytes);
    return () => new SegmentIndex(bytes);
  };

  it('is read as the format says', () => {
    const index = new SegmentIndex(goldenIndex);
    expect(index).toMatchObject({ entryCount: 2, interval: 2, sizeBytes: 40 });
    expect([...index.entries()]).toEqual([
      { baseOffset: 1_000, position: 32 },
      { baseOffset: 1_002, position: 114 },
    ]);
  });

  it('finds the last entry at or before an offset', () => {
    const index = new SegmentIndex(goldenIndex);
    expect(index.find(999)).toBeUndefined();
    expect([1_000, 1_001, 1_002, 2 ** 50].map((offset) => index.find(offset)?.position)).toEqual([32, 32, 114, 114]);
  });

  it('is refused when it says what cannot be', () => {
    expect(make((bytes) => bytes.writeUInt32BE(0x49445801, 0))).toThrow('magic');
    expect(make((bytes) => bytes.writeUInt16BE(2, 4))).toThrow('version 2');
    expect(make((bytes) => bytes.writeUInt32BE(3, 6))).toThrow('are not 3 entries');
    expect(make((bytes) => bytes.writeUInt32BE(0, 6))).toThrow('no entries');
    expect(make((bytes) => bytes.writeUInt32BE(0, 10))).toThrow('no interval');
    expect(make((bytes) => bytes.writeUInt16BE(1, 14))).toThrow('reserved');
    expect(make((bytes) => bytes.writeUInt32BE(33, 24))).toThrow('first entry at 33');
    expect(make((bytes) => bytes.writeUInt32BE(32, 36))).toThrow('entry 1');
    expect(make((bytes) => bytes.writeBigInt64BE(1_001n, 28))).toThrow('entry 1');
    expect(make((bytes) => bytes.writeBigInt64BE(2n ** 60n, 28))).toThrow('impossible');
    expect(make((bytes) => bytes.writeBigInt64BE(-1n, 16))).toThrow('impossible');
  });

  it('is refused at every other length, and of any bytes', () => {
    for (let length = 0; length < goldenIndex.length; length += 1) {
      expect(() => new SegmentIndex(goldenIndex.subarray(0, length))).toThrow(DecodeError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(() => new SegmentIndex(Buffer.from(bytes))).toThrow(DecodeError);
      }),
    );
  });
});
