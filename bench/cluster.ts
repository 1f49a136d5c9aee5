/**
 * One broker on real etcd and a store of known latency: whether cost stays flat with many partitions, how long a durable
 * acknowledgement takes, what latency costs in throughput, and what ten thousand partitions weigh. Both sides in one run.
 * `--scale 0.2` for a fifth of every duration, `--only cost,latency,throughput,partitions` for some of it.
 */
import { parseArgs } from 'node:util';
import { machine, median } from './beside-kafka/report.ts';
import { BenchBroker } from './cluster/bench-broker.ts';
import { createTopic, runPaced, writeToAll } from './cluster/paced-load.ts';
import { cloudLatency, noLatency } from './latency-store/latency-store.ts';
import { createLoadTopic, runLoad } from './raw-limit/produce-load.ts';

const { values } = parseArgs({ options: { scale: { type: 'string' }, only: { type: 'string' } } });
const scale = Number(values.scale ?? process.env['SCALE'] ?? 1);
const sections = new Set((values.only ?? 'cost,latency,throughput,partitions').split(','));
const manyPartitions = 10_000;
const flushWindowMs = 250;
const megabyte = 1e6;

const seconds = (count: number): number => Math.max(2_000, count * 1_000 * scale);
const quantile = (samples: readonly number[], share: number): number =>
  [...samples].sort((a, b) => a - b)[Math.min(samples.length - 1, Math.floor(samples.length * share))] ?? NaN;

function row(what: string, value: string, floor: string, isMet?: boolean): void {
  const verdict = isMet === undefined ? '' : isMet ? 'met' : 'MISSED';
  console.log(`| ${what} | ${value} | ${floor} | ${verdict} |`);
}

function title(text: string): void {
  console.log(`\n${text}\n\n| what | measured | floor | |\n| --- | --- | --- | --- |`);
}

/** The same bytes a second over few and many partitions. */
async function cost(broker: BenchBroker): Promise<void> {
  title('Cost at 2 MB/s, by active partitions (store: 30 ms PUT)');
  await broker.store.setLatency(cloudLatency);
  const rates: { puts: number; etcd: number }[] = [];
  for (const partitions of [10, 1_000, manyPartitions]) {
    const topic = `cost-${partitions}`;
    await createTopic(broker.port, topic, partitions);
    await writeToAll(broker.port, topic, partitions);
    const load = {
      topic,
      partitions,
      requestsPerSecond: 100,
      requestBytes: 20_000,
      partitionsPerRequest: Math.min(20, partitions),
    };
    await runPaced(broker.port, { ...load, durationMs: seconds(5) });
    const before = await broker.read();
    await runPaced(broker.port, { ...load, durationMs: seconds(20) });
    const after = await broker.read();
    const elapsed = (after.atMs - before.atMs) / 1_000;
    const rate = {
      puts: (after.puts - before.puts) / elapsed,
      etcd: (after.etcdWrites - before.etcdWrites) / elapsed,
    };
    rates.push(rate);
    const cpu = (((after.cpuSeconds - before.cpuSeconds) / elapsed) * 100).toFixed(0);
    row(
      `${partitions} partitions`,
      `${rate.puts.toFixed(1)} PUT/s, ${rate.etcd.toFixed(1)} etcd writes/s, ${cpu} % CPU`,
      '',
    );
  }
  for (const [name, field] of [
    ['PUTs', 'puts'],
    ['etcd writes', 'etcd'],
  ] as const) {
    const all = rates.map((rate) => rate[field]);
    const spread = Math.max(...all) / Math.min(...all) - 1;
    row(`${name}, most over least`, `+${(spread * 100).toFixed(0)} %`, '10 %', spread <= 0.1);
  }
}

/** Bytes a second that the broker acknowledges when it is asked for as many as it can. */
async function capacity(broker: BenchBroker, durationMs: number): Promise<number> {
  const bytes = await runLoad(broker.port, { batchBytes: 16 * 1024, connections: 8, inFlight: 64, durationMs });
  return (bytes / durationMs) * 1_000;
}

async function latency(broker: BenchBroker): Promise<void> {
  title('Durable acknowledgement (store: 30 ms PUT, 200 ms p99)');
  await broker.store.setLatency(cloudLatency);
  await createTopic(broker.port, 'latency', 8);
  await writeToAll(broker.port, 'latency', 8);
  const one = { topic: 'latency', partitions: 8, partitionsPerRequest: 1 };
  const before = await broker.read();
  const idle = await runPaced(broker.port, {
    ...one,
    requestsPerSecond: 5,
    requestBytes: 1_000,
    durationMs: seconds(20),
  });
  const after = await broker.read();
  const commitMs = ((after.commitSeconds - before.commitSeconds) / (after.commits - before.commits)) * 1_000;
  const floorMs = cloudLatency.putMs + commitMs + 20;
  const p50 = quantile(idle, 0.5);
  row('etcd commit, mean', `${commitMs.toFixed(1)} ms`, '');
  row('low load, p50', `${p50.toFixed(1)} ms`, `PUT + commit + 20 = ${floorMs.toFixed(1)} ms`, p50 <= floorMs);
  row('low load, p99', `${quantile(idle, 0.99).toFixed(1)} ms`, '');

  await capacity(broker, seconds(3));
  const most = await capacity(broker, seconds(10));
  const requestBytes = 64 * 1024;
  const requestsPerSecond = (0.7 * most) / requestBytes;
  const busy = await runPaced(broker.port, { ...one, requestsPerSecond, requestBytes, durationMs: seconds(20) });
  const p99 = quantile(busy, 0.99);
  const busyFloorMs = cloudLatency.slowestMs + flushWindowMs + 50;
  row('most that was acknowledged', `${(most / megabyte).toFixed(0)} MB/s`, '');
  row('70 % of it, p50', `${quantile(busy, 0.5).toFixed(0)} ms`, '');
  row('70 % of it, p99', `${p99.toFixed(0)} ms`, `store's p99 + window + 50 = ${busyFloorMs} ms`, p99 <= busyFloorMs);
}

async function throughput(broker: BenchBroker): Promise<void> {
  title('Throughput by the latency of the store (16 KiB requests, 8 connections, 64 in flight each)');
  const samples = { none: [] as number[], cloud: [] as number[] };
  for (let round = 0; round < 3; round += 1) {
    for (const side of round % 2 === 0 ? (['none', 'cloud'] as const) : (['cloud', 'none'] as const)) {
      await broker.store.setLatency(side === 'none' ? noLatency : cloudLatency);
      await capacity(broker, seconds(1));
      samples[side].push(await capacity(broker, seconds(6)));
    }
  }
  const [none, cloud] = [median(samples.none), median(samples.cloud)];
  row('0 ms', `${(none / megabyte).toFixed(0)} MB/s`, '');
  row('30 ms PUT', `${(cloud / megabyte).toFixed(0)} MB/s`, '');
  row('ratio', (cloud / none).toFixed(2), '0.90', cloud / none >= 0.9);
}

async function partitions(broker: BenchBroker): Promise<void> {
  title(`${manyPartitions} partitions on one broker (store: 30 ms PUT, 15 ms GET)`);
  await broker.store.setLatency(cloudLatency);
  const bytesBefore = broker.process.residentBytes();
  await createTopic(broker.port, 'many', manyPartitions);
  const firstMs = await writeToAll(broker.port, 'many', manyPartitions);
  const againMs = await writeToAll(broker.port, 'many', manyPartitions);
  const bytes = broker.process.residentBytes();
  row('created and each written to', `${(firstMs / 1_000).toFixed(1)} s`, '');
  row('each written to again', `${(againMs / 1_000).toFixed(1)} s`, '');
  row(
    'memory',
    `${(bytes / megabyte).toFixed(0)} MB, ${((bytes - bytesBefore) / 1e3 / manyPartitions).toFixed(1)} KB a partition`,
    '',
  );
  await broker.process.stop();
  const startedMs = performance.now();
  await broker.startProcess();
  await writeToAll(broker.port, 'many', manyPartitions);
  const openedSeconds = (performance.now() - startedMs) / 1_000;
  row('started again until each was written to', `${openedSeconds.toFixed(1)} s`, '10 s', openedSeconds <= 10);
}

console.log(`${machine()}, scale ${scale}`);
const broker = await BenchBroker.start();
try {
  await createLoadTopic(broker.port, 8);
  if (sections.has('throughput')) await throughput(broker);
  if (sections.has('latency')) await latency(broker);
  if (sections.has('cost')) await cost(broker);
  if (sections.has('partitions')) await partitions(broker);
} finally {
  await broker.close();
}
