// How long a broker takes to open what a dead one left: partitions whose metadata name very many segments, and manifests of the last
// minutes. The metadata are generated; no record is stored, and none may be needed. Prints the time from the start of the process's
// broker to the moment it owns and serves everything, and what that costs in memory. Run: make build, then
// node --conditions=@kafscale/source --import tsx bench/takeover.ts [partitions, 10000] [segments, 300000] [manifests, 240]
// With `hand-over [partitions, 1000] [manifests, 300] [bytes of memory for it, 0 and 64 MiB]`: how long each partition is out of service when
// its owner is drained and another broker takes it, without and with what the heir knows beforehand. Both in less than two minutes.

import { startBroker, type Stores } from '@kafscale/broker';
import { brokerConfigSchema, metadataPrefixes } from '@kafscale/protocol';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  dependencies,
  partitionsPerFlush,
  prepare,
  segmentsOfEach,
  type Shape,
} from './takeover/generated-metadata.ts';
import { measureHandOver } from './takeover/hand-over.ts';

async function metadataBytes({ metadataStore }: Stores): Promise<number> {
  let bytes = 0;
  for (const prefix of [metadataPrefixes.partitions, metadataPrefixes.manifests]) {
    for (let key: string = prefix; ;) {
      const { items, more } = await metadataStore.range({ key, end: `${prefix.slice(0, -1)}0`, limit: 500 });
      for (const item of items) bytes += item.key.length + item.value.length;
      if (!more) break;
      key = `${items.at(-1)!.key}\0`;
    }
  }
  return bytes;
}

async function measureTakeover(shape: Shape): Promise<void> {
  const { partitionCount, manifestCount } = shape;
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-takeover-bench-'));
  const config = brokerConfigSchema.parse({
    ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', dataDir, foldAfterMs: 3_600_000 },
    maxPartitionsPerTopic: Math.max(10_000, partitionCount),
  });
  try {
    const stores = await prepare(config, shape);
    const megabytes = (await metadataBytes(stores)) / 2 ** 20;
    await stores.objectStore.close();
    await stores.metadataStore.close();

    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const startedMs = performance.now();
    const broker = await startBroker(config, dependencies);
    const seconds = (performance.now() - startedMs) / 1_000;
    const rss = (process.memoryUsage().rss - before) / 2 ** 20;
    console.log(
      `${partitionCount} partitions, ${segmentsOfEach(shape) * partitionCount} segments, ${manifestCount} manifests of ` +
        `${partitionsPerFlush(shape)} partitions, ${megabytes.toFixed(1)} MiB of metadata: ` +
        `opened in ${seconds.toFixed(2)} s, ${rss.toFixed(0)} MiB more resident memory`,
    );
    const scraped = await (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
    const opened = /^kafscale_partitions (\d+)$/m.exec(scraped)?.[1];
    await broker.close();
    if (Number(opened) !== partitionCount) throw new Error(`only ${opened ?? 'no'} partitions are open`);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const [first, ...others] = process.argv.slice(2);
if (first === 'hand-over') {
  const [partitionCount = 1_000, manifestCount = 300, ...memory] = others.map(Number);
  for (const takeoverMemoryBytes of memory.length > 0 ? memory : [0, 64 * 2 ** 20]) {
    await measureHandOver({ partitionCount, segmentCount: 6 * partitionCount, manifestCount }, takeoverMemoryBytes);
  }
} else {
  const [partitionCount = 10_000, segmentCount = 300_000, manifestCount = 240] = process.argv.slice(2).map(Number);
  await measureTakeover({ partitionCount, segmentCount, manifestCount });
}
