/**
 * The door of the write path: takes validated batches for partitions this broker owns, applies the sequence rules, and answers each
 * batch once it is committed or known to have failed.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import type { PartitionLog } from '../partition-log.ts';
import type { PartitionLogs } from '../partition-logs.ts';
import type { CommittedBatch } from '../producer-state.ts';
import { Committer, type CommitterDependencies } from './committer.ts';
import { Flusher, type FlusherDependencies } from './flusher.ts';
import { PartitionWriter } from './partition-writer.ts';
import type { BatchToAppend, SettledListener } from './pending-batch.ts';

export type LogAppenderDependencies = Omit<FlusherDependencies, 'committer'> &
  Omit<CommitterDependencies, 'rollBack' | 'onAnswered'> & {
    readonly logs: PartitionLogs;
    /** Whether what this broker knows may still be told: another one may own its partitions once the session's time is over. */
    readonly isSessionAlive: () => boolean;
    /** Why no new batch can be taken now; undefined while they can, and for ever where it is left out. */
    readonly refusal?: () => KafkaError | undefined;
  };

export class LogAppender {
  readonly #logs: PartitionLogs;
  readonly #isSessionAlive: () => boolean;
  readonly #refusal: () => KafkaError | undefined;
  readonly #committer: Committer;
  readonly #flusher: Flusher;
  readonly #writers = new Map<PartitionLog, PartitionWriter>();

  constructor(dependencies: LogAppenderDependencies) {
    this.#logs = dependencies.logs;
    this.#isSessionAlive = dependencies.isSessionAlive;
    this.#refusal = dependencies.refusal ?? (() => undefined);
    this.#committer = new Committer({
      ...dependencies,
      rollBack: (failed, error) => this.#flusher.rollBack(failed, error),
      onAnswered: (batchCount, durationMs) => this.#flusher.answered(batchCount, durationMs),
    });
    this.#flusher = new Flusher({ ...dependencies, committer: this.#committer });
  }

  /** Starts to take batches for a partition, which now counts as owned. */
  open(log: PartitionLog, committedBatches: Iterable<CommittedBatch>): void {
    this.#writers.set(log, new PartitionWriter(log, committedBatches));
    this.#logs.open(log);
  }

  /**
   * Appends one batch, whose bytes stay as they are until `listener` ran; it runs exactly once, perhaps at once. A duplicate of a
   * committed batch is answered with its offset, one of a pending batch with whatever becomes of that. Calls for one partition are
   * applied in the order they are made.
   */
  append(log: PartitionLog, batch: BatchToAppend, listener: SettledListener): void {
    const writer = this.#writers.get(log);
    if (writer === undefined || !this.#isSessionAlive()) {
      listener({ committed: false, error: new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER) });
      return;
    }
    const refusal = this.#refusal();
    if (batch.producerId < 0n) {
      if (refusal === undefined) this.#flusher.append(writer, batch, listener);
      else listener({ committed: false, error: refusal });
      return;
    }
    const check = writer.producers.check(batch);
    switch (check.outcome) {
      case 'append':
        if (refusal === undefined) writer.producers.accept(this.#flusher.append(writer, batch, listener));
        else {
          writer.producers.turnAway(batch);
          listener({ committed: false, error: refusal });
        }
        return;
      case 'committed':
        listener({ committed: true, baseOffset: check.batch.baseOffset });
        return;
      case 'pending':
        check.batch.onSettled(listener);
        return;
      case 'refused':
        listener({ committed: false, error: new KafkaError(check.errorCode) });
    }
  }

  /**
   * Gives a partition up behind its last flush: no batch is taken any more, and when the promise resolves none of it is on its way
   * (COMMIT.md K2). The log stays readable until then.
   */
  async close(log: PartitionLog): Promise<void> {
    this.#writers.delete(log);
    await this.settled();
    if (this.#logs.get(log.topicId, log.partition) === log) this.#logs.close(log.topicId, log.partition);
  }

  /** Memory of flushes that are on their way. */
  get unsettledBytes(): number {
    return this.#committer.unsettledBytes;
  }

  /** Resolves when every batch accepted so far has its outcome. */
  async settled(): Promise<void> {
    this.#flusher.flush();
    await this.#committer.idle();
  }

  /** The batches by which duplicates are told, as of the high watermark; undefined for a log that takes no batches any more. */
  committedBatchesOf(log: PartitionLog): readonly CommittedBatch[] | undefined {
    return this.#writers.get(log)?.producers.committedBatches();
  }

  /** Forgets producers that committed nothing since `timestamp` (producer.id.expiration.ms). */
  expireProducersBefore(timestamp: number): void {
    for (const writer of this.#writers.values()) writer.producers.expireBefore(timestamp);
  }

  /** Ends all appending. Batches that have no outcome yet are answered with `error`: only for a session that is known to be over. */
  abandon(error: KafkaError): void {
    this.#writers.clear();
    this.#flusher.close();
    this.#flusher.rollBack([], error);
  }
}
