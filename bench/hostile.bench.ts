// What hostile input costs honest clients: the latency of a producer that waits for every answer, with and without a process beside
// it that sends bad frames, holds half-sent requests and idle connections, and pipelines without reading. Both in one run, in
// turns; printed are medians over the rounds and their ratio. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/hostile.bench.ts

import { fork, type ChildProcess } from 'node:child_process';
import { encodeRecordBatch, fetch, metadataApi, produce, zeroUuid } from '@kafscale/protocol';
import { KafScaleServer, RawClient } from '@kafscale/testkit';

const topic = 'honest';
const rounds = 5;
const roundMs = 5_000;
const settleMs = 1_000;
const badFramesPerSecond = 1_000;
const tickMs = 10;
/** Each of them sends a byte a second. */
const slowConnections = 200;
const slowWritesPerTick = (slowConnections * tickMs) / 1_000;
const oneByte = Buffer.from([1]);
const idleConnections = 1_000;
const deafConnections = 10;
const pipelinedRequests = 500;

interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

/** One of each fault of framing that a port on the open network meets. */
const badFrames: readonly Buffer[] = [
  Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  Buffer.from([0xff, 0xff, 0xff, 0xff]),
  Buffer.from([0x7f, 0xff, 0xff, 0xff]),
  Buffer.from([0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 1]),
  Buffer.from([0, 0, 0, 20, 0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 0x61, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 0]),
];

async function measureBothSides(): Promise<void> {
  const broker = await KafScaleServer.start();
  const client = await RawClient.connect({ port: broker.port, timeoutMs: 30_000 });
  try {
    await createTopic(client);
    const quiet: Latencies[] = [];
    const hostile: Latencies[] = [];
    await measure(client, roundMs);
    for (let round = 0; round < rounds; round += 1) {
      quiet.push(await measure(client, roundMs));
      const attacker = await startAttacker(broker.port);
      await sleep(settleMs);
      hostile.push(await measure(client, roundMs));
      attacker.kill('SIGKILL');
      await sleep(settleMs);
    }
    print('p50', quiet, hostile);
    print('p99', quiet, hostile);
  } finally {
    await client.close();
    await broker.close();
  }
}

/** The first request for its metadata makes it. */
async function createTopic(client: RawClient): Promise<void> {
  for (;;) {
    const { topics } = await client.request(metadataApi, 9, {
      topics: [{ name: topic, topicId: zeroUuid }],
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    if (topics[0]?.errorCode === 0) return;
    await sleep(100);
  }
}

async function measure(client: RawClient, durationMs: number): Promise<Latencies> {
  const value = Buffer.alloc(1_024, 1);
  const endMs = performance.now() + durationMs;
  const taken: number[] = [];
  while (performance.now() < endMs) {
    const records = encodeRecordBatch({ records: [{ value, timestamp: Date.now() }] });
    const startMs = performance.now();
    const { responses } = await client.request(produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: zeroUuid, partitionData: [{ index: 0, records }] }],
    });
    if (responses[0]?.partitionResponses[0]?.errorCode !== 0) throw new Error('the honest client was refused');
    taken.push(performance.now() - startMs);
  }
  taken.sort((left, right) => left - right);
  const at = (share: number) => taken[Math.floor(taken.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function startAttacker(port: number): Promise<ChildProcess> {
  const attacker = fork(import.meta.filename, ['attack', String(port)]);
  return new Promise((resolve, reject) => {
    attacker.once('message', () => resolve(attacker));
    attacker.once('error', reject);
  });
}

async function attack(port: number): Promise<void> {
  const held: RawClient[] = [];
  const hold = async (count: number, begin: (client: RawClient) => void) => {
    for (let index = 0; index < count; index += 1) {
      const client = await RawClient.connect({ port });
      begin(client);
      held.push(client);
    }
  };
  await hold(idleConnections, () => undefined);
  await hold(slowConnections, (client) => client.write(Buffer.from([0, 1, 0, 0, 0, 0, 0, 9])));
  await hold(deafConnections, pipelineWithoutReading);
  process.send?.('ready');

  let sent = 0;
  const slow = held.slice(idleConnections, idleConnections + slowConnections);
  const startMs = performance.now();
  for (let tick = 0; ; tick += slowWritesPerTick) {
    const due = ((performance.now() - startMs) / 1_000) * badFramesPerSecond;
    for (; sent < due; sent += 1) void sendBadFrame(port, sent);
    for (const client of slow.slice(tick % slow.length, (tick % slow.length) + slowWritesPerTick))
      client.write(oneByte);
    await sleep(tickMs);
  }
}

/** A fetch of everything there is, many times, and no answer taken. */
function pipelineWithoutReading(client: RawClient): void {
  client.pause();
  const partition = { partition: 0, currentLeaderEpoch: -1, fetchOffset: 0, lastFetchedEpoch: -1, logStartOffset: -1 };
  const partitions = [{ ...partition, partitionMaxBytes: 1_048_576, replicaDirectoryId: zeroUuid, highWatermark: -1 }];
  for (let request = 0; request < pipelinedRequests; request += 1) {
    client.send(fetch, 11, {
      clusterId: null,
      replicaId: -1,
      replicaState: { replicaId: -1, replicaEpoch: -1n },
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1_048_576,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [{ topic, topicId: zeroUuid, partitions }],
      forgottenTopicsData: [],
      rackId: '',
    });
  }
}

async function sendBadFrame(port: number, number: number): Promise<void> {
  try {
    const client = await RawClient.connect({ port });
    client.write(badFrames[number % badFrames.length]!);
    await Promise.race([client.closed, sleep(1_000)]);
    await client.close();
  } catch {
    // Refused: that is an answer too.
  }
}

function print(name: keyof Latencies, quiet: readonly Latencies[], hostile: readonly Latencies[]): void {
  const [alone, attacked] = [medianOf(quiet, name), medianOf(hostile, name)];
  console.log(
    `${name}: ${alone.toFixed(2)} ms alone, ${attacked.toFixed(2)} ms beside bad input, ratio ${(attacked / alone).toFixed(2)}`,
  );
}

function medianOf(latencies: readonly Latencies[], name: keyof Latencies): number {
  const sorted = latencies.map((round) => round[name]).sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)]!;
}

const sleep = (delayMs: number) => new Promise((resolve) => setTimeout(resolve, delayMs));

if (process.argv[2] === 'attack') await attack(Number(process.argv[3]));
else await measureBothSides();
