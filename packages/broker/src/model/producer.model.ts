/**
 * A producer as its client library plays it: up to five batches in flight on a connection that keeps their order, resent in order
 * with the same sequences until they are acknowledged. Without idempotence it never sends a batch twice.
 */
import { lastSequence, nextSequence } from '../log/producer-state.ts';
import type { AppendOutcome, BatchToAppend } from '../log/write/pending-batch.ts';
import { encodeBatch, type BatchLabel } from './batch-bytes.model.ts';

const maxInFlight = 5;

interface SentBatch {
  readonly index: number;
  readonly recordCount: number;
  readonly firstSequence: number;
  acknowledged: boolean;
  attempts: number;
}

export interface Request {
  readonly label: BatchLabel;
  readonly batch: BatchToAppend;
  /** The answer as the client gets it; may never come. */
  readonly answer: (outcome: AppendOutcome) => void;
}

/** One connection to one broker: requests arrive in the order they were sent. */
export interface Connection {
  send(request: Request): void;
}

export interface ProducerSettings {
  readonly id: number;
  readonly partition: number;
  readonly idempotent: boolean;
  readonly firstSequence: number;
  /** Unique over all producers. */
  readonly nextAttempt: () => number;
}

export class SimulatedProducer {
  readonly settings: ProducerSettings;
  readonly #batches: SentBatch[] = [];
  #nextSequence: number;
  /** Undefined once something went wrong on it: the next one starts with everything that was not acknowledged. */
  #connection: Connection | undefined;

  constructor(settings: ProducerSettings) {
    this.settings = settings;
    this.#nextSequence = settings.firstSequence;
  }

  get unacknowledged(): number {
    return this.#batches.reduce((count, { acknowledged }) => count + (acknowledged ? 0 : 1), 0);
  }

  /** Makes one more batch if the window has room, and sends it if there is a connection. */
  produce(recordCount: number): void {
    const oldest = this.#batches.findIndex(({ acknowledged }) => !acknowledged);
    if (this.settings.idempotent && oldest >= 0 && this.#batches.length - oldest >= maxInFlight) return;
    const batch: SentBatch = {
      index: this.#batches.length,
      recordCount,
      firstSequence: this.#nextSequence,
      acknowledged: false,
      attempts: 0,
    };
    this.#nextSequence = nextSequence(lastSequence(batch.firstSequence, recordCount));
    this.#batches.push(batch);
    if (this.#connection !== undefined) this.#send(batch, this.#connection);
  }

  /** Gives the old connection up, whatever is still on its way there, and sends what is not acknowledged, oldest first. */
  reconnect(connection: Connection): void {
    this.#connection = connection;
    for (const batch of this.#batches) {
      if (batch.acknowledged || (!this.settings.idempotent && batch.attempts > 0)) continue;
      this.#send(batch, connection);
    }
  }

  #send(batch: SentBatch, connection: Connection): void {
    const { id, idempotent, nextAttempt } = this.settings;
    const label = { producer: id, index: batch.index, attempt: nextAttempt() };
    batch.attempts += 1;
    connection.send({
      label,
      batch: {
        bytes: encodeBatch(label, batch.recordCount),
        recordCount: batch.recordCount,
        maxTimestamp: batch.index,
        producerId: idempotent ? BigInt(id) : -1n,
        producerEpoch: idempotent ? 0 : -1,
        firstSequence: idempotent ? batch.firstSequence : -1,
        lastSequence: idempotent ? lastSequence(batch.firstSequence, batch.recordCount) : -1,
      },
      answer: (outcome) => {
        if (this.#connection !== connection) return;
        if (outcome.committed) batch.acknowledged = true;
        else this.#connection = undefined;
      },
    });
  }
}
