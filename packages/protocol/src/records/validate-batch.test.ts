import { describeError, ErrorCode, type ErrorName } from '../errors/error-codes.ts';
import { encodeRecordBatch, type BatchInput } from './encode-batch.ts';
import { readFixture } from './fixtures/read-fixture.ts';
import { RecordBatchView } from './record-batch.ts';
import { type BatchRules, type BatchVerdict, validateProducedBatch } from './validate-batch.ts';

const nowMs = 1_700_000_000_000;

const defaults: BatchRules = {
  maxMessageBytes: 1024 * 1024 + 12,
  timestampType: 'CreateTime',
  timestampBeforeMaxMs: Infinity,
  timestampAfterMaxMs: 3_600_000,
  compacted: false,
  maxDecompressedBytes: 1024 * 1024,
};

const judge = (records: Buffer | null, rules: Partial<BatchRules> = {}, apiVersion = 9) =>
  validateProducedBatch(records, { ...defaults, ...rules }, { apiVersion, nowMs });

const nameOf = (verdict: BatchVerdict) => describeError(verdict.errorCode).name;
const errorIndexes = (verdict: BatchVerdict) =>
  'recordErrors' in verdict ? verdict.recordErrors.map(({ batchIndex }) => batchIndex) : [];

/** What a log of Kafka's storage layer answered; see fixtures/README.md. */
interface KafkaVerdict {
  readonly name: string;
  readonly topic: Readonly<Record<string, string>>;
  readonly apiVersion: number;
  readonly records: string;
  readonly error: ErrorName;
  readonly recordErrors: readonly number[];
  /** Max timestamp and CRC as Kafka stored them. */
  readonly stored?: readonly [number, number];
}

const verdicts = readFixture('verdicts') as readonly KafkaVerdict[];

const rulesOf = ({ topic }: KafkaVerdict): BatchRules => ({
  maxMessageBytes: Number(topic['max.message.bytes'] ?? defaults.maxMessageBytes),
  timestampType: topic['message.timestamp.type'] === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
  timestampBeforeMaxMs: Number(topic['message.timestamp.before.max.ms'] ?? Infinity),
  timestampAfterMaxMs: Number(topic['message.timestamp.after.max.ms'] ?? defaults.timestampAfterMaxMs),
  compacted: topic['cleanup.policy'] === 'compact',
  maxDecompressedBytes: defaults.maxDecompressedBytes,
});

/** Where we answer otherwise, on purpose: ours, and whether this is such a case. */
const deviations: readonly {
  ours: ErrorName;
  kafka: ErrorName;
  applies: (name: string, message: string) => boolean;
}[] = [
  // Kafka fails inside, and the client learns nothing.
  { ours: 'INVALID_RECORD', kafka: 'UNKNOWN_SERVER_ERROR', applies: (name) => name === 'batch length 2147483647' },
  {
    ours: 'UNSUPPORTED_COMPRESSION_TYPE',
    kafka: 'UNKNOWN_SERVER_ERROR',
    applies: (_, text) => text.includes('no codec'),
  },
  { ours: 'INVALID_RECORD', kafka: 'UNKNOWN_SERVER_ERROR', applies: (_, text) => text.includes('compressed records') },
  // Kafka stores offsets that overlap with those of other records.
  { ours: 'INVALID_RECORD', kafka: 'NONE', applies: (_, text) => text.includes('has offset delta') },
  // Kafka drops the fragment without a word.
  { ours: 'INVALID_RECORD', kafka: 'NONE', applies: (name) => name === 'bytes behind the batch' },
  // Kafka checks the max timestamp alone and then stores the batch as CreateTime.
  { ours: 'INVALID_TIMESTAMP', kafka: 'NONE', applies: (name) => name.startsWith('LogAppendTime from the producer, ') },
  // The compressed records of a topic that is not compacted are not looked at; this one says "gzip" of plain bytes.
  { ours: 'NONE', kafka: 'UNKNOWN_SERVER_ERROR', applies: (name) => name === 'mutation 77' },
];

describe.each(verdicts)('the record set "$name"', (kafka) => {
  const verdict = judge(Buffer.from(kafka.records, 'base64'), rulesOf(kafka), kafka.apiVersion);
  const message = 'errorMessage' in verdict ? verdict.errorMessage : '';
  const deviation = deviations.find(
    ({ ours, kafka: theirs, applies }) =>
      ours === nameOf(verdict) && theirs === kafka.error && applies(kafka.name, message),
  );

  if (deviation === undefined) {
    it(`is answered ${kafka.error} as Kafka does`, () => {
      expect(nameOf(verdict)).toBe(kafka.error);
      const readable = !message.includes('has offset delta');
      if (readable) expect(errorIndexes(verdict)).toEqual(kafka.recordErrors);
    });
  } else {
    it(`is answered ${deviation.ours} where Kafka answers ${kafka.error}`, () => {
      expect(nameOf(verdict)).toBe(deviation.ours);
    });
  }

  if (kafka.stored !== undefined && verdict.errorCode === ErrorCode.NONE) {
    // The max timestamp of a compressed batch is taken on trust.
    const trusted = /^wrong max timestamp, (?!none)/.test(kafka.name);
    it(`is stored ${trusted ? 'with the max timestamp its producer gave' : 'with max timestamp and CRC as Kafka writes them'}`, () => {
      verdict.batch.setMaxTimestamp(rulesOf(kafka).timestampType, verdict.maxTimestamp);
      const expected = trusted ? [nowMs + 77, verdict.batch.computeCrc()] : kafka.stored;
      expect([verdict.batch.maxTimestamp, verdict.batch.crc]).toEqual(expected);
    });
  }
});

describe('validateProducedBatch', () => {
  const records = [{ key: 'k', value: 'v', timestamp: nowMs }];
  const encode = (input: Partial<BatchInput> = {}) => encodeRecordBatch({ records, ...input });

  it('refuses a null record set', () => {
    expect(nameOf(judge(null))).toBe('INVALID_RECORD');
  });

  it('answers a good batch with a view of the bytes it was given', () => {
    const bytes = encode();
    const verdict = judge(bytes);
    expect(verdict).toEqual({ errorCode: ErrorCode.NONE, batch: new RecordBatchView(bytes), maxTimestamp: nowMs });
  });

  it('takes zstd from version 7 on', () => {
    const bytes = encode({ codec: 'zstd' });
    expect(nameOf(judge(bytes, {}, 6))).toBe('UNSUPPORTED_COMPRESSION_TYPE');
    expect(nameOf(judge(bytes, {}, 7))).toBe('NONE');
  });

  it('does not read compressed records of a topic that is not compacted', () => {
    expect(nameOf(judge(encode({ codec: 'gzip' }), { maxDecompressedBytes: 0 }))).toBe('NONE');
    expect(nameOf(judge(encode({ codec: 'gzip' }), { maxDecompressedBytes: 0, compacted: true }))).toBe(
      'MESSAGE_TOO_LARGE',
    );
  });

  it('trusts the records, not the header, of a compressed batch whose header is out of bounds', () => {
    const bytes = encode({ codec: 'lz4', maxTimestamp: nowMs + 10_000_000 });
    expect(judge(bytes)).toMatchObject({ errorCode: ErrorCode.NONE, maxTimestamp: nowMs });
  });

  it('refuses a compressed batch that takes more than the limit', () => {
    const bytes = encode({ records: [{ key: 'k', value: Buffer.alloc(100_000), timestamp: nowMs }], codec: 'zstd' });
    expect(nameOf(judge(bytes, { compacted: true, maxDecompressedBytes: 50_000 }))).toBe('MESSAGE_TOO_LARGE');
  });

  it('refuses timestamps that numbers cannot hold, whatever the bounds', () => {
    const bytes = encode({ baseTimestamp: nowMs });
    const view = new RecordBatchView(bytes);
    for (const timestamp of [2n ** 63n - 1n, 2n ** 53n, -(2n ** 53n), -(2n ** 63n)]) {
      bytes.writeBigInt64BE(timestamp, 27);
      bytes.writeUInt32BE(view.computeCrc(), 17);
      expect(nameOf(judge(bytes, { timestampAfterMaxMs: Infinity }))).toBe('INVALID_TIMESTAMP');
    }
  });

  it('lists at most a hundred refused records', () => {
    const many = encode({ records: Array.from({ length: 1000 }, () => ({ value: 'v', timestamp: nowMs })) });
    const verdict = judge(many, { compacted: true });
    expect(nameOf(verdict)).toBe('INVALID_RECORD');
    expect(errorIndexes(verdict)).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  it('says for each refused record what is wrong with it', () => {
    const verdict = judge(encode({ records: [...records, { value: 'v', timestamp: nowMs + 3_600_001 }] }));
    expect(verdict).toMatchObject({
      errorCode: ErrorCode.INVALID_TIMESTAMP,
      recordErrors: [{ batchIndex: 1, batchIndexErrorMessage: expect.stringContaining('1700003600001') as string }],
    });
  });
});
