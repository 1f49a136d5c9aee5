// Judges the record set a producer sends to one partition, as Kafka 4 does, from its bytes and the settings of the topic alone;
// what needs the history of the producer (epochs, sequences) is the log's. A good batch costs a walk over its bytes and two
// small objects; bad input is answered, never thrown.

import { DecodeError } from '../errors/decode-error.ts';
import { ErrorCode } from '../errors/error-codes.ts';
import { DecompressionError } from './decompression-error.ts';
import { batchOverheadBytes, magicPosition, RecordBatchView, recordBatchHeaderBytes } from './record-batch.ts';
import type { TimestampType } from './record-batch.ts';
import { scanRecordsSync } from './record.ts';
import type { RecordScanner } from './record-scanner.ts';

/** The topic settings that decide whether a batch is taken. */
export interface BatchRules {
  /** `max.message.bytes`: of a whole batch, compressed as it is. */
  readonly maxMessageBytes: number;
  /** `message.timestamp.type`. */
  readonly timestampType: TimestampType;
  /** `message.timestamp.before.max.ms`; Infinity, or any huge number, for unlimited. */
  readonly timestampBeforeMaxMs: number;
  /** `message.timestamp.after.max.ms`. */
  readonly timestampAfterMaxMs: number;
  /** Whether `cleanup.policy` contains `compact`: then every record must have a key. */
  readonly compacted: boolean;
  /** A compressed batch whose records must be looked at may take this many bytes decompressed. */
  readonly maxDecompressedBytes: number;
}

/** What of the request matters. */
export interface ProducedWith {
  readonly apiVersion: number;
  /** The broker's clock. */
  readonly nowMs: number;
}

/** One record that was refused; named like the fields of a Produce response. */
export interface RecordError {
  /** Index of the record in its batch. */
  readonly batchIndex: number;
  readonly batchIndexErrorMessage: string;
}

export interface AcceptedBatch {
  readonly errorCode: typeof ErrorCode.NONE;
  /** The one batch, which is all of the bytes. */
  readonly batch: RecordBatchView;
  /** What to give to `batch.setMaxTimestamp` with the timestamp type of the topic, before the batch is stored. */
  readonly maxTimestamp: number;
}

export interface RefusedBatch {
  readonly errorCode: Exclude<ErrorCode, typeof ErrorCode.NONE>;
  readonly errorMessage: string;
  readonly recordErrors: readonly RecordError[];
}

export type BatchVerdict = AcceptedBatch | RefusedBatch;

/** More refused records of one batch are not listed; the answer must not outgrow the request. */
const maxRecordErrors = 100;

/** Shortest record of the formats before magic 2; anything less is no record set of any format. */
const minLegacyLength = 14;

/** Answers of `entrySize` which are no size. */
const noEntry = 0;
const corruptEntry = -1;

/**
 * Judges `records`, the record set of one partition in a Produce request of version 3 and up. Checks in Kafka's order, so
 * that a batch with several faults is answered alike. What Kafka lets pass and we refuse: a fragment behind the batch (Kafka
 * cuts it off), offset deltas that do not count up from 0, the timestamp type LogAppendTime on any topic, and timestamps
 * beyond ±2^53. A compressed batch is decompressed only when the topic is compacted or its header has a timestamp that is
 * out of bounds; otherwise its records are taken on trust.
 */
export function validateProducedBatch(records: Buffer | null, rules: BatchRules, request: ProducedWith): BatchVerdict {
  const size = records === null ? noEntry : entrySize(records, 0);
  if (records === null || size === noEntry) {
    return refused(ErrorCode.INVALID_RECORD, 'A partition must be sent exactly one record batch, not less.');
  }
  if (size === corruptEntry) return refused(ErrorCode.CORRUPT_MESSAGE, 'These bytes are no record batch.');
  const batch = new RecordBatchView(records);
  if (batch.magic !== 2) {
    return refused(ErrorCode.INVALID_RECORD, `Record batches of magic ${batch.magic} are no longer accepted.`);
  }
  const { codec } = batch;
  if (codec === undefined) {
    return refused(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, `There is no codec of number ${batch.codecId}.`);
  }
  if (codec === 'zstd' && request.apiVersion < 7) {
    return refused(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, 'Produce requests before version 7 cannot carry zstd.');
  }
  const behind = entrySize(records, size);
  if (behind === corruptEntry) return refused(ErrorCode.CORRUPT_MESSAGE, 'The bytes behind the record batch are none.');
  if (behind !== noEntry) {
    return refused(ErrorCode.INVALID_RECORD, 'A partition must be sent exactly one record batch, not more.');
  }
  const fault = headerFault(batch, rules);
  if (fault !== undefined) return fault;
  if (size < records.length) return refused(ErrorCode.INVALID_RECORD, 'A fragment follows the record batch.');
  return judgeRecords(batch, rules, request.nowMs);
}

/** Bytes of the batch at `start`, of whatever format; `noEntry` while it is not all there, `corruptEntry` for none at all. */
function entrySize(records: Buffer, start: number): number {
  const remaining = records.length - start;
  if (remaining < batchOverheadBytes) return noEntry;
  const length = records.readInt32BE(start + 8);
  if (length < minLegacyLength) return corruptEntry;
  if (remaining <= magicPosition) return noEntry;
  if (records[start + magicPosition]! > 2) return corruptEntry;
  return batchOverheadBytes + length > remaining ? noEntry : batchOverheadBytes + length;
}

function headerFault(batch: RecordBatchView, rules: BatchRules): RefusedBatch | undefined {
  if (batch.baseOffset !== 0) {
    return refused(ErrorCode.INVALID_RECORD, `The base offset must be 0, not ${batch.baseOffset}.`);
  }
  const size = batch.sizeInBytes;
  if (size > rules.maxMessageBytes) {
    return refused(
      ErrorCode.MESSAGE_TOO_LARGE,
      `The record batch has ${size} bytes, the topic allows ${rules.maxMessageBytes}.`,
    );
  }
  if (size < recordBatchHeaderBytes || batch.crc !== batch.computeCrc()) {
    return refused(ErrorCode.CORRUPT_MESSAGE, 'The checksum of the record batch does not match its bytes.');
  }
  const count = batch.recordCount;
  if (count <= 0) return refused(ErrorCode.INVALID_RECORD, `The record count must be positive, not ${count}.`);
  if (batch.lastOffsetDelta !== count - 1) {
    return refused(
      ErrorCode.INVALID_RECORD,
      `The last offset delta ${batch.lastOffsetDelta} does not fit ${count} records.`,
    );
  }
  if (batch.isControl) return refused(ErrorCode.INVALID_RECORD, 'Control batches are not for clients to write.');
  if (batch.hasProducerId && batch.baseSequence < 0) {
    return refused(ErrorCode.INVALID_RECORD, `The base sequence must not be negative, but is ${batch.baseSequence}.`);
  }
  return undefined;
}

function judgeRecords(batch: RecordBatchView, rules: BatchRules, nowMs: number): BatchVerdict {
  if (batch.timestampType === 'LogAppendTime') {
    return {
      errorCode: ErrorCode.INVALID_TIMESTAMP,
      errorMessage: 'Producers must not set the timestamp type LogAppendTime.',
      recordErrors: Array.from({ length: Math.min(batch.recordCount, maxRecordErrors) }, (_, batchIndex) => ({
        batchIndex,
        batchIndexErrorMessage: 'The timestamp type is LogAppendTime.',
      })),
    };
  }
  const createTime = rules.timestampType === 'CreateTime';
  const bounds: TimestampBounds = {
    earliest: createTime ? Math.max(nowMs - rules.timestampBeforeMaxMs, Number.MIN_SAFE_INTEGER + 1) : -Infinity,
    latest: createTime ? Math.min(nowMs + rules.timestampAfterMaxMs, Number.MAX_SAFE_INTEGER - 1) : Infinity,
  };
  if (batch.isCompressed && !rules.compacted && headerWithin(batch, bounds)) {
    return accepted(batch, createTime ? batch.maxTimestamp : nowMs);
  }
  try {
    const scanner = scanRecordsSync(batch, rules.maxDecompressedBytes);
    const largest = walkRecords(batch, scanner, rules.compacted, bounds);
    return typeof largest === 'number' ? accepted(batch, createTime ? largest : nowMs) : refusedFor(largest);
  } catch (error) {
    return unreadable(error);
  }
}

/** Timestamps a record may have, both included; -1, for none, it may always have. */
interface TimestampBounds {
  readonly earliest: number;
  readonly latest: number;
}

/** Whether what the header says of the timestamps lies within the bounds. */
function headerWithin(batch: RecordBatchView, { earliest, latest }: TimestampBounds): boolean {
  const first = batch.baseTimestamp;
  const largest = batch.maxTimestamp;
  return (first === -1 || (first >= earliest && first <= latest)) && (largest === -1 || largest <= latest);
}

/**
 * Goes over the records once and answers the largest timestamp, -1 when none has one, or what is wrong with them. Throws
 * DecodeError where they do not follow their format.
 */
function walkRecords(
  batch: RecordBatchView,
  scanner: RecordScanner,
  keysRequired: boolean,
  { earliest, latest }: TimestampBounds,
): number | RecordFaults {
  const { recordCount, baseTimestamp } = batch;
  let largest = -1;
  let faults: RecordFaults | undefined;
  for (let index = 0; index < recordCount; index++) {
    scanner.next();
    if (scanner.offsetDelta !== index) throw new DecodeError(`record ${index} has offset delta ${scanner.offsetDelta}`);
    const timestamp = baseTimestamp + scanner.timestampDelta;
    if (timestamp > largest) largest = timestamp;
    if (keysRequired && scanner.keyLength < 0) {
      faults ??= new RecordFaults();
      faults.add(index, 'A compacted topic does not take a record without a key.');
    } else if ((timestamp < earliest || timestamp > latest) && timestamp !== -1) {
      faults ??= new RecordFaults();
      faults.errorCode = ErrorCode.INVALID_TIMESTAMP; // one such record decides for the batch
      faults.add(index, `The timestamp ${timestamp} is not within [${earliest}, ${latest}].`);
    }
  }
  scanner.expectEnd();
  return faults ?? largest;
}

/** The records that break a rule of the topic, and what the batch is refused with. */
class RecordFaults {
  errorCode: typeof ErrorCode.INVALID_RECORD | typeof ErrorCode.INVALID_TIMESTAMP = ErrorCode.INVALID_RECORD;
  readonly errors: RecordError[] = [];

  add(batchIndex: number, batchIndexErrorMessage: string): void {
    if (this.errors.length < maxRecordErrors) this.errors.push({ batchIndex, batchIndexErrorMessage });
  }
}

const accepted = (batch: RecordBatchView, maxTimestamp: number): AcceptedBatch => ({
  errorCode: ErrorCode.NONE,
  batch,
  maxTimestamp,
});

const refusedFor = ({ errorCode, errors }: RecordFaults): RefusedBatch => ({
  errorCode,
  errorMessage: 'The batch has records that are refused.',
  recordErrors: errors,
});

function unreadable(error: unknown): RefusedBatch {
  if (!(error instanceof DecodeError)) throw error;
  const tooLarge = error instanceof DecompressionError && error.fault === 'too-large';
  return refused(tooLarge ? ErrorCode.MESSAGE_TOO_LARGE : ErrorCode.INVALID_RECORD, error.message);
}

const refused = (errorCode: RefusedBatch['errorCode'], errorMessage: string): RefusedBatch => ({
  errorCode,
  errorMessage,
  recordErrors: [],
});
