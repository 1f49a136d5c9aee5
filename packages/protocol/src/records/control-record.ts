/**
 * Control records: what the transaction protocol writes between the records of users, one to a batch (KIP-98).
 *
 * | part  | bytes | what |
 * |-------|-------|------|
 * | key   | 2 | version, 0 |
 * | key   | 2 | type: 0 abort, 1 commit, others are for the controller's log |
 * | value | 2 | version, 0 |
 * | value | 4 | coordinator epoch |
 */
import { DecodeError } from '../errors/decode-error.ts';
import { encodeRecordBatch } from './encode-batch.ts';
import type { RecordView } from './record.ts';

const markerTypes = ['ABORT', 'COMMIT'] as const;

/** How a transaction ended. */
export type MarkerType = (typeof markerTypes)[number];

export interface EndTransactionMarker {
  readonly type: MarkerType;
  readonly coordinatorEpoch: number;
}

/** The batch of one marker goes to every partition of the transaction. */
export interface MarkerBatchInput extends EndTransactionMarker {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly timestamp: number;
  readonly baseOffset?: number;
  readonly partitionLeaderEpoch?: number;
}

/** The marker in a record of a control batch, or undefined for a type that ends no transaction. Throws DecodeError. */
export function decodeEndTransactionMarker(record: RecordView): EndTransactionMarker | undefined {
  const { key, value } = record;
  if (key === null || key.length < 4 || key.readInt16BE(0) < 0) throw new DecodeError('control record: no valid key');
  const type = markerTypes[key.readInt16BE(2)];
  if (type === undefined) return undefined;
  if (value === null || value.length < 6 || value.readInt16BE(0) < 0)
    throw new DecodeError('control record: no valid value');
  return { type, coordinatorEpoch: value.readInt32BE(2) };
}

/** A control batch that ends the transaction of a producer. */
export function encodeEndTransactionMarker(input: MarkerBatchInput): Buffer {
  const { type, coordinatorEpoch, timestamp, ...header } = input;
  const key = Buffer.alloc(4);
  key.writeInt16BE(markerTypes.indexOf(type), 2);
  const value = Buffer.alloc(6);
  value.writeInt32BE(coordinatorEpoch, 2);
  return encodeRecordBatch({ ...header, records: [{ timestamp, key, value }], isTransactional: true, isControl: true });
}
