/** The gap of each partition while its owner drains, as a producer meets it: two brokers, a producer and the stores in one process. */
import { startBroker, type Stores } from '@kafscale/broker';
import { brokerConfigSchema, encodeRecordBatch, ErrorCode, metadataPrefixes, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { dependencies, partitionsPerFlush, prepare, topicName, type Shape } from './generated-metadata.ts';

const shelves = { key: metadataPrefixes.shelves, end: `${metadataPrefixes.shelves.slice(0, -1)}0` };
const probedPartitions = 100;
const probeIntervalMs = 25;
/** The heir has settled when neither the shelves nor what it knows of them have changed for longer than it waits between two looks. */
const settledMs = 12_000;
const settleLimitMs = 75_000;
const produceVersion = 9;

export async function measureHandOver(shape: Shape, takeoverMemoryBytes: number): Promise<void> {
  const { partitionCount, manifestCount } = shape;
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-hand-over-bench-'));
  const config = brokerConfigSchema.parse({
    ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', dataDir, foldAfterMs: 3_600_000 },
    ...{ maxPartitionsPerTopic: Math.max(10_000, partitionCount), rebalanceDelayMs: 600_000, takeoverMemoryBytes },
  });
  try {
    const stores = await prepare(config, shape);
    const [closeObjects, closeMetadata] = [
      stores.objectStore.close.bind(stores.objectStore),
      stores.metadataStore.close.bind(stores.metadataStore),
    ];
    stores.objectStore.close = () => Promise.resolve();
    stores.metadataStore.close = () => Promise.resolve();
    const giver = await startBroker(config, dependencies, stores);
    const heir = await startBroker(config, dependencies, stores);
    const known = await settled(stores, heir.metricsPort, takeoverMemoryBytes > 0);

    const partitions = Array.from({ length: Math.min(probedPartitions, partitionCount) }, (_, index) => {
      return Math.floor((index * partitionCount) / probedPartitions);
    });
    const stop = new AbortController();
    const probes = partitions.map((partition) => probe(partition, [giver.port, heir.port], stop.signal));
    await sleep(3_000);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const startedMs = performance.now();
    await giver.close();
    const drainMs = performance.now() - startedMs;
    await sleep(3_000);
    delay.disable();
    stop.abort();
    const gaps = (await Promise.all(probes)).sort((left, right) => left - right);
    const at = (share: number) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))]!.toFixed(0);
    console.log(
      `${partitionCount} partitions handed over, ${manifestCount} manifests of ${partitionsPerFlush(shape)} partitions, ` +
        `${(known / 2 ** 20).toFixed(1)} MiB known beforehand: out of service p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ` +
        `most ${at(1)} ms; drained in ${(drainMs / 1_000).toFixed(2)} s, longest turn of the event loop ${(delay.max / 1e6).toFixed(0)} ms`,
    );
    await heir.close();
    await closeObjects();
    await closeMetadata();
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Resolves with how many bytes the heir knows beforehand. */
async function settled({ metadataStore }: Stores, metricsPort: number, learns: boolean): Promise<number> {
  const startedMs = performance.now();
  let before = '';
  let known = 0;
  let hasBegun = false;
  for (let sinceMs = startedMs; !hasBegun || performance.now() - sinceMs < settledMs;) {
    await sleep(1_000);
    known = await gauge(metricsPort, 'kafscale_known_flush_bytes');
    const { items } = await metadataStore.range({ ...shelves, keysOnly: true });
    const now = `${items.length} ${known}`;
    if (now !== before) sinceMs = performance.now();
    before = now;
    hasBegun = items.length > 0 && (known > 0 || !learns);
    if (performance.now() - startedMs > settleLimitMs) break;
  }
  return known;
}

/** Writes to one partition at whoever takes it; resolves with the longest time between two acknowledgements. */
async function probe(partition: number, ports: readonly number[], stop: AbortSignal): Promise<number> {
  const records = encodeRecordBatch({ records: [{ value: 'x' }] });
  const request = {
    ...{ transactionalId: null, acks: -1, timeoutMs: 10_000 },
    topicData: [{ name: topicName, topicId: '', partitionData: [{ index: partition, records }] }],
  };
  let at = 0;
  let client: RawClient | undefined;
  let lastMs: number | undefined;
  let longestMs = 0;
  while (!stop.aborted) {
    try {
      client ??= await RawClient.connect({ port: ports[at]! });
      const { responses } = await client.request(produce, produceVersion, request);
      const { errorCode } = responses[0]!.partitionResponses[0]!;
      if (errorCode !== ErrorCode.NONE) throw new Error(`error ${errorCode}`);
      const nowMs = performance.now();
      if (lastMs !== undefined) longestMs = Math.max(longestMs, nowMs - lastMs);
      lastMs = nowMs;
      await sleep(probeIntervalMs);
    } catch {
      await client?.close();
      client = undefined;
      at = 1 - at;
      await sleep(5);
    }
  }
  await client?.close();
  return longestMs;
}

async function gauge(metricsPort: number, name: string): Promise<number> {
  const scraped = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(scraped)?.[1] ?? NaN);
}
