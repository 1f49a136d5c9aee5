/**
 * What a partition knows of its idempotent producers (KIP-98): the last five batches of each, and those that are accepted but not yet
 * committed. The three states are kept apart: a duplicate of a pending batch waits for it, only committed batches answer as
 * duplicates, and failed ones are forgotten together with everything accepted after them (COMMIT.md K5).
 */
import { ErrorCode } from '@kafscale/protocol';

/** A producer's batch as the sequence rules see it. Sequences wrap from 2147483647 to 0. */
export interface SequencedBatch {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** A batch that is part of the log. */
export interface CommittedBatch extends SequencedBatch {
  readonly baseOffset: number;
  /** Wall clock milliseconds of its commit's flush; for expiry. */
  readonly lastTimestamp: number;
}

/** What became of a sequence check, before anything is changed. */
export type SequenceCheck<Pending> =
  | { readonly outcome: 'append' }
  | { readonly outcome: 'committed'; readonly batch: CommittedBatch }
  | { readonly outcome: 'pending'; readonly batch: Pending }
  | { readonly outcome: 'refused'; readonly errorCode: ErrorCode };

const rememberedBatches = 5;
const sequenceRange = 2 ** 31;
const append = { outcome: 'append' } as const;

/** The sequence that follows `sequence`. */
export const nextSequence = (sequence: number): number => (sequence === sequenceRange - 1 ? 0 : sequence + 1);

/** The last sequence of a batch of `count` records that starts with `first`. */
export const lastSequence = (first: number, count: number): number => (first + count - 1) % sequenceRange;

interface Producer<Pending> {
  epoch: number;
  /** Of `epoch`, oldest first, at most five; empty when all that is known of the epoch is pending. */
  committed: CommittedBatch[];
  /** In the order they were accepted; may span several epochs. */
  pending: Pending[];
  /** What has to come first, in `epoch`, while nothing is committed: a roll back leaves no more than this. */
  readonly firstSequence: number;
  lastTimestamp: number;
}

export class ProducerState<Pending extends SequencedBatch> {
  readonly #producers = new Map<bigint, Producer<Pending>>();

  /** Producers that are remembered. */
  get size(): number {
    return this.#producers.size;
  }

  /** What has to be known to tell duplicates of everything committed so far, in the order of the log. */
  committedBatches(): CommittedBatch[] {
    const batches: CommittedBatch[] = [];
    for (const { committed } of this.#producers.values()) batches.push(...committed);
    return batches.sort((left, right) => left.baseOffset - right.baseOffset);
  }

  /** Where `batch` stands against everything accepted so far. */
  check(batch: SequencedBatch): SequenceCheck<Pending> {
    const producer = this.#producers.get(batch.producerId);
    if (producer === undefined) return append;

    const last = producer.pending.at(-1) ?? producer.committed.at(-1);
    const epoch = producer.pending.at(-1)?.producerEpoch ?? producer.epoch;
    if (batch.producerEpoch < epoch) return { outcome: 'refused', errorCode: ErrorCode.INVALID_PRODUCER_EPOCH };
    if (batch.producerEpoch > epoch) {
      return batch.firstSequence === 0 ? append : outOfOrder;
    }

    const pending = producer.pending.find((other) => isSame(other, batch));
    if (pending !== undefined) return { outcome: 'pending', batch: pending };
    const committed = producer.committed.find((other) => isSame(other, batch));
    if (committed !== undefined) return { outcome: 'committed', batch: committed };
    const expected = last === undefined ? producer.firstSequence : nextSequence(last.lastSequence);
    return batch.firstSequence === expected ? append : outOfOrder;
  }

  /** Takes note of a batch that `check` let through; it is pending until `commit` or `rollBack`. */
  accept(batch: Pending): void {
    const producer = this.#producers.get(batch.producerId);
    if (producer !== undefined) producer.pending.push(batch);
    else {
      this.#producers.set(batch.producerId, {
        epoch: batch.producerEpoch,
        committed: [],
        pending: [batch],
        firstSequence: batch.firstSequence,
        lastTimestamp: 0,
      });
    }
  }

  /**
   * A batch that `check` let through was not taken all the same. Of a producer that is not known, nothing that was sent behind it may
   * be taken before it either: any sequence would do for the first one.
   */
  turnAway({ producerId, producerEpoch: epoch, firstSequence }: SequencedBatch): void {
    if (this.#producers.has(producerId)) return;
    this.#producers.set(producerId, { epoch, committed: [], pending: [], firstSequence, lastTimestamp: 0 });
  }

  /** The batch is part of the log now: accepted here before, or found in a manifest. In offset order. */
  commit(batch: CommittedBatch): void {
    let producer = this.#producers.get(batch.producerId);
    if (producer === undefined) {
      const { producerEpoch: epoch, firstSequence } = batch;
      producer = { epoch, committed: [], pending: [], firstSequence, lastTimestamp: 0 };
      this.#producers.set(batch.producerId, producer);
    }
    const pendingIndex = producer.pending.findIndex((other) => isSame(other, batch));
    if (pendingIndex >= 0) producer.pending.splice(pendingIndex, 1);
    if (batch.producerEpoch !== producer.epoch) {
      producer.epoch = batch.producerEpoch;
      producer.committed = [];
    }
    producer.committed.push(batch);
    if (producer.committed.length > rememberedBatches) producer.committed.shift();
    producer.lastTimestamp = Math.max(producer.lastTimestamp, batch.lastTimestamp);
  }

  /**
   * Forgets the pending batches that `failed` names; what is left is as if they had never been sent. A producer of which nothing is
   * left stays known: batches sent behind the failed ones may still arrive, and accepting those would leave a gap for ever.
   */
  rollBack(failed: (batch: Pending) => boolean): void {
    for (const producer of this.#producers.values()) {
      if (producer.pending.length > 0) producer.pending = producer.pending.filter((batch) => !failed(batch));
    }
  }

  /**
   * Forgets producers without pending batches whose last commit was before `timestamp` (producer.id.expiration.ms), and those that
   * never had one at the second call.
   */
  expireBefore(timestamp: number): void {
    for (const [producerId, producer] of this.#producers) {
      if (producer.pending.length > 0) continue;
      if (producer.lastTimestamp === 0) producer.lastTimestamp = timestamp;
      else if (producer.lastTimestamp < timestamp) this.#producers.delete(producerId);
    }
  }
}

const outOfOrder = { outcome: 'refused', errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER } as const;

function isSame(left: SequencedBatch, right: SequencedBatch): boolean {
  return (
    left.producerEpoch === right.producerEpoch &&
    left.firstSequence === right.firstSequence &&
    left.lastSequence === right.lastSequence &&
    left.producerId === right.producerId
  );
}
