import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import { ErrorCode } from '../errors/error-codes.ts';
import { codecs } from './codec.ts';
import { encodeRecordBatch } from './encode-batch.ts';
import { findMaxTimestampRecord, findRecordByTimestamp } from './find-record.ts';
import { RecordBatchView, recordBatchHeaderBytes, splitBatches } from './record-batch.ts';
import { readRecords, type RecordView } from './record.ts';
import { validateProducedBatch } from './validate-batch.ts';

const mebibyte = 1024 * 1024;
const rules = {
  maxMessageBytes: mebibyte,
  timestampType: 'CreateTime',
  timestampBeforeMaxMs: Infinity,
  timestampAfterMaxMs: Infinity,
  compacted: false,
  maxDecompressedBytes: mebibyte,
} as const;
const request = { apiVersion: 13, nowMs: 1_700_000_000_000 };

const bytes = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 100 }));
const timestamp = fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 2 ** 51 }), fc.nat());
const record = fc.record({
  timestamp,
  key: bytes,
  value: bytes,
  headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 10 }), value: bytes }), { maxLength: 4 }),
});
const batch = fc.record({
  records: fc.array(record, { minLength: 1, maxLength: 30 }),
  codec: fc.constantFrom(...codecs),
  baseOffset: fc.maxSafeNat(),
  producerId: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }),
  producerEpoch: fc.integer({ min: -1, max: 2 ** 15 - 1 }),
  baseSequence: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
});

const plain = (content: Uint8Array | null) => content && Buffer.from(content).toString('hex');
const describeView = (view: RecordView) => ({
  offset: view.offset,
  timestamp: view.timestamp,
  key: plain(view.key),
  value: plain(view.value),
  headers: view.headers.map(({ key, value }) => [key, plain(value)]),
});

describe('records', () => {
  it('are read as they were written, with every codec', () => {
    fc.assert(
      fc.property(batch, (input) => {
        const baseOffset = Math.floor(input.baseOffset / 2);
        const view = new RecordBatchView(encodeRecordBatch({ ...input, baseOffset }));
        expect([...readRecords(view, mebibyte)].map(describeView)).toEqual(
          input.records.map(({ timestamp, key, value, headers }, index) => ({
            offset: baseOffset + index,
            timestamp,
            key: plain(key),
            value: plain(value),
            headers: headers.map((header) => [header.key, plain(header.value)]),
          })),
        );
        expect(view.crc).toBe(view.computeCrc());
      }),
    );
  });

  it('are accepted from a producer as they were written', () => {
    fc.assert(
      fc.property(batch, fc.boolean(), (input, compacted) => {
        const verdict = validateProducedBatch(
          encodeRecordBatch({ ...input, baseOffset: 0 }),
          { ...rules, compacted },
          request,
        );
        const keyless = input.records.findIndex(({ key }) => key === null);
        if (compacted && keyless !== -1) {
          expect(verdict).toMatchObject({ errorCode: ErrorCode.INVALID_RECORD });
        } else {
          const maxTimestamp = Math.max(...input.records.map(({ timestamp }) => timestamp));
          expect(verdict).toMatchObject({ errorCode: ErrorCode.NONE, maxTimestamp });
        }
      }),
    );
  });

  it('that are cut off, changed or made up give records or a DecodeError, and a verdict', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(
        batch,
        changes,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        (input, edits, cut, fixed) => {
          const whole = encodeRecordBatch({ ...input, baseOffset: 0 });
          const damaged = whole.subarray(0, cut < 0.5 ? Math.floor(cut * 2 * whole.length) : whole.length);
          for (const [at, value] of edits) if (damaged.length > 0) damaged[at % damaged.length] = value;
          const view = new RecordBatchView(damaged);
          if (fixed && damaged.length >= recordBatchHeaderBytes) {
            damaged.writeInt32BE(damaged.length - 12, 8);
            damaged.writeUInt32BE(view.computeCrc(), 17);
          }
          const verdict = validateProducedBatch(damaged, { ...rules, compacted: true }, request);
          expect(typeof verdict.errorCode).toBe('number');
          outcomeOf(() => {
            for (const found of splitBatches(damaged).batches) {
              for (const { headers } of readRecords(found, mebibyte)) expect(Array.isArray(headers)).toBe(true);
            }
          });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('never fill more than the bytes there are, whatever the count says', () => {
    const view = new RecordBatchView(encodeRecordBatch({ records: [{ value: 'v' }] }));
    view.bytes.writeInt32BE(2 ** 31 - 1, 57);
    expect(() => [...readRecords(view, mebibyte)]).toThrow(DecodeError);
    view.bytes.writeInt32BE(0, 57);
    expect(() => [...readRecords(view, mebibyte)]).toThrow('bytes follow');
  });

  it('are refused with more headers than there are bytes for', () => {
    const made = encodeRecordBatch({ records: [{ value: 'v' }] });
    made[made.length - 1] = 0x7e; // 63 headers, and no byte of them
    expect(() => [...readRecords(new RecordBatchView(made), mebibyte)]).toThrow(DecodeError);
  });
});

/** Runs something that may fail, but only with a DecodeError. */
function outcomeOf(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
}

describe('validateProducedBatch', () => {
  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, compacted) => {
        const made = Buffer.from(noise);
        if (made.length > 16) made[16] = 2;
        if (made.length >= recordBatchHeaderBytes) {
          made.fill(0, 0, 8);
          made.writeInt32BE(made.length - 12, 8);
          made.writeUInt32BE(new RecordBatchView(made).computeCrc(), 17);
        }
        const verdict = validateProducedBatch(made, { ...rules, compacted }, request);
        expect(typeof verdict.errorCode).toBe('number');
      }),
      { numRuns: 1000 },
    );
  });
});

describe.each(codecs)('in a batch of %s', (codec) => {
  const view = (input: Partial<Parameters<typeof encodeRecordBatch>[0]> = {}) =>
    new RecordBatchView(
      encodeRecordBatch({
        records: [100, 300, 200, 300, 50].map((timestamp) => ({ timestamp, value: 'v' })),
        baseOffset: 1000,
        codec,
        ...input,
      }),
    );

  it('the first record at or after a time is found', async () => {
    const at = (timestamp: number, fromOffset?: number) =>
      findRecordByTimestamp(view(), { timestamp, ...(fromOffset === undefined ? {} : { fromOffset }) }, mebibyte);
    expect(await at(0)).toEqual({ offset: 1000, timestamp: 100 });
    expect(await at(101)).toEqual({ offset: 1001, timestamp: 300 });
    expect(await at(300)).toEqual({ offset: 1001, timestamp: 300 });
    expect(await at(301)).toBeUndefined();
    expect(await at(150, 1002)).toEqual({ offset: 1002, timestamp: 200 });
    expect(await at(300, 1004)).toBeUndefined();
    expect(await at(0, 1005)).toBeUndefined();
  });

  it('the first record with the max timestamp is found', async () => {
    expect(await findMaxTimestampRecord(view(), mebibyte)).toEqual({ offset: 1001, timestamp: 300 });
  });

  it('no record has the max timestamp when none has one', async () => {
    expect(await findMaxTimestampRecord(view({ records: [{ value: 'v' }] }), mebibyte)).toBeUndefined();
  });

  it('LogAppendTime dates every record', async () => {
    const dated = view();
    dated.setMaxTimestamp('LogAppendTime', 5000);
    expect(await findRecordByTimestamp(dated, { timestamp: 4000 }, mebibyte)).toEqual({
      offset: 1000,
      timestamp: 5000,
    });
    expect(await findMaxTimestampRecord(dated, mebibyte)).toEqual({ offset: 1000, timestamp: 5000 });
  });
});

describe.each(codecs.filter((codec) => codec !== 'none'))('looking for a record in a batch of %s', (codec) => {
  it('keeps to the limit', async () => {
    const view = new RecordBatchView(encodeRecordBatch({ records: [{ timestamp: 100, value: 'v' }], codec }));
    await expect(findRecordByTimestamp(view, { timestamp: 0 }, 3)).rejects.toMatchObject({ fault: 'too-large' });
    await expect(findMaxTimestampRecord(view, 3)).rejects.toMatchObject({ fault: 'too-large' });
  });
});
