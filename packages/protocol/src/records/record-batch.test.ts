import { DecodeError } from '../errors/decode-error.ts';
import { codecs } from './codec.ts';
import { encodeRecordBatch } from './encode-batch.ts';
import { batchEnd, RecordBatchView, splitBatches } from './record-batch.ts';
import { readRecords } from './record.ts';

const batch = (input: Parameters<typeof encodeRecordBatch>[0]) => new RecordBatchView(encodeRecordBatch(input));
const oneRecord = [{ key: 'k', value: 'v', timestamp: 1_700_000_000_000 }];

describe('RecordBatchView', () => {
  it('reads every field of the header in place', () => {
    const view = batch({
      records: [...oneRecord, { value: 'w', timestamp: 1_700_000_000_005 }],
      codec: 'lz4',
      baseOffset: 2 ** 40 + 1,
      partitionLeaderEpoch: 7,
      producerId: 2n ** 60n,
      producerEpoch: 3,
      baseSequence: 2 ** 31 - 1,
      isTransactional: true,
    });
    expect(view).toMatchObject({
      baseOffset: 2 ** 40 + 1,
      lastOffset: 2 ** 40 + 2,
      nextOffset: 2 ** 40 + 3,
      partitionLeaderEpoch: 7,
      magic: 2,
      lastOffsetDelta: 1,
      baseTimestamp: 1_700_000_000_000,
      maxTimestamp: 1_700_000_000_005,
      producerId: 2n ** 60n,
      hasProducerId: true,
      producerEpoch: 3,
      baseSequence: 2 ** 31 - 1,
      lastSequence: 0,
      recordCount: 2,
      codec: 'lz4',
      isCompressed: true,
      timestampType: 'CreateTime',
      isTransactional: true,
      isControl: false,
      hasDeleteHorizon: false,
      start: 0,
      end: view.bytes.length,
      sizeInBytes: view.bytes.length,
    });
    expect(view.crc).toBe(view.computeCrc());
  });

  it('says -1 where there is no producer', () => {
    expect(batch({ records: oneRecord })).toMatchObject({
      producerId: -1n,
      hasProducerId: false,
      producerEpoch: -1,
      baseSequence: -1,
      lastSequence: -1,
    });
  });

  it('reads a batch in the middle of other bytes', () => {
    const bytes = encodeRecordBatch({ records: oneRecord, baseOffset: 42 });
    const view = new RecordBatchView(Buffer.concat([Buffer.alloc(13, 0xff), bytes, Buffer.alloc(5, 0xff)]), 13);
    expect(view.baseOffset).toBe(42);
    expect(view.slice.equals(bytes)).toBe(true);
    expect(view.computeCrc()).toBe(view.crc);
    expect([...readRecords(view, 0)][0]!.value!.toString()).toBe('v');
  });

  it('saturates offsets and timestamps that numbers cannot hold', () => {
    const view = batch({ records: oneRecord });
    view.bytes.writeBigInt64BE(2n ** 63n - 1n, 35);
    expect(view.maxTimestamp).toBe(Number.MAX_SAFE_INTEGER);
    view.bytes.writeBigInt64BE(-(2n ** 63n), 35);
    expect(view.maxTimestamp).toBe(Number.MIN_SAFE_INTEGER);
  });

  it('stamps base offset and leader epoch without touching the CRC', () => {
    const view = batch({ records: oneRecord });
    const { crc } = view;
    view.baseOffset = 2 ** 52 + 12345;
    view.partitionLeaderEpoch = 99;
    expect(view).toMatchObject({ baseOffset: 2 ** 52 + 12345, partitionLeaderEpoch: 99, crc });
    expect(view.computeCrc()).toBe(crc);
  });

  it('sets LogAppendTime for every record, with a new CRC', () => {
    const view = batch({ records: [...oneRecord, { value: 'w', timestamp: 5 }], codec: 'gzip' });
    view.setMaxTimestamp('LogAppendTime', 1_800_000_000_000);
    expect(view.crc).toBe(view.computeCrc());
    expect(view).toMatchObject({ timestampType: 'LogAppendTime', codec: 'gzip', maxTimestamp: 1_800_000_000_000 });
    expect([...readRecords(view, 1000)].map(({ timestamp }) => timestamp)).toEqual([
      1_800_000_000_000, 1_800_000_000_000,
    ]);
  });

  it('leaves the bytes alone when type and max timestamp are right already', () => {
    const bytes = encodeRecordBatch({ records: oneRecord });
    const before = Buffer.from(bytes);
    new RecordBatchView(bytes).setMaxTimestamp('CreateTime', 1_700_000_000_000);
    expect(bytes.equals(before)).toBe(true);
  });

  it.each(codecs)('knows codec %s by name', (codec) => {
    expect(batch({ records: oneRecord, codec })).toMatchObject({ codec, isCompressed: codec !== 'none' });
  });

  it('knows no codec of number 5', () => {
    const view = batch({ records: oneRecord });
    view.bytes[22] = 5;
    expect(view.codec).toBeUndefined();
    expect(() => [...readRecords(view, 1000)]).toThrow(DecodeError);
  });
});

describe('splitBatches', () => {
  const first = encodeRecordBatch({ records: oneRecord });
  const second = encodeRecordBatch({ records: oneRecord, baseOffset: 1, codec: 'zstd' });
  const both = Buffer.concat([first, second]);

  it('finds whole batches and reports where the partial one begins', () => {
    for (let end = first.length; end < both.length; end++) {
      const run = splitBatches(both.subarray(0, end));
      expect(run.batches.map(({ start }) => start)).toEqual([0]);
      expect(run.end).toBe(first.length);
    }
    expect(splitBatches(both)).toMatchObject({ batches: [{ start: 0 }, { start: first.length }], end: both.length });
    expect(splitBatches(Buffer.alloc(0))).toEqual({ batches: [], end: 0 });
  });

  it('refuses a length that is less than a header, and other formats', () => {
    const short = Buffer.from(first);
    short.writeInt32BE(48, 8);
    expect(() => splitBatches(short)).toThrow(DecodeError);
    short.writeInt32BE(-1, 8);
    expect(() => batchEnd(short, 0)).toThrow(DecodeError);
    const old = Buffer.from(first);
    old[16] = 1;
    expect(() => splitBatches(old)).toThrow(DecodeError);
  });
});
