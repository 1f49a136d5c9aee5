/** The open flush: batches accepted since the last one closed, per partition in the order they came. */
import type { PartitionWriter } from './partition-writer.ts';
import type { PendingBatch } from './pending-batch.ts';

export class FlushBuffer {
  /** The sequence that this flush will carry. */
  readonly sequence: number;
  readonly #batches = new Map<PartitionWriter, PendingBatch[]>();
  #sizeBytes = 0;
  #batchCount = 0;

  constructor(sequence: number) {
    this.sequence = sequence;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get batchCount(): number {
    return this.#batchCount;
  }

  get isEmpty(): boolean {
    return this.#batchCount === 0;
  }

  /** Partitions and batches both cost room in the manifest; this counts them. */
  get entryCount(): number {
    return this.#batches.size + this.#batchCount;
  }

  get batchesByWriter(): ReadonlyMap<PartitionWriter, readonly PendingBatch[]> {
    return this.#batches;
  }

  add(batch: PendingBatch): void {
    const batches = this.#batches.get(batch.writer);
    if (batches === undefined) this.#batches.set(batch.writer, [batch]);
    else batches.push(batch);
    this.#sizeBytes += batch.bytes.length;
    this.#batchCount += 1;
  }
}
