/** Produce requests by the clock, whatever the answers do: so many a second over so many partitions, and how long each took. */
import { createTopics, encodeRecordBatch, ErrorCode, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PacedLoad {
  readonly topic: string;
  readonly partitions: number;
  readonly requestsPerSecond: number;
  /** Of all batches of one request together. */
  readonly requestBytes: number;
  /** Partitions that one request writes to. */
  readonly partitionsPerRequest: number;
  readonly durationMs: number;
}

const connections = 10;
const timeoutMs = 60_000;

export async function createTopic(port: number, name: string, numPartitions: number): Promise<void> {
  const client = await RawClient.connect({ port, timeoutMs });
  const wanted = { name, numPartitions, replicationFactor: -1, assignments: [], configs: [] };
  const { topics } = await client.request(createTopics, 5, { topics: [wanted], timeoutMs, validateOnly: false });
  await client.close();
  const { errorCode } = topics[0]!;
  if (errorCode !== ErrorCode.NONE && errorCode !== ErrorCode.TOPIC_ALREADY_EXISTS) {
    throw new Error(`the topic was refused with error ${errorCode}`);
  }
}

/** One batch for each of these partitions, in one request; answers the partitions that did not take theirs. */
async function send(client: RawClient, topic: string, indexes: readonly number[], records: Buffer): Promise<number[]> {
  const { responses } = await client.request(produce, 9, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, topicId: '', partitionData: indexes.map((index) => ({ index, records })) }],
  });
  const answers = responses[0]!.partitionResponses;
  return answers.filter(({ errorCode }) => errorCode !== ErrorCode.NONE).map(({ index }) => index);
}

const batchOf = (bytes: number): Buffer =>
  encodeRecordBatch({ records: [{ value: randomBytes(Math.max(1, bytes - 80)) }] });

/** Writes to every partition until each has taken a batch; answers how long that took, milliseconds. */
export async function writeToAll(port: number, topic: string, partitions: number): Promise<number> {
  const startedMs = performance.now();
  const client = await RawClient.connect({ port, timeoutMs });
  const records = batchOf(200);
  const perRequest = 1_000;
  for (let from = 0; from < partitions; from += perRequest) {
    let open = Array.from({ length: Math.min(perRequest, partitions - from) }, (_, n) => from + n);
    while (open.length > 0) {
      open = await send(client, topic, open, records);
      if (open.length > 0) await sleep(20);
    }
  }
  await client.close();
  return performance.now() - startedMs;
}

/** Milliseconds from when each request was due to its answer. Rejects when one is refused. */
export async function runPaced(port: number, load: PacedLoad): Promise<number[]> {
  const { topic, partitions, requestsPerSecond, requestBytes, partitionsPerRequest, durationMs } = load;
  const records = batchOf(requestBytes / partitionsPerRequest);
  const clients = await Promise.all(Array.from({ length: connections }, () => RawClient.connect({ port, timeoutMs })));
  const latenciesMs: number[] = [];
  const pending: Promise<void>[] = [];
  const startedMs = performance.now();
  const total = Math.round((durationMs / 1_000) * requestsPerSecond);
  let next = 0;
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1_000) * requestsPerSecond) + 1);
    for (; sent < due; sent += 1) {
      const dueMs = startedMs + (sent * 1_000) / requestsPerSecond;
      const indexes = Array.from({ length: partitionsPerRequest }, (_, n) => (next + n) % partitions);
      next = (next + partitionsPerRequest) % partitions;
      const sending = send(clients[sent % connections]!, topic, indexes, records).then((refused) => {
        if (refused.length > 0) throw new Error(`${refused.length} batches were refused`);
        latenciesMs.push(performance.now() - dueMs);
      });
      sending.catch(() => undefined); // all of them are waited for below
      pending.push(sending);
    }
    await sleep(2);
  }
  await Promise.all(pending);
  await Promise.all(clients.map((client) => client.close()));
  return latenciesMs;
}
