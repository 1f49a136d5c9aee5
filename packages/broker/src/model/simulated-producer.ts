/**
 * A producer as its client library plays it: up to five batches in flight, resent in order with the same sequences until they are
 * acknowledged, each with bytes nobody else sends. It keeps what it was told, for the judgement at the end.
 */
import { ErrorCode } from '@kafscale/protocol';
import type { AppendOutcome, BatchToAppend } from '../log/write/pending-batch.ts';

const maxInFlight = 5;
const headerBytes = 61;

/** A batch and what its sender knows of it. */
export interface SentBatch {
  readonly id: number;
  readonly recordCount: number;
  readonly firstSequence: number;
  /** Where it was acknowledged; undefined while it is not. */
  offset: number | undefined;
  /** Sends that have no answer yet. */
  attempts: number;
  /** Every answer so far said that it is not in the log, and none is missing. */
  failed: boolean;
}

/** A connection to a leader: puts a batch into its log, or says that it is gone. The answer may never come. */
export type Connection = (batch: BatchToAppend, answer: (outcome: AppendOutcome) => void) => boolean;

/** Ids are unique over all producers of a world. */
export type NextId = () => number;

export class SimulatedProducer {
  readonly partition: number;
  readonly idempotent: boolean;
  readonly sent: SentBatch[] = [];
  /** What it was told that cannot be true. */
  readonly complaints: string[] = [];
  readonly #producerId: bigint;
  readonly #nextId: NextId;
  #nextSequence = 0;
  /** Undefined once something went wrong on it: the next one starts with everything that was not acknowledged. */
  #connection: Connection | undefined;

  constructor(producerId: number, partition: number, nextId: NextId, idempotent: boolean) {
    this.#producerId = BigInt(producerId);
    this.partition = partition;
    this.#nextId = nextId;
    this.idempotent = idempotent;
  }

  get unacknowledged(): readonly SentBatch[] {
    return this.sent.filter((batch) => batch.offset === undefined && (this.idempotent || !batch.failed));
  }

  /** Sends one more batch, if the window has room; without a connection it waits for `reconnect`. */
  produce(recordCount: number): void {
    if (this.idempotent && this.unacknowledged.length >= maxInFlight) return;
    const batch: SentBatch = {
      id: this.#nextId(),
      recordCount,
      firstSequence: this.#nextSequence,
      offset: undefined,
      attempts: 0,
      failed: false,
    };
    this.#nextSequence += recordCount;
    this.sent.push(batch);
    this.#send(batch);
  }

  /**
   * Goes on over `connection`, and sends everything that was not acknowledged again, oldest first. Without idempotence that might
   * duplicate: such a producer only sends what it never sent.
   */
  reconnect(connection: Connection): void {
    this.#connection = connection;
    for (const batch of this.unacknowledged) if (this.idempotent || batch.attempts === 0) this.#send(batch);
  }

  #send(batch: SentBatch): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const expected = this.sent.find((other) => other.offset === undefined) === batch;
    batch.attempts += 1;
    const delivered = connection(
      {
        bytes: encodeBatch(batch),
        recordCount: batch.recordCount,
        maxTimestamp: batch.id,
        producerId: this.idempotent ? this.#producerId : -1n,
        producerEpoch: this.idempotent ? 0 : -1,
        firstSequence: this.idempotent ? batch.firstSequence : -1,
        lastSequence: this.idempotent ? batch.firstSequence + batch.recordCount - 1 : -1,
      },
      (outcome) => this.#answered(batch, outcome, expected),
    );
    if (delivered) return;
    batch.attempts -= 1;
    this.#connection = undefined;
  }

  #answered(batch: SentBatch, outcome: AppendOutcome, expected: boolean): void {
    batch.attempts -= 1;
    if (outcome.committed) {
      if (batch.offset !== undefined && batch.offset !== outcome.baseOffset) {
        this.complaints.push(`batch ${batch.id} acknowledged at ${batch.offset} and at ${outcome.baseOffset}`);
      }
      batch.offset = outcome.baseOffset;
      return;
    }
    this.#connection = undefined;
    if (expected && outcome.error.code === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER) {
      this.complaints.push(`batch ${batch.id} refused as out of order though everything before it is acknowledged`);
    }
    if (batch.attempts === 0) batch.failed = true;
  }
}

function encodeBatch({ id, recordCount }: SentBatch): Buffer {
  const bytes = Buffer.alloc(headerBytes + 8);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt32BE(recordCount - 1, 23);
  bytes.writeInt32BE(recordCount, 57);
  bytes.writeDoubleBE(id, headerBytes);
  return bytes;
}

/** The batches in `bytes`, as [base offset, record count, id]. */
export function decodeBatches(bytes: Buffer): (readonly [offset: number, recordCount: number, id: number])[] {
  const batches: [number, number, number][] = [];
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 8) + 12) {
    batches.push([Number(bytes.readBigInt64BE(at)), bytes.readInt32BE(at + 57), bytes.readDoubleBE(at + headerBytes)]);
  }
  return batches;
}
