/**
 * What the producers of the kill suites send: each record's bytes follow from its partition and number alone, so that whoever reads
 * one back knows what it has to be.
 */
import { encodeRecordBatch, type RecordInput } from '@kafscale/protocol';
import { seededRandom, type Random } from '@kafscale/runtime';

const codecs = ['none', 'none', 'none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
const timestampOfTheFirst = 1_700_000_000_000;

export interface NumberedRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Record `number` of a partition: most are small, a few large enough to fill a flush by themselves. */
export function numberedRecord(partition: number, number: number): NumberedRecord {
  const random = seededRandom(partition * 1_000_003 + number);
  const size = random.int(200) === 0 ? 20_000 + random.int(60_000) : random.int(300);
  return {
    key: Buffer.from(`${partition}-${number}`),
    value: Buffer.concat([Buffer.from(`record ${number} `), random.bytes(size)]),
  };
}

/** The producer's part of a batch; without it a batch is not idempotent. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** A run of numbered records as one batch; the sequence of an idempotent producer is the number itself. */
export function numberedBatch(
  partition: number,
  { first, count }: { readonly first: number; readonly count: number },
  random: Random,
  producer?: ProducerIdentity,
): Buffer {
  const records = Array.from({ length: count }, (_, n): RecordInput => {
    const { key, value } = numberedRecord(partition, first + n);
    return { key, value, timestamp: timestampOfTheFirst + first + n };
  });
  const codec = codecs[random.int(codecs.length)]!;
  return encodeRecordBatch({ records, codec, ...(producer && { ...producer, baseSequence: first }) });
}
