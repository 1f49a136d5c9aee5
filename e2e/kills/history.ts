/**
 * Clients whose every request and answer is remembered, and the judgement of what a broker has after it was killed: each
 * acknowledged record at its offset with its bytes, nothing twice, nothing that was not sent, committed offsets kept.
 *
 * Each partition has one writer, and record number n of an idempotent one can only ever be at offset n.
 */
import { seededRandom, type Random } from '@kafscale/runtime';
import { ConnectionClosed } from '@kafscale/testkit';
import { setTimeout as sleep } from 'node:timers/promises';
import { KillClient, untilReady } from './kill-client.ts';
import { describeBatch, isSameBatch, readPartition, type ReadBatch } from './read-back.ts';
import { numberedBatch, type ProducerIdentity } from './sent-records.ts';

interface SentBatch {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
  /** `unknown`: sent, and the connection ended before the answer. `lost`: unknown, and not there after the restart. */
  state: 'unsent' | 'unknown' | 'acknowledged' | 'lost';
  offset: number | undefined;
}

const idempotentPartitions = [0, 1, 2];
const plainPartition = 3;
export const partitions = [...idempotentPartitions, plainPartition];
const inFlight = 5;
const maxRecordsPerBatch = 12;

/** Whether the error says that the broker is gone, which is the point of these suites. */
function isGone(error: unknown): boolean {
  return error instanceof ConnectionClosed || (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
}

export class History {
  readonly #random: Random;
  readonly #sent = new Map<number, SentBatch[]>(partitions.map((partition) => [partition, []]));
  readonly #producers = new Map<number, ProducerIdentity>();
  readonly #commits = new Map(partitions.map((partition) => [partition, { attempted: -1, acknowledged: -1 }]));

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** How many records are known to be acknowledged. */
  get acknowledgedRecords(): number {
    const batches = [...this.#sent.values()].flat().filter(({ state }) => state === 'acknowledged');
    return batches.reduce((total, { count }) => total + count, 0);
  }

  /** Makes the topic, the producer ids and the coordinator known. */
  async prepare(port: number): Promise<void> {
    const client = await KillClient.connect(port);
    await client.createTopic(partitions.length);
    for (const partition of idempotentPartitions) {
      this.#producers.set(partition, await untilReady(() => client.initProducerId()));
    }
    await untilReady(() => client.findCoordinator());
    for (const partition of partitions) await untilReady(() => client.endOffset(partition));
    await client.close();
  }

  /** Runs every client until the broker is gone. Anything else that ends one of them is an error. */
  async runUntilKilled(port: number): Promise<void> {
    const work = [
      ...idempotentPartitions.map((partition) => this.#produceIdempotently(port, partition)),
      this.#producePlainly(port),
      this.#commit(port),
    ];
    const outcomes = await Promise.allSettled(work);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected' && !isGone(outcome.reason)) throw outcome.reason;
    }
  }

  #batchOf(partition: number): SentBatch {
    const sent = this.#sent.get(partition)!;
    const last = sent.at(-1);
    const range = {
      first: last === undefined ? 0 : last.first + last.count,
      count: 1 + this.#random.int(maxRecordsPerBatch),
    };
    const bytes = numberedBatch(partition, range, this.#random, this.#producers.get(partition));
    const batch: SentBatch = { ...range, bytes, state: 'unsent', offset: undefined };
    sent.push(batch);
    return batch;
  }

  async #send(client: KillClient, partition: number, batch: SentBatch, acks: number): Promise<void> {
    batch.state = 'unknown';
    const offset = await client.produce(partition, batch.bytes, acks);
    batch.state = 'acknowledged';
    batch.offset = offset;
  }

  /** Five batches in flight; what had no answer is sent again first, in order, as an idempotent producer does. */
  async #produceIdempotently(port: number, partition: number): Promise<never> {
    const client = await KillClient.connect(port);
    const again = this.#sent.get(partition)!.filter(({ state }) => state !== 'acknowledged');
    for (const batch of again) await untilReady(() => this.#send(client, partition, batch, -1));
    const pending: Promise<void>[] = [];
    for (;;) {
      while (pending.length < inFlight) {
        const sending = this.#send(client, partition, this.#batchOf(partition), -1);
        sending.catch(() => undefined); // the first of them to fail is waited for below
        pending.push(sending);
      }
      await pending.shift();
      await sleep(this.#random.int(4));
    }
  }

  /** One batch at a time, never sent again. */
  async #producePlainly(port: number): Promise<never> {
    const client = await KillClient.connect(port);
    for (;;) {
      await this.#send(client, plainPartition, this.#batchOf(plainPartition), 1);
      await sleep(this.#random.int(6));
    }
  }

  /** Commits ever larger offsets from outside the group. */
  async #commit(port: number): Promise<never> {
    const client = await KillClient.connect(port);
    await untilReady(() => client.findCoordinator());
    for (;;) {
      for (const partition of partitions) {
        const commit = this.#commits.get(partition)!;
        commit.attempted += 1;
        await untilReady(() => client.commitOffset(partition, commit.attempted));
        commit.acknowledged = commit.attempted;
      }
      await sleep(this.#random.int(10));
    }
  }

  /** Reads everything back and answers what is wrong with it; nothing, if all is well. */
  async verify(port: number): Promise<string[]> {
    const client = await KillClient.connect(port);
    const faults: string[] = [];
    for (const partition of partitions) {
      const end = await untilReady(() => client.endOffset(partition));
      const batches = await readPartition((offset) => client.fetch(partition, offset), { partition, end }, faults);
      const isPlain = partition === plainPartition;
      const check = isPlain ? this.#checkPlain.bind(this) : this.#checkIdempotent.bind(this);
      check(partition, batches, faults);
      await this.#checkCommit(client, partition, faults);
    }
    await client.close();
    return faults;
  }

  #checkIdempotent(partition: number, read: readonly ReadBatch[], faults: string[]): void {
    const sent = this.#sent.get(partition)!;
    for (const [index, batch] of read.entries()) {
      const original = sent[index];
      if (original === undefined || original.state === 'unsent') {
        faults.push(`partition ${partition} has a batch at ${batch.offset} that was never sent`);
        return;
      }
      const expected = { offset: original.first, first: original.first, count: original.count };
      if (!isSameBatch(batch, expected)) {
        faults.push(`partition ${partition} has ${describeBatch(batch)} where ${describeBatch(expected)} was sent`);
        return;
      }
    }
    for (const [index, { state, first, offset }] of sent.entries()) {
      if (state !== 'acknowledged') continue;
      if (offset !== first)
        faults.push(`partition ${partition}: batch ${first} was acknowledged at offset ${String(offset)}`);
      if (index >= read.length) faults.push(`partition ${partition} lost the acknowledged batch ${first}`);
    }
  }

  #checkPlain(partition: number, read: readonly ReadBatch[], faults: string[]): void {
    const found = new Map(read.map((batch) => [batch.first, batch]));
    if (found.size !== read.length) faults.push(`partition ${partition} has a batch twice`);
    let before = -1;
    for (const batch of read) {
      if (batch.first <= before) faults.push(`partition ${partition} has batch ${batch.first} behind batch ${before}`);
      before = batch.first;
      const original = this.#sent.get(partition)!.find(({ first }) => first === batch.first);
      if (original?.count !== batch.count)
        faults.push(`partition ${partition} has ${describeBatch(batch)}, which was never sent`);
    }
    for (const batch of this.#sent.get(partition)!) {
      const there = found.get(batch.first);
      if (batch.state === 'acknowledged' && there?.offset !== batch.offset) {
        const where = there === undefined ? 'nowhere' : `at ${there.offset}`;
        faults.push(
          `partition ${partition}: batch ${batch.first}, acknowledged at ${String(batch.offset)}, is ${where}`,
        );
      }
      if (batch.state === 'lost' && there !== undefined) {
        faults.push(`partition ${partition}: batch ${batch.first} was gone after a restart and came back`);
      }
      if (batch.state === 'unknown') {
        batch.state = there === undefined ? 'lost' : 'acknowledged';
        batch.offset = there?.offset;
      }
    }
  }

  async #checkCommit(client: KillClient, partition: number, faults: string[]): Promise<void> {
    await untilReady(() => client.findCoordinator());
    const stored = await untilReady(() => client.committedOffset(partition));
    const commit = this.#commits.get(partition)!;
    const offset = stored?.offset ?? -1;
    if (offset < commit.acknowledged || offset > commit.attempted) {
      faults.push(
        `the group's offset of partition ${partition} is ${offset}, not in [${commit.acknowledged}, ${commit.attempted}]`,
      );
    }
    if (stored !== undefined && stored.metadata !== `at ${offset}`) {
      faults.push(`the group's offset of partition ${partition} is ${offset} with the metadata ${stored.metadata}`);
    }
    commit.acknowledged = Math.max(offset, commit.acknowledged); // it was seen, so it must stay
  }
}
