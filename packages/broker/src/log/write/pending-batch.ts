/** A record batch on its way into the log: accepted, not committed. */
import type { KafkaError } from '@kafscale/protocol';
import type { PartitionWriter } from './partition-writer.ts';

/** What became of a batch. `failed` means that it is not in the log and never will be. */
export type AppendOutcome =
  { readonly committed: true; readonly baseOffset: number } | { readonly committed: false; readonly error: KafkaError };

/** What the write path has to know of a batch; the bytes are opaque otherwise. */
export interface BatchToAppend {
  /** One whole batch of magic 2, validated. Must stay unchanged until `onCopied` or its listener ran. */
  readonly bytes: Buffer;
  readonly recordCount: number;
  /** Milliseconds; -1 for none. */
  readonly maxTimestamp: number;
  /** -1n for a producer that is not idempotent. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** The bytes are not needed any more, though the outcome may be long in coming. Runs once at most; not for a duplicate. */
  readonly onCopied?: (() => void) | undefined;
}

export type SettledListener = (outcome: AppendOutcome) => void;

const noBytes = Buffer.alloc(0);

export class PendingBatch {
  readonly writer: PartitionWriter;
  /** As they arrived, until they are copied; empty then. */
  bytes: Buffer;
  readonly recordCount: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Of the flush that carries it; the batches of one flush commit or fail together. */
  readonly flushSequence: number;
  /** Assigned when the flush closes; real at commit. */
  baseOffset = -1;
  readonly #listeners: SettledListener[];
  readonly #onCopied: (() => void) | undefined;

  constructor(writer: PartitionWriter, batch: BatchToAppend, flushSequence: number, listener: SettledListener) {
    this.writer = writer;
    this.bytes = batch.bytes;
    this.recordCount = batch.recordCount;
    this.maxTimestamp = batch.maxTimestamp;
    this.producerId = batch.producerId;
    this.producerEpoch = batch.producerEpoch;
    this.firstSequence = batch.firstSequence;
    this.lastSequence = batch.lastSequence;
    this.flushSequence = flushSequence;
    this.#listeners = [listener];
    this.#onCopied = batch.onCopied;
  }

  /** A duplicate of it arrived and waits for the same outcome. */
  onSettled(listener: SettledListener): void {
    this.#listeners.push(listener);
  }

  /** Its bytes are in the flush's object. */
  copied(): void {
    this.bytes = noBytes;
    this.#onCopied?.();
  }

  settle(outcome: AppendOutcome): void {
    for (const listener of this.#listeners) listener(outcome);
    this.#listeners.length = 0;
  }
}
