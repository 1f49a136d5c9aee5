/**
 * `make soak`: whether etcd stays small. Three brokers on etcd with a small quota and MinIO, a steady load over many partitions for as
 * long as wanted, records expiring and garbage collected on the way. `MINUTES=60 MEGABYTES=20 PARTITIONS=1000 QUOTA_MIB=64`. Prints a
 * line every ten seconds, writes all of them and a plot to bench/results with `SAVE=1`, and ends with 1 when etcd still grew after
 * the first ten minutes, or the load was not kept up. A run of less than half an hour says nothing about growth.
 */
import { describeError, encodeRecordBatch, ErrorCode, produce } from '@kafscale/protocol';
import { repositoryFolder } from '@kafscale/testkit';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterClient } from './cluster-client.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';
import { plot } from './plot.ts';

const setting = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const minutes = setting('MINUTES', 60);
const megabytesPerSecond = setting('MEGABYTES', 20);
const partitions = setting('PARTITIONS', 1_000);
const quotaMiB = setting('QUOTA_MIB', 64);

const topic = 'soak';
const batchBytes = 10_000;
const partitionsPerRequest = 20;
const requestsPerSecond = (megabytesPerSecond * 1e6) / (batchBytes * partitionsPerRequest);
/** What waits for its answer; beyond it the load is late, and says so in what it achieved. */
const maxOutstanding = 400;
const sampleMs = 10_000;
/** Records live so long, and garbage little longer, so that a run of an hour fits on a disk: about 30 GB. */
const retentionMs = 240_000;
const growthAllowed = 1.1;
const settledAfterSeconds = 600;
const judgedFromMinutes = 30;

/** One line of the table, all numbers since the line before. */
interface Sample {
  readonly seconds: number;
  readonly ackedMBps: number;
  readonly refused: number;
  readonly etcdMB: number;
  readonly etcdInUseMB: number;
  readonly etcdWritesPerSecond: number;
  readonly etcdKBps: number;
  readonly manifests: number;
  readonly shelves: number;
  /** Record batches in flush objects that wait to be folded, those that are too young included. */
  readonly unfoldedMB: number;
  /** By how much the slowest broker holds its answers back. */
  readonly delayMs: number;
  readonly largestRssMB: number;
}

/** Produces by the clock to whoever leads; a batch that is refused is not sent again, but counted. */
class SteadyLoad {
  ackedBytes = 0;
  refused = 0;
  readonly reasons = new Map<string, number>();
  readonly #cluster: ClusterUnderTest;
  readonly #client: ClusterClient;
  readonly #value = randomBytes(batchBytes - 80);
  #ledBy = new Map<number, number[]>();
  #outstanding = 0;
  #leadersAreOld = true;

  constructor(cluster: ClusterUnderTest, client: ClusterClient) {
    this.#cluster = cluster;
    this.#client = client;
  }

  async run(durationMs: number): Promise<void> {
    const startedMs = performance.now();
    const cursors = new Map<number, number>();
    for (let sent = 0; performance.now() - startedMs < durationMs;) {
      if (this.#leadersAreOld) await this.#learnLeaders();
      const due = Math.floor(((performance.now() - startedMs) / 1_000) * requestsPerSecond);
      for (; sent < due && this.#outstanding < maxOutstanding; sent += 1) {
        const brokers = [...this.#ledBy];
        const [brokerId, led] = brokers[sent % brokers.length]!;
        const cursor = cursors.get(brokerId) ?? 0;
        const indexes = Array.from({ length: Math.min(partitionsPerRequest, led.length) }, (_, n) => {
          return led[(cursor + n) % led.length]!;
        });
        cursors.set(brokerId, cursor + indexes.length);
        void this.#send(brokerId, indexes);
      }
      await sleep(5);
    }
    while (this.#outstanding > 0) await sleep(20);
  }

  async #learnLeaders(): Promise<void> {
    const ledBy = new Map<number, number[]>();
    for (const [partition, brokerId] of await this.#client.leaders(topic)) {
      const led = ledBy.get(brokerId) ?? [];
      led.push(partition);
      ledBy.set(brokerId, led);
    }
    this.#ledBy = ledBy;
    this.#leadersAreOld = ledBy.size === 0;
  }

  async #send(brokerId: number, indexes: readonly number[]): Promise<void> {
    this.#outstanding += 1;
    const records = encodeRecordBatch({ records: [{ timestamp: Date.now(), value: this.#value }] });
    try {
      const { responses } = await this.#client.ask(this.#cluster.broker(brokerId).port, produce, 9, {
        transactionalId: null,
        acks: -1,
        timeoutMs: 30_000,
        topicData: [{ name: topic, topicId: '', partitionData: indexes.map((index) => ({ index, records })) }],
      });
      for (const { errorCode } of responses[0]!.partitionResponses) {
        if (errorCode === ErrorCode.NONE) this.ackedBytes += records.length;
        else this.#refuse(describeError(errorCode).name, 1);
      }
    } catch (error) {
      this.#refuse((error as Error).message, indexes.length);
    } finally {
      this.#outstanding -= 1;
    }
  }

  #refuse(reason: string, batches: number): void {
    this.refused += batches;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + batches);
    this.#leadersAreOld = true;
  }
}

/** The running totals of which a sample shows what was added. */
interface Totals {
  readonly atMs: number;
  readonly ackedBytes: number;
  readonly refused: number;
  readonly revision: number;
  readonly etcdBytes: number;
}

const metricOf = (text: string, name: string): number =>
  Number(new RegExp(`^${name}(?:\\{\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? 0);

async function look(
  cluster: ClusterUnderTest,
  load: SteadyLoad,
  startedMs: number,
  before: Totals,
): Promise<{ readonly totals: Totals; readonly sample: Sample }> {
  const [status, etcd, ...brokers] = await Promise.all([
    cluster.etcd.etcdctl('endpoint', 'status', '--write-out=json'),
    fetch(`http://${cluster.etcd.endpoints[0]!}/metrics`).then((answer) => answer.text()),
    ...cluster.running.map((broker) => broker.metrics()),
  ]);
  const [{ Status }] = JSON.parse(status) as [{ Status: { header: { revision: number }; dbSize: number } }];
  const totals: Totals = {
    atMs: performance.now(),
    ackedBytes: load.ackedBytes,
    refused: load.refused,
    revision: Status.header.revision,
    etcdBytes: metricOf(etcd, 'etcd_network_client_grpc_received_bytes_total'),
  };
  const elapsed = (totals.atMs - before.atMs) / 1_000;
  const sum = (name: string): number => brokers.reduce((total, text) => total + metricOf(text, name), 0);
  return {
    totals,
    sample: {
      seconds: Math.round((totals.atMs - startedMs) / 1_000),
      ackedMBps: (totals.ackedBytes - before.ackedBytes) / elapsed / 1e6,
      refused: totals.refused - before.refused,
      etcdMB: Status.dbSize / 1e6,
      etcdInUseMB: metricOf(etcd, 'etcd_mvcc_db_total_size_in_use_in_bytes') / 1e6,
      etcdWritesPerSecond: (totals.revision - before.revision) / elapsed,
      etcdKBps: (totals.etcdBytes - before.etcdBytes) / elapsed / 1e3,
      manifests: sum('kafscale_manifests'),
      shelves: sum('kafscale_shelves'),
      unfoldedMB: sum('kafscale_unfolded_bytes') / 1e6,
      delayMs: Math.max(...brokers.map((text) => metricOf(text, 'kafscale_produce_delay_seconds'))) * 1e3,
      largestRssMB: Math.max(...cluster.running.map(({ process }) => process.residentBytes())) / 1e6,
    },
  };
}

const columns: readonly (keyof Sample)[] = [
  'seconds',
  'ackedMBps',
  'refused',
  'etcdMB',
  'etcdInUseMB',
  'etcdWritesPerSecond',
  'etcdKBps',
  'manifests',
  'shelves',
  'unfoldedMB',
  'delayMs',
  'largestRssMB',
];
const line = (sample: Sample): string =>
  columns.map((column) => (column === 'seconds' ? String(sample[column]) : sample[column].toFixed(1))).join('\t');

async function save(samples: readonly Sample[]): Promise<void> {
  const folder = join(repositoryFolder(), 'bench/results');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'soak.tsv'), [columns.join('\t'), ...samples.map(line), ''].join('\n'));
  const title = `etcd under ${megabytesPerSecond} MB/s over ${partitions} partitions, three brokers, quota ${quotaMiB} MiB`;
  const lines = [
    { name: 'database, MB', points: samples.map(({ seconds, etcdMB }) => [seconds / 60, etcdMB] as const) },
    { name: 'in use, MB', points: samples.map(({ seconds, etcdInUseMB }) => [seconds / 60, etcdInUseMB] as const) },
    {
      name: 'written, 100 KB/s',
      points: samples.map(({ seconds, etcdKBps }) => [seconds / 60, etcdKBps / 100] as const),
    },
  ];
  await writeFile(join(folder, 'soak.svg'), plot(title, 'minutes', lines));
}

const meanInUse = (samples: readonly Sample[]): number =>
  samples.reduce((total, { etcdInUseMB }) => total + etcdInUseMB, 0) / samples.length;

/** What is wrong; nothing when all is well. */
function judge(samples: readonly Sample[], load: SteadyLoad): string[] {
  const faults: string[] = [];
  const settled = samples.filter(({ seconds }) => seconds > settledAfterSeconds);
  if (minutes >= judgedFromMinutes) {
    const part = Math.floor(settled.length / 4);
    const [early, late] = [meanInUse(settled.slice(0, part)), meanInUse(settled.slice(-part))];
    console.log(`etcd in use: ${early.toFixed(1)} MB after ${settledAfterSeconds} s, ${late.toFixed(1)} MB at the end`);
    if (late > early * growthAllowed + 0.5) faults.push('etcd still grew after it should have settled');
  } else console.log(`a run of less than ${judgedFromMinutes} minutes says nothing about growth`);
  const achieved = samples.reduce((total, { ackedMBps }) => total + ackedMBps, 0) / samples.length;
  console.log(`acknowledged: ${achieved.toFixed(1)} MB/s of ${megabytesPerSecond}, ${load.refused} batches refused`);
  for (const [reason, batches] of load.reasons) console.log(`  refused ${batches} times: ${reason}`);
  if (achieved < 0.95 * megabytesPerSecond) faults.push('the load was not kept up');
  return faults;
}

const cluster = await ClusterUnderTest.start({
  brokers: 3,
  etcd: { quotaBytes: quotaMiB * 2 ** 20 },
  env: {
    KAFSCALE_ETCD_QUOTA_BYTES: String(quotaMiB * 2 ** 20),
    KAFSCALE_RETENTION_CHECK_INTERVAL_MS: '30000',
    KAFSCALE_CHECKPOINT_INTERVAL_MS: '60000',
    KAFSCALE_GC_INTERVAL_MS: '30000',
    KAFSCALE_GC_GRACE_MS: '60000',
    KAFSCALE_GC_READER_GRACE_MS: '30000',
    KAFSCALE_GC_DELETES_PER_SECOND: '1000',
  },
});
const client = new ClusterClient(() => cluster.running);
let faults: string[] = [];
try {
  await client.createTopic(topic, partitions, new Map([['retention.ms', String(retentionMs)]]));
  const load = new SteadyLoad(cluster, client);
  const startedMs = performance.now();
  const running = load.run(minutes * 60_000);
  const samples: Sample[] = [];
  let totals = (
    await look(cluster, load, startedMs, { atMs: startedMs, ackedBytes: 0, refused: 0, revision: 0, etcdBytes: 0 })
  ).totals;
  console.log(columns.join('\t'));
  while (performance.now() - startedMs < minutes * 60_000) {
    await sleep(sampleMs);
    const { sample, totals: now } = await look(cluster, load, startedMs, totals);
    totals = now;
    samples.push(sample);
    console.log(line(sample));
  }
  await running;
  if (process.env['SAVE'] === '1') await save(samples);
  faults = judge(samples, load);
  for (const fault of faults) console.error(fault);
} finally {
  await client.close();
  await cluster.close();
}
process.exitCode = faults.length === 0 ? 0 : 1;
