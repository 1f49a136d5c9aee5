/** What a broker costs that has nothing to do: how soon it takes a record, its memory idle and with ten thousand connections. */
import { apiVersions, createTopics, encodeRecordBatch, ErrorCode, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sample } from './measures.ts';
import type { Side } from './sides.ts';

const connections = 10_000;
const settleMs = 5_000;
const megabyte = 1e6;

export async function runIdle(side: Side): Promise<Sample> {
  const startedMs = performance.now();
  const broker = await side.start();
  try {
    await produceOne(broker.port);
    const firstProduce = performance.now() - startedMs;
    await sleep(settleMs);
    const idleRss = broker.process.residentBytes() / megabyte;
    const clients: RawClient[] = [];
    for (let opened = 0; opened < connections; opened += 100) {
      clients.push(...(await Promise.all(Array.from({ length: 100 }, () => connectOne(broker.port)))));
    }
    await sleep(settleMs);
    const connectedRss = broker.process.residentBytes() / megabyte;
    await Promise.all(clients.map((client) => client.close()));
    return { firstProduce, idleRss, connectedRss };
  } finally {
    await broker.close();
  }
}

/** A connection as a client leaves it: it asked for the versions and has nothing to say. */
async function connectOne(port: number): Promise<RawClient> {
  const client = await RawClient.connect({ port, timeoutMs: 60_000 });
  await client.request(apiVersions, 0, { clientSoftwareName: '', clientSoftwareVersion: '' });
  return client;
}

/** Makes a topic and writes one record to it, asking again until it is accepted. */
async function produceOne(port: number): Promise<void> {
  const client = await RawClient.connect({ port });
  const topic = { name: 'first', numPartitions: 1, replicationFactor: -1, assignments: [], configs: [] };
  await client.request(createTopics, 5, { topics: [topic], timeoutMs: 10_000, validateOnly: false });
  const records = encodeRecordBatch({ records: [{ value: 'first' }] });
  for (;;) {
    const { responses } = await client.request(produce, 7, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: 'first', topicId: '', partitionData: [{ index: 0, records }] }],
    });
    if (responses[0]!.partitionResponses[0]!.errorCode === ErrorCode.NONE) break;
    await sleep(5);
  }
  await client.close();
}
