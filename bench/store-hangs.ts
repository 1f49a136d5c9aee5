// What a broker holds in memory while its object store hangs and producers push as hard as they can, over many partitions and with
// folding under way, and whether it serves again afterwards with nothing lost. A real MinIO is stopped in time (SIGSTOP):
// connections stay, answers do not come. Fails when the resident memory passes 512 MB at any time, less than 256 MB were in flight
// meanwhile, nothing is acknowledged soon after, or a batch that was acknowledged is not there. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/store-hangs.ts [seconds of hanging, 300]; SAVE=1 keeps the table.

import {
  createTopics,
  describeError,
  encodeRecordBatch,
  ErrorCode,
  fetch as fetchApi,
  produce,
  Reader,
  RecordBatchView,
  readResponseHeader,
} from '@kafscale/protocol';
import { EtcdServer, KafScaleServer, RawClient, startMinio } from '@kafscale/testkit';
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const hangSeconds = Number(process.argv[2] ?? 300);
const warmUpMs = Number(process.env['WARM_MS'] ?? 25_000);
const afterMs = Number(process.env['AFTER_MS'] ?? 30_000);
const limitBytes = 512_000_000;
const inFlightAimBytes = 256_000_000;
const limitMs = 10_000;
const idleMs = Number(process.env['IDLE_MS'] ?? 35_000);
const topic = 'hanging';
const connections = 64;
/** As of Java's producer: requests on one connection, and the size of one. */
const inFlight = 5;
const batchesPerRequest = 16;
const batchBytes = 64 * 1_024;
/** Each belongs to one connection, so that its answers come in the order of its offsets. */
const partitions = connections * batchesPerRequest;
/** What clients wait before they send a refused batch again, at first and at most (KIP-580). */
const retryMs = 100;
const maxRetryMs = 1_000;
const sampleMs = 250;
const produceVersion = 9;
const fetchVersion = 12;
const bucket = 'kafscale';

/** What was acknowledged of one partition. */
interface Acknowledged {
  nextOffset: number;
  lastBaseOffset: number;
}

/** What producers were told, since it was last looked at; and for ever where their batches are. */
class Tally {
  acknowledged = 0;
  readonly refused = new Map<string, number>();
  lastAcknowledgedMs = 0;
  lostConnections = 0;
  readonly partitions = new Map<number, Acknowledged>();
  acknowledgedEver = 0;

  add(partition: number, code: ErrorCode, baseOffset: number): void {
    if (code !== ErrorCode.NONE) {
      const { name } = describeError(code);
      this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
      return;
    }
    this.acknowledged += 1;
    this.acknowledgedEver += 1;
    this.lastAcknowledgedMs = performance.now();
    const nextOffset = this.partitions.get(partition)?.nextOffset ?? 0;
    if (baseOffset < nextOffset) throw new Error(`partition ${partition}: offset ${baseOffset} was given out twice`);
    this.partitions.set(partition, { nextOffset: baseOffset + recordsPerBatch, lastBaseOffset: baseOffset });
  }

  take(): string {
    const refused = [...this.refused].map(([name, count]) => `${count} ${name}`).join(', ');
    const text = `${this.acknowledged} acknowledged, refused: ${refused || 'none'}`;
    this.acknowledged = 0;
    this.refused.clear();
    return text;
  }
}

/** The largest values seen of what the broker holds, by phase. */
class Watch {
  readonly phases: { readonly name: string; residentBytes: number; inFlightBytes: number; seconds: number }[] = [];
  readonly #broker: KafScaleServer;
  #stopped = false;
  /** Of the largest resident size. */
  shares = '';
  #ready = '';

  constructor(broker: KafScaleServer) {
    this.#broker = broker;
  }

  begin(name: string): void {
    this.phases.push({ name, residentBytes: 0, inFlightBytes: 0, seconds: 0 });
  }

  async run(): Promise<void> {
    const startMs = performance.now();
    while (!this.#stopped) {
      const phase = this.phases.at(-1)!;
      const [resident, metrics] = await Promise.all([residentBytes(this.#broker), scrape(this.#broker)]);
      if (resident > Math.max(...this.phases.map((one) => one.residentBytes))) this.shares = describe(metrics);
      phase.residentBytes = Math.max(phase.residentBytes, resident);
      const held = metrics.get('kafscale_in_flight_request_bytes') ?? 0;
      phase.inFlightBytes = Math.max(phase.inFlightBytes, held);
      phase.seconds += sampleMs / 1_000;
      const { status } = await fetch(`http://127.0.0.1:${this.#broker.metricsPort}/readyz`);
      if (String(status) !== this.#ready) {
        this.#ready = String(status);
        console.log(`${seconds(performance.now() - startMs)} s: /readyz answers ${status}`);
      }
      if (process.env['VERBOSE'] !== undefined) {
        console.log(`${seconds(performance.now() - startMs)} s: ${megabytes(resident)} MB; ${describe(metrics)}`);
      }
      await sleep(sampleMs);
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

async function run(): Promise<void> {
  const store = await startMinio({ buckets: [bucket] });
  const etcd = await EtcdServer.start({ durable: false });
  const broker = await KafScaleServer.start({
    env: {
      ...(await imageVariables()),
      KAFSCALE_ETCD_ENDPOINTS: etcd.endpoints.join(','),
      KAFSCALE_S3_BUCKET: bucket,
      KAFSCALE_S3_ENDPOINT: store.endpoint,
      KAFSCALE_S3_ACCESS_KEY: store.accessKey,
      KAFSCALE_S3_SECRET_KEY: store.secretKey,
      KAFSCALE_FOLD_AFTER_MS: '10000',
    },
  });
  const tally = new Tally();
  const watch = new Watch(broker);
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  try {
    await createTopic(broker.port);
    watch.begin('before');
    const watching = watch.run();
    const producers = Array.from({ length: connections }, (_, index) =>
      push(broker.port, index, tally, stopping.signal).catch((error: unknown) => {
        if (stopping.signal.aborted) return;
        tally.lostConnections += 1;
        console.log('a producer lost its connection:', error);
      }),
    );
    await sleep(warmUpMs);
    console.log(`before: ${tally.take()}`);
    watch.begin(`hanging, ${hangSeconds} s`);
    store.pause();
    await sleep(hangSeconds * 1_000);
    store.resume();
    const resumedMs = performance.now();
    console.log(`until it was back: ${tally.take()}`);
    watch.begin('behind it');
    while (tally.lastAcknowledgedMs < resumedMs && performance.now() < resumedMs + 60_000) await sleep(10);
    const backAfterMs = tally.lastAcknowledgedMs - resumedMs;
    console.log(`first acknowledgement ${seconds(backAfterMs)} s after the store was back`);
    await sleep(afterMs);
    console.log(`in the end: ${tally.take()}`);
    stopping.abort();
    await Promise.all(producers);
    watch.begin('idle again');
    await sleep(idleMs);
    watch.stop();
    await watching;
    const metrics = await scrape(broker);
    const idleBytes = await residentBytes(broker);
    const most = await mostResidentBytes(broker);
    const missing = await missingPartitions(broker.port, tally);
    const inFlightBytes = Math.max(...watch.phases.map((phase) => phase.inFlightBytes));

    const table = [
      '| phase | RSS at most, MB | in flight at most, MB |',
      '|---|---|---|',
      ...watch.phases.map(
        (phase) => `| ${phase.name} | ${megabytes(phase.residentBytes)} | ${megabytes(phase.inFlightBytes)} |`,
      ),
    ].join('\n');
    const summary = [
      `RSS at most ${megabytes(most)} MB by the kernel's count (limit ${megabytes(limitBytes)}), ${megabytes(idleBytes)} MB in the end.`,
      `First acknowledgement ${seconds(backAfterMs)} s after the store was back. ${tally.acknowledgedEver} batches of 64 KiB acknowledged in all, the last of ${tally.partitions.size} partitions read back: ${missing} missing.`,
      `At the largest: ${watch.shares}. In the end: ${describe(metrics)}.`,
    ].join('\n\n');
    console.log(`\n${table}\n\n${summary}`);
    if (process.env['SAVE'] === '1') await save(table, summary);
    if (most > limitBytes) throw new Error(`the broker took ${megabytes(most)} MB, more than ${megabytes(limitBytes)}`);
    if (inFlightBytes < inFlightAimBytes) throw new Error(`only ${megabytes(inFlightBytes)} MB were in flight`);
    if (backAfterMs < 0 || backAfterMs > limitMs)
      throw new Error('nothing was acknowledged soon after the store was back');
    if (missing > 0) throw new Error('acknowledged batches are not there');
    if (tally.lostConnections > 0) throw new Error('producers lost their connections');
  } finally {
    stopping.abort();
    watch.stop();
    await broker.close();
    await etcd.close();
    await store.close();
  }
}

/** Keeps so many requests in flight on one connection, and sends each again a little after it was refused. */
async function push(port: number, connection: number, tally: Tally, signal: AbortSignal): Promise<void> {
  const client = await RawClient.connect({ port, timeoutMs: 600_000 });
  signal.addEventListener('abort', () => void client.close(), { once: true });
  const indexes = Array.from({ length: batchesPerRequest }, (_, batch) => connection * batchesPerRequest + batch);
  const request = client.encode(produce, produceVersion, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, topicId: '', partitionData: indexes.map((index) => ({ index, records })) }],
  });
  let waitMs = retryMs;
  for (let sent = 0; sent < inFlight; sent += 1) client.write(request);
  while (!signal.aborted) {
    const reader = new Reader(await client.nextFrame());
    readResponseHeader(reader, produce, produceVersion);
    const { responses } = produce.response.read(reader, produceVersion);
    let isRefused = false;
    for (const { index, errorCode, baseOffset } of responses[0]!.partitionResponses) {
      tally.add(index, errorCode, baseOffset);
      isRefused ||= errorCode !== ErrorCode.NONE;
    }
    waitMs = isRefused ? Math.min(maxRetryMs, waitMs * 2) : retryMs;
    if (isRefused) void sleep(waitMs).then(() => signal.aborted || client.write(request));
    else client.write(request);
  }
}

/** Of about 1 KiB each, incompressible. */
const recordsPerBatch = batchBytes / 1_024;
const records = encodeRecordBatch({
  records: Array.from({ length: recordsPerBatch }, () => ({ value: randomBytes(1_000) })),
});

/** Partitions of which the batch that was acknowledged last cannot be read as it was sent. */
async function missingPartitions(port: number, tally: Tally): Promise<number> {
  const client = await RawClient.connect({ port, timeoutMs: 60_000 });
  let missing = 0;
  for (const [partition, { lastBaseOffset }] of tally.partitions) {
    const { responses } = await client.request(fetchApi, fetchVersion, {
      ...{ clusterId: null, replicaId: -1, replicaState: { replicaId: -1, replicaEpoch: -1n } },
      ...{ maxWaitMs: 10_000, minBytes: 1, maxBytes: batchBytes, isolationLevel: 0, sessionId: 0, sessionEpoch: -1 },
      topics: [
        {
          ...{ topic, topicId: '' },
          partitions: [
            {
              ...{ partition, currentLeaderEpoch: -1, fetchOffset: lastBaseOffset, lastFetchedEpoch: -1 },
              ...{ logStartOffset: -1, partitionMaxBytes: batchBytes, replicaDirectoryId: '', highWatermark: -1 },
            },
          ],
        },
      ],
      ...{ forgottenTopicsData: [], rackId: '' },
    });
    const read = responses[0]?.partitions[0]?.records;
    if (read === undefined || read === null || !isTheBatch(Buffer.concat([read].flat()), lastBaseOffset)) missing += 1;
  }
  await client.close();
  return missing;
}

function isTheBatch(bytes: Buffer, baseOffset: number): boolean {
  if (bytes.length < records.length) return false;
  const batch = new RecordBatchView(bytes, 0);
  return batch.baseOffset === baseOffset && batch.crc === batch.computeCrc() && batch.recordCount === recordsPerBatch;
}

async function createTopic(port: number): Promise<void> {
  const client = await RawClient.connect({ port, timeoutMs: 60_000 });
  const wanted = { name: topic, numPartitions: partitions, replicationFactor: -1, assignments: [], configs: [] };
  await client.request(createTopics, 5, { topics: [wanted], timeoutMs: 60_000, validateOnly: false });
  await client.close();
}

/** What the image sets for every process in it. */
async function imageVariables(): Promise<Record<string, string>> {
  const text = await readFile(new URL('../Dockerfile', import.meta.url), 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/\b(MALLOC_[A-Z_]+|NODE_OPTIONS)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
  );
}

async function scrape({ metricsPort }: KafScaleServer): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^(kafscale_\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) values.set(name, Number(value));
  }
  return values;
}

/** Where the memory is, in MB. */
function describe(metrics: ReadonlyMap<string, number>): string {
  const shares = [...metrics].flatMap(([name, bytes]) => {
    const [, purpose] = /^kafscale_memory_bytes\{purpose="(.+)"\}$/.exec(name) ?? [];
    return purpose === undefined ? [] : [`${purpose} ${megabytes(bytes)}`];
  });
  const heap = megabytes(metrics.get('kafscale_broker_heap_inuse_bytes') ?? 0);
  const inFlightNow = megabytes(metrics.get('kafscale_in_flight_request_bytes') ?? 0);
  return `${shares.join(', ')}, JavaScript heap ${heap}; in flight ${inFlightNow} MB`;
}

async function save(table: string, summary: string): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  const how = `Measured by \`bench/store-hangs.ts ${hangSeconds}\`: one broker with default settings and the image's variables (memory limit 512 MB, folding after 10 s) on etcd and MinIO, ${connections} producers that keep ${inFlight} requests of 1 MiB in flight each, ${partitions} partitions.`;
  await writeFile(
    new URL(`results/${day}-store-hangs.md`, import.meta.url),
    `# Memory while the object store hangs\n\n${how}\n\n${table}\n\n${summary}\n`,
  );
}

const statusOf = ({ process: { pid } }: KafScaleServer) => readFile(`/proc/${pid}/status`, 'utf8');

async function residentBytes(broker: KafScaleServer): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await statusOf(broker))?.[1] ?? 0) * 1_024;
}

/** Since it was started. */
async function mostResidentBytes(broker: KafScaleServer): Promise<number> {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(await statusOf(broker))?.[1] ?? 0) * 1_024;
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6);
const seconds = (durationMs: number) => (durationMs / 1_000).toFixed(1);

await run();
