/** What one side goes through in one round: load after load on one fresh broker, with the CPU that its process took for each. */
import kafkajs from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sample } from './measures.ts';
import { consumerPerf, producerPerf } from './perf-tools.ts';
import type { MeasuredBroker, Side } from './sides.ts';

export interface Sizes {
  /** Multiplies every number of records; 1 for results that are kept. */
  readonly scale: number;
}

const partitions = 6;
const kib = 1024;
const gigabyte = 1e9;
const megabyte = 1e6;
const mebibyte = 2 ** 20;

interface Cost {
  readonly bytes: number;
  readonly cpuSeconds: number;
}

const secondsPerGigabyte = ({ cpuSeconds, bytes }: Cost): number => cpuSeconds / (bytes / gigabyte);

/** Runs the load and charges the broker for the CPU it took meanwhile. */
async function charged<T>({ process }: MeasuredBroker, bytes: number, load: () => Promise<T>): Promise<[T, Cost]> {
  const before = process.cpuSeconds();
  const result = await load();
  return [result, { bytes, cpuSeconds: process.cpuSeconds() - before }];
}

function adminOf({ bootstrap }: MeasuredBroker): ReturnType<InstanceType<typeof kafkajs.Kafka>['admin']> {
  return new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING }).admin();
}

export async function runLoads(side: Side, { scale }: Sizes): Promise<Sample> {
  const broker = await side.start();
  const admin = adminOf(broker);
  try {
    await admin.connect();
    const topics = ['warm-up', 'kib', 'small', 'tail', 'steady'];
    await admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: partitions })) });
    const { bootstrap } = broker;
    const fast = { throughput: -1, recordBytes: kib };
    await producerPerf(bootstrap, { ...fast, topic: 'warm-up', records: 400_000 * scale });

    const kibRecords = 1_000_000 * scale;
    const [produced, producedCost] = await charged(broker, kibRecords * kib, () =>
      producerPerf(bootstrap, { ...fast, topic: 'kib', records: kibRecords }),
    );
    const smallRecords = 4_000_000 * scale;
    const [small, smallCost] = await charged(broker, smallRecords * 100, () =>
      producerPerf(bootstrap, { ...fast, topic: 'small', records: smallRecords, recordBytes: 100 }),
    );
    const [read, readCost] = await charged(broker, kibRecords * kib, () =>
      consumerPerf(bootstrap, { topic: 'kib', records: kibRecords, group: 'from-start', from: 'start' }),
    );
    const [tail, tailCost] = await charged(broker, kibRecords * kib, () => runTail(broker, kibRecords));
    const steadyRate = 5_000;
    const steadyRecords = steadyRate * Math.max(5, 15 * scale);
    const [steady, steadyCost] = await charged(broker, steadyRecords * kib, () =>
      producerPerf(bootstrap, { topic: 'steady', records: steadyRecords, recordBytes: kib, throughput: steadyRate }),
    );
    return {
      produce1KiB: produced.megabytesPerSecond,
      produce1KiBCpu: secondsPerGigabyte(producedCost),
      produce100B: small.megabytesPerSecond,
      produce100BCpu: secondsPerGigabyte(smallCost),
      consumeStart: read.fetchMegabytesPerSecond,
      consumeStartCpu: secondsPerGigabyte(readCost),
      consumeTail: tail,
      consumeTailCpu: secondsPerGigabyte(tailCost),
      latencyP50: steady.p50Ms,
      latencyP99: steady.p99Ms,
      latencyCpu: secondsPerGigabyte(steadyCost),
      busyRss: broker.process.residentBytes() / megabyte,
    };
  } finally {
    await admin.disconnect();
    await broker.close();
  }
}

/** A consumer at the end of the topic while a producer writes: MB/s from the producer's first record to the consumer's last. */
async function runTail(broker: MeasuredBroker, records: number): Promise<number> {
  const { bootstrap } = broker;
  const admin = adminOf(broker);
  await admin.connect();
  const group = 'at-the-tail';
  const consuming = consumerPerf(bootstrap, { topic: 'tail', records, group, from: 'end' });
  try {
    for (let waited = 0; waited < 300; waited++) {
      const { groups } = await admin.describeGroups([group]);
      if (groups[0]?.state === 'Stable') break;
      await sleep(100);
    }
    await sleep(1_000); // it asks for the end of each partition once it has them
  } finally {
    await admin.disconnect();
  }
  const produced = await producerPerf(bootstrap, { topic: 'tail', records, recordBytes: kib, throughput: -1 });
  const producedAtMs = Date.now();
  const consumed = await consuming;
  const producingSeconds = records / produced.recordsPerSecond;
  const behindSeconds = Math.max(0, (consumed.endedMs - producedAtMs) / 1000);
  return (consumed.records * kib) / mebibyte / (producingSeconds + behindSeconds);
}
