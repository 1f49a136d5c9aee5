import { codecs } from './codec.ts';
import { encodeRecordBatch } from './encode-batch.ts';
import { RecordBatchView } from './record-batch.ts';
import { readRecords } from './record.ts';
import { trimBatch } from './trim-batch.ts';

const maxBytes = 1 << 20;
const records = ['a', 'b', 'c', 'd'].map((value, index) => ({
  key: `key-${value}`,
  value: value.repeat(50),
  timestamp: [10, 40, 20, 30][index]!,
  headers: [{ key: 'h', value }],
}));
const contents = (batch: RecordBatchView) =>
  [...readRecords(batch, maxBytes)].map(({ offset, timestamp, key, value, headers }) => {
    return {
      offset,
      timestamp,
      key: String(key),
      value: String(value),
      headers: headers.map((one) => String(one.value)),
    };
  });

describe('trimBatch', () => {
  it.each(codecs)('keeps the records below the offset as they were (%s)', (codec) => {
    const input = {
      records,
      codec,
      baseOffset: 100,
      partitionLeaderEpoch: 7,
      producerId: 5n,
      producerEpoch: 1,
      baseSequence: 9,
    };
    const whole = new RecordBatchView(encodeRecordBatch(input));
    for (const count of [1, 2, 3, 4]) {
      const trimmed = new RecordBatchView(trimBatch(whole, 100 + count, maxBytes)!);
      expect(contents(trimmed)).toEqual(contents(whole).slice(0, count));
      expect(trimmed.crc).toBe(trimmed.computeCrc());
      expect(trimmed.end).toBe(trimmed.bytes.length);
      expect(trimmed).toMatchObject({
        baseOffset: 100,
        nextOffset: 100 + count,
        recordCount: count,
        codec,
        maxTimestamp: count === 1 ? 10 : 40,
        partitionLeaderEpoch: 7,
        producerId: 5n,
        lastSequence: 9 + count - 1,
      });
    }
  });

  it('is nothing when no record lies below the offset', () => {
    const whole = new RecordBatchView(encodeRecordBatch({ records, baseOffset: 100 }));
    expect(trimBatch(whole, 100, maxBytes)).toBeUndefined();
    expect(trimBatch(whole, 50, maxBytes)).toBeUndefined();
  });

  it('leaves the timestamp of the log where that is what records have', () => {
    const input = { records, baseOffset: 0, timestampType: 'LogAppendTime', maxTimestamp: 99 } as const;
    const trimmed = new RecordBatchView(trimBatch(new RecordBatchView(encodeRecordBatch(input)), 2, maxBytes)!);
    expect([trimmed.maxTimestamp, trimmed.timestampType]).toEqual([99, 'LogAppendTime']);
  });
});
