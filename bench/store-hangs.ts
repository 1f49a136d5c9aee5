// What a broker holds in memory while its object store hangs and producers push as hard as they can, and how soon it serves again
// afterwards. A real MinIO is stopped in time (SIGSTOP): connections stay, answers do not come. Fails when the resident memory
// passes 512 MB until it is back, with the default 256 MiB in flight, or nothing is acknowledged soon after. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/store-hangs.ts [seconds of hanging, 300]

import {
  createTopics,
  describeError,
  encodeRecordBatch,
  ErrorCode,
  produce,
  Reader,
  readResponseHeader,
} from '@kafscale/protocol';
import { EtcdServer, KafScaleServer, RawClient, startMinio } from '@kafscale/testkit';
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const hangSeconds = Number(process.argv[2] ?? 300);
const warmUpMs = 10_000;
const limitBytes = 512_000_000;
const limitMs = 10_000;
const topic = 'hanging';
const partitions = 16;
const connections = 64;
const inFlight = 16;
const batchBytes = 512 * 1_024;
/** What clients wait before they send a refused batch again. */
const retryMs = 100;
const produceVersion = 9;
const bucket = 'kafscale';

/** What producers were told, since it was last looked at. */
class Tally {
  acknowledged = 0;
  readonly refused = new Map<string, number>();
  lastAcknowledgedMs = 0;

  add(code: ErrorCode): void {
    if (code === ErrorCode.NONE) {
      this.acknowledged += 1;
      this.lastAcknowledgedMs = performance.now();
    } else {
      const { name } = describeError(code);
      this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
    }
  }

  take(): string {
    const refused = [...this.refused].map(([name, count]) => `${count} ${name}`).join(', ');
    const text = `${this.acknowledged} acknowledged, refused: ${refused || 'none'}`;
    this.acknowledged = 0;
    this.refused.clear();
    return text;
  }
}

async function run(): Promise<void> {
  const store = await startMinio({ buckets: [bucket] });
  const etcd = await EtcdServer.start({ durable: false });
  const broker = await KafScaleServer.start({
    env: {
      KAFSCALE_ETCD_ENDPOINTS: etcd.endpoints.join(','),
      KAFSCALE_S3_BUCKET: bucket,
      KAFSCALE_S3_ENDPOINT: store.endpoint,
      KAFSCALE_S3_ACCESS_KEY: store.accessKey,
      KAFSCALE_S3_SECRET_KEY: store.secretKey,
    },
  });
  const tally = new Tally();
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  try {
    await createTopic(broker.port);
    const producers = Array.from({ length: connections }, (_, index) =>
      push(broker.port, index % partitions, tally, stopping.signal).catch((error: unknown) => {
        if (!stopping.signal.aborted) console.log('a producer lost its connection:', error);
      }),
    );
    await sleep(warmUpMs);
    console.log(`before: RSS at most ${megabytes(await mostResidentBytes(broker))} MB, ${tally.take()}`);

    store.pause();
    const pausedMs = performance.now();
    await watch(broker, tally, pausedMs);
    store.resume();
    const resumedMs = performance.now();
    const most = await mostResidentBytes(broker);
    console.log(`until it was back: at most ${megabytes(most)} MB, ${tally.take()}`);

    const waitUntilMs = resumedMs + 60_000;
    while (tally.lastAcknowledgedMs < resumedMs && performance.now() < waitUntilMs) await sleep(10);
    const backAfterMs = tally.lastAcknowledgedMs - resumedMs;
    console.log(`first acknowledgement ${seconds(backAfterMs)} s after the store was back`);
    await sleep(warmUpMs);
    console.log(`in the end: at most ${megabytes(await mostResidentBytes(broker))} MB, ${tally.take()}`);
    stopping.abort();
    await Promise.all(producers);
    if (most > limitBytes) throw new Error(`the broker took ${megabytes(most)} MB, more than ${megabytes(limitBytes)}`);
    if (backAfterMs < 0 || backAfterMs > limitMs)
      throw new Error('nothing was acknowledged soon after the store was back');
  } finally {
    stopping.abort();
    await broker.close();
    await etcd.close();
    await store.close();
  }
}

/** Says when the broker noticed. */
async function watch(broker: KafScaleServer, tally: Tally, pausedMs: number): Promise<void> {
  let told = 'ready\n';
  while (performance.now() - pausedMs < hangSeconds * 1_000) {
    const answer = await fetch(`http://127.0.0.1:${broker.metricsPort}/readyz`);
    const text = await answer.text();
    if (text !== told) {
      console.log(
        `${seconds(performance.now() - pausedMs)} s: /readyz says ${answer.status} ${text.trim()}; ${tally.take()}`,
      );
    }
    told = text;
    await sleep(250);
  }
}

/** Keeps so many batches in flight on one connection, and sends each again a little after it was refused. */
async function push(port: number, index: number, tally: Tally, signal: AbortSignal): Promise<void> {
  const client = await RawClient.connect({ port, timeoutMs: 600_000 });
  signal.addEventListener('abort', () => void client.close(), { once: true });
  const request = client.encode(produce, produceVersion, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, topicId: '', partitionData: [{ index, records }] }],
  });
  for (let sent = 0; sent < inFlight; sent += 1) client.write(request);
  while (!signal.aborted) {
    const reader = new Reader(await client.nextFrame());
    readResponseHeader(reader, produce, produceVersion);
    const { responses } = produce.response.read(reader, produceVersion);
    const code = responses[0]!.partitionResponses[0]!.errorCode;
    tally.add(code);
    if (code === ErrorCode.NONE) client.write(request);
    else void sleep(retryMs).then(() => signal.aborted || client.write(request));
  }
}

/** Of about 1 KiB each, incompressible. */
const records = encodeRecordBatch({
  records: Array.from({ length: batchBytes / 1_024 }, () => ({ value: randomBytes(1_000) })),
});

async function createTopic(port: number): Promise<void> {
  const client = await RawClient.connect({ port });
  const wanted = { name: topic, numPartitions: partitions, replicationFactor: -1, assignments: [], configs: [] };
  await client.request(createTopics, 5, { topics: [wanted], timeoutMs: 30_000, validateOnly: false });
  await client.close();
}

/** Since it was started. */
async function mostResidentBytes({ process: { pid } }: KafScaleServer): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6);
const seconds = (durationMs: number) => (durationMs / 1_000).toFixed(1);

await run();
