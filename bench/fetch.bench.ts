// What a consumer at the tail costs: fetches of 1 MiB from the hot tail of a broker, beside a bare server that writes the same
// slices of memory for each request it reads. Both sides in one process, asked in turns by the same reader in another process;
// printed are bytes per second and per CPU second of this process. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/fetch.bench.ts

import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@kafscale/broker';
import { brokerConfigSchema, encodeRecordBatch, fetch, metadataApi, produce, zeroUuid } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { RawClient } from '@kafscale/testkit';

const topic = 'hot';
const batchBytes = 16 * 1024;
const batchesPerFetch = 64;
const fetchBytes = 1024 * 1024;
const producedFetches = 24;
const connections = 4;
const rounds = 7;
const roundMs = 2_000;

/** What the reader in the other process is told to do, and what it answers. */
interface ReadOrder {
  readonly port: number;
  readonly requests: readonly string[];
}

interface Measured {
  readonly bytesPerSecond: number;
  readonly bytesPerCpuSecond: number;
}

async function measureBothSides(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'kafscale-fetch-bench-'));
  const config = brokerConfigSchema.parse({ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', dataDir });
  const broker = await startBroker(config, { clock: systemClock, random: cryptoRandom, logger: silentLogger });
  const bare = await startBareServer();
  try {
    const requests = await fillTopic(broker.port);
    const bareOrder = { port: (bare.address() as AddressInfo).port, requests };
    const brokerOrder = { port: broker.port, requests };
    const measured: { bare: Measured[]; broker: Measured[] } = { bare: [], broker: [] };
    for (let round = 0; round < rounds; round += 1) {
      measured.bare.push(await measure(bareOrder));
      measured.broker.push(await measure(brokerOrder));
    }
    const [bareMedian, brokerMedian] = [median(measured.bare), median(measured.broker)];
    print('bare writes of slices', bareMedian, bareMedian);
    print('fetch from the hot tail', brokerMedian, bareMedian);
  } finally {
    bare.close();
    await broker.close();
    rmSync(dataDir, { recursive: true });
  }
}

/** Creates the topic, fills its tail, and answers the fetches that read all of it, each 1 MiB. */
async function fillTopic(port: number): Promise<string[]> {
  const client = await RawClient.connect({ port });
  const name = topic;
  for (let leader = -1; leader < 0;) {
    const { topics } = await client.request(metadataApi, 9, {
      topics: [{ topicId: zeroUuid, name }],
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    leader = topics[0]?.partitions[0]?.leaderId ?? -1;
  }
  const header = 80; // of the batch and of its one record
  const records = encodeRecordBatch({
    records: [{ timestamp: Date.now(), value: Buffer.alloc(batchBytes - header, 'x') }],
  });
  for (let round = 0; round < producedFetches; round += 1) {
    const answers = Array.from({ length: batchesPerFetch }, () => client.request(produce, 9, produceRequest(records)));
    for (const { responses } of await Promise.all(answers)) {
      const errorCode = responses[0]?.partitionResponses[0]?.errorCode;
      if (errorCode !== 0) throw new Error(`produce failed with ${String(errorCode)}`);
    }
  }
  const requests = Array.from({ length: producedFetches - 1 }, (_, index) =>
    client.encode(fetch, 11, fetchRequest(index * batchesPerFetch)).toString('base64'),
  );
  await client.close();
  return requests;
}

const produceRequest = (records: Buffer) => ({
  transactionalId: null,
  acks: -1,
  timeoutMs: 30_000,
  topicData: [{ name: topic, topicId: zeroUuid, partitionData: [{ index: 0, records }] }],
});

const fetchRequest = (fetchOffset: number) => ({
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

/** Answers whatever arrives in one piece with a frame of 1 MiB: as many slices as a fetch has batches, written together. */
function startBareServer(): Promise<Server> {
  const memory = Buffer.alloc(producedFetches * fetchBytes, 'x');
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(fetchBytes);
  let next = 0;
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const start = (next++ % producedFetches) * fetchBytes;
      socket.cork();
      socket.write(prefix);
      for (let slice = 0; slice < batchesPerFetch; slice += 1) {
        socket.write(memory.subarray(start + slice * batchBytes, start + (slice + 1) * batchBytes));
      }
      socket.uncork();
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function measure(order: ReadOrder): Promise<Measured> {
  const reader = fork(new URL(import.meta.url).pathname, ['reader']);
  try {
    reader.send(order);
    await nextCount(reader); // It has read for a while: connected and warm.
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    const before = await nextCount(reader);
    while (performance.now() - startMs < roundMs) await nextCount(reader);
    const after = await nextCount(reader);
    const seconds = (performance.now() - startMs) / 1_000;
    const used = process.cpuUsage(cpu);
    const bytes = after - before;
    return { bytesPerSecond: bytes / seconds, bytesPerCpuSecond: (bytes / (used.user + used.system)) * 1e6 };
  } finally {
    reader.kill();
  }
}

/** Bytes read so far, as the reader tells several times a second. */
const nextCount = (reader: ChildProcess) =>
  new Promise<number>((resolve) => reader.once('message', (bytes) => resolve(bytes as number)));

const median = (measured: readonly Measured[]) =>
  [...measured].sort((a, b) => a.bytesPerCpuSecond - b.bytesPerCpuSecond)[measured.length >> 1]!;

function print(name: string, measured: Measured, beside: Measured): void {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const ratio = (measured.bytesPerCpuSecond / beside.bytesPerCpuSecond).toFixed(2);
  const rates = `${megabytes(measured.bytesPerSecond)}/s ${megabytes(measured.bytesPerCpuSecond)}/CPU s`;
  console.log(`${name.padEnd(26)} ${rates.padStart(30)} ${ratio.padStart(6)}x`);
}

/** The other process: on each connection asks, reads the answer to its end without looking at it, and asks again. */
function readForEver(): void {
  let bytes = 0;
  setInterval(() => process.send!(bytes), 100);
  process.once('message', ({ port, requests }: ReadOrder) => {
    const frames = requests.map((request) => Buffer.from(request, 'base64'));
    for (let connection = 0; connection < connections; connection += 1) {
      let asked = connection;
      let prefix = Buffer.alloc(0);
      let remaining = 0;
      const into = Buffer.allocUnsafeSlow(256 * 1024);
      const onData = (length: number, chunk: Uint8Array): boolean => {
        bytes += length;
        for (let at = 0; at < length;) {
          if (remaining === 0) {
            const missing = 4 - prefix.length;
            prefix = Buffer.concat([prefix, chunk.subarray(at, Math.min(length, at + missing))]);
            at += missing;
            if (prefix.length < 4) return true;
            remaining = prefix.readInt32BE(0);
            prefix = Buffer.alloc(0);
          } else {
            const taken = Math.min(remaining, length - at);
            remaining -= taken;
            at += taken;
            if (remaining === 0) socket.write(frames[asked++ % frames.length]!);
          }
        }
        return true;
      };
      const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: into, callback: onData } });
      socket.on('connect', () => socket.write(frames[asked++ % frames.length]!));
    }
  });
}

if (process.argv[2] === 'reader') readForEver();
else await measureBothSides();
