/**
 * One broker on real etcd and a store of known latency: whether cost stays flat with many partitions, how long a durable
 * acknowledgement takes, what latency costs in throughput, and what ten thousand partitions weigh. Both sides in one run.
 * `--scale 0.2` for a fifth of every duration, `--only cost,latency,throughput,partitions` for some of it.
 */
import { parseArgs } from 'node:util';
import { machine, median } from './beside-kafka/report.ts';
import { BenchBroker } from './cluster/bench-broker.ts';
import { measureCost } from './cluster/cost.ts';
import { createTopic, runPaced, writeToAll } from './cluster/paced-load.ts';
import { quantile, row, title } from './cluster/table.ts';
import { cloudLatency, noLatency } from './latency-store/latency-store.ts';
import { createLoadTopic, runLoad, type Load } from './raw-limit/produce-load.ts';

const { values } = parseArgs({ options: { scale: { type: 'string' }, only: { type: 'string' } } });
const scale = Number(values.scale ?? process.env['SCALE'] ?? 1);
const sections = new Set((values.only ?? 'throughput,latency,partitions,cost').split(','));
const manyPartitions = 10_000;
const flushWindowMs = 250;
const megabyte = 1e6;

type ClosedLoad = Omit<Load, 'durationMs'>;
/** 128 MiB in flight: what 200 ms, the store's slowest, are at 640 MB/s. A connection writes to a partition of its own. */
const deep: ClosedLoad = { batchBytes: 256 * 1024, connections: 64, inFlight: 8 };
/** 8 MiB in flight: whoever holds no more waits for the store, whatever the broker does. */
const shallow: ClosedLoad = { batchBytes: 16 * 1024, connections: 8, inFlight: 64 };
/** What such a load writes is not read again, nor kept by the store. */
const neverFold = { KAFSCALE_FOLD_AFTER_MS: '3600000' };

const durationOf = (seconds: number): number => Math.max(2_000, seconds * 1_000 * scale);

interface Rate {
  /** Bytes a second that were acknowledged. */
  readonly bytes: number;
  readonly cpuShare: number;
  readonly storeCpuShare: number;
}

/** What the broker acknowledges when it is asked for as much as the load can hold. */
async function capacity(broker: BenchBroker, load: ClosedLoad, durationMs: number): Promise<Rate> {
  await broker.store.forgetFlushes();
  const before = await broker.read();
  const bytes = await runLoad(broker.port, { ...load, durationMs });
  const after = await broker.read();
  const seconds = (after.atMs - before.atMs) / 1_000;
  return {
    bytes: (bytes / durationMs) * 1_000,
    cpuShare: (after.cpuSeconds - before.cpuSeconds) / seconds,
    storeCpuShare: (after.storeCpuSeconds - before.storeCpuSeconds) / seconds,
  };
}

async function startForLoads(): Promise<BenchBroker> {
  const broker = await BenchBroker.start(neverFold);
  await createLoadTopic(broker.port, deep.connections);
  await capacity(broker, deep, durationOf(5)); // until everything is compiled
  return broker;
}

async function throughput(): Promise<void> {
  const broker = await startForLoads();
  try {
    for (const [name, load, floor] of [
      ['128 MiB in flight (64 connections, 256 KiB requests)', deep, 0.9],
      ['8 MiB in flight (8 connections, 16 KiB requests)', shallow, undefined],
    ] as const) {
      title(`Throughput by the latency of the store, ${name}`);
      await compareLatencies(broker, load, floor);
    }
  } finally {
    await broker.close();
  }
}

async function compareLatencies(broker: BenchBroker, load: ClosedLoad, floor: number | undefined): Promise<void> {
  const sides = { none: noLatency, cloud: cloudLatency };
  const samples: Record<keyof typeof sides, Rate[]> = { none: [], cloud: [] };
  for (const side of ['none', 'cloud', 'cloud', 'none'] as const) {
    await broker.store.setLatency(sides[side]);
    await capacity(broker, load, durationOf(1));
    samples[side].push(await capacity(broker, load, durationOf(5)));
  }
  const middle = (side: keyof typeof sides, of: keyof Rate): number => median(samples[side].map((rate) => rate[of]));
  for (const side of ['none', 'cloud'] as const) {
    const percent = (of: 'cpuShare' | 'storeCpuShare'): string => `${(middle(side, of) * 100).toFixed(0)} %`;
    const rate = `${(middle(side, 'bytes') / megabyte).toFixed(0)} MB/s`;
    const value = `${rate} at ${percent('cpuShare')} CPU (store ${percent('storeCpuShare')})`;
    row(`PUT of ${sides[side].putMs} ms`, value);
  }
  const ratio = middle('cloud', 'bytes') / middle('none', 'bytes');
  row('ratio', ratio.toFixed(2), floor?.toFixed(2), floor === undefined ? undefined : ratio >= floor);
}

async function latency(): Promise<void> {
  title('Durable acknowledgement (store: 30 ms PUT, 200 ms p99)');
  const broker = await startForLoads();
  try {
    await broker.store.setLatency(cloudLatency);
    await createTopic(broker.port, 'latency', 8);
    await writeToAll(broker.port, 'latency', 8);
    await atLowLoad(broker);
    await atBusyLoad(broker);
  } finally {
    await broker.close();
  }
}

const toOne = { topic: 'latency', partitions: 8, partitionsPerRequest: 1 };

async function atLowLoad(broker: BenchBroker): Promise<void> {
  const before = await broker.read();
  const load = { ...toOne, requestsPerSecond: 5, requestBytes: 1_000, durationMs: durationOf(20) };
  const times = await runPaced(broker.port, load);
  const after = await broker.read();
  const commitMs = ((after.commitSeconds - before.commitSeconds) / (after.commits - before.commits)) * 1_000;
  const floorMs = cloudLatency.putMs + commitMs + 20;
  const p50 = quantile(times, 0.5);
  row('etcd commit, mean', `${commitMs.toFixed(1)} ms`);
  row('low load, p50', `${p50.toFixed(1)} ms`, `PUT + commit + 20 = ${floorMs.toFixed(1)} ms`, p50 <= floorMs);
  row('low load, p99', `${quantile(times, 0.99).toFixed(1)} ms`);
}

async function atBusyLoad(broker: BenchBroker): Promise<void> {
  const { bytes: most } = await capacity(broker, deep, durationOf(8));
  await broker.store.forgetFlushes();
  const requestBytes = 64 * 1024;
  const requestsPerSecond = (0.7 * most) / requestBytes;
  const times = await runPaced(broker.port, { ...toOne, requestsPerSecond, requestBytes, durationMs: durationOf(15) });
  const p99 = quantile(times, 0.99);
  const floorMs = cloudLatency.slowestMs + flushWindowMs + 50;
  row('most that was acknowledged', `${(most / megabyte).toFixed(0)} MB/s`);
  row('70 % of it, p50', `${quantile(times, 0.5).toFixed(0)} ms`);
  row('70 % of it, p99', `${p99.toFixed(0)} ms`, `store's p99 + window + 50 = ${floorMs} ms`, p99 <= floorMs);
}

async function partitions(): Promise<void> {
  title(`${manyPartitions} partitions on one broker (store: 30 ms PUT, 15 ms GET)`);
  const broker = await BenchBroker.start();
  try {
    await broker.store.setLatency(cloudLatency);
    const bytesBefore = broker.process.residentBytes();
    await createTopic(broker.port, 'many', manyPartitions);
    const firstMs = await writeToAll(broker.port, 'many', manyPartitions);
    const againMs = await writeToAll(broker.port, 'many', manyPartitions);
    const bytes = broker.process.residentBytes();
    row('created and each written to', `${(firstMs / 1_000).toFixed(1)} s`);
    row('each written to again', `${(againMs / 1_000).toFixed(1)} s`);
    const each = ((bytes - bytesBefore) / 1e3 / manyPartitions).toFixed(1);
    row('memory', `${(bytes / megabyte).toFixed(0)} MB, ${each} KB a partition`);
    await broker.process.stop();
    const startedMs = performance.now();
    await broker.startProcess();
    await writeToAll(broker.port, 'many', manyPartitions);
    const openedSeconds = (performance.now() - startedMs) / 1_000;
    row('started again until each was written to', `${openedSeconds.toFixed(1)} s`, '10 s', openedSeconds <= 10);
  } finally {
    await broker.close();
  }
}

console.log(`${machine()}, scale ${scale}`);
if (sections.has('throughput')) await throughput();
if (sections.has('latency')) await latency();
if (sections.has('partitions')) await partitions();
if (sections.has('cost')) await measureCost(scale);
