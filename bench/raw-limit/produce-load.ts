/** Produce requests as fast as they are answered: several connections, each with so many requests in flight, the same bytes again. */
import { createTopics, encodeRecordBatch, ErrorCode, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Load {
  /** Of one request's batch. */
  readonly batchBytes: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly durationMs: number;
}

const topic = 'load';
const produceVersion = 9;
/** Where the error code stands in an answer for one partition, counted from the answer's end. */
const errorCodeBeforeEnd = 35;

export async function createLoadTopic(port: number, numPartitions: number): Promise<void> {
  const client = await RawClient.connect({ port });
  const wanted = { name: topic, numPartitions, replicationFactor: -1, assignments: [], configs: [] };
  await client.request(createTopics, 5, { topics: [wanted], timeoutMs: 30_000, validateOnly: false });
  await client.close();
}

/** Records of about 1 KiB, incompressible, together as large as wanted. */
function batchOf(bytes: number): Buffer {
  const overhead = 61 + 80;
  const count = Math.max(1, Math.round(bytes / 1024));
  const size = Math.floor((bytes - overhead) / count) - 10;
  return encodeRecordBatch({ records: Array.from({ length: count }, () => ({ value: randomBytes(size) })) });
}

/** Answers how many bytes of batches were acknowledged. Each connection writes to a partition of its own. */
export async function runLoad(port: number, { batchBytes, connections, inFlight, durationMs }: Load): Promise<number> {
  const records = batchOf(batchBytes);
  let acknowledged = 0;
  const deadline = Date.now() + durationMs;
  const run = async (client: RawClient, index: number): Promise<void> => {
    const request = {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: '', partitionData: [{ index, records }] }],
    };
    const encoded = client.encode(produce, produceVersion, request);
    const expectAnswer = async (): Promise<void> => {
      const frame = await client.nextFrame();
      const errorCode = frame.readInt16BE(frame.length - errorCodeBeforeEnd);
      if (errorCode !== ErrorCode.NONE) throw new Error(`produce answered with error ${errorCode}`);
      acknowledged += records.length;
    };
    let open = 0;
    for (; open < inFlight; open++) client.write(encoded);
    while (Date.now() < deadline) {
      await expectAnswer();
      client.write(encoded);
    }
    for (; open > 0; open--) await expectAnswer();
  };
  const clients = await Promise.all(
    Array.from({ length: connections }, () => RawClient.connect({ port, timeoutMs: 60_000 })),
  );
  await Promise.all(clients.map(run));
  await Promise.all(clients.map((client) => client.close()));
  await sleep(100);
  return acknowledged;
}
