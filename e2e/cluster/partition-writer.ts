/**
 * One idempotent producer for one partition: five batches in flight, numbered records, and after any failure everything that had
 * no answer again, in order, at whoever leads then. Record number n can only ever be at offset n.
 */
import { ErrorCode } from '@kafscale/protocol';
import type { Random } from '@kafscale/runtime';
import { setTimeout as sleep } from 'node:timers/promises';
import { numberedBatch, type ProducerIdentity } from '../kills/sent-records.ts';
import { isPassing, Refused, type ClusterClient } from './cluster-client.ts';

/** Which records a batch holds. */
interface Written {
  readonly first: number;
  readonly count: number;
}

interface SentBatch extends Written {
  readonly bytes: Buffer;
}

const maxInFlight = 5;
const maxRecordsPerBatch = 12;
const retryPauseMs = 30;

export interface PartitionWriterSettings {
  readonly client: ClusterClient;
  readonly topic: string;
  readonly partition: number;
  readonly producer: ProducerIdentity;
  readonly random: Random;
  /** Longest pause between two batches. */
  readonly maxPauseMs: number;
}

export class PartitionWriter {
  readonly partition: number;
  readonly #settings: PartitionWriterSettings;
  /** The acknowledged batches, in order; their bytes follow from their numbers. */
  readonly acknowledged: Written[] = [];
  readonly #unanswered: SentBatch[] = [];
  /** When each acknowledgement came, by the process's clock. */
  readonly ackTimesMs: number[] = [];
  /** What no client would have got over. */
  readonly faults: string[] = [];
  #nextNumber = 0;

  constructor(settings: PartitionWriterSettings) {
    this.partition = settings.partition;
    this.#settings = settings;
  }

  /** Every batch that was ever sent, in order. */
  get sent(): readonly Written[] {
    return [...this.acknowledged, ...this.#unanswered];
  }

  /** Writes until the signal, then until everything is acknowledged. Ends early at a fault. */
  async run(stop: AbortSignal): Promise<void> {
    while (this.faults.length === 0 && !(stop.aborted && this.#unanswered.length === 0)) {
      try {
        await this.#settings.client.untilDone(async (any) => {
          const { client, topic, partition } = this.#settings;
          await this.#writeAt(await client.leaderPort(topic, partition, any), stop);
        });
      } catch (error) {
        this.faults.push(`partition ${this.partition}: ${String(error)}`);
      }
    }
  }

  /** At one leader, until it fails or everything is done. */
  async #writeAt(port: number, stop: AbortSignal): Promise<void> {
    const inFlight: Promise<number>[] = this.#unanswered.map((batch) => this.#send(port, batch));
    try {
      for (;;) {
        while (inFlight.length < maxInFlight && !stop.aborted) {
          const batch = this.#nextBatch();
          this.#unanswered.push(batch);
          inFlight.push(this.#send(port, batch));
          await sleep(this.#settings.random.int(this.#settings.maxPauseMs));
        }
        const first = inFlight.shift();
        if (first === undefined) return;
        this.#acknowledge(await first);
      }
    } catch (error) {
      // Answers that were on their way behind the failed one count too, up to the first that failed.
      await Promise.allSettled(inFlight);
      if (!isPassing(error)) throw error;
      await sleep(retryPauseMs);
    }
  }

  #nextBatch(): SentBatch {
    const { partition, producer, random } = this.#settings;
    const range = { first: this.#nextNumber, count: 1 + random.int(maxRecordsPerBatch) };
    this.#nextNumber += range.count;
    return { ...range, bytes: numberedBatch(partition, range, random, producer) };
  }

  #send(port: number, batch: SentBatch): Promise<number> {
    const { client, topic, partition } = this.#settings;
    const sending = client
      .produce(port, topic, partition, batch.bytes)
      .catch((error: unknown) => {
        // A batch that the broker has, but so long ago that it no longer knows where: it can only be where it belongs.
        if (error instanceof Refused && error.code === ErrorCode.DUPLICATE_SEQUENCE_NUMBER) return batch.first;
        throw error;
      })
      .then((offset) => {
        this.ackTimesMs.push(performance.now());
        return offset;
      });
    sending.catch(() => undefined); // the first to fail is waited for, the others fail with it
    return sending;
  }

  #acknowledge(offset: number): void {
    const { first, count } = this.#unanswered.shift()!;
    this.acknowledged.push({ first, count });
    if (offset !== first) {
      this.faults.push(`partition ${this.partition}: batch ${first} was acknowledged at offset ${offset}`);
    }
  }

  /** The longest time without an acknowledgement in [fromMs, toMs), by the process's clock. */
  longestGapMs(fromMs: number, toMs: number): number {
    const within = this.ackTimesMs.filter((timeMs) => timeMs >= fromMs && timeMs < toMs);
    const points = [fromMs, ...within, toMs];
    return Math.max(...points.slice(1).map((timeMs, index) => timeMs - points[index]!));
  }
}
