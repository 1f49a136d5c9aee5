/** Idempotent writers on every partition of a topic, and the judgement of what the cluster has of it afterwards. */
import { seededRandom } from '@kafscale/runtime';
import { eventually } from '@kafscale/testkit';
import { describeBatch, isSameBatch, readPartition } from '../kills/read-back.ts';
import { ClusterClient } from './cluster-client.ts';
import type { ClusterUnderTest } from './cluster-under-test.ts';
import { PartitionWriter } from './partition-writer.ts';

export interface LoadSettings {
  readonly cluster: ClusterUnderTest;
  readonly topic: string;
  readonly partitions: number;
  readonly seed: number;
  readonly maxPauseMs?: number;
}

export class Load {
  readonly topic: string;
  readonly client: ClusterClient;
  readonly writers: readonly PartitionWriter[];
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  private constructor(topic: string, client: ClusterClient, writers: readonly PartitionWriter[]) {
    this.topic = topic;
    this.client = client;
    this.writers = writers;
    this.#running = Promise.all(writers.map((writer) => writer.run(this.#stop.signal)));
  }

  /** Creates the topic; resolves when every partition has been written to. */
  static async start({ cluster, topic, partitions, seed, maxPauseMs = 40 }: LoadSettings): Promise<Load> {
    const client = new ClusterClient(() => cluster.running);
    // The records say that they are of 2023.
    await client.createTopic(topic, partitions, new Map([['retention.ms', '-1']]));
    const writers: PartitionWriter[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const producer = await client.producerIdentity();
      const random = seededRandom(seed * 1_000 + partition);
      writers.push(new PartitionWriter({ client, topic, partition, producer, random, maxPauseMs }));
    }
    const load = new Load(topic, client, writers);
    await load.everyPartitionWritten(60_000);
    return load;
  }

  /** What no client would have got over, so far. */
  get faults(): string[] {
    return this.writers.flatMap(({ faults }) => faults);
  }

  get acknowledgedBatches(): number {
    return this.writers.reduce((total, { acknowledged }) => total + acknowledged.length, 0);
  }

  /** Resolves when every partition has acknowledged a batch after this moment; rejects when one does not within `limitMs`. */
  async everyPartitionWritten(limitMs: number): Promise<void> {
    const sinceMs = performance.now();
    const silent = (): PartitionWriter[] =>
      this.writers.filter(({ ackTimesMs }) => !((ackTimesMs.at(-1) ?? -Infinity) > sinceMs));
    await eventually(
      'every partition is written to',
      () => silent().length === 0 || this.faults.length > 0,
      limitMs,
    ).catch((error: unknown) => {
      const partitions = silent().map(({ partition }) => partition);
      throw new Error(`no acknowledgement for ${limitMs} ms from partitions ${partitions.join(', ')}`, {
        cause: error,
      });
    });
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
  }

  /** By partition, the longest time without an acknowledgement in [fromMs, toMs). */
  gapsMs(fromMs: number, toMs: number): number[] {
    return this.writers.map((writer) => writer.longestGapMs(fromMs, toMs));
  }

  /** Ends the writers in their own time: everything they sent is acknowledged then. */
  async finish(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Reads every partition back, also while it is written to; answers what is wrong, nothing when all is well. */
  async verify(): Promise<string[]> {
    const faults = [...this.faults];
    for (const writer of this.writers) await this.#verifyPartition(writer, faults);
    return faults;
  }

  async #verifyPartition(writer: PartitionWriter, faults: string[]): Promise<void> {
    const { partition } = writer;
    const acknowledged = writer.acknowledged.length; // what comes later may lie behind the end that is asked for now
    const end = await this.client.endOffset(this.topic, partition);
    const mayGrow = !this.#stop.signal.aborted;
    const fetch = (offset: number): Promise<Buffer> => this.client.fetch(this.topic, partition, offset);
    const read = await readPartition(fetch, { partition, end, mayGrow }, faults);
    const { sent } = writer;
    for (const [index, batch] of read.entries()) {
      const original = sent[index];
      if (original === undefined) {
        faults.push(`partition ${partition} has ${describeBatch(batch)} more than was sent`);
        return;
      }
      const expected = { offset: original.first, first: original.first, count: original.count };
      if (!isSameBatch(batch, expected)) {
        faults.push(`partition ${partition} has ${describeBatch(batch)} where ${describeBatch(expected)} was sent`);
        return;
      }
    }
    if (read.length < acknowledged) {
      faults.push(`partition ${partition} lost ${acknowledged - read.length} acknowledged batches at its end`);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.client.close();
    await this.#running;
  }
}
