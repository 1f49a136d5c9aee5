import { codecs } from './codec.ts';
import { decodeEndTransactionMarker, encodeEndTransactionMarker } from './control-record.ts';
import { encodeRecordBatch } from './encode-batch.ts';
import { readFixture } from './fixtures/read-fixture.ts';
import { findMaxTimestampRecord } from './find-record.ts';
import { RecordBatchView } from './record-batch.ts';
import { readRecords, type RecordView } from './record.ts';

/** Offset, timestamp, key, value (or the length of a long one), headers. */
type GoldenRecord = [number, number, string | null, string | number | null, [string, string | null][]];

interface GoldenBatch {
  readonly name: string;
  readonly batch: string;
  readonly header: { readonly codec: string; readonly producerId: string; readonly [field: string]: unknown };
  readonly offsetOfMaxTimestamp: number | null;
  readonly records: readonly GoldenRecord[];
}

const golden = readFixture('batches') as readonly GoldenBatch[];

const mebibyte = 1024 * 1024;
const view = ({ batch }: GoldenBatch) => new RecordBatchView(Buffer.from(batch, 'base64'));
const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null;

function describeRecord(record: RecordView): GoldenRecord {
  const value = record.value !== null && record.value.length > 1000 ? record.value.length : base64(record.value);
  const headers = record.headers.map(({ key, value }): [string, string | null] => [key, base64(value)]);
  return [record.offset, record.timestamp, base64(record.key), value, headers];
}

describe.each(golden)('the batch "$name" that Kafka’s library wrote', (batch) => {
  it('has the header which that library reads', () => {
    const { producerId, ...header } = batch.header;
    expect(view(batch)).toMatchObject({ ...header, producerId: BigInt(producerId) });
    expect(view(batch).computeCrc()).toBe(header['crc']);
  });

  it('holds the records which that library reads', () => {
    const records = [...readRecords(view(batch), mebibyte)];
    expect(records).toHaveLength(batch.header['recordCount'] as number);
    expect(records.slice(-batch.records.length).map(describeRecord)).toEqual(batch.records);
  });
});

describe('the golden batches', () => {
  it.each(golden)('have their max timestamp where Kafka finds it: "$name"', async (batch) => {
    const found = await findMaxTimestampRecord(view(batch), mebibyte);
    const withoutTimestamp = batch.header['maxTimestamp'] === -1;
    expect(found?.offset ?? null).toBe(withoutTimestamp ? null : batch.offsetOfMaxTimestamp);
  });

  it('cover every codec', () => {
    expect([...new Set(golden.map(({ header }) => header.codec))].sort()).toEqual([...codecs].sort());
  });

  it.each(golden.filter(({ header }) => header.codec === 'none'))('"$name" is encoded byte for byte alike', (batch) => {
    const original = view(batch);
    const encoded = encodeRecordBatch({
      ...viewInput(original),
      records: [...readRecords(original, 0)].map((record) => ({
        offsetDelta: record.offset - original.baseOffset,
        timestamp: batch.name.startsWith('log append time') ? 1_700_000_000_000 + record.offset - 1 : record.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers,
      })),
    });
    expect(encoded.toString('base64')).toBe(batch.batch);
  });

  it.each([
    { name: 'commit marker', baseOffset: 55, type: 'COMMIT', coordinatorEpoch: 17 } as const,
    { name: 'abort marker', baseOffset: 56, type: 'ABORT', coordinatorEpoch: 18 } as const,
  ])('have a $name that is decoded, and encoded alike', ({ name, baseOffset, type, coordinatorEpoch }) => {
    const batch = golden.find((candidate) => candidate.name === name)!;
    const [record] = [...readRecords(view(batch), 0)];
    expect(decodeEndTransactionMarker(record!)).toEqual({ type, coordinatorEpoch });
    const encoded = encodeEndTransactionMarker({
      ...{ type, coordinatorEpoch, baseOffset, timestamp: 1_700_000_000_000 },
      ...{ producerId: 4711n, producerEpoch: 2, partitionLeaderEpoch: 3 },
    });
    expect(encoded.toString('base64')).toBe(batch.batch);
  });
});

function viewInput(view: RecordBatchView) {
  const { baseOffset, partitionLeaderEpoch, timestampType, baseTimestamp, maxTimestamp, lastOffsetDelta } = view;
  const { producerId, producerEpoch, baseSequence, isTransactional, isControl } = view;
  return {
    ...{ baseOffset, partitionLeaderEpoch, timestampType, baseTimestamp, maxTimestamp, lastOffsetDelta },
    ...{ producerId, producerEpoch, baseSequence, isTransactional, isControl },
  };
}
