// What a consumer that catches up on old records costs the consumers at the tail: a broker on etcd and a store that answers a GET 15 ms
// and a PUT 30 ms late, each 200 ms once in a hundred, one producer and consumer of small records at the tail, and in every other round
// a consumer that reads old, folded records as fast as it can. Everything lives in processes of its own. Printed are the time from
// sending a record to consuming it (acknowledgement by the store included), the rate of the catch-up, and how many GETs it took.
// Run: make build, then node --conditions=@kafscale/source --import tsx bench/cold-reads.ts [megabytes of old records, 256]
// [rounds, 5] [consumers that catch up, 1]

import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  brokerConfigSchema,
  encodeRecordBatch,
  fetch as fetchApi,
  metadataApi,
  produce,
  splitBatches,
  zeroUuid,
} from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { machine } from './beside-kafka/report.ts';
import { BenchBroker } from './cluster/bench-broker.ts';
import { quantile, row, title } from './cluster/table.ts';
import { cloudLatency, noLatency } from './latency-store/latency-store.ts';

const oldTopic = 'old';
const tailTopic = 'tail';
const batchBytes = 512 * 1_024;
const roundMs = 8_000;
const recordEveryMs = 10;
const fetchBytes = 4 * 2 ** 20;
const produceVersion = 9;
const fetchVersion = 11;
const megabyte = 1e6;

interface Order {
  readonly port: number;
  readonly does: 'tail' | 'catch-up';
  readonly forMs: number;
}

/** Times in milliseconds for the tail, bytes for the catch-up. */
type Result = readonly number[];

const argument = (at: number, byDefault: number): number => Number(process.argv[at + 2] ?? byDefault);

async function measure(): Promise<void> {
  const [oldMegabytes, rounds, consumers] = [argument(0, 256), argument(1, 5), argument(2, 1)];
  console.log(machine());
  const broker = await BenchBroker.start({ KAFSCALE_FOLD_AFTER_MS: '1000' });
  try {
    await broker.store.setLatency(noLatency);
    await fillOld(broker.port, oldMegabytes * megabyte);
    await untilFolded(broker);
    await broker.store.forgetFlushes();
    await broker.store.setLatency(cloudLatency);
    const alone: number[] = [];
    const beside: number[] = [];
    let caughtUpBytes = 0;
    let gets = 0;
    let cpuSeconds = 0;
    for (let round = 0; round < rounds; round += 1) {
      alone.push(...(await run({ port: broker.port, does: 'tail', forMs: roundMs })));
      const before = await broker.read();
      const order = { port: broker.port, does: 'catch-up', forMs: roundMs } as const;
      const catchUps = Promise.all(Array.from({ length: consumers }, () => run(order)));
      const [tail, caughtUp] = await Promise.all([run({ ...order, does: 'tail' }), catchUps]);
      const after = await broker.read();
      beside.push(...tail);
      caughtUpBytes += caughtUp.flat().reduce((sum, bytes) => sum + bytes, 0);
      gets += after.gets - before.gets;
      cpuSeconds += after.cpuSeconds - before.cpuSeconds;
    }
    title(`Catching up on ${oldMegabytes} MB beside the tail, ${rounds} rounds`);
    showTail('tail alone', alone);
    showTail('tail beside a catch-up', beside);
    const ratio = quantile(beside, 0.99) / quantile(alone, 0.99);
    row('p99 beside over alone', ratio.toFixed(2), '2.00', ratio <= 2);
    const caughtUpMs = rounds * roundMs;
    const rate = (caughtUpBytes / caughtUpMs / 1e3).toFixed(0);
    const cpu = ((cpuSeconds / caughtUpMs) * 1e5).toFixed(0);
    row('caught up', `${(caughtUpBytes / megabyte).toFixed(0)} MB at ${rate} MB/s, ${cpu} % CPU of the broker`);
    const blocks = caughtUpBytes / brokerConfigSchema.parse({}).cacheBlockBytes;
    row('GETs per block read', (gets / blocks).toFixed(2));
  } finally {
    await broker.close();
  }
}

async function run(order: Order): Promise<Result> {
  const client: ChildProcess = fork(new URL(import.meta.url).pathname, ['client']);
  try {
    client.send(order);
    return await new Promise<Result>((resolve, reject) => {
      client.once('message', (result) => resolve(result as Result));
      client.once('exit', (code) => reject(new Error(`a client ended with ${String(code)}`)));
    });
  } finally {
    client.removeAllListeners('exit');
    client.kill();
  }
}

async function fillOld(port: number, bytes: number): Promise<void> {
  const client = await RawClient.connect({ port });
  await leaderOf(client, oldTopic);
  await leaderOf(client, tailTopic);
  const records = encodeRecordBatch({
    records: Array.from({ length: 64 }, () => ({ timestamp: Date.now(), value: Buffer.alloc(batchBytes / 64, 'x') })),
  });
  for (let sent = 0; sent < bytes; sent += 8 * batchBytes) {
    const answers = Array.from({ length: 8 }, () =>
      client.request(produce, produceVersion, produceTo(oldTopic, records)),
    );
    for (const { responses } of await Promise.all(answers)) {
      const errorCode = responses[0]?.partitionResponses[0]?.errorCode;
      if (errorCode !== 0) throw new Error(`produce failed with ${String(errorCode)}`);
    }
  }
  await client.close();
}

/** Until nothing but segments is left, as the broker's own gauge says. */
async function untilFolded(broker: BenchBroker): Promise<void> {
  while ((await broker.metric('kafscale_unfolded_extents')) > 0) await sleep(200);
}

async function leaderOf(client: RawClient, name: string): Promise<void> {
  for (let leader = -1; leader < 0;) {
    const { topics } = await client.request(metadataApi, 9, {
      topics: [{ topicId: zeroUuid, name }],
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    leader = topics[0]?.partitions[0]?.leaderId ?? -1;
  }
}

const produceTo = (name: string, records: Buffer) => ({
  transactionalId: null,
  acks: -1,
  timeoutMs: 30_000,
  topicData: [{ name, topicId: zeroUuid, partitionData: [{ index: 0, records }] }],
});

const fetchFrom = (topic: string, fetchOffset: number) => ({
  clusterId: null,
  replicaId: -1,
  replicaState: { replicaId: -1, replicaEpoch: -1n },
  maxWaitMs: 500,
  minBytes: 1,
  maxBytes: fetchBytes,
  isolationLevel: 0,
  sessionId: 0,
  sessionEpoch: -1,
  topics: [
    {
      topic,
      topicId: zeroUuid,
      partitions: [
        {
          partition: 0,
          currentLeaderEpoch: -1,
          fetchOffset,
          lastFetchedEpoch: -1,
          logStartOffset: -1,
          partitionMaxBytes: fetchBytes,
          replicaDirectoryId: zeroUuid,
          highWatermark: Number.MAX_SAFE_INTEGER,
        },
      ],
    },
  ],
  forgottenTopicsData: [],
  rackId: '',
});

/** What lies at an offset and behind it, as much as one answer has. */
async function read(client: RawClient, topic: string, offset: number) {
  const { responses } = await client.request(fetchApi, fetchVersion, fetchFrom(topic, offset));
  const partition = responses[0]?.partitions[0];
  if (partition?.errorCode !== 0) throw new Error(`fetch failed with ${String(partition?.errorCode)}`);
  const records = Buffer.concat(partition.records ?? []);
  return { batches: splitBatches(records).batches, bytes: records.length, highWatermark: partition.highWatermark };
}

/** Sends a record at a steady pace and consumes it; answers how long each took. */
async function tail({ port, forMs }: Order): Promise<Result> {
  const [producer, consumer] = [await RawClient.connect({ port }), await RawClient.connect({ port })];
  const sentMs = new Map<number, number>();
  const times: number[] = [];
  let isOver = false;
  let { highWatermark: offset } = await read(consumer, tailTopic, 0);
  const consume = async () => {
    while (!isOver || times.length < sentMs.size) {
      const { batches } = await read(consumer, tailTopic, offset);
      const nowMs = performance.now();
      for (const batch of batches) {
        if (batch.baseOffset < offset) continue;
        const sent = sentMs.get(batch.baseTimestamp);
        if (sent !== undefined) times.push(nowMs - sent);
        offset = batch.nextOffset;
      }
    }
  };
  const consuming = consume();
  const startMs = performance.now();
  const base = Date.now();
  const answers: Promise<unknown>[] = [];
  for (let index = 0; performance.now() - startMs < forMs; index += 1) {
    const timestamp = base + index; // Names the record; when it was sent is remembered here.
    sentMs.set(timestamp, performance.now());
    const records = encodeRecordBatch({ records: [{ timestamp, value: Buffer.alloc(1_000, 'x') }] });
    answers.push(producer.request(produce, produceVersion, produceTo(tailTopic, records)));
    await sleep(recordEveryMs);
  }
  await Promise.all(answers);
  isOver = true;
  await consuming;
  return times;
}

/** Reads the old topic from its start, over and over. */
async function catchUp({ port, forMs }: Order): Promise<Result> {
  const client = await RawClient.connect({ port });
  const startMs = performance.now();
  let total = 0;
  let offset = 0;
  while (performance.now() - startMs < forMs) {
    const { batches, bytes, highWatermark } = await read(client, oldTopic, offset);
    total += bytes;
    offset = batches.at(-1)?.nextOffset ?? highWatermark;
    if (offset >= highWatermark) offset = 0;
  }
  return [total];
}

function showTail(name: string, times: readonly number[]): void {
  const [p50, p99] = [0.5, 0.99].map((share) => quantile(times, share).toFixed(1));
  row(name, `p50 ${p50!} ms, p99 ${p99!} ms of ${times.length} records`);
}

if (process.argv[2] === 'client') {
  process.once('message', (order: Order) => {
    void (order.does === 'tail' ? tail(order) : catchUp(order)).then((result) => process.send!(result));
  });
} else await measure();
